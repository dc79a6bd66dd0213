/*
 * bind.models: what was trained, for the API. What lies in a project is what its users wrote: bounded, and never through a link.
 *   list(key | nil, model | nil, limit, fn(json | nil, why))    trainings that the store has (fleet/training.h), newest first
 *   kept(key, model) → { { session, algorithm, path }, … }      those that left a record: models/MODEL/SESSION/ALGORITHM.json, up to 1000
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

#define RECORDS_MOST 1000
#define LOOKS_MOST   5000
#define RECORD_MOST  (256 * 1024)

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

struct found {
	int table, count, looks;
	const char *model;
};

static void push_record(lua_State *L, struct found *found, const char *session, const char *algorithm)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "models/%.255s/%.255s/%.255s.json", found->model, session, algorithm);
	const char *const texts[][2] = { { "session", session }, { "algorithm", algorithm }, { "path", path } };
	lua_createtable(L, 0, 3);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		lua_pushstring(L, texts[i][1]);
		lua_setfield(L, -2, texts[i][0]);
	}
	lua_rawseti(L, found->table, ++found->count);
}

static void look_at_session(lua_State *L, struct found *found, const char *key, const char *session)
{
	char path[PATH_MAX], name[256];
	int top = lua_gettop(L);
	snprintf(path, sizeof path, "%.255s/models/%.255s/%.255s", key, found->model, session);
	DIR *dir = open_folder(L, path);
	for (struct dirent *e; dir && found->count < RECORDS_MOST && found->looks < LOOKS_MOST && (e = readdir(dir));
	     found->looks++) {
		size_t len = strlen(e->d_name);
		if (len <= 5 || strcmp(e->d_name + len - 5, ".json") != 0)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)(len - 5), e->d_name);
		if (is_plain(name))
			push_record(L, found, session, name);
	}
	if (dir)
		ref_guard_now(lua_touserdata(L, top + 1));
	lua_settop(L, top);
}

static int kept(lua_State *L)
{
	char path[PATH_MAX];
	const char *key = arg_text(L, 1, NULL), *model = arg_text(L, 2, NULL);
	luaL_argcheck(L, is_plain(key), 1, "no project's key");
	luaL_argcheck(L, is_plain(model), 2, "no model's name");
	lua_newtable(L);
	struct found found = { .table = lua_gettop(L), .model = model };
	snprintf(path, sizeof path, "%.255s/models/%.255s", key, model);
	DIR *dir = open_folder(L, path);
	for (struct dirent *e; dir && found.count < RECORDS_MOST && found.looks < LOOKS_MOST && (e = readdir(dir)); found.looks++)
		if (is_plain(e->d_name))
			look_at_session(L, &found, key, e->d_name);
	if (dir)
		ref_guard_now(lua_touserdata(L, found.table + 1));
	lua_settop(L, found.table);
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
	lua_pushinteger(L, (lua_Integer)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
	ref_guard_now(guard);
	return 2;
}

int bind_models_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "list", list }, { "kept", kept }, { "record", record }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
