/*
 * bind.macro_files: files that macros make, run/macros/ID.tar.gz: each by a process of its own, two at a time.
 *   diagnose(id, fn(why | nil)) → true | nil, why    stop(id): it is killed, fn is not called
 *   open(id) → a file for request.send_file, its size | nil      drop(id)      tidy(ms): files that are older go
 *   ours() → { path, … }                           where the instance and its program lie: its folder, those in it, what they are links to
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
#include "bind/answer.h"
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/helper.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/home.h"

#define FILE_MOST    ((off_t)60 << 20)
#define DIAGNOSIS_MS 300000
#define FOLDER       "run/macros"
#define HELPERS_MOST 2
#define OURS_MOST    200

struct making {
	struct helper *helper;
	struct later *later;
	char id[FUTURE_ID_MAX];
};

struct makings { /* the state's own */
	struct making all[HELPERS_MOST];
};

static void release_makings(void *p)
{
	struct makings *m = p;
	for (size_t i = 0; i < HELPERS_MOST; i++)
		if (m->all[i].helper) {
			helper_end(&m->all[i].helper);
			later_free(&m->all[i].later);
		}
	free(m);
}

static int file_path(const struct app *app, const char *id, char *out, size_t room)
{
	if (!text_is_id(id, strlen(id)) || strlen(id) >= FUTURE_ID_MAX)
		return -1;
	return snprintf(out, room, "%s/" FOLDER "/%s.tar.gz", app->dir, id) < (int)room ? 0 : -1;
}

static void on_made(void *data, const char *why)
{
	struct making *m = data;
	struct later *later = m->later;
	memset(m, 0, sizeof *m);
	later_tell(&later, why);
}

/* upvalue 1: the guard of struct makings */
static int diagnose(lua_State *L)
{
	struct app *app = json_out_app(L);
	struct err err = { 0 };
	char path[PATH_MAX], folder[PATH_MAX];
	const char *id = arg_text(L, 1, NULL);
	struct makings *all = *(void **)lua_touserdata(L, lua_upvalueindex(1));
	struct making *m = NULL;
	for (size_t i = 0; i < HELPERS_MOST && !m; i++)
		if (!all->all[i].helper)
			m = &all->all[i];
	if (file_path(app, id, path, sizeof path) < 0 ||
	    snprintf(folder, sizeof folder, "%s/" FOLDER, app->dir) >= (int)sizeof folder)
		return arg_fail(L, "its path is too long");
	if (!m)
		return arg_fail(L, "two are being made already");
	if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
		err_sys(&err, errno, "unable to make %s", folder);
		return arg_fail(L, err.text);
	}
	char *argv[] = { (char *)"dssctl", (char *)"-C", (char *)app->dir, (char *)"diag", (char *)"--out", path, NULL };
	struct later *later = later_new(L, 2);
	m->later = later;
	snprintf(m->id, sizeof m->id, "%s", id);
	m->helper = helper_start(app->loop, argv, DIAGNOSIS_MS, on_made, m, &err);
	if (!m->helper) {
		memset(m, 0, sizeof *m);
		later_free(&later);
		return arg_fail(L, err.text);
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* The function of diagnose is not called then. */
static int stop(lua_State *L)
{
	const char *id = arg_text(L, 1, NULL);
	struct makings *all = *(void **)lua_touserdata(L, lua_upvalueindex(1));
	for (size_t i = 0; i < HELPERS_MOST; i++)
		if (all->all[i].helper && strcmp(all->all[i].id, id) == 0) {
			struct making *m = &all->all[i];
			helper_end(&m->helper);
			later_free(&m->later);
			memset(m, 0, sizeof *m);
		}
	return 0;
}

static int open_file(lua_State *L)
{
	char path[PATH_MAX];
	struct stat st;
	const char *id = arg_text(L, 1, NULL);
	struct answer_file *f = answer_file_new(L);
	if (file_path(json_out_app(L), id, path, sizeof path) < 0)
		return 0;
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (f->fd < 0 || fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MOST) {
		fds_close(&f->fd);
		return 0;
	}
	f->bytes = st.st_size;
	lua_pushinteger(L, (lua_Integer)f->bytes);
	return 2;
}

static int drop(lua_State *L)
{
	char path[PATH_MAX];
	if (file_path(json_out_app(L), arg_text(L, 1, NULL), path, sizeof path) == 0)
		unlink(path);
	return 0;
}

static int tidy(lua_State *L)
{
	char folder[PATH_MAX];
	struct stat st;
	int64_t bound = clock_wall_ms() - arg_int(L, 1, 0, INT64_MAX);
	if (snprintf(folder, sizeof folder, "%s/" FOLDER, json_out_app(L)->dir) >= (int)sizeof folder)
		return 0;
	DIR *dir = opendir(folder);
	for (const struct dirent *d; dir && (d = readdir(dir));)
		if (d->d_name[0] != '.' && fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    (int64_t)st.st_mtime * 1000 < bound)
			unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		closedir(dir);
	return 0;
}

static void push_real(lua_State *L, const char *path, lua_Integer *n)
{
	char real[PATH_MAX];
	struct stat st;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode) || !realpath(path, real))
		return;
	lua_pushstring(L, real);
	lua_rawseti(L, -2, ++*n);
}

static void release_folder(void *p)
{
	closedir(p);
}

static int ours(lua_State *L)
{
	const struct app *app = json_out_app(L);
	const struct dirent *d;
	char path[PATH_MAX];
	lua_Integer n = 0;
	void **guard = ref_guard(L, release_folder);
	DIR *dir = *guard = opendir(app->dir);
	lua_newtable(L);
	push_real(L, app->dir, &n);
	if (home_share(path, sizeof path) == 0)
		push_real(L, path, &n);
	while (dir && n < OURS_MOST && (d = readdir(dir)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
		    snprintf(path, sizeof path, "%s/%s", app->dir, d->d_name) < (int)sizeof path)
			push_real(L, path, &n);
	return 1;
}

int bind_macro_files_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "diagnose", diagnose }, { "stop", stop }, { "open", open_file }, { "drop", drop },
		{ "tidy", tidy },         { "ours", ours }, { NULL, NULL },
	};
	luaL_newlibtable(L, words);
	void **guard = ref_guard(L, release_makings);
	*guard = calloc(1, sizeof(struct makings));
	if (!*guard)
		return luaL_error(L, "not enough memory");
	luaL_setfuncs(L, words, 1);
	return 1;
}
