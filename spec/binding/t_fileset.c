/*
 * t_fileset: sys/fileset.h for specs.
 *   write(dir, { name = text, … }, keep | nil, now | nil) → true | nil, why       makes the .lua files of the folder that set; now: what was read of
 *       it before
 *   keep_name(dir) → name
 *   drop_kept(dir, most[, made]) → how many went             sys/fileset_keep.h
 *   read(dir) → { name = text, … } | nil, why
 *   differ({…}, {…}) → number, names
 */
#include <fcntl.h>
#include <lauxlib.h>
#include <unistd.h>
#include "sys/fileset.h"
#include "sys/fileset_keep.h"

static int fail(lua_State *L, const struct err *err)
{
	lua_pushnil(L);
	lua_pushstring(L, err->text);
	return 2;
}

static void take(lua_State *L, int i, struct fileset *set)
{
	struct err err = { 0 };
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1)) {
		size_t n;
		const char *text = luaL_checklstring(L, -1, &n);
		if (fileset_add(set, luaL_checkstring(L, -2), text, n, &err) < 0)
			luaL_error(L, "%s", err.text);
	}
}

static int lua_write(lua_State *L)
{
	struct err err = { 0 };
	struct fileset now = { 0 }, want = { 0 };
	int fd = open(luaL_checkstring(L, 1), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	take(L, 2, &want);
	int rc = 0;
	if (lua_istable(L, 4))
		take(L, 4, &now);
	else
		rc = fileset_read(fd, ".lua", &now, &err);
	if (rc == 0)
		rc = fileset_write(fd, &(struct fileset_write){ &now, &want, 0640, luaL_optstring(L, 3, NULL) }, &err);
	close(fd);
	fileset_fini(&now);
	fileset_fini(&want);
	lua_pushboolean(L, 1);
	return rc == 0 ? 1 : fail(L, &err);
}

static int lua_keep_name(lua_State *L)
{
	char name[FILESET_KEEP_ROOM];
	int fd = open(luaL_checkstring(L, 1), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fileset_name_keep(fd, name);
	close(fd);
	lua_pushstring(L, name);
	return 1;
}

static int lua_read(lua_State *L)
{
	struct err err = { 0 };
	struct fileset now = { 0 };
	int fd = open(luaL_checkstring(L, 1), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fileset_read(fd, ".lua", &now, &err);
	close(fd);
	if (rc < 0)
		return fail(L, &err);
	lua_newtable(L);
	for (size_t i = 0; i < now.n; i++) {
		lua_pushlstring(L, now.at[i].text, now.at[i].len);
		lua_setfield(L, -2, now.at[i].name);
	}
	fileset_fini(&now);
	return 1;
}

static int lua_differ(lua_State *L)
{
	struct fileset a = { 0 }, b = { 0 };
	struct buf names;
	buf_init(&names, 1000);
	take(L, 1, &a);
	take(L, 2, &b);
	lua_pushinteger(L, (lua_Integer)fileset_differ(&a, &b, &names));
	lua_pushstring(L, names.data ? names.data : "");
	buf_fini(&names);
	fileset_fini(&a);
	fileset_fini(&b);
	return 2;
}

static int lua_drop_kept(lua_State *L)
{
	int fd = open(luaL_checkstring(L, 1), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = fileset_drop_kept(fd, ".lua", (size_t)luaL_checkinteger(L, 2), luaL_optstring(L, 3, NULL));
	close(fd);
	lua_pushinteger(L, (lua_Integer)n);
	return 1;
}

int luaopen_t_fileset(lua_State *L);
int luaopen_t_fileset(lua_State *L)
{
	static const luaL_Reg words[] = { { "write", lua_write },         { "read", lua_read },           { "differ", lua_differ },
					  { "keep_name", lua_keep_name }, { "drop_kept", lua_drop_kept }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
