/*
 * bind_table: table functions and string.format with bounds, for the states that evaluate what users write. They replace Lua's own in
 * the whole state. What they promise beyond Lua's: no more than CALL_ELEMENTS_MAX elements and CALL_TEXT_MAX bytes, the call's time is
 * looked at within long work (a hook cannot interrupt C), sort is stable and the same in every run (Lua's own takes its pivot from the
 * clock), a comparator may answer whatever it likes, and no text shows an address.
 */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/call.h"
#include "bind/toc.h"

#define LOOK_EVERY 1024 /* elements between two looks at the clock */

static void look(lua_State *L, lua_Integer i)
{
	if (i % LOOK_EVERY == 0)
		call_check(L);
}

static lua_Integer length(lua_State *L, int i)
{
	luaL_checktype(L, i, LUA_TTABLE);
	lua_Integer n = luaL_len(L, i);
	if (n < 0 || n > CALL_ELEMENTS_MAX)
		luaL_error(L, "more than %d elements", CALL_ELEMENTS_MAX);
	return n;
}

static int concat(lua_State *L)
{
	size_t lsep, len;
	luaL_checktype(L, 1, LUA_TTABLE);
	const char *sep = luaL_optlstring(L, 2, "", &lsep);
	lua_Integer from = luaL_optinteger(L, 3, 1), to = lua_isnoneornil(L, 4) ? length(L, 1) : luaL_checkinteger(L, 4);
	if (to >= from && (lua_Unsigned)to - (lua_Unsigned)from >= CALL_ELEMENTS_MAX)
		return luaL_error(L, "more than %d elements", CALL_ELEMENTS_MAX);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (lua_Integer i = from; i <= to; i++) {
		lua_geti(L, 1, i);
		if (!lua_isstring(L, -1))
			return luaL_error(L, "invalid value (at index %I) in table for 'concat'", (LUAI_UACINT)i);
		lua_tolstring(L, -1, &len);
		if (luaL_bufflen(&b) + len + lsep > CALL_TEXT_MAX)
			return luaL_error(L, "resulting string too large");
		luaL_addvalue(&b);
		if (i < to)
			luaL_addlstring(&b, sep, lsep);
		look(L, i - from);
		if (i == LUA_MAXINTEGER)
			break;
	}
	luaL_pushresult(&b);
	return 1;
}

static int insert(lua_State *L)
{
	lua_Integer n = length(L, 1), at = n + 1;
	int nargs = lua_gettop(L);
	if (nargs != 2 && nargs != 3)
		return luaL_error(L, "wrong number of arguments to 'insert'");
	if (nargs == 3) {
		at = luaL_checkinteger(L, 2);
		luaL_argcheck(L, at >= 1 && at <= n + 1, 2, "position out of bounds");
	}
	for (lua_Integer i = n; i >= at; i--) {
		lua_geti(L, 1, i);
		lua_seti(L, 1, i + 1);
		look(L, i);
	}
	lua_seti(L, 1, at);
	return 0;
}

static int remove_one(lua_State *L)
{
	lua_Integer n = length(L, 1), at = luaL_optinteger(L, 2, n);
	if (lua_gettop(L) > 1)
		luaL_argcheck(L, (at >= 1 && at <= n + 1) || (n == 0 && at == 0), 2, "position out of bounds");
	lua_geti(L, 1, at);
	for (; at >= 1 && at < n; at++) {
		lua_geti(L, 1, at + 1);
		lua_seti(L, 1, at);
		look(L, at);
	}
	lua_pushnil(L);
	lua_seti(L, 1, at);
	return 1;
}

/* --- sort: merges runs of two lists in turn --- */

#define SCRATCH 3 /* stack: table, comparator or nil, list, list */

/* Is the value at stack place `b` before that at `a`? */
static bool is_before(lua_State *L, int b, int a)
{
	if (lua_isnil(L, 2))
		return lua_compare(L, b, a, LUA_OPLT);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, b);
	lua_pushvalue(L, a);
	lua_call(L, 2, 1);
	bool is = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return is;
}

