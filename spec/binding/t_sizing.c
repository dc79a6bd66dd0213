/* t_sizing: the warm stock's sums on a clock that the spec holds; new() → a sizing. Times in ms, demand in tasks a second. */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

#include "fleet/kernel.h"
#include "fleet/sizing.h"
#include "t_class.h"

static struct sizing *check(lua_State *L)
{
	return luaL_checkudata(L, 1, "t_sizing");
}

static int new (lua_State *L)
{
	memset(lua_newuserdatauv(L, sizeof(struct sizing), 0), 0, sizeof(struct sizing));
	luaL_setmetatable(L, "t_sizing");
	return 1;
}

static int stock(lua_State *L)
{
	lua_pushinteger(L, sizing_stock(luaL_checknumber(L, 1), luaL_checknumber(L, 2)));
	return 1;
}

/* spread(kernel's id, value) */
static int spread(lua_State *L)
{
	struct kernel k = { 0 };
	snprintf(k.id, sizeof(k.id), "%s", luaL_checkstring(L, 1));
	lua_pushinteger(L, kernel_spread(&k, luaL_checkinteger(L, 2)));
	return 1;
}

static int came(lua_State *L)
{
	sizing_note_demand(check(L), luaL_checkinteger(L, 2));
	return 0;
}

static int demand(lua_State *L)
{
	lua_pushnumber(L, sizing_demand(check(L), luaL_checkinteger(L, 2)));
	return 1;
}

/* started(how many at once, took) */
static int started(lua_State *L)
{
	sizing_note_start(check(L), (int)luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
	return 0;
}

static int lead(lua_State *L)
{
	lua_pushinteger(L, sizing_lead_ms(check(L), (int)luaL_checkinteger(L, 2)));
	return 1;
}

static int expect(lua_State *L)
{
	sizing_expect(check(L), luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
	return 0;
}

/* look(now, ready_for, min, max, starting) → target, when to look again */
static int look(lua_State *L)
{
	struct sizing *s = check(L);
	int64_t next = 0;
	struct sizing_bounds b = { luaL_checknumber(L, 3), (int)luaL_checkinteger(L, 4), (int)luaL_checkinteger(L, 5),
				   (int)luaL_optinteger(L, 6, 1) };
	sizing_look(s, &b, luaL_checkinteger(L, 2), &next);
	lua_pushinteger(L, s->target);
	lua_pushinteger(L, next);
	return 2;
}

static int patience(lua_State *L)
{
	lua_pushinteger(L, check(L)->patience_ms);
	return 1;
}

int luaopen_t_sizing(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "came", came },     { "demand", demand }, { "started", started },   { "lead", lead },
		{ "expect", expect }, { "look", look },     { "patience", patience }, { NULL, NULL },
	};
	static const luaL_Reg words[] = { { "new", new }, { "stock", stock }, { "spread", spread }, { NULL, NULL } };
	t_class(L, "t_sizing", methods);
	luaL_newlib(L, words);
	return 1;
}
