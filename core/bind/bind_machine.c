/* bind.machine: { cores, total = bytes of memory }: what a policy may be sized by when it is loaded. */
#include <unistd.h>
#include <lauxlib.h>
#include "bind/bind_machine.h"
#include "bind/toc.h"

static int64_t other_cores, other_bytes; /* 0 = this machine's */

void bind_machine_pretend(int64_t cores, int64_t bytes)
{
	other_cores = cores;
	other_bytes = bytes;
}

int64_t bind_machine_cores(void)
{
	if (other_cores > 0)
		return other_cores;
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? n : 1;
}

int64_t bind_machine_bytes(void)
{
	if (other_bytes > 0)
		return other_bytes;
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
