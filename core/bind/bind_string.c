/*
 * bind_string: string and table functions with bounds, for the states that evaluate what users write: find, match, gmatch, gsub (a
 * count of steps), rep, table.move and unpack (a size). They replace Lua's own in the whole state, methods included.
 */
#include <string.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/call.h"
#include "bind/match.h"
#include "bind/toc.h"

static int fault(lua_State *L, const struct match *m)
{
	return luaL_error(L, "%s", m->fault);
}

/* Capture i; the whole match s..e where the pattern has none. */
static void push_capture(lua_State *L, const struct match *m, int i, const char *s, const char *e)
{
	if (i >= m->ncaptures) {
		if (i > 0)
			luaL_error(L, "invalid capture index %%%d", i + 1);
		lua_pushlstring(L, s, (size_t)(e - s));
	} else if (m->capture[i].len == MATCH_POSITION) {
		lua_pushinteger(L, m->capture[i].at - m->subject + 1);
	} else {
		lua_pushlstring(L, m->capture[i].at, (size_t)m->capture[i].len);
	}
}

static int push_captures(lua_State *L, const struct match *m, const char *s, const char *e, bool with_whole)
{
	int n = m->ncaptures == 0 && with_whole ? 1 : m->ncaptures;
	luaL_checkstack(L, n, "too many captures");
	for (int i = 0; i < n; i++)
		push_capture(L, m, i, s, e);
	return n;
}

static size_t start_of(lua_Integer from, size_t len)
{
	if (from > 0)
		return (size_t)from - 1;
	if (from == 0 || from < -(lua_Integer)len)
		return 0;
	return (size_t)((lua_Integer)len + from);
}

static int find_or_match(lua_State *L, bool is_find)
{
	size_t ls, lp;
	const char *s = luaL_checklstring(L, 1, &ls), *p = luaL_checklstring(L, 2, &lp);
	size_t from = start_of(luaL_optinteger(L, 3, 1), ls);
	if (from > ls) {
		luaL_pushfail(L);
		return 1;
	}
	if (is_find && (lua_toboolean(L, 4) || !memchr(p, '%', lp)) && (lua_toboolean(L, 4) || strcspn(p, "^$*+?.([-") >= lp)) {
		const char *at = lp ? memmem(s + from, ls - from, p, lp) : s + from;
		if (!at) {
			luaL_pushfail(L);
			return 1;
		}
		lua_pushinteger(L, at - s + 1);
		lua_pushinteger(L, at - s + (lua_Integer)lp);
		return 2;
	}
	struct match m;
	bool is_anchored = lp > 0 && *p == '^';
	match_init(&m, s, ls, p, lp);
	for (const char *at = s + from; at <= m.subject_end; at++) {
		const char *end = match_at(&m, at, p + is_anchored);
		if (m.fault)
			return fault(L, &m);
		if (end && is_find) {
			lua_pushinteger(L, at - s + 1);
			lua_pushinteger(L, end - s);
			return 2 + push_captures(L, &m, at, end, false);
		}
		if (end)
			return push_captures(L, &m, at, end, true);
		if (is_anchored)
			break;
	}
	luaL_pushfail(L);
	return 1;
}

static int find(lua_State *L)
{
	return find_or_match(L, true);
}
static int match(lua_State *L)
{
	return find_or_match(L, false);
}

/* upvalues: subject, pattern, next place (0-based), end of the last match or -1 */
static int gmatch_next(lua_State *L)
{
	size_t ls, lp;
	const char *s = lua_tolstring(L, lua_upvalueindex(1), &ls), *p = lua_tolstring(L, lua_upvalueindex(2), &lp);
	lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
	struct match m;
	match_init(&m, s, ls, p, lp);
	for (const char *at = s + lua_tointeger(L, lua_upvalueindex(3)); at <= m.subject_end; at++) {
		const char *end = match_at(&m, at, p);
		if (m.fault)
			return fault(L, &m);
		if (!end || end - s == last)
			continue;
		lua_pushinteger(L, end - s);
		lua_copy(L, -1, lua_upvalueindex(3));
		lua_replace(L, lua_upvalueindex(4));
		return push_captures(L, &m, at, end, true);
	}
	lua_pushinteger(L, (lua_Integer)ls + 1);
	lua_replace(L, lua_upvalueindex(3));
	return 0;
}

static int gmatch(lua_State *L)
{
	size_t ls;
	luaL_checklstring(L, 1, &ls);
	luaL_checkstring(L, 2);
	size_t from = start_of(luaL_optinteger(L, 3, 1), ls);
	lua_settop(L, 2);
	lua_pushinteger(L, from > ls ? (lua_Integer)ls + 1 : (lua_Integer)from);
	lua_pushinteger(L, -1);
	lua_pushcclosure(L, gmatch_next, 4);
	return 1;
}

