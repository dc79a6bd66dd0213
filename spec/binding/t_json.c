/* t_json: the backend's JSON module for specs: decode, encode, null, array, object. */
#include <lauxlib.h>
#include <lua.h>
#include "bind/toc.h"

int luaopen_t_json(lua_State *L);

int luaopen_t_json(lua_State *L)
{
	lua_pushcfunction(L, bind_json_open);
	lua_call(L, 0, 1);
	return 1;
}
