/* t_joblog: which logs lie in jobs/, for spec/fleet/joblog_spec.lua. */
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>
#include "fleet/joblog.h"
#include "sys/clock.h"

enum { GIVE_UP_MS = 20000 };

struct told {
	lua_State *L;
	bool is_told;
};

static void on_list(void *data, const struct buf *json, const char *next, const struct err *why)
{
	struct told *t = data;
	if (json)
		lua_pushlstring(t->L, json->data, json->len);
	else
		lua_pushnil(t->L);
	lua_pushstring(t->L, next);
	lua_pushstring(t->L, why ? why->text : NULL);
	t->is_told = true;
}

static void on_tick(void *data)
{
	(void)data;
}

/* dir, project | nil, after → json | nil, next | nil, why | nil; the store is dir/store.sqlite. */
static int list(lua_State *L)
{
	char path[PATH_MAX];
	const char *dir = luaL_checkstring(L, 1), *project = luaL_optstring(L, 2, NULL), *after = luaL_checkstring(L, 3);
	struct told told = { L, false };
	struct err err = { 0 };
	int64_t from = clock_mono_ms();
	snprintf(path, sizeof(path), "%s/store.sqlite", dir);
	struct loop *loop = loop_new(&err);
	struct store *store = loop ? store_open(loop, path, NULL, NULL, &err) : NULL;
	if (store == NULL || joblog_list(store, dir, project, after, on_list, &told) < 0) {
		store_close(&store);
		loop_free(&loop);
		return luaL_error(L, "%s", err.text);
	}
	struct loop_timer *tick = loop_timer_new(loop, on_tick, NULL);
	while (!told.is_told && clock_mono_ms() - from < GIVE_UP_MS) {
		loop_timer_start(tick, 20);
		loop_run_once(loop, true);
	}
	loop_timer_free(&tick);
	store_close(&store);
	loop_free(&loop);
	return told.is_told ? 3 : luaL_error(L, "nothing was told");
}

int luaopen_t_joblog(lua_State *L);
int luaopen_t_joblog(lua_State *L)
{
	static const luaL_Reg words[] = { { "list", list }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
