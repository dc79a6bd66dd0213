/* t_logger: the real logger with the spec as its keeper, and the files and pipes around it. */
#include <lua.h>
#include <lauxlib.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <linux/fs.h>
#include <unistd.h>
#include "sys/fds.h"
#include "sys/proc.h"
#include "sys/sock.h"

enum { ARGS_MAX = 32, NO_MOUNT = 77 };

struct logger {
	pid_t pid;
	int fd;
	int status; /* once it has ended */
	int is_ended;
};

static struct logger *check_logger(lua_State *L)
{
	return luaL_checkudata(L, 1, "t_logger.logger");
}

/* In a mount namespace of its own: what is mounted goes with the process, whatever happens to the spec. */
static void mount_own(const char *what, const char *type, const char *where, const char *options)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(what, where, type, 0, options) < 0)
		_exit(NO_MOUNT);
}

/* start(binary, { arg, … }, stderr_path, [tmpfs_dir, options]) */
static int start(lua_State *L)
{
	const char *argv[ARGS_MAX + 2], *env[3];
	char number[32];
	int pair[2];
	struct err err;
	const char *binary = luaL_checkstring(L, 1), *log = luaL_checkstring(L, 3);
	const char *tmpfs = luaL_optstring(L, 4, NULL), *options = luaL_optstring(L, 5, NULL);
	int n = (int)lua_rawlen(L, 2);
	luaL_argcheck(L, n <= ARGS_MAX, 2, "too many");
	argv[0] = binary;
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, 2, i);
		argv[i] = lua_tostring(L, -1);
	}
	argv[n + 1] = NULL;
	if (sock_pair(pair, &err) < 0)
		return luaL_error(L, "%s", err.text);
	snprintf(number, sizeof(number), "DSS_KEEPER_FD=%d", pair[1]);
	env[0] = number;
	env[1] = "ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99";
	env[2] = NULL;
	struct logger *l = lua_newuserdata(L, sizeof(*l));
	*l = (struct logger){ .fd = pair[0] };
	luaL_setmetatable(L, "t_logger.logger");
	fflush(NULL);
	l->pid = fork();
	if (l->pid < 0)
		return luaL_error(L, "no process");
	if (l->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (tmpfs != NULL)
			mount_own("dss-spec", "tmpfs", tmpfs, options);
		int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		dup2(out, 2);
		fcntl(pair[1], F_SETFD, 0);
		execve(binary, (char *const *)argv, (char *const *)env);
		_exit(126);
	}
	fds_close(&pair[1]);
	return 1;
}

