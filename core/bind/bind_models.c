/*
 * bind.models: what was trained, for the API. What lies in a project is what its users wrote: bounded, and never through a link.
 *   list(key | nil, model | nil, limit, fn(json | nil, why))    trainings that the store has (fleet/training.h), newest first
 *   sessions(key, model) → { name, … }                          folders of models/MODEL, up to 1000
 *   kept(key, model, session) → { { session, algorithm, path, changed_ms }, … }   its records: models/MODEL/SESSION/ALGORITHM.json, up to 20
 *   record(key, path) → text | nil, changed_ms                  one of them, up to 256 KB
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <lauxlib.h>
#include "base/text.h"
#include "bind/arg.h"
#include "bind/below.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "fleet/training.h"
#include "sys/fds.h"

#define SESSIONS_MOST 1000
#define SESSIONS_LOOK 2000 /* names of models/MODEL that are looked at */
#define RECORDS_MOST  20
#define RECORDS_LOOK  100 /* names of a session's folder */
#define RECORD_MOST   (256 * 1024)

static void on_list(void *data, const struct buf *json, const struct err *why)
{
	struct later *later = data;
	json_out_later(&later, json, why ? why->text : NULL);
}

static int list(lua_State *L)
{
	struct app *app = json_out_app(L);
	const char *key = lua_isnil(L, 1) ? NULL : arg_text(L, 1, NULL), *model = lua_isnil(L, 2) ? NULL : arg_text(L, 2, NULL);
	int limit = (int)arg_int(L, 3, 1, INT_MAX);
	struct later *later = later_new(L, 4);
	training_list(node_fleet(app->node), key, model, limit, on_list, later);
	return 0;
}

/* --- what lies there --- */

static void close_dir(void *p)
{
	closedir(p);
}

static bool is_plain(const char *name)
{
	return text_is_id(name, strlen(name));
}

/* A folder of the project; NULL: none that we can read. Ended by its guard. */
static DIR *open_folder(lua_State *L, const char *path)
{
	void **guard = ref_guard(L, close_dir);
	int fd = below_open(json_out_app(L), "projects", path, O_RDONLY | O_DIRECTORY);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (fd >= 0 && !dir)
		fds_close(&fd);
	return *guard = dir;
}

static void put_text(lua_State *L, const char *name, const char *value)
{
	lua_pushstring(L, value);
	lua_setfield(L, -2, name);
}

static int64_t changed_ms(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

/* Of the plain file `file` in dir; else nothing is pushed and it answers false. */
static bool push_record(lua_State *L, DIR *dir, const char *file, const char *model, const char *session)
{
	char name[256], path[PATH_MAX];
	struct stat st;
	size_t len = strlen(file);
	if (len <= 5 || strcmp(file + len - 5, ".json") != 0)
		return false;
	snprintf(name, sizeof name, "%.*s", (int)(len - 5), file);
	if (!is_plain(name) || fstatat(dirfd(dir), file, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	snprintf(path, sizeof path, "models/%.255s/%.255s/%.255s", model, session, file);
	lua_createtable(L, 0, 4);
	put_text(L, "session", session);
	put_text(L, "algorithm", name);
	put_text(L, "path", path);
	lua_pushinteger(L, changed_ms(&st));
	lua_setfield(L, -2, "changed_ms");
	return true;
}

/* Checks the arguments: a key, a model, and as the third a session where there is one. */
static void check_names(lua_State *L, int n)
{
	static const char *const what[] = { "no project's key", "no model's name", "no session" };
	for (int i = 0; i < n; i++)
		luaL_argcheck(L, is_plain(arg_text(L, i + 1, NULL)), i + 1, what[i]);
}

static int sessions(lua_State *L)
{
	char path[PATH_MAX];
	int looks = 0;
	lua_Integer n = 0;
	check_names(L, 2);
	snprintf(path, sizeof path, "%.255s/models/%.255s", lua_tostring(L, 1), lua_tostring(L, 2));
	DIR *dir = open_folder(L, path);
	int guard = lua_gettop(L);
	lua_newtable(L);
	for (struct dirent *e; dir && n < SESSIONS_MOST && looks < SESSIONS_LOOK && (e = readdir(dir)); looks++) {
		if (!is_plain(e->d_name) || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		lua_pushstring(L, e->d_name);
		lua_rawseti(L, -2, ++n);
	}
	ref_guard_now(lua_touserdata(L, guard));
	return 1;
}

static int kept(lua_State *L)
{
	char path[PATH_MAX];
	int looks = 0;
	lua_Integer n = 0;
	check_names(L, 3);
	const char *model = lua_tostring(L, 2), *session = lua_tostring(L, 3);
	snprintf(path, sizeof path, "%.255s/models/%.255s/%.255s", lua_tostring(L, 1), model, session);
	DIR *dir = open_folder(L, path);
	int guard = lua_gettop(L);
	lua_newtable(L);
	for (struct dirent *e; dir && n < RECORDS_MOST && looks < RECORDS_LOOK && (e = readdir(dir)); looks++)
		if (push_record(L, dir, e->d_name, model, session))
			lua_rawseti(L, -2, ++n);
	ref_guard_now(lua_touserdata(L, guard));
	return 1;
}

static int record(lua_State *L)
{
	char path[PATH_MAX];
	struct stat st;
	const char *key = arg_text(L, 1, NULL), *below = arg_text(L, 2, NULL);
	luaL_argcheck(L, is_plain(key), 1, "no project's key");
	if (snprintf(path, sizeof path, "%s/%s", key, below) >= (int)sizeof path)
		return 0;
	void **guard = ref_guard(L, free);
	int fd = below_open(json_out_app(L), "projects", path, O_RDONLY);
	bool is_good = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= RECORD_MOST;
	*guard = is_good ? malloc((size_t)st.st_size + 1) : NULL;
	ssize_t n = *guard ? pread(fd, *guard, (size_t)st.st_size, 0) : -1;
	fds_close(&fd);
	if (n < 0)
		return 0;
	lua_pushlstring(L, *guard, (size_t)n);
	lua_pushinteger(L, changed_ms(&st));
	ref_guard_now(guard);
	return 2;
}

int bind_models_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "list", list }, { "sessions", sessions }, { "kept", kept }, { "record", record }, { NULL, NULL }
	};
	luaL_newlib(L, words);
	return 1;
}
