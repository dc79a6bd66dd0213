/*
 * bind.files: the few files that our Lua reads and writes: configuration, policies and their last good set.
 *   read(path) → text | nil, message                whole, at most 1 MB
 *   list(dir, suffix) → { name, … } | nil, message  sorted, without dot files
 *   check(path, dir) → true | nil, message          false where others than root, us or dir's owner could have written it
 *   replace(path, text, mode) → true | nil, message whole or not at all
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/ref.h"
#include "bind/toc.h"
#include "sys/fds.h"

#define FILE_MAX_BYTES (1 << 20)
#define FILES_MAX      1000

static int read_file(lua_State *L)
{
	struct err err = { 0 };
	luaL_Buffer b;
	const char *path = arg_text(L, 1, NULL);
	struct stat st;
	if (stat(path, &st) < 0) {
		err_sys(&err, errno, "unable to read %s", path);
		return arg_fail(L, err.text);
	}
	if (!S_ISREG(st.st_mode) || st.st_size >= FILE_MAX_BYTES) {
		err_set(&err, "unable to read %s: not a plain file of less than 1 MB", path);
		return arg_fail(L, err.text);
	}
	size_t room = (size_t)st.st_size + 2;
	char *into = luaL_buffinitsize(L, &b, room);
	ssize_t n = fds_read_file(path, into, room, &err);
	if (n < 0)
		return arg_fail(L, err.text);
	luaL_pushresultsize(&b, (size_t)n);
	return 1;
}

static void close_dir(void *p)
{
	closedir(p);
}

static int list(lua_State *L)
{
	struct err err = { 0 };
	const char *dir = arg_text(L, 1, NULL), *suffix = arg_text(L, 2, NULL);
	lua_newtable(L);
	int out = lua_gettop(L), n = 0;
	void **guard = ref_guard(L, close_dir);
	*guard = opendir(dir);
	if (!*guard) {
		err_sys(&err, errno, "unable to list %s", dir);
		return arg_fail(L, err.text);
	}
	for (struct dirent *d; n < FILES_MAX && (d = readdir(*guard));) {
		size_t len = strlen(d->d_name), tail = strlen(suffix);
		if (d->d_name[0] == '.' || len <= tail || strcmp(d->d_name + len - tail, suffix) != 0)
			continue;
		lua_pushstring(L, d->d_name);
		lua_rawseti(L, out, ++n);
	}
	ref_guard_now(guard);
	lua_getglobal(L, "table");
	lua_getfield(L, -1, "sort");
	lua_pushvalue(L, out);
	lua_call(L, 1, 0);
	lua_settop(L, out);
	return 1;
}

static int check(lua_State *L)
{
	struct err err = { 0 };
	const char *path = arg_text(L, 1, NULL), *dir = arg_text(L, 2, NULL);
	struct stat st, home;
	if (stat(path, &st) < 0 || stat(dir, &home) < 0)
		err_sys(&err, errno, "unable to look at %s", path);
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		err_set(&err, "others may write it (mode %04o); chmod go-w", (unsigned)st.st_mode & 07777);
	else if (st.st_uid != 0 && st.st_uid != geteuid() && st.st_uid != home.st_uid)
		err_set(&err, "it belongs to uid %u, neither root nor the instance's owner", (unsigned)st.st_uid);
	if (err.text[0])
		return arg_fail(L, err.text);
	lua_pushboolean(L, 1);
	return 1;
}

static int replace(lua_State *L)
{
	struct err err = { 0 };
	size_t n;
	const char *path = arg_text(L, 1, NULL), *text = arg_text(L, 2, &n);
	int64_t mode = arg_int(L, 3, 0, 0777);
	if (fds_replace_file(path, text, n, (mode_t)mode, &err) < 0)
		return arg_fail(L, err.text);
	lua_pushboolean(L, 1);
	return 1;
}

int bind_files_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "read", read_file }, { "list", list }, { "check", check }, { "replace", replace }, { NULL, NULL }
	};
	luaL_newlib(L, words);
	return 1;
}