/* send(bytes, fd…): waits until the socket takes all of it. */
static int logger_send(lua_State *L)
{
	struct logger *l = check_logger(L);
	size_t len, at = 0, n = 0;
	const char *p = luaL_checklstring(L, 2, &len);
	int fds[8];
	for (int i = 3; i <= lua_gettop(L) && n < 8; i++)
		fds[n++] = (int)luaL_checkinteger(L, i);
	while (at < len) {
		ssize_t w = sock_send_fds(l->fd, p + at, len - at, fds, at == 0 ? n : 0);
		if (w > 0) {
			at += (size_t)w;
			continue;
		}
		struct pollfd wait = { .fd = l->fd, .events = POLLOUT };
		if (errno != EAGAIN || poll(&wait, 1, 10000) != 1) {
			lua_pushnil(L);
			lua_pushstring(L, strerror(errno));
			return 2;
		}
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* Bytes, or nil: nothing yet; "" = it closed. */
static int logger_receive(lua_State *L)
{
	static char room[65536];
	ssize_t n = recv(check_logger(L)->fd, room, sizeof(room), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return 0;
	lua_pushlstring(L, room, n > 0 ? (size_t)n : 0);
	return 1;
}

static int logger_pid(lua_State *L)
{
	lua_pushinteger(L, check_logger(L)->pid);
	return 1;
}

static int logger_signal(lua_State *L)
{
	struct logger *l = check_logger(L);
	if (!l->is_ended)
		kill(l->pid, (int)luaL_checkinteger(L, 2));
	return 0;
}

static int logger_close(lua_State *L)
{
	fds_close(&check_logger(L)->fd);
	return 0;
}

/* The exit code, minus the signal; nil while it lives. */
static int logger_ended(lua_State *L)
{
	struct logger *l = check_logger(L);
	int status;
	if (!l->is_ended) {
		if (waitpid(l->pid, &status, WNOHANG) != l->pid)
			return 0;
		l->is_ended = 1;
		l->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	}
	lua_pushinteger(L, l->status);
	return 1;
}

/* Its state letter: 'T' = stopped. */
static int logger_state(lua_State *L)
{
	struct proc_stat st;
	if (proc_read(check_logger(L)->pid, &st) < 0)
		return 0;
	lua_pushlstring(L, &st.state, 1);
	return 1;
}

static int logger_pss(lua_State *L)
{
	lua_pushinteger(L, proc_pss(check_logger(L)->pid));
	return 1;
}

static int logger_gc(lua_State *L)
{
	struct logger *l = check_logger(L);
	fds_close(&l->fd);
	if (l->pid > 0 && !l->is_ended) {
		kill(l->pid, SIGKILL);
		waitpid(l->pid, NULL, 0);
		l->is_ended = 1;
	}
	return 0;
}

/* --- pipes --- */

/* pipe([bytes]) -> read end, non-blocking write end */
static int make_pipe(lua_State *L)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return luaL_error(L, "no pipe");
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	if (!lua_isnoneornil(L, 1))
		fcntl(pair[1], F_SETPIPE_SZ, (int)luaL_checkinteger(L, 1));
	lua_pushinteger(L, pair[0]);
	lua_pushinteger(L, pair[1]);
	return 2;
}

/* How many bytes went; 0 = it is full. */
static int write_some(lua_State *L)
{
	size_t len;
	const char *p = luaL_checklstring(L, 2, &len);
	ssize_t n = write((int)luaL_checkinteger(L, 1), p, len);
	if (n < 0 && errno != EAGAIN)
		return luaL_error(L, "unable to write: %s", strerror(errno));
	lua_pushinteger(L, n > 0 ? n : 0);
	return 1;
}

static int waiting(lua_State *L)
{
	int n = 0;
	ioctl((int)luaL_checkinteger(L, 1), FIONREAD, &n);
	lua_pushinteger(L, n);
	return 1;
}

static int close_fd(lua_State *L)
{
	close((int)luaL_checkinteger(L, 1));
	return 0;
}

/* --- files --- */

static int make_folder(lua_State *L)
{
	char path[] = "/tmp/dss-logger.XXXXXX";
	if (mkdtemp(path) == NULL)
		return luaL_error(L, "no folder");
	lua_pushstring(L, path);
	return 1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st, (void)flag, (void)at;
	return remove(path);
}

static int remove_tree(lua_State *L)
{
	nftw(luaL_checkstring(L, 1), remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

static int make_dirs(lua_State *L)
{
	struct err err;
	if (fds_make_dirs(luaL_checkstring(L, 1), 0755, &err) < 0)
		return luaL_error(L, "%s", err.text);
	return 0;
}

static int make_link(lua_State *L)
{
	int rc = lua_toboolean(L, 3) ? link(luaL_checkstring(L, 1), luaL_checkstring(L, 2))
				     : symlink(luaL_checkstring(L, 1), luaL_checkstring(L, 2));
	lua_pushboolean(L, rc == 0);
	return 1;
}

static int size_of(lua_State *L)
{
	struct stat st;
	if (stat(luaL_checkstring(L, 1), &st) < 0)
		return 0;
	lua_pushinteger(L, st.st_size);
	return 1;
}

/* freeze(path, on): the file system beneath stops all writes. nil and why where it cannot. */
static int freeze(lua_State *L)
{
	int fd = open(luaL_checkstring(L, 1), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd >= 0 ? ioctl(fd, lua_toboolean(L, 2) ? FIFREEZE : FITHAW, 0) : -1;
	int e = errno;
	fds_close(&fd);
	if (rc == 0) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, strerror(e));
	return 2;
}

static int is_root(lua_State *L)
{
	lua_pushboolean(L, geteuid() == 0);
	return 1;
}

int luaopen_t_logger(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "send", logger_send },   { "receive", logger_receive },
		{ "pid", logger_pid },     { "signal", logger_signal },
		{ "close", logger_close }, { "ended", logger_ended },
		{ "state", logger_state }, { "pss", logger_pss },
		{ "free", logger_gc },     { NULL, NULL },
	};
	static const luaL_Reg words[] = {
		{ "start", start },
		{ "pipe", make_pipe },
		{ "write", write_some },
		{ "waiting", waiting },
		{ "close", close_fd },
		{ "make_folder", make_folder },
		{ "remove_tree", remove_tree },
		{ "make_dirs", make_dirs },
		{ "link", make_link },
		{ "size", size_of },
		{ "freeze", freeze },
		{ "is_root", is_root },
		{ NULL, NULL },
	};
	luaL_newmetatable(L, "t_logger.logger");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, logger_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	luaL_newlib(L, words);
	return 1;
}
