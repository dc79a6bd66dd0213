/* bind.machine: { cores, total = bytes of memory }: what a policy may be sized by when it is loaded. */
#include <unistd.h>
#include <lauxlib.h>
#include "bind/toc.h"

int64_t bind_machine_cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? n : 1;
}

int64_t bind_machine_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	return pages > 0 && size > 0 ? (int64_t)pages * size : 0;
}

int bind_machine_open(lua_State *L)
{
	lua_createtable(L, 0, 2);
	lua_pushinteger(L, bind_machine_cores());
	lua_setfield(L, -2, "cores");
	lua_pushinteger(L, bind_machine_bytes());
	lua_setfield(L, -2, "total");
	return 1;
}