static void add_template(lua_State *L, luaL_Buffer *b, const struct match *m, const char *s, const char *e)
{
	size_t n;
	const char *t = lua_tolstring(L, 3, &n);
	for (const char *stop = t + n; t < stop; t++) {
		if (*t != '%') {
			luaL_addchar(b, *t);
			continue;
		}
		t++;
		if (t < stop && *t == '%') {
			luaL_addchar(b, '%');
		} else if (t < stop && *t == '0') {
			luaL_addlstring(b, s, (size_t)(e - s));
		} else if (t < stop && *t >= '1' && *t <= '9') {
			push_capture(L, m, *t - '1', s, e);
			luaL_tolstring(L, -1, NULL);
			lua_remove(L, -2);
			luaL_addvalue(b);
		} else {
			luaL_error(L, "invalid use of '%%' in replacement string");
		}
	}
}

static void add_replacement(lua_State *L, luaL_Buffer *b, const struct match *m, const char *s, const char *e, int type)
{
	if (type == LUA_TSTRING || type == LUA_TNUMBER) {
		add_template(L, b, m, s, e);
		return;
	}
	if (type == LUA_TFUNCTION) {
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(L, m, s, e, true), 1);
	} else {
		push_capture(L, m, 0, s, e);
		lua_gettable(L, 3);
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		lua_pushlstring(L, s, (size_t)(e - s));
	} else if (!lua_isstring(L, -1)) {
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	}
	luaL_addvalue(b);
}

static int gsub(lua_State *L)
{
	size_t ls, lp;
	const char *s = luaL_checklstring(L, 1, &ls), *p = luaL_checklstring(L, 2, &lp), *last = NULL;
	int type = lua_type(L, 3);
	luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
			 "string/function/table");
	lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)ls + 1), n = 0;
	bool is_anchored = lp > 0 && *p == '^';
	struct match m;
	luaL_Buffer b;
	if (type == LUA_TNUMBER)
		lua_tostring(L, 3);
	match_init(&m, s, ls, p, lp);
	luaL_buffinit(L, &b);
	while (n < most) {
		const char *end = match_at(&m, s, p + is_anchored);
		if (m.fault)
			return fault(L, &m);
		if (luaL_bufflen(&b) > CALL_TEXT_MAX)
			return luaL_error(L, "resulting string too large");
		if (end && end != last) {
			n++;
			add_replacement(L, &b, &m, s, end, type);
			s = last = end;
		} else if (s < m.subject_end) {
			luaL_addchar(&b, *s++);
		} else {
			break;
		}
		if (is_anchored)
			break;
	}
	luaL_addlstring(&b, s, (size_t)(m.subject_end - s));
	luaL_pushresult(&b);
	lua_pushinteger(L, n);
	return 2;
}

static int rep(lua_State *L)
{
	size_t ls, lsep;
	const char *s = luaL_checklstring(L, 1, &ls);
	lua_Integer n = luaL_checkinteger(L, 2);
	const char *sep = luaL_optlstring(L, 3, "", &lsep);
	if (n <= 0 || ls + lsep == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	if (ls > CALL_TEXT_MAX || lsep > CALL_TEXT_MAX || n > (lua_Integer)(CALL_TEXT_MAX / (ls + lsep)))
		return luaL_error(L, "resulting string too large");
	luaL_Buffer b;
	size_t total = (size_t)n * (ls + lsep) - lsep, at = 0;
	char *out = luaL_buffinitsize(L, &b, total);
	for (; at < total; at += lsep) {
		memcpy(out + at, s, ls);
		at += ls;
		if (at < total)
			memcpy(out + at, sep, lsep);
	}
	luaL_pushresultsize(&b, total);
	return 1;
}

/* upvalue: Lua's own; the range from argument 2 to 3 is bounded */
static int bounded_range(lua_State *L)
{
	lua_Integer from = luaL_optinteger(L, 2, 1), to = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
	if (to >= from && ((lua_Unsigned)to - (lua_Unsigned)from) >= CALL_ELEMENTS_MAX)
		return luaL_error(L, "more than %d elements", CALL_ELEMENTS_MAX);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

static void bound(lua_State *L, const char *name)
{
	lua_getfield(L, -1, name);
	lua_pushcclosure(L, bounded_range, 1);
	lua_setfield(L, -2, name);
}

void bind_string_install(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "find", find }, { "match", match }, { "gmatch", gmatch }, { "gsub", gsub }, { "rep", rep }, { NULL, NULL },
	};
	lua_getglobal(L, "string");
	luaL_setfuncs(L, words, 0);
	lua_getglobal(L, "table");
	bound(L, "move");
	bound(L, "unpack");
	lua_pop(L, 2);
	bind_table_install(L);
}
