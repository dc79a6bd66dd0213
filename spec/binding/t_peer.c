/* t_peer: who is at the other end of run/admin.sock, for spec/daemon/keys_spec.lua. */
#include <lauxlib.h>
#include "bind/peer.h"

static int is_boxed(lua_State *L)
{
	lua_pushboolean(L, peer_is_boxed((pid_t)luaL_checkinteger(L, 1), luaL_checkstring(L, 2), (pid_t)luaL_checkinteger(L, 3)));
	return 1;
}

int luaopen_t_peer(lua_State *L)
{
	static const luaL_Reg words[] = { { "is_boxed", is_boxed }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
