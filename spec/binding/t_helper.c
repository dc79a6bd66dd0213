/* t_helper: programs that the backend runs beside itself, for spec/core/helper_spec.lua. */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>
#include "bind/helper.h"
#include "sys/clock.h"

enum { WORDS_MAX = 8, GIVE_UP_MS = 20000 };

struct told {
	bool is_told, is_good;
	char why[800];
};

static void on_told(void *data, const char *why)
{
	struct told *t = data;
	t->is_told = true;
	t->is_good = why == NULL;
	strncpy(t->why, why ? why : "", sizeof(t->why) - 1);
}

static void on_tick(void *data)
{
	(void)data;
}

/* { argv }, its time in ms, ends_at_once → true | nil, why. What is ended at once says nothing: "ended". */
static int run(lua_State *L)
{
	char *argv[WORDS_MAX + 1] = { 0 };
	struct told told = { 0 };
	struct err err = { 0 };
	luaL_checktype(L, 1, LUA_TTABLE);
	for (int i = 0; i < WORDS_MAX && lua_rawgeti(L, 1, i + 1) == LUA_TSTRING; i++)
		argv[i] = (char *)lua_tostring(L, -1);
	int64_t time_ms = luaL_checkinteger(L, 2), from = clock_mono_ms();
	struct loop *loop = loop_new(&err);
	struct helper *h = loop ? helper_start(loop, argv, time_ms, on_told, &told, &err) : NULL;
	if (h == NULL) {
		loop_free(&loop);
		return luaL_error(L, "%s", err.text);
	}
	bool is_ended = lua_toboolean(L, 3);
	struct loop_timer *tick = loop_timer_new(loop, on_tick, NULL);
	if (is_ended)
		helper_end(&h);
	while (!told.is_told && !is_ended && clock_mono_ms() - from < GIVE_UP_MS) {
		loop_timer_start(tick, 20);
		loop_run_once(loop, true);
	}
	bool gave_up = !told.is_told && !is_ended;
	if (gave_up)
		helper_end(&h);
	loop_timer_free(&tick);
	loop_free(&loop);
	lua_pushboolean(L, told.is_good);
	lua_pushstring(L, gave_up ? "nothing was told" : is_ended && !told.is_told ? "ended" : told.why);
	return 2;
}

int luaopen_t_helper(lua_State *L);
int luaopen_t_helper(lua_State *L)
{
	static const luaL_Reg words[] = { { "run", run }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
