/*
 * bind.json: jansson for Lua, so that there is one JSON library.
 *   decode(text) → value | nil, message     duplicate keys, trailing bytes, NUL and depth over 128 are refused
 *   encode(value[, "pretty"]) → text        raises on what JSON has not: functions, cycles, NaN, mixed keys, bytes that are not UTF-8
 *   member(text, key) → text | nil          the raw bytes of a member of the top object; text must have been decoded before
 *   array{…}, object{…}                     mark a table, so that an empty one is [] or {}; decode marks arrays
 *   is_array(value), null                   null stands for JSON's null where nil would lose it
 */
#include <assert.h>
#include <string.h>
#include <jansson.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/ref.h"
#include "bind/toc.h"

#define DEPTH_MAX 128
#define ARRAY     "dss.json.array"
#define OBJECT    "dss.json.object"

static void release_json(void *p)
{
	json_decref(p);
}

static void push_value(lua_State *L, json_t *v, int depth);

static void push_array(lua_State *L, json_t *v, int depth)
{
	size_t n = json_array_size(v);
	lua_createtable(L, n > 1 << 20 ? 1 << 20 : (int)n, 0);
	for (size_t i = 0; i < n; i++) {
		push_value(L, json_array_get(v, i), depth + 1);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	luaL_setmetatable(L, ARRAY);
}

static void push_object(lua_State *L, json_t *v, int depth)
{
	lua_createtable(L, 0, (int)json_object_size(v));
	for (void *it = json_object_iter(v); it; it = json_object_iter_next(v, it)) {
		lua_pushlstring(L, json_object_iter_key(it), json_object_iter_key_len(it));
		push_value(L, json_object_iter_value(it), depth + 1);
		lua_rawset(L, -3);
	}
}

static void push_value(lua_State *L, json_t *v, int depth)
{
	if (depth > DEPTH_MAX)
		luaL_error(L, "nested deeper than %d", DEPTH_MAX);
	luaL_checkstack(L, 8, "JSON");
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		push_object(L, v, depth);
		break;
	case JSON_ARRAY:
		push_array(L, v, depth);
		break;
	case JSON_STRING:
		lua_pushlstring(L, json_string_value(v), json_string_length(v));
		break;
	case JSON_INTEGER:
		lua_pushinteger(L, json_integer_value(v));
		break;
	case JSON_REAL:
		lua_pushnumber(L, json_real_value(v));
		break;
	case JSON_TRUE:
		lua_pushboolean(L, 1);
		break;
	case JSON_FALSE:
		lua_pushboolean(L, 0);
		break;
	case JSON_NULL:
		lua_pushlightuserdata(L, NULL);
		break;
	}
}

static bool is_too_deep(const char *s, size_t n)
{
	int depth = 0;
	bool in_text = false;
	for (size_t i = 0; i < n; i++) {
		if (in_text) {
			if (s[i] == '\\')
				i++;
			else if (s[i] == '"')
				in_text = false;
		} else if (s[i] == '"')
			in_text = true;
		else if ((s[i] == '[' || s[i] == '{') && ++depth > DEPTH_MAX)
			return true;
		else if (s[i] == ']' || s[i] == '}')
			depth--;
	}
	return false;
}

static int decode(lua_State *L)
{
	size_t n;
	json_error_t e;
	const char *text = arg_text(L, 1, &n);
	if (is_too_deep(text, n))
		return arg_fail(L, "unable to read JSON: nested deeper than 128");
	void **guard = ref_guard(L, release_json);
	*guard = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (!*guard) {
		lua_pushnil(L);
		lua_pushfstring(L, "unable to read JSON: line %d, column %d: %s", e.line, e.column, e.text);
		return 2;
	}
	push_value(L, *guard, 0);
	ref_guard_now(guard);
	return 1;
}

static bool has_mark(lua_State *L, int i, const char *mark)
{
	if (!lua_getmetatable(L, i))
		return false;
	luaL_getmetatable(L, mark);
	bool is_same = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return is_same;
}

/* Integer keys 1..n and nothing else, n > 0. */
static bool is_sequence(lua_State *L, int i)
{
	lua_Unsigned n = lua_rawlen(L, i), count = 0;
	if (n == 0)
		return false;
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1)) {
		lua_Integer k;
		if (!lua_isinteger(L, -2) || (k = lua_tointeger(L, -2)) < 1 || (lua_Unsigned)k > n) {
			lua_pop(L, 2);
			return false;
		}
		count++;
	}
	return count == n;
}

/* Attaches its value to a parent or to the guard at once, so that a raise leaks nothing. */
struct place {
	json_t *parent;
	const char *key;
	size_t len;
	void **guard;
};

static void attach(lua_State *L, const struct place *at, json_t *v)
{
	if (!v)
		luaL_error(L, "unable to write JSON: not enough memory, or a text that is not UTF-8");
	assert(at->parent || at->guard); /* the outermost value has a guard, all others a parent */
	if (!at->parent)
		*at->guard = v;
	else if (at->key ? json_object_setn_new(at->parent, at->key, at->len, v) : json_array_append_new(at->parent, v))
		luaL_error(L, "unable to write JSON: not enough memory, or a key that is not UTF-8");
}

static void build(lua_State *L, int i, const struct place *at, int depth);

