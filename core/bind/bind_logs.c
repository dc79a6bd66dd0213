/*
 * bind.logs: the logs of tasks that have one of their own, jobs/RUN/ID/output.log, for the API; and a wait for more of any log in jobs/.
 *   read(task, offset, most) → bytes, size | nil, message   offset < 0: from the end; "" and size 0 where there is no file (yet)
 *   wait(folder, id, task | nil, offset, seconds, fn())     until jobs/FOLDER/ID/output.log has another size than offset (none: 0), the task has
 *                                                           ended, or the time is over
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <lauxlib.h>
#include "base/text.h"
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "fleet/job.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define READ_MOST   (1 << 20)
#define WAIT_MAX_S  60
#define WAITERS_MAX 1000
#define EACH_MAX    100   /* of one user */
#define TASKS       "RUN" /* the folder of logs of tasks */
#define LOOK_MS     100   /* the logger writes from another process: its files are looked at */

static struct app *app_of(lua_State *L)
{
	struct app *app = vm_app(vm_of(L));
	if (!app || !app->node)
		luaL_error(L, "the logs are gone");
	return app;
}

/* Beneath jobs/ only, through no link: what lies there is the run user's as well. -1 with errno. */
static int open_log(const struct app *app, const char *folder, const char *id)
{
	char jobs[4200], path[2 * JOB_NAME_MAX + 16];
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	snprintf(jobs, sizeof(jobs), "%s/jobs", app->dir);
	int dir = open(jobs, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s/output.log", folder, id);
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	int saved = errno;
	fds_close(&dir);
	errno = saved;
	return fd;
}

static const char *check_task(lua_State *L, int at)
{
	size_t len;
	const char *task = arg_text(L, at, &len);
	luaL_argcheck(L, len < FUTURE_ID_MAX && text_is_id(task, len), at, "no task's id");
	return task;
}

static const char *check_name(lua_State *L, int at)
{
	size_t len;
	const char *name = arg_text(L, at, &len);
	luaL_argcheck(L, len < JOB_NAME_MAX && text_is_id(name, len), at, "no name of a log's folder");
	return name;
}

static void release_fd(void *p)
{
	int fd = (int)(intptr_t)p - 1;
	fds_close(&fd);
}

static int read_log(lua_State *L)
{
	struct err err = { 0 };
	struct stat st;
	luaL_Buffer b;
	const struct app *app = app_of(L);
	const char *task = check_task(L, 1);
	int64_t offset = arg_int(L, 2, INT64_MIN / 2, INT64_MAX / 2);
	size_t most = (size_t)arg_int(L, 3, 0, READ_MOST);
	void **guard = ref_guard(L, release_fd);
	int fd = open_log(app, TASKS, task);
	if (fd < 0 && errno == ENOENT) {
		lua_pushliteral(L, "");
		lua_pushinteger(L, 0);
		return 2;
	}
	if (fd >= 0)
		*guard = (void *)(intptr_t)(fd + 1);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		err_sys(&err, fd < 0 || !S_ISREG(st.st_mode) ? EACCES : errno, "unable to read the log of task %s", task);
		return arg_fail(L, err.text);
	}
	if (offset < 0)
		offset = st.st_size + offset > 0 ? st.st_size + offset : 0;
	char *into = luaL_buffinitsize(L, &b, most + 1);
	ssize_t n = offset < st.st_size ? pread(fd, into, most, offset) : 0;
	if (n < 0) {
		err_sys(&err, errno, "unable to read the log of task %s", task);
		return arg_fail(L, err.text);
	}
	luaL_pushresultsize(&b, (size_t)n);
	lua_pushinteger(L, st.st_size);
	ref_guard_now(guard);
	return 2;
}

/* --- wait --- */

struct waiter {
	struct list link;
	struct later *later;
	char folder[JOB_NAME_MAX], id[JOB_NAME_MAX];
	char task[FUTURE_ID_MAX]; /* whose log it is; "": of something that has no end */
	int64_t offset, until_mono_ms;
	char login[64]; /* cut off: who shares that much shares the places */
};

struct waiters {
	struct app *app;
	struct loop_timer *timer;
	struct list list;
	size_t count;
};

/* How many seconds of the wait are left; 0: it was as long as was asked for, or there was no place to wait. */
static int push_left(lua_State *L, void *data)
{
	const int64_t *until_mono_ms = data;
	int64_t left = *until_mono_ms - clock_mono_ms();
	lua_pushnumber(L, left > 0 ? (double)left / 1000.0 : 0);
	return 1;
}

