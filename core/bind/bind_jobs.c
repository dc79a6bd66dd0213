/*
 * bind.jobs: projects and their jobs for the API. JSON is text as C or the reader of a project wrote it. A callback is called once, at once
 * or later.
 *   project(key, fn(state, json | nil, why))            "good" its data | "bad" {"errors"} | "missing" | "failed" why
 *   change(key, text | nil, keeps_data, fn(true | nil, why, is_there))   makes the project with that project.lua, or removes it
 *   forget_logs(key)                                    logs of its tasks that have ended go, soon
 *   keys() → { key, … }                                 folders of projects/ that have a project.lua, sorted; up to 1,000: more are told to the log
 *   check(plan) → true | nil, message                   a plan as fleet/job.h has it
 *   datasets(key) → json                                what was built: {"NAME": {"job", "started_at", "built_at", …}}
 *   look(key, path) → changed_ms | nil                  of a file or folder of the project: its newest content, as far as a look goes
 *   hash(key, path) → hex SHA-256 | nil                 of a file of the project, up to 1 MB
 *   status(key, id, fn(json | nil, owner, task, why))   list(key | nil, owner | nil, limit, fn(json | nil, why))
 *   log(key, id, offset, most, activity | nil, is_growing) → bytes, size, after | nil, message
 *       offset < 0: from the end; "" and 0 where there is none yet. Of an activity: its lines of these bytes; is_growing: a last line without an end is left
 *       for the next time. after: where to go on
 *   ticket(text) → login | nil
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
#include "base/log.h"
#include "base/text.h"
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/below.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "fleet/job.h"
#include "fleet/purge.h"
#include "net/digest.h"
#include "sys/fds.h"

#define KEYS_MOST  1000
#define LOOK_MOST  1000 /* entries of a folder that are looked at */
#define LOOK_DEPTH 3
#define HASH_MOST  (1 << 20)
#define LOG_MOST   ((int64_t)60 << 20)

static struct jobs *jobs_now(lua_State *L)
{
	return node_jobs(json_out_app(L)->node);
}

/* --- projects --- */

struct said {
	enum node_project state;
	const char *json, *why;
	size_t len;
};

static int push_said(lua_State *L, void *data)
{
	static const char *const states[] = { "good", "bad", "missing", "failed" };
	const struct said *s = data;
	lua_pushstring(L, states[s->state]);
	if (s->json)
		lua_pushlstring(L, s->json, s->len);
	else
		lua_pushnil(L);
	lua_pushstring(L, s->why);
	return 3;
}

static void on_project(void *data, enum node_project state, const char *json, size_t len, const struct err *why)
{
	struct later *later = data;
	struct said s = { state, json, why ? why->text : NULL, len };
	later_call(&later, push_said, &s);
}

static int project(lua_State *L)
{
	struct app *app = json_out_app(L);
	const char *key = arg_text(L, 1, NULL);
	struct later *later = later_new(L, 2);
	node_project(app->node, key, on_project, later);
	return 0;
}

static int push_changed(lua_State *L, void *data)
{
	const struct err *why = data;
	if (!why) {
		lua_pushboolean(L, 1);
		return 1;
	}
	arg_fail(L, why->text);
	lua_pushboolean(L, why->code == EEXIST);
	return 3;
}

static void on_changed(void *data, const struct err *why)
{
	struct later *later = data;
	later_call(&later, push_changed, (void *)why);
}

static int change(lua_State *L)
{
	struct app *app = json_out_app(L);
	const char *key = arg_text(L, 1, NULL), *text = lua_isnil(L, 2) ? NULL : arg_text(L, 2, NULL);
	bool keeps_data = arg_bool(L, 3, true);
	luaL_argcheck(L, text_is_id(key, strlen(key)), 1, "no project's key");
	struct later *later = later_new(L, 4);
	node_change(app->node, key, text, keeps_data, on_changed, later);
	return 0;
}

static int forget_logs(lua_State *L)
{
	struct app *app = json_out_app(L);
	const char *key = arg_text(L, 1, NULL);
	luaL_argcheck(L, text_is_id(key, strlen(key)), 1, "no project's key");
	if (app->purge)
		purge_logs(app->purge, key);
	return 0;
}

