#include "bind/nginx.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <lauxlib.h>
#include "base/buf.h"
#include "base/text.h"
#include "bind/arg.h"
#include "bind/call.h"
#include "bind/vm.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/home.h"
#include "sys/sock.h"
#include "sys/spawn.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define TEST_MS     20000 /* names in `extra` are looked up while it is tested */
#define SAID_MAX    4096
#define TROUBLE_MAX (4 * SAID_MAX) /* what was said, and what we say of it */
#define ADDRESS_MAX 80
#define PREFIX      "nginx: "

extern char **environ;

struct front {
	char dir[PATH_MAX], share[PATH_MAX], command[PATH_MAX];
	char page[ADDRESS_MAX], webapps[ADDRESS_MAX];
	int page_fd, webapps_fd, ready_fd;
	const char *mode;
};

/* --- the test --- */

/* "2026/11/22 03:48:10 [emerg] 12#12: unknown …" → "unknown …" */
static char *skip_stamp(char *line)
{
	int n = 0;
	sscanf(line, "%*d/%*d/%*d %*d:%*d:%*d [%*[a-z]] %*d#%*d: %n", &n);
	return line + n;
}

/* Lines of nginx's own as people read them: without what stands before each, and without the last, which only says that it failed. */
static void put_said(char *said, struct buf *out)
{
	for (char *rest = said, *line; (line = strsep(&rest, "\n"));) {
		if (strncmp(line, PREFIX, strlen(PREFIX)) == 0)
			line += strlen(PREFIX);
		line = skip_stamp(line);
		if (strncmp(line, "[emerg] ", 8) == 0)
			line += 8;
		if (line[0] == '\0' || strncmp(line, "configuration file ", 19) == 0 ||
		    strncmp(line, "the configuration file ", 23) == 0)
			continue;
		if (out->len > 0)
			buf_puts(out, "; ");
		buf_puts(out, line);
	}
}

/* All it says, at most SAID_MAX; -1: it did not end in time. */
static int listen_to(int fd, char *said, size_t room)
{
	int64_t until_ms = clock_mono_ms() + TEST_MS;
	size_t len = 0;
	char waste[512];
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left_ms = until_ms - clock_mono_ms();
		if (left_ms <= 0 || poll(&p, 1, (int)left_ms) == 0)
			return -1;
		bool is_full = len + 1 >= room;
		ssize_t n = is_full ? read(fd, waste, sizeof waste) : read(fd, said + len, room - 1 - len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return 0;
		if (!is_full)
			said[len += (size_t)n] = '\0';
	}
}