/* Elements at+1…middle and middle+1…end of `from` into `to`. */
static void merge(lua_State *L, int from, int to, lua_Integer at, lua_Integer middle, lua_Integer end)
{
	lua_Integer left = at + 1, right = middle + 1, out = at + 1;
	int top = lua_gettop(L);
	while (left <= middle && right <= end) {
		lua_rawgeti(L, from, left);
		lua_rawgeti(L, from, right);
		if (is_before(L, top + 2, top + 1)) {
			lua_rawseti(L, to, out++);
			right++;
		} else {
			lua_pop(L, 1);
			lua_rawseti(L, to, out++);
			left++;
		}
		lua_settop(L, top);
		look(L, out);
	}
	for (; left <= middle; left++) {
		lua_rawgeti(L, from, left);
		lua_rawseti(L, to, out++);
	}
	for (; right <= end; right++) {
		lua_rawgeti(L, from, right);
		lua_rawseti(L, to, out++);
	}
}

static int sort(lua_State *L)
{
	lua_Integer n = length(L, 1);
	if (!lua_isnoneornil(L, 2))
		luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	if (n < 2)
		return 0;
	lua_createtable(L, (int)n, 0);
	lua_createtable(L, (int)n, 0);
	for (lua_Integer i = 1; i <= n; i++) {
		lua_geti(L, 1, i);
		lua_rawseti(L, SCRATCH, i);
		look(L, i);
	}
	int from = SCRATCH, to = SCRATCH + 1;
	for (lua_Integer width = 1; width < n; width *= 2) {
		for (lua_Integer at = 0; at < n; at += 2 * width) {
			lua_Integer middle = at + width < n ? at + width : n, end = at + 2 * width < n ? at + 2 * width : n;
			merge(L, from, to, at, middle, end);
		}
		int other = from;
		from = to;
		to = other;
	}
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, from, i);
		lua_seti(L, 1, i);
		look(L, i);
	}
	return 0;
}

/* --- format --- */

/* Past the flags, width and precision at t, which stand after a '%'. */
static const char *conversion(const char *t, const char *stop)
{
	while (t < stop && (isdigit((unsigned char)*t) || strchr("-+ #.", *t)) && *t)
		t++;
	return t;
}

/* upvalue: Lua's own, which shows addresses of tables and functions */
static int format(lua_State *L)
{
	size_t len, room = 0;
	const char *t = luaL_checklstring(L, 1, &len), *stop = t + len;
	if (len > CALL_TEXT_MAX)
		return luaL_error(L, "resulting string too large");
	for (int arg = 1; t < stop; t++) {
		if (*t != '%')
			continue;
		t = conversion(t + 1, stop);
		if (t >= stop || *t == '%')
			continue;
		arg++;
		if (*t == 'p')
			return luaL_error(L, "%%p is not available here");
		int type = lua_type(L, arg);
		if (*t == 's' &&
		    (type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA || type == LUA_TLIGHTUSERDATA)) {
			lua_pushstring(L, lua_typename(L, type));
			lua_replace(L, arg);
		}
		room += type == LUA_TSTRING ? lua_rawlen(L, arg) : 0;
	}
	if (room > CALL_TEXT_MAX)
		return luaL_error(L, "resulting string too large");
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

void bind_table_install(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "concat", concat }, { "insert", insert }, { "remove", remove_one }, { "sort", sort }, { NULL, NULL },
	};
	/* methods of texts reach the same table: nothing there may make what a chunk could not */
	static const char *const gone[] = { "dump", "pack", "unpack", "packsize", NULL };
	lua_getglobal(L, "table");
	luaL_setfuncs(L, words, 0);
	lua_getglobal(L, "string");
	for (size_t i = 0; gone[i]; i++) {
		lua_pushnil(L);
		lua_setfield(L, -2, gone[i]);
	}
	lua_getfield(L, -1, "format");
	lua_pushcclosure(L, format, 1);
	lua_setfield(L, -2, "format");
	lua_pop(L, 2);
}
