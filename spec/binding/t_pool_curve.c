/*
 * t_pool_curve: fleet/pool_curve.h for specs.
 *   run({ { mono_ms, warm, busy, waiting, target, cold_starts }, … }, mono_ms, wall_ms) → json
 */
#include <lauxlib.h>
#include "fleet/pool_curve.h"

static int64_t number_at(lua_State *L, int i)
{
	lua_rawgeti(L, -1, i);
	int64_t v = luaL_checkinteger(L, -1);
	lua_pop(L, 1);
	return v;
}

static int run(lua_State *L)
{
	struct pool_curve *curve = NULL;
	struct buf out;
	for (int i = 1; i <= (int)lua_rawlen(L, 1); i++) {
		lua_rawgeti(L, 1, i);
		struct pool_curve_now now = { (int)number_at(L, 2), (int)number_at(L, 3), (int)number_at(L, 4),
					      (int)number_at(L, 5), number_at(L, 6) };
		pool_curve_note(&curve, &now, number_at(L, 1));
		lua_pop(L, 1);
	}
	buf_init(&out, 1 << 20);
	pool_curve_json(curve, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3), &out);
	pool_curve_free(&curve);
	lua_pushlstring(L, out.data, out.len);
	buf_fini(&out);
	return 1;
}

int luaopen_t_pool_curve(lua_State *L);
int luaopen_t_pool_curve(lua_State *L)
{
	static const luaL_Reg words[] = { { "run", run }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