static int run_test(const struct front *f, const char *command, const char *file, char *said, size_t room, struct err *err)
{
	char prefix[PATH_MAX + 20];
	int pair[2], status = 0;
	snprintf(prefix, sizeof prefix, "%s/run/nginx/", f->dir);
	char *argv[] = { (char *)command, (char *)"-t", (char *)"-q", (char *)"-p",     prefix,
			 (char *)"-c",    (char *)file, (char *)"-e", (char *)"stderr", NULL };
	struct spawned born;
	struct spawn_failure failure;
	if (access(command, X_OK) < 0)
		return err_sys(err, errno, "unable to run %s", command);
	if (fds_pipe(pair, err) < 0)
		return -1;
	struct spawn s = { .path = command,
			   .argv = argv,
			   .envp = environ,
			   .cwd = f->dir,
			   .stdin_fd = -1,
			   .stdout_fd = pair[1],
			   .stderr_fd = pair[1],
			   .into_fd = -1,
			   .no_new_privs = true,
			   .umask = 077 };
	int rc = spawn_start(&s, &born, &failure, err);
	fds_close(&pair[1]);
	if (rc < 0) {
		fds_close(&pair[0]);
		return -1;
	}
	if (listen_to(pair[0], said, room) < 0) {
		kill(born.pid, SIGKILL);
		err_set(err, "%s -t did not end within %d s", command, TEST_MS / 1000);
		rc = -1;
	}
	while (waitpid(born.pid, &status, 0) < 0 && errno == EINTR)
		;
	fds_close(&pair[0]);
	fds_close(&born.pidfd);
	fds_close(&born.status_fd);
	if (rc < 0)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

/* upvalue 1: struct front. command, file → true | nil, why */
static int test(lua_State *L)
{
	const struct front *f = lua_touserdata(L, lua_upvalueindex(1));
	const char *command = arg_text(L, 1, NULL), *file = arg_text(L, 2, NULL);
	static const char *const left[] = { "test-page.sock", "test-webapps.sock" };
	char said[SAID_MAX] = "", path[PATH_MAX + 40];
	struct err err = { 0 };
	struct buf out;
	int rc = run_test(f, command, file, said, sizeof said, &err);
	for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
		snprintf(path, sizeof path, "%s/run/nginx/%s", f->dir, left[i]);
		unlink(path);
	}
	if (rc < 0)
		return arg_fail(L, err.text);
	if (rc == 0) {
		lua_pushboolean(L, 1);
		return 1;
	}
	buf_init(&out, 2 * SAID_MAX);
	put_said(said, &out);
	lua_pushnil(L);
	lua_pushstring(L, out.len > 0 ? out.data : "nginx -t failed and said nothing");
	buf_fini(&out);
	return 2;
}

/* --- the configuration --- */

static int push_arguments(lua_State *L)
{
	struct front *f = lua_touserdata(L, 1);
	const char *taken = getenv("DSS_NGINX");
	lua_pushstring(L, f->dir);
	lua_pushstring(L, f->share);
	/* what a check is asked for is the file as it stands */
	lua_pushstring(L, taken && strcmp(f->mode, "start") == 0 ? taken : "");
	lua_pushstring(L, f->mode);
	lua_pushstring(L, f->page);
	lua_pushstring(L, f->webapps);
	lua_pushlightuserdata(L, f);
	lua_pushcclosure(L, test, 1);
	return 7;
}

/* 0: f->command is set ("" = nginx is off); warning may be said. */
static int prepare(struct front *f, char *warning, size_t room, struct err *err)
{
	struct vm *vm = vm_new(&(struct vm_options){ .use = VM_PLAN, .share = f->share }, err);
	int ok = -1;
	if (!vm)
		return -1;
	lua_State *L = vm_state(vm);
	if (vm_module(vm, "dss.model.nginx", "prepare", err) < 0)
		goto out;
	lua_pushcfunction(L, push_arguments);
	lua_pushlightuserdata(L, f);
	if (call_run(vm, 1, 7, NULL, err) < 0 || call_run(vm, 7, 2, NULL, err) < 0)
		goto out;
	const char *command = lua_tostring(L, -2), *text = lua_tostring(L, -1);
	if (!command) {
		err_set(err, "%s", text ? text : "nginx -t failed");
		goto out;
	}
	snprintf(f->command, sizeof f->command, "%s", command);
	snprintf(warning, room, "%s", text ? text : "");
	ok = 0;
out:
	vm_free(&vm);
	return ok;
}

/* --- the sockets --- */

static int inherited(const char *name)
{
	int64_t fd;
	const char *text = getenv(name);
	return text && text_int(text, 3, INT_MAX, &fd, NULL) == 0 && fcntl((int)fd, F_GETFD) >= 0 ? (int)fd : -1;
}