static int open_in_project(lua_State *L, int flags)
{
	char path[PATH_MAX];
	const char *key = arg_text(L, 1, NULL), *below = arg_text(L, 2, NULL);
	luaL_argcheck(L, text_is_id(key, strlen(key)), 1, "no project's key");
	if (below[0] == '/' || snprintf(path, sizeof path, "%s/%s", key, below) >= (int)sizeof path)
		return errno = ENOENT, -1;
	return below_open(json_out_app(L), "projects", path, flags);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int keys(lua_State *L)
{
	static bool is_told; /* once, until there are fewer */
	bool is_more = false;
	char path[PATH_MAX];
	char *found[KEYS_MOST];
	size_t n = 0;
	struct stat st;
	snprintf(path, sizeof path, "%s/projects", json_out_app(L)->dir);
	DIR *dir = opendir(path);
	if (!dir) {
		lua_newtable(L);
		return 1;
	}
	for (struct dirent *e; !is_more && (e = readdir(dir));) {
		snprintf(path, sizeof path, "%.255s/project.lua", e->d_name);
		bool is_one = e->d_name[0] != '.' && text_is_id(e->d_name, strlen(e->d_name)) &&
			      fstatat(dirfd(dir), path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
		is_more = is_one && n == KEYS_MOST;
		if (is_one && !is_more && (found[n] = strdup(e->d_name)))
			n++;
	}
	closedir(dir);
	if (is_more && !is_told)
		log_warn("projects/ holds more than %d projects: lists show %d of them", KEYS_MOST, KEYS_MOST);
	is_told = is_more;
	qsort(found, n, sizeof found[0], compare);
	/* A raise would leak them: a thousand short texts, once. */
	lua_createtable(L, (int)n, 0);
	for (size_t i = 0; i < n; i++) {
		lua_pushstring(L, found[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
		free(found[i]);
	}
	return 1;
}

/* The newest time below; takes fd. */
static int64_t newest(int fd, int depth, int *left)
{
	struct stat st;
	if (fstat(fd, &st) < 0) {
		fds_close(&fd);
		return 0;
	}
	int64_t ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	DIR *dir = S_ISDIR(st.st_mode) && depth > 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		fds_close(&fd);
		return ms;
	}
	for (struct dirent *e; *left > 0 && (e = readdir(dir));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		(*left)--;
		int64_t at = 0;
		int below = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (below >= 0)
			at = newest(below, depth - 1, left);
		else if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			at = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
		ms = at > ms ? at : ms;
	}
	closedir(dir);
	return ms;
}

static int look(lua_State *L)
{
	int left = LOOK_MOST;
	int fd = open_in_project(L, O_RDONLY);
	if (fd < 0 && errno == EACCES) { /* it is there; what it holds is not ours to see */
		fd = open_in_project(L, O_PATH);
		struct stat st;
		bool is_there = fd >= 0 && fstat(fd, &st) == 0;
		fds_close(&fd);
		if (!is_there)
			return 0;
		lua_pushinteger(L, (lua_Integer)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
		return 1;
	}
	if (fd < 0)
		return 0;
	lua_pushinteger(L, newest(fd, LOOK_DEPTH, &left));
	return 1;
}

static int hash(lua_State *L)
{
	char hex[DIGEST_HEX_SIZE];
	struct stat st;
	int fd = open_in_project(L, O_RDONLY);
	if (fd < 0)
		return 0;
	char *bytes = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= HASH_MOST ? malloc((size_t)st.st_size + 1) : NULL;
	ssize_t n = bytes ? pread(fd, bytes, (size_t)st.st_size, 0) : -1;
	if (n >= 0)
		digest_sha256_hex(bytes, (size_t)n, hex);
	free(bytes);
	fds_close(&fd);
	if (n < 0)
		return 0;
	lua_pushstring(L, hex);
	return 1;
}

/* --- jobs --- */

static int check(lua_State *L)
{
	size_t len;
	struct err err = { 0 };
	const char *plan = arg_text(L, 1, &len);
	if (job_check_plan(plan, len, &err) < 0)
		return arg_fail(L, err.text);
	lua_pushboolean(L, 1);
	return 1;
}

static int datasets(lua_State *L)
{
	struct jobs *jobs = jobs_now(L);
	const char *key = arg_text(L, 1, NULL);
	struct buf *b = json_out_new(L);
	jobs_datasets_json(jobs, key, b);
	json_out_push(L, b);
	return 1;
}

struct told {
	const struct buf *json;
	const char *owner, *task, *why;
};

static int push_status(lua_State *L, void *data)
{
	const struct told *t = data;
	if (t->json)
		lua_pushlstring(L, t->json->data, t->json->len);
	else
		lua_pushnil(L);
	lua_pushstring(L, t->owner);
	lua_pushstring(L, t->task);
	lua_pushstring(L, t->why);
	return 4;
}

static void on_status(void *data, const struct buf *json, const char *owner, const char *task, const struct err *why)
{
	struct later *later = data;
	struct told t = { json, owner, task, why ? why->text : NULL };
	later_call(&later, push_status, &t);
}

static void on_list(void *data, const struct buf *json, const char *owner, const char *task, const struct err *why)
{
	struct later *later = data;
	(void)owner, (void)task;
	json_out_later(&later, json, why ? why->text : "there is no list");
}

static int status(lua_State *L)
{
	struct jobs *jobs = jobs_now(L);
	const char *key = arg_text(L, 1, NULL), *id = arg_text(L, 2, NULL);
	luaL_argcheck(L, *id, 2, "no job's id");
	struct later *later = later_new(L, 3);
	jobs_status(jobs, key, id, on_status, later);
	return 0;
}

static int list(lua_State *L)
{
	struct jobs *jobs = jobs_now(L);
	const char *key = lua_isnil(L, 1) ? NULL : arg_text(L, 1, NULL), *owner = lua_isnil(L, 2) ? NULL : arg_text(L, 2, NULL);
	int limit = (int)arg_int(L, 3, 0, INT_MAX);
	struct later *later = later_new(L, 4);
	jobs_list(jobs, key, owner, limit, on_list, later);
	return 0;
}

/* --- logs --- */

static void release_bytes(void *p)
{
	free(p);
}

/* Lines that carry [act.ID], in place. */
static size_t keep_activity(char *text, size_t len, const char *activity)
{
	char mark[JOB_NAME_MAX + 8];
	size_t kept = 0;
	int n = snprintf(mark, sizeof mark, "[act.%.127s]", activity);
	for (char *line = text, *end = text + len; line < end;) {
		char *next = memchr(line, '\n', (size_t)(end - line));
		size_t part = next ? (size_t)(next + 1 - line) : (size_t)(end - line), head = part < 200 ? part : 200;
		if (memmem(line, head, mark, (size_t)n)) {
			memmove(text + kept, line, part);
			kept += part;
		}
		line += part;
	}
	return kept;
}

/* Up to the last whole line; one that is longer than could be read is taken in pieces. */
static size_t whole_lines(const char *text, size_t len, size_t most)
{
	const char *last = memrchr(text, '\n', len);
	return last ? (size_t)(last + 1 - text) : len < most ? 0 : len;
}

static int read_log(lua_State *L)
{
	char path[2 * JOB_NAME_MAX + 16];
	struct stat st;
	struct err err = { 0 };
	const struct app *app = json_out_app(L);
	const char *key = arg_text(L, 1, NULL), *id = arg_text(L, 2, NULL);
	int64_t offset = arg_int(L, 3, INT64_MIN / 2, INT64_MAX / 2), most = arg_int(L, 4, 0, LOG_MOST);
	const char *activity = lua_isnoneornil(L, 5) ? NULL : arg_text(L, 5, NULL);
	luaL_argcheck(L, text_is_id(key, strlen(key)), 1, "no project's key");
	luaL_argcheck(L, text_is_id(id, strlen(id)) && strlen(id) < JOB_NAME_MAX && strlen(key) < JOB_NAME_MAX, 2, "no job's id");
	void **guard = ref_guard(L, release_bytes);
	snprintf(path, sizeof path, "%s/%s/output.log", key, id);
	int fd = below_open(app, "jobs", path, O_RDONLY);
	if (fd < 0 && errno == ENOENT) {
		lua_pushliteral(L, "");
		lua_pushinteger(L, 0);
		lua_pushinteger(L, 0);
		return 3;
	}
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		err_sys(&err, errno, "unable to read the log of job %s", id);
		fds_close(&fd);
		return arg_fail(L, err.text);
	}
	if (offset < 0)
		offset = st.st_size + offset > 0 ? st.st_size + offset : 0;
	int64_t len = st.st_size > offset ? st.st_size - offset : 0;
	len = len < most ? len : most;
	char *bytes = malloc((size_t)len + 1);
	ssize_t n = bytes ? pread(fd, bytes, (size_t)len, offset) : -1;
	fds_close(&fd);
	*guard = bytes;
	if (n < 0) {
		err_sys(&err, bytes ? errno : ENOMEM, "unable to read the log of job %s", id);
		return arg_fail(L, err.text);
	}
	if (activity && lua_toboolean(L, 6))
		n = (ssize_t)whole_lines(bytes, (size_t)n, (size_t)most);
	lua_pushlstring(L, bytes, activity ? keep_activity(bytes, (size_t)n, activity) : (size_t)n);
	lua_pushinteger(L, st.st_size);
	lua_pushinteger(L, offset + n);
	ref_guard_now(guard);
	return 3;
}

static int ticket(lua_State *L)
{
	const char *login = node_ticket_owner(json_out_app(L)->node, arg_text(L, 1, NULL));
	lua_pushstring(L, login);
	return 1;
}

int bind_jobs_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "project", project }, { "keys", keys },     { "check", check },   { "datasets", datasets },
		{ "look", look },       { "hash", hash },     { "status", status }, { "list", list },
		{ "log", read_log },    { "ticket", ticket }, { "change", change }, { "forget_logs", forget_logs },
		{ NULL, NULL }
	};
	luaL_newlib(L, words);
	return 1;
}
