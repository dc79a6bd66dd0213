/* t_base: errors, buffer, map, text and log records for spec/core/base_spec.lua. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "t_class.h"

/* --- err --- */

/* err(errnum, what, prefix?) -> code, text; errnum 0 = err_set */
static int l_err(lua_State *L)
{
	struct err err = { .code = -1 };
	int errnum = (int)luaL_checkinteger(L, 1);
	const char *what = luaL_checkstring(L, 2);
	int r = errnum == 0 ? err_set(&err, "%s", what) : err_sys(&err, errnum, "%s", what);
	if (!lua_isnoneornil(L, 3))
		r += err_add(&err, "%s", luaL_checkstring(L, 3));
	lua_pushinteger(L, err.code);
	lua_pushstring(L, err.text);
	lua_pushinteger(L, r);
	return 3;
}

/* err_null() -> what the three return without a place to write to */
static int l_err_null(lua_State *L)
{
	lua_pushinteger(L, err_set(NULL, "x"));
	lua_pushinteger(L, err_sys(NULL, EIO, "x"));
	lua_pushinteger(L, err_add(NULL, "x"));
	return 3;
}

/* --- buf: a method each, through a full userdatum --- */

static struct buf *to_buf(lua_State *L)
{
	return luaL_checkudata(L, 1, "t_base.buf");
}

static int l_buf(lua_State *L)
{
	struct buf *b = lua_newuserdatauv(L, sizeof(*b), 0);
	buf_init(b, (size_t)luaL_checkinteger(L, 1));
	luaL_setmetatable(L, "t_base.buf");
	return 1;
}

static int buf_l_put(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 2, &n);
	lua_pushinteger(L, buf_put(to_buf(L), s, n));
	return 1;
}

static int buf_l_print(lua_State *L)
{
	lua_pushinteger(L, buf_printf(to_buf(L), "<%s>", luaL_checkstring(L, 2)));
	return 1;
}

static int buf_l_drop(lua_State *L)
{
	buf_drop(to_buf(L), (size_t)luaL_checkinteger(L, 2));
	return 0;
}

static int buf_l_clear(lua_State *L)
{
	buf_clear(to_buf(L));
	return 0;
}

static int buf_l_steal(lua_State *L)
{
	struct buf *b = to_buf(L);
	char *s = buf_steal(b);
	lua_pushstring(L, s);
	free(s);
	return 1;
}

/* -> bytes, failed, is NUL-terminated */
static int buf_l_look(lua_State *L)
{
	struct buf *b = to_buf(L);
	lua_pushlstring(L, b->data != NULL ? b->data : "", b->len);
	lua_pushboolean(L, b->failed);
	lua_pushboolean(L, b->data == NULL || b->data[b->len] == '\0');
	return 3;
}

static int buf_l_gc(lua_State *L)
{
	buf_fini(to_buf(L));
	return 0;
}

/* --- map: values are positive integers --- */

static struct map *to_map(lua_State *L)
{
	return *(struct map **)luaL_checkudata(L, 1, "t_base.map");
}

static int push_value(lua_State *L, const void *value)
{
	if (value == NULL)
		lua_pushnil(L);
	else
		lua_pushinteger(L, (lua_Integer)(intptr_t)value);
	return 1;
}

static int l_map(lua_State *L)
{
	struct map **m = lua_newuserdatauv(L, sizeof(struct map *), 0);
	*m = map_new();
	luaL_setmetatable(L, "t_base.map");
	return 1;
}

static int map_l_set(lua_State *L)
{
	void *value = (void *)(intptr_t)luaL_checkinteger(L, 3);
	int r = lua_isinteger(L, 2) ? map_set_u64(to_map(L), (uint64_t)lua_tointeger(L, 2), value)
				    : map_set(to_map(L), luaL_checkstring(L, 2), value);
	lua_pushinteger(L, r);
	return 1;
}

static int map_l_get(lua_State *L)
{
	return push_value(L, lua_isinteger(L, 2) ? map_get_u64(to_map(L), (uint64_t)lua_tointeger(L, 2))
						 : map_get(to_map(L), luaL_checkstring(L, 2)));
}

static int map_l_remove(lua_State *L)
{
	return push_value(L, lua_isinteger(L, 2) ? map_remove_u64(to_map(L), (uint64_t)lua_tointeger(L, 2))
						 : map_remove(to_map(L), luaL_checkstring(L, 2)));
}

/* next(cursor) -> value, cursor */
static int map_l_next(lua_State *L)
{
	size_t cursor = (size_t)luaL_checkinteger(L, 2);
	push_value(L, map_next(to_map(L), &cursor));
	lua_pushinteger(L, (lua_Integer)cursor);
	return 2;
}

static int map_l_count(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)map_count(to_map(L)));
	return 1;
}

static int map_l_gc(lua_State *L)
{
	map_free(luaL_checkudata(L, 1, "t_base.map"));
	return 0;
}

/* --- text --- */

static int push_parsed(lua_State *L, int r, int64_t value, const struct err *err)
{
	if (r == 0) {
		lua_pushinteger(L, value);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, err->text);
	return 2;
}

