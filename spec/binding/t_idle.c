/* t_idle: how idle a kernel is, on a clock that the spec holds; new() → an idle. Times in ms. */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "fleet/idle.h"

static struct idle *check(lua_State *L)
{
	return luaL_checkudata(L, 1, "t_idle");
}

static int new (lua_State *L)
{
	memset(lua_newuserdatauv(L, sizeof(struct idle), 0), 0, sizeof(struct idle));
	luaL_setmetatable(L, "t_idle");
	return 1;
}

static int64_t field(lua_State *L, const char *name, int64_t otherwise)
{
	lua_getfield(L, 2, name);
	int64_t v = lua_isnil(L, -1) ? otherwise : luaL_checkinteger(L, -1);
	lua_pop(L, 1);
	return v;
}

static enum idle_state state_named(lua_State *L)
{
	lua_getfield(L, 2, "state");
	const char *name = lua_isnil(L, -1) ? "unknown" : luaL_checkstring(L, -1);
	for (int i = IDLE_UNKNOWN; i <= IDLE_DEAD; i++)
		if (strcmp(idle_state_name(i), name) == 0) {
			lua_pop(L, 1);
			return i;
		}
	return luaL_error(L, "no state %s", name);
}

/* look{ at, state, connections, activity, exact, trusted, work, cpu, started } */
static int look(lua_State *L)
{
	struct idle *i = check(L);
	struct idle_look l = { .at_ms = field(L, "at", 0),
			       .state = state_named(L),
			       .connections = field(L, "connections", -1),
			       .activity_ms = field(L, "activity", 0),
			       .work_ms = field(L, "work", 0),
			       .cpu_ms = field(L, "cpu", -1),
			       .started_ms = field(L, "started", 0) };
	lua_getfield(L, 2, "exact");
	l.is_exact = lua_toboolean(L, -1);
	lua_getfield(L, 2, "trusted");
	l.is_trusted = lua_toboolean(L, -1);
	idle_take(i, &l);
	return 0;
}

static int push(lua_State *L, int64_t ms)
{
	if (ms < 0)
		lua_pushnil(L);
	else
		lua_pushinteger(L, ms);
	return 1;
}

static int quiet(lua_State *L)
{
	return push(L, idle_quiet(check(L), luaL_checkinteger(L, 2)));
}

static int silent(lua_State *L)
{
	return push(L, idle_silent(check(L), luaL_checkinteger(L, 2)));
}

static int state(lua_State *L)
{
	lua_pushstring(L, idle_state_name(idle_state(check(L), luaL_checkinteger(L, 2))));
	return 1;
}

/* What another backend gets: what is kept, and nothing else. */
static int kept(lua_State *L)
{
	struct idle *from = check(L);
	new (L);
	struct idle *to = lua_touserdata(L, -1);
	to->started_ms = from->started_ms;
	to->work_ms = from->work_ms;
	to->seen_ms = from->seen_ms;
	to->connected_ms = from->connected_ms;
	to->activity_ms = from->activity_ms;
	to->cpu_ms = from->cpu_ms;
	to->cpu_at_ms = from->cpu_at_ms;
	return 1;
}

int luaopen_t_idle(lua_State *L);
int luaopen_t_idle(lua_State *L)
{
	static const luaL_Reg methods[] = { { "look", look },   { "quiet", quiet }, { "silent", silent },
					    { "state", state }, { "kept", kept },   { NULL, NULL } };
	static const luaL_Reg words[] = { { "new", new }, { NULL, NULL } };
	luaL_newmetatable(L, "t_idle");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	luaL_newlib(L, words);
	return 1;
}