static void build_table(lua_State *L, int i, const struct place *at, int depth)
{
	if (depth >= DEPTH_MAX)
		luaL_error(L, "unable to write JSON: nested deeper than %d, or a table that contains itself", DEPTH_MAX);
	bool is_array = has_mark(L, i, ARRAY) || (!has_mark(L, i, OBJECT) && is_sequence(L, i));
	json_t *v = is_array ? json_array() : json_object();
	attach(L, at, v);
	if (is_array) {
		for (lua_Unsigned k = 1, n = lua_rawlen(L, i); k <= n; k++) {
			lua_rawgeti(L, i, (lua_Integer)k);
			build(L, lua_gettop(L), &(struct place){ v, NULL, 0, NULL }, depth + 1);
			lua_pop(L, 1);
		}
		return;
	}
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1)) {
		struct place member = { v, NULL, 0, NULL };
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "unable to write JSON: a key of type %s in an object", luaL_typename(L, -2));
		member.key = lua_tolstring(L, -2, &member.len);
		build(L, lua_gettop(L), &member, depth + 1);
	}
}

static void build(lua_State *L, int i, const struct place *at, int depth)
{
	size_t n;
	const char *s;
	luaL_checkstack(L, 8, "JSON");
	switch (lua_type(L, i)) {
	case LUA_TTABLE:
		build_table(L, i, at, depth);
		return;
	case LUA_TSTRING:
		s = lua_tolstring(L, i, &n);
		attach(L, at, json_stringn(s, n));
		return;
	case LUA_TBOOLEAN:
		attach(L, at, json_boolean(lua_toboolean(L, i)));
		return;
	case LUA_TNUMBER:
		if (lua_isinteger(L, i))
			attach(L, at, json_integer(lua_tointeger(L, i)));
		else if (lua_tonumber(L, i) - lua_tonumber(L, i) != 0)
			luaL_error(L, "unable to write JSON: it has no NaN and no infinity");
		else
			attach(L, at, json_real(lua_tonumber(L, i)));
		return;
	case LUA_TLIGHTUSERDATA:
		if (!lua_touserdata(L, i)) {
			attach(L, at, json_null());
			return;
		}
	}
	luaL_error(L, "unable to write JSON: a value of type %s", luaL_typename(L, i));
}

static int encode(lua_State *L)
{
	static const char *const styles[] = { "plain", "pretty", NULL };
	luaL_checkany(L, 1);
	int style = luaL_checkoption(L, 2, "plain", styles);
	size_t flags = JSON_ENCODE_ANY | JSON_SORT_KEYS | (style ? JSON_INDENT(2) : JSON_COMPACT);
	luaL_Buffer b;
	void **guard = ref_guard(L, release_json);
	build(L, 1, &(struct place){ NULL, NULL, 0, guard }, 0);
	size_t n = json_dumpb(*guard, NULL, 0, flags);
	if (n == 0)
		return luaL_error(L, "unable to write JSON: not enough memory");
	char *room = luaL_buffinitsize(L, &b, n);
	json_dumpb(*guard, room, n, flags);
	luaL_pushresultsize(&b, n);
	ref_guard_now(guard);
	return 1;
}

/* --- the raw bytes of one member: the submitter's payload is stored as it came --- */

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static const char *skip_text(const char *p)
{
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : p;
}

static const char *skip_value(const char *p)
{
	int depth = 0;
	do {
		if (*p == '"') {
			p = skip_text(p);
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']') {
			if (depth-- == 0)
				return p;
		} else if (*p == ',' && depth == 0)
			return p;
		p++;
	} while (*p);
	return p;
}

static bool is_key(const char *from, const char *to, const char *key)
{
	bool is_same = false;
	json_t *k = json_loadb(from, (size_t)(to - from), JSON_DECODE_ANY, NULL);
	if (k)
		is_same = strcmp(json_string_value(k), key) == 0;
	json_decref(k);
	return is_same;
}

static int member(lua_State *L)
{
	const char *p = arg_text(L, 1, NULL), *key = arg_text(L, 2, NULL);
	p = skip_blanks(p);
	if (*p != '{')
		return 0;
	for (p = skip_blanks(p + 1); *p == '"'; p = skip_blanks(p + 1)) {
		const char *from = p, *to = skip_text(p);
		const char *value = skip_blanks(skip_blanks(to) + 1);
		const char *end = skip_value(value);
		if (is_key(from, to, key)) {
			while (end > value && strchr(" \t\r\n", end[-1]))
				end--;
			lua_pushlstring(L, value, (size_t)(end - value));
			return 1;
		}
		if (*(p = end) != ',')
			break;
	}
	return 0;
}

static int mark(lua_State *L, const char *name)
{
	if (lua_isnoneornil(L, 1)) {
		lua_settop(L, 0);
		lua_newtable(L);
	}
	arg_table(L, 1);
	lua_settop(L, 1);
	luaL_setmetatable(L, name);
	return 1;
}

static int array(lua_State *L)
{
	return mark(L, ARRAY);
}
static int object(lua_State *L)
{
	return mark(L, OBJECT);
}

static int is_array(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushboolean(L, lua_istable(L, 1) && (has_mark(L, 1, ARRAY) || (!has_mark(L, 1, OBJECT) && is_sequence(L, 1))));
	return 1;
}

int bind_json_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "decode", decode }, { "encode", encode },     { "member", member }, { "array", array },
		{ "object", object }, { "is_array", is_array }, { NULL, NULL },
	};
	luaL_newmetatable(L, ARRAY);
	luaL_newmetatable(L, OBJECT);
	lua_pop(L, 2);
	luaL_newlib(L, words);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	return 1;
}
