/* t_curve: curves on a clock that the spec holds; new() → curves. Times in ms; readings { memory, peak, cpu, limit }. */
#include <lauxlib.h>
#include <lua.h>

#include "fleet/curve.h"
#include "t_class.h"

static struct curves *check(lua_State *L)
{
	struct curves **c = luaL_checkudata(L, 1, "t_curve");
	return *c;
}

static int new (lua_State *L)
{
	struct curves **c = lua_newuserdatauv(L, sizeof(struct curves *), 0);
	*c = curves_new();
	luaL_setmetatable(L, "t_curve");
	return *c ? 1 : luaL_error(L, "not enough memory");
}

static int collect(lua_State *L)
{
	struct curves **c = luaL_checkudata(L, 1, "t_curve");
	curves_free(c);
	return 0;
}

static int64_t field(lua_State *L, int i, const char *name)
{
	lua_getfield(L, i, name);
	int64_t v = lua_isnil(L, -1) ? -1 : luaL_checkinteger(L, -1);
	lua_pop(L, 1);
	return v;
}

static struct curve_reading reading(lua_State *L, int i)
{
	return (struct curve_reading){ field(L, i, "memory"), field(L, i, "peak"), field(L, i, "cpu"), field(L, i, "limit") };
}

/* add(process, at, reading) */
static int add(lua_State *L)
{
	struct curve_reading r = reading(L, 4);
	curves_add(check(L), luaL_checkstring(L, 2), &r, luaL_checkinteger(L, 3));
	return 0;
}

/* over(process, at, owner, reading) */
static int over(lua_State *L)
{
	struct curve_reading r = reading(L, 5);
	curves_end(check(L), luaL_checkstring(L, 2), luaL_checkstring(L, 4), &r, luaL_checkinteger(L, 3));
	return 0;
}

/* now(process) → memory, peak, cpu, share in thousandths; nothing */
static int now(lua_State *L)
{
	struct curve_now n;
	if (!curves_now(check(L), luaL_checkstring(L, 2), &n))
		return 0;
	lua_pushinteger(L, n.memory_bytes);
	lua_pushinteger(L, n.peak_bytes);
	lua_pushinteger(L, n.cpu_ms);
	lua_pushinteger(L, n.share_milli);
	return 4;
}

static int owner(lua_State *L)
{
	lua_pushstring(L, curves_owner(check(L), luaL_checkstring(L, 2)));
	return 1;
}

static int count(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)curves_count(check(L)));
	return 1;
}

static int push(lua_State *L, struct buf *out, bool is_there)
{
	if (is_there)
		lua_pushlstring(L, out->data, out->len);
	else
		lua_pushnil(L);
	buf_fini(out);
	return 1;
}

/* recent(process, at, wall, points) → json | nil */
static int recent(lua_State *L)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	return push(L, &out,
		    curves_put_recent(check(L), luaL_checkstring(L, 2), (int)luaL_checkinteger(L, 5), luaL_checkinteger(L, 3),
				      luaL_checkinteger(L, 4), &out));
}

/* life(process, at, wall) → json | nil */
static int life(lua_State *L)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	return push(L, &out,
		    curves_put_life(check(L), luaL_checkstring(L, 2), luaL_checkinteger(L, 3), luaL_checkinteger(L, 4), &out));
}

int luaopen_t_curve(lua_State *L)
{
	static const luaL_Reg methods[] = { { "add", add },     { "over", over },    { "now", now },
					    { "owner", owner }, { "count", count },  { "recent", recent },
					    { "life", life },   { "__gc", collect }, { NULL, NULL } };
	static const luaL_Reg words[] = { { "new", new }, { NULL, NULL } };
	t_class(L, "t_curve", methods);
	luaL_newlib(L, words);
	return 1;
}