/* As `listen` takes it. */
static int address_of(int fd, char *out, struct err *err)
{
	char host[SOCK_ADDRESS_MAX];
	int port = sock_port(fd);
	if (port < 0 || sock_own_address(fd, host, sizeof host) < 0)
		return err_set(err, "unable to start: descriptor %d is no TCP socket", fd);
	snprintf(out, ADDRESS_MAX, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
	return 0;
}

static int find_sockets(struct front *f, struct err *err)
{
	f->page_fd = inherited("DSS_LISTEN_FRONT_FD");
	f->webapps_fd = inherited("DSS_LISTEN_FRONT_WEBAPPS_FD");
	f->ready_fd = inherited("DSS_READY_FD");
	if (f->page_fd < 0 || f->webapps_fd < 0)
		return err_set(
			err, "unable to start: DSS_LISTEN_FRONT_FD and DSS_LISTEN_FRONT_WEBAPPS_FD have to name open descriptors; "
			     "dss-keeper starts nginx (use DIR/bin/dss start)");
	return address_of(f->page_fd, f->page, err) < 0 || address_of(f->webapps_fd, f->webapps, err) < 0 ? -1 : 0;
}

/* nginx takes sockets that its environment names where their addresses are those of `listen`: it does so from one of its binaries to the
 * next, too. */
static int become(struct front *f, struct err *err)
{
	char inherit[40], prefix[PATH_MAX + 20], file[PATH_MAX + 40];
	snprintf(inherit, sizeof inherit, "%d;%d;", f->page_fd, f->webapps_fd);
	snprintf(prefix, sizeof prefix, "%s/run/nginx/", f->dir);
	snprintf(file, sizeof file, "%snginx.conf", prefix);
	if (setenv("NGINX", inherit, 1) < 0)
		return err_sys(err, errno, "unable to start nginx");
	unsetenv("DSS_NGINX");
	if (f->ready_fd >= 0) {
		if (fds_write_all(f->ready_fd, "\n", 1) < 0)
			return err_sys(err, errno, "unable to say that nginx is ready");
		fds_close(&f->ready_fd);
	}
	execl(f->command, f->command, "-p", prefix, "-c", file, "-e", "stderr", (char *)NULL);
	return err_sys(err, errno, "unable to run %s", f->command);
}

static int make_folder(const struct front *f, struct err *err)
{
	char path[PATH_MAX + 20];
	snprintf(path, sizeof path, "%s/run/nginx", f->dir);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "unable to make %s", path);
	return 0;
}

int nginx_main(int argc, char **argv)
{
	struct front f = { .page_fd = -1, .webapps_fd = -1, .ready_fd = -1, .mode = argc == 3 ? argv[2] : "start" };
	struct err err = { 0 };
	char warning[SAID_MAX] = "";
	bool is_start = strcmp(f.mode, "start") == 0;
	if (argc < 2 || argc > 3 || (!is_start && strcmp(f.mode, "check") != 0 && strcmp(f.mode, "install") != 0))
		return fputs("usage: dssd nginx DIR [check|install]\n", stderr), EXIT_USAGE;
	umask(077);
	if (!realpath(argv[1], f.dir))
		err_sys(&err, errno, "unable to find the instance %s", argv[1]);
	else if (home_share(f.share, sizeof f.share) < 0)
		err_set(&err, "unable to find lua/dss near our program; set DSS_SHARE");
	else if ((!is_start || find_sockets(&f, &err) == 0) && make_folder(&f, &err) == 0 &&
		 prepare(&f, warning, sizeof warning, &err) == 0) {
		if (warning[0])
			fprintf(stderr, "nginx: %s\n", warning);
		if (!is_start)
			return EXIT_DONE;
		if (f.command[0] == '\0')
			err_set(&err, "config/dss.lua has no nginx to start");
		else
			become(&f, &err);
	}
	fprintf(stderr, "nginx: %s\n", err.text);
	return EXIT_FAILED;
}

void nginx_trouble(const char *dir, char *out, size_t room)
{
	char path[PATH_MAX + 32], text[TROUBLE_MAX];
	snprintf(path, sizeof path, "%s/run/nginx/trouble", dir);
	if (fds_read_file(path, text, sizeof text, NULL) < 0)
		text[0] = '\0';
	snprintf(out, room, "%s", text);
}