static bool is_over(const struct waiters *all, const struct waiter *w)
{
	const struct future *f = *w->task ? fleet_live(node_fleet(all->app->node), w->task) : NULL;
	struct stat st = { 0 };
	if ((*w->task && (!f || future_is_ended(f))) || clock_mono_ms() >= w->until_mono_ms)
		return true;
	int fd = open_log(all->app, w->folder, w->id);
	bool has_more = (fd < 0 || fstat(fd, &st) == 0) && st.st_size != w->offset;
	fds_close(&fd);
	return has_more;
}

static void look(void *data)
{
	struct waiters *all = data;
	struct list over;
	list_init(&over);
	list_each (&all->list, p)
		if (is_over(all, list_of(p, struct waiter, link))) {
			list_remove(p);
			list_push(&over, p);
			all->count--;
		}
	/* each call may add waiters to the other list */
	for (struct list *p; (p = list_first(&over));) {
		struct waiter *w = list_of(p, struct waiter, link);
		struct later *later = w->later;
		int64_t until_mono_ms = w->until_mono_ms;
		list_remove(p);
		free(w);
		later_call(&later, push_left, &until_mono_ms);
	}
	if (all->count > 0)
		loop_timer_start(all->timer, LOOK_MS);
}

static void release_waiters(void *p)
{
	struct waiters *all = p;
	for (struct list *l; (l = list_first(&all->list));) {
		struct waiter *w = list_of(l, struct waiter, link);
		list_remove(l);
		later_free(&w->later);
		free(w);
	}
	loop_timer_free(&all->timer);
	free(all);
}

static struct waiters *waiters_of(lua_State *L, void **guard)
{
	if (*guard)
		return *guard;
	struct app *app = app_of(L);
	struct waiters *all = calloc(1, sizeof(*all));
	if (!all)
		return NULL;
	list_init(&all->list);
	all->app = app;
	all->timer = loop_timer_new(app->loop, look, all);
	if (!all->timer) {
		free(all);
		return NULL;
	}
	*guard = all;
	return all;
}

static bool has_place(const struct waiters *all, const char *login)
{
	size_t n = 0;
	list_each (&all->list, p)
		n += strncmp(list_of(p, struct waiter, link)->login, login, sizeof(((struct waiter *)0)->login) - 1) == 0;
	return all->count < WAITERS_MAX && n < EACH_MAX;
}

/* upvalue 1: the guard of struct waiters */
static int wait_log(lua_State *L)
{
	void **guard = lua_touserdata(L, lua_upvalueindex(1));
	const char *folder = check_name(L, 1), *id = check_name(L, 2), *task = lua_isnil(L, 3) ? "" : check_task(L, 3);
	int64_t offset = arg_int(L, 4, 0, INT64_MAX / 2), until_mono_ms = clock_mono_ms();
	double seconds = luaL_checknumber(L, 5);
	luaL_argcheck(L, seconds >= 0 && seconds <= WAIT_MAX_S, 5, "no time that one may wait");
	const char *login = luaL_optstring(L, 7, "");
	struct waiters *all = waiters_of(L, guard);
	struct later *later = later_new(L, 6);
	struct waiter *w = all && has_place(all, login) ? calloc(1, sizeof(*w)) : NULL;
	if (!w) {
		later_call(&later, push_left, &until_mono_ms); /* answered as it stands */
		return 0;
	}
	until_mono_ms += (int64_t)(seconds * 1000);
	*w = (struct waiter){ .later = later, .offset = offset, .until_mono_ms = until_mono_ms };
	snprintf(w->login, sizeof(w->login), "%s", login);
	snprintf(w->folder, sizeof(w->folder), "%s", folder);
	snprintf(w->id, sizeof(w->id), "%s", id);
	snprintf(w->task, sizeof(w->task), "%s", task);
	list_push(&all->list, &w->link);
	if (all->count++ == 0)
		loop_timer_start(all->timer, LOOK_MS);
	return 0;
}

int bind_logs_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "read", read_log }, { NULL, NULL } };
	luaL_newlib(L, words);
	ref_guard(L, release_waiters);
	lua_pushcclosure(L, wait_log, 1);
	lua_setfield(L, -2, "wait");
	return 1;
}
