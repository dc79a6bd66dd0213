#ifndef DSS_SPEC_T_CLASS_H
#define DSS_SPEC_T_CLASS_H
/* t_class: the metatable of what a binding hands to Lua as userdata: its methods, and itself the place where they are found. */
#include <lauxlib.h>
#include <lua.h>

static inline void t_class(lua_State *L, const char *name, const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}

#endif