static int l_int(lua_State *L)
{
	struct err err = { 0 };
	int64_t n = 0;
	int r = text_int(luaL_checkstring(L, 1), luaL_optinteger(L, 2, INT64_MIN), luaL_optinteger(L, 3, INT64_MAX), &n, &err);
	return push_parsed(L, r, n, &err);
}

static int l_size(lua_State *L)
{
	struct err err = { 0 };
	int64_t n = 0;
	int r = text_size(luaL_checkstring(L, 1), &n, &err);
	return push_parsed(L, r, n, &err);
}

static int l_duration(lua_State *L)
{
	struct err err = { 0 };
	int64_t n = 0;
	int r = text_duration(luaL_checkstring(L, 1), &n, &err);
	return push_parsed(L, r, n, &err);
}

static int l_is_id(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	lua_pushboolean(L, text_is_id(s, n));
	return 1;
}

static int l_print_size(lua_State *L)
{
	char out[32];
	lua_pushstring(L, text_print_size(luaL_checkinteger(L, 1), out, sizeof(out)));
	return 1;
}

static int l_print_duration(lua_State *L)
{
	char out[48];
	lua_pushstring(L, text_print_duration(luaL_checkinteger(L, 1), out, sizeof(out)));
	return 1;
}

static int l_escape(lua_State *L)
{
	char out[256];
	size_t n, room = (size_t)luaL_optinteger(L, 2, sizeof(out));
	const char *s = luaL_checklstring(L, 1, &n);
	luaL_argcheck(L, room <= sizeof(out), 2, "too much room");
	text_escape(out, room, s, n);
	lua_pushstring(L, out);
	return 1;
}

static int l_is_same_secret(lua_State *L)
{
	size_t n, m;
	const char *a = luaL_checklstring(L, 1, &n), *b = luaL_checklstring(L, 2, &m);
	luaL_argcheck(L, n == m, 2, "lengths differ");
	lua_pushboolean(L, text_is_same_secret(a, b, n));
	return 1;
}

/* nearest(word, candidate, …) */
static int l_nearest(lua_State *L)
{
	const char *words[16] = { NULL };
	int n = lua_gettop(L);
	luaL_argcheck(L, n <= 16, n, "too many words");
	for (int i = 2; i <= n; i++)
		words[i - 2] = luaL_checkstring(L, i);
	lua_pushstring(L, text_nearest(luaL_checkstring(L, 1), words));
	return 1;
}

/* --- log: standard error is a pipe while fn runs --- */

/* log_into(fd, level, text): one record with fd as standard error */
static int l_log_into(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1), level = (int)luaL_checkinteger(L, 2);
	const char *text = luaL_checkstring(L, 3);
	int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	dup2(fd, STDERR_FILENO);
	log_init("spec", LOG_INFO);
	log_at((enum log_level)level, "%s", text);
	dup2(kept, STDERR_FILENO);
	close(kept);
	return 0;
}

/* pipe() -> read end (non-blocking), write end (blocking, small) */
static int l_pipe(lua_State *L)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return luaL_error(L, "no pipe");
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	fcntl(pair[1], F_SETPIPE_SZ, 8192);
	lua_pushinteger(L, pair[0]);
	lua_pushinteger(L, pair[1]);
	return 2;
}

/* drain(fd) -> what is in the pipe */
static int l_drain(lua_State *L)
{
	luaL_Buffer b;
	char room[4096];
	ssize_t n;
	luaL_buffinit(L, &b);
	while ((n = read((int)luaL_checkinteger(L, 1), room, sizeof(room))) > 0)
		luaL_addlstring(&b, room, (size_t)n);
	luaL_pushresult(&b);
	return 1;
}

static int l_close(lua_State *L)
{
	close((int)luaL_checkinteger(L, 1));
	return 0;
}

int luaopen_t_base(lua_State *L);
int luaopen_t_base(lua_State *L)
{
	static const luaL_Reg buf_methods[] = { { "put", buf_l_put },     { "print", buf_l_print },
						{ "drop", buf_l_drop },   { "clear", buf_l_clear },
						{ "steal", buf_l_steal }, { "look", buf_l_look },
						{ "__gc", buf_l_gc },     { NULL, NULL } };
	static const luaL_Reg map_methods[] = { { "set", map_l_set },   { "get", map_l_get },     { "remove", map_l_remove },
						{ "next", map_l_next }, { "count", map_l_count }, { "__gc", map_l_gc },
						{ NULL, NULL } };
	static const luaL_Reg words[] = { { "err", l_err },
					  { "err_null", l_err_null },
					  { "buf", l_buf },
					  { "map", l_map },
					  { "int", l_int },
					  { "size", l_size },
					  { "duration", l_duration },
					  { "is_id", l_is_id },
					  { "print_size", l_print_size },
					  { "print_duration", l_print_duration },
					  { "escape", l_escape },
					  { "is_same_secret", l_is_same_secret },
					  { "nearest", l_nearest },
					  { "log_into", l_log_into },
					  { "pipe", l_pipe },
					  { "drain", l_drain },
					  { "close", l_close },
					  { NULL, NULL } };
	t_class(L, "t_base.buf", buf_methods);
	t_class(L, "t_base.map", map_methods);
	luaL_newlib(L, words);
	return 1;
}
