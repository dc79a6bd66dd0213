#include "bind/arg.h"
#include <string.h>
#include <lauxlib.h>

const char *arg_text(lua_State *L, int i, size_t *len)
{
	size_t n;
	luaL_checktype(L, i, LUA_TSTRING);
	const char *s = lua_tolstring(L, i, &n);
	if (!len && strlen(s) != n)
		luaL_argerror(L, i, "a text without NUL bytes expected");
	if (len)
		*len = n;
	return s;
}

int64_t arg_int(lua_State *L, int i, int64_t least, int64_t most)
{
	lua_Integer v = luaL_checkinteger(L, i);
	if (v < least || v > most)
		luaL_argerror(L, i, lua_pushfstring(L, "%I is not between %I and %I", v, (lua_Integer)least, (lua_Integer)most));
	return v;
}

bool arg_bool(lua_State *L, int i, bool otherwise)
{
	if (lua_isnoneornil(L, i))
		return otherwise;
	luaL_checktype(L, i, LUA_TBOOLEAN);
	return lua_toboolean(L, i);
}

void arg_table(lua_State *L, int i)
{
	luaL_checktype(L, i, LUA_TTABLE);
}

static int wrong(lua_State *L, const char *name, const char *wanted)
{
	return luaL_error(L, "field '%s': %s expected, got %s", name, wanted, luaL_typename(L, -1));
}

const char *arg_field_bytes(lua_State *L, int i, const char *name, size_t *len)
{
	const char *s = NULL;
	lua_getfield(L, i, name);
	if (!lua_isnil(L, -1)) {
		if (lua_type(L, -1) != LUA_TSTRING)
			wrong(L, name, "a text");
		s = lua_tolstring(L, -1, len);
	}
	lua_pop(L, 1);
	return s;
}

const char *arg_field_text(lua_State *L, int i, const char *name)
{
	size_t n;
	const char *s = arg_field_bytes(L, i, name, &n);
	if (s && strlen(s) != n)
		luaL_error(L, "field '%s': a text without NUL bytes expected", name);
	return s;
}

int64_t arg_field_int(lua_State *L, int i, const char *name, int64_t otherwise)
{
	int64_t v = otherwise;
	lua_getfield(L, i, name);
	if (!lua_isnil(L, -1)) {
		int is_int = 0;
		v = lua_tointegerx(L, -1, &is_int);
		if (!is_int || lua_type(L, -1) != LUA_TNUMBER)
			wrong(L, name, "a whole number");
	}
	lua_pop(L, 1);
	return v;
}

bool arg_field_bool(lua_State *L, int i, const char *name, bool otherwise)
{
	bool v = otherwise;
	lua_getfield(L, i, name);
	if (!lua_isnil(L, -1)) {
		if (!lua_isboolean(L, -1))
			wrong(L, name, "true or false");
		v = lua_toboolean(L, -1);
	}
	lua_pop(L, 1);
	return v;
}

int arg_fail(lua_State *L, const char *text)
{
	lua_pushnil(L);
	lua_pushstring(L, text);
	return 2;
}
