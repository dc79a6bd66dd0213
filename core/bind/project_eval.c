#include "bind/project_eval.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/call.h"
#include "bind/vm.h"
#include "net/json.h"
#include "sys/fds.h"
#include "sys/home.h"

#define TEXT_MAX   ((size_t)256 << 10)
#define ANSWER_MAX ((size_t)1 << 20)
#define TIME_MS    5000 /* by the clock, on a busy node too */
#define CPU_S      10   /* where even the budget failed: the kernel ends us */
#define KEY_MAX    36   /* as lua/dss/model/project.lua says */

struct project {
	const char *key;
	bool may_be_absolute;
	int folder;
	char name[KEY_MAX + 32]; /* as errors name the file */
	char *text;
	size_t len;
};

static bool is_key(const char *key)
{
	size_t n = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	return n > 0 && n <= KEY_MAX && key[n] == '\0';
}

static int open_beneath(int folder, const char *path, int flags, unsigned resolve)
{
	struct open_how how = { .flags = (unsigned)flags | O_CLOEXEC, .resolve = resolve };
	return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

/* Users may write projects/: a link in the place of a project would show them what the caller's user may read. */
static int open_folder(struct project *p, const char *dir, struct err *err)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof path, "%s/projects", dir) >= (int)sizeof path)
		return err_set(err, "unable to open projects/%s: the path is too long", p->key);
	int projects = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (projects >= 0)
		p->folder = openat(projects, p->key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->folder < 0)
		err_sys(err, errno, "unable to open projects/%s", p->key);
	fds_close(&projects);
	return p->folder < 0 ? -1 : 0;
}

static int read_text(struct project *p, struct err *err)
{
	struct stat st;
	int ok = -1;
	int fd = openat(p->folder, "project.lua", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		err_sys(err, errno, "unable to read it");
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(err, "unable to read it: it is no plain file");
		goto out;
	}
	if (!(p->text = malloc(TEXT_MAX + 1))) {
		err_set(err, "unable to read it: not enough memory");
		goto out;
	}
	while (p->len <= TEXT_MAX) {
		ssize_t n = read(fd, p->text + p->len, TEXT_MAX + 1 - p->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_sys(err, errno, "unable to read it");
			goto out;
		}
		if (n == 0)
			break;
		p->len += (size_t)n;
	}
	ok = p->len > TEXT_MAX ? err_set(err, "unable to read it: it is longer than %zu KB", TEXT_MAX >> 10) : 0;
out:
	fds_close(&fd);
	return ok;
}

/* --- Lua's view --- */

/* look(path) → true | nil, why, is_missing: nothing is there */
static int look(lua_State *L)
{
	const struct project *p = lua_touserdata(L, lua_upvalueindex(1));
	const char *path = arg_text(L, 1, NULL);
	struct stat st;
	unsigned resolve = path[0] == '/' ? RESOLVE_NO_MAGICLINKS : RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
	int fd = open_beneath(p->folder, path, O_PATH, resolve);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int why = errno;
		fds_close(&fd);
		arg_fail(L, why == ENOENT  ? "there is no such file"
			    : why == EXDEV ? "it leads out of the project's folder"
					   : strerror(why));
		lua_pushboolean(L, why == ENOENT);
		return 3;
	}
	fds_close(&fd);
	if (!S_ISREG(st.st_mode))
		return arg_fail(L, "it is no plain file");
	lua_pushboolean(L, 1);
	return 1;
}

static int push_arguments(lua_State *L)
{
	struct project *p = lua_touserdata(L, 1);
	lua_pushlstring(L, p->text, p->len);
	lua_pushstring(L, p->key);
	lua_pushlightuserdata(L, p);
	lua_pushcclosure(L, look, 1);
	lua_pushboolean(L, p->may_be_absolute);
	return 4;
}

/* 0: out has the data; 1: the errors; -1: err */
static int evaluate(struct project *p, struct buf *out, struct err *err)
{
	char share[PATH_MAX];
	int ok = -1;
	if (home_share(share, sizeof share) < 0)
		return err_set(err, "unable to find lua/dss near our program; set DSS_SHARE");
	struct vm *vm = vm_new(&(struct vm_options){ .use = VM_PLAN, .share = share }, err);
	if (!vm)
		return -1;
	lua_State *L = vm_state(vm);
	if (vm_module(vm, "dss.model.project", "answer", err) < 0)
		goto out;
	lua_pushcfunction(L, push_arguments);
	lua_pushlightuserdata(L, p);
	if (call_run(vm, 1, 4, NULL, err) < 0 || call_run(vm, 4, 2, &(struct call_budget){ TIME_MS }, err) < 0)
		goto out;
	size_t n;
	const char *text = lua_tolstring(L, -1, &n);
	ok = !text || buf_put(out, text, n) < 0 ? err_set(err, "what it says is too long") : lua_toboolean(L, -2) ? 0 : 1;
out:
	vm_free(&vm);
	return ok;
}

/* --- the answer --- */

/* "projects/KEY/project.lua:4: text", or a text alone: then line 1. */
static void put_error(struct buf *out, const struct project *p, const char *said)
{
	size_t n = strlen(p->name);
	long line = 1;
	char *end;
	if (n > 0 && strncmp(said, p->name, n) == 0 && said[n] == ':') {
		line = strtol(said + n + 1, &end, 10);
		said = *end == ':' && end[1] == ' ' ? end + 2 : said;
	}
	buf_puts(out, "{\"errors\":[{\"file\":");
	json_put_text(out, p->name, n);
	buf_printf(out, ",\"line\":%ld,\"text\":", line > 0 ? line : 1);
	json_put_text(out, said, strlen(said));
	buf_puts(out, "}]}");
}

static void limit(int what, rlim_t most)
{
	struct rlimit r;
	if (getrlimit(what, &r) == 0 && (r.rlim_max == RLIM_INFINITY || r.rlim_max > most)) {
		r.rlim_cur = r.rlim_max = most;
		setrlimit(what, &r);
	}
}

int project_eval_print(const char *dir, const char *key, bool may_be_absolute)
{
	struct project p = { .key = key, .may_be_absolute = may_be_absolute, .folder = -1 };
	struct buf out;
	struct err err = { 0 };
	int ok = -1;
	limit(RLIMIT_CPU, CPU_S);
	limit(RLIMIT_CORE, 0);
	buf_init(&out, ANSWER_MAX + 1);
	if (!is_key(key)) {
		err_set(&err, "\"%.40s\" is no key of a project: capitals, digits and _, up to %d", key, KEY_MAX);
	} else {
		snprintf(p.name, sizeof p.name, "projects/%s/project.lua", key);
		if (open_folder(&p, dir, &err) == 0 && read_text(&p, &err) == 0)
			ok = evaluate(&p, &out, &err);
	}
	if (ok < 0) {
		buf_clear(&out);
		put_error(&out, &p, err.text);
	}
	buf_putc(&out, '\n');
	if (out.failed || fds_write_all(STDOUT_FILENO, out.data, out.len) < 0) {
		fprintf(stderr, "dssd: unable to write the project's data: %s\n",
			out.failed ? "not enough memory" : strerror(errno));
		ok = -1;
	}
	buf_fini(&out);
	free(p.text);
	fds_close(&p.folder);
	return ok == 0 ? 0 : 1;
}
