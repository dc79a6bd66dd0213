/* t_keeper: what the specs of the keeper need: starting programs, sockets, /proc, and `relay`, the program that stands in for
 * the backend: it joins the keeper's socket pair with a unix socket of the spec. */
#include <lua.h>
#include <lauxlib.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sys/fds.h"
#include "sys/home.h"
#include "sys/proc.h"
#include "sys/sock.h"

#define ARGS_MAX 64

static int fail(lua_State *L, int e)
{
	lua_pushnil(L);
	lua_pushstring(L, strerror(e));
	lua_pushinteger(L, e);
	return 3;
}

/* --- programs --- */

/* run(argv, { out = PATH, nofile = N, env = { "A=B" } }) -> pid */
static int run(lua_State *L)
{
	static char *argv[ARGS_MAX + 1];
	struct rlimit limit = { 0, 0 };
	int n = (int)lua_rawlen(L, 1);
	luaL_argcheck(L, n > 0 && n <= ARGS_MAX, 1, "arguments");
	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_checkstack(L, n + 20, NULL);
	for (int i = 0; i < n; i++) {
		lua_rawgeti(L, 1, i + 1);
		argv[i] = (char *)luaL_checkstring(L, -1);
	}
	argv[n] = NULL;
	lua_getfield(L, 2, "out");
	const char *out = luaL_optstring(L, -1, "/dev/null");
	lua_getfield(L, 2, "nofile");
	limit.rlim_cur = limit.rlim_max = (rlim_t)luaL_optinteger(L, -1, 0);
	pid_t pid = fork();
	if (pid < 0)
		return fail(L, errno);
	if (pid == 0) {
		int fd = open(out, O_WRONLY | O_CREAT | O_APPEND, 0600), null = open("/dev/null", O_RDONLY);
		dup2(null, 0);
		dup2(fd, 1);
		dup2(fd, 2);
		for (int i = 3; i < 1024; i++)
			close(i);
		if (limit.rlim_cur && setrlimit(RLIMIT_NOFILE, &limit) < 0)
			_exit(126);
		execv(argv[0], argv);
		_exit(127);
	}
	lua_pushinteger(L, pid);
	return 1;
}

/* ended(pid) -> nil while it runs; "exited", code; "killed", signal; "gone" */
static int ended(lua_State *L)
{
	int status;
	pid_t pid = waitpid((pid_t)luaL_checkinteger(L, 1), &status, WNOHANG);
	if (pid == 0)
		return 0;
	lua_pushstring(L, pid < 0 ? "gone" : WIFEXITED(status) ? "exited" : "killed");
	lua_pushinteger(L, pid < 0 ? 0 : WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return 2;
}

static int send_signal(lua_State *L)
{
	lua_pushboolean(L, kill((pid_t)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)) == 0);
	return 1;
}

static int process(lua_State *L)
{
	struct proc_stat st;
	char line[500];
	pid_t pid = (pid_t)luaL_checkinteger(L, 1);
	if (proc_read(pid, &st) < 0)
		return 0;
	lua_newtable(L);
	lua_pushinteger(L, st.ppid), lua_setfield(L, -2, "ppid");
	lua_pushinteger(L, st.uid), lua_setfield(L, -2, "uid");
	lua_pushinteger(L, (lua_Integer)st.start_ticks), lua_setfield(L, -2, "start_ticks");
	lua_pushlstring(L, &st.state, 1), lua_setfield(L, -2, "state");
	lua_pushstring(L, st.comm), lua_setfield(L, -2, "comm");
	lua_pushstring(L, proc_cmdline(pid, line, sizeof(line)) ? line : ""), lua_setfield(L, -2, "cmdline");
	return 1;
}

struct looking {
	lua_State *L;
	const char *instance, *id;
};

static bool look(void *data, pid_t pid)
{
	struct looking *l = data;
	char mark[200];
	if (pid == getpid() || !proc_env(pid, "DSS_INSTANCE", mark, sizeof(mark)) || strcmp(mark, l->instance))
		return true;
	if (l->id && (!proc_env(pid, "DSS_PROCESS", mark, sizeof(mark)) || strcmp(mark, l->id)))
		return true;
	lua_pushinteger(l->L, pid);
	lua_rawseti(l->L, -2, (lua_Integer)lua_rawlen(l->L, -2) + 1);
	return true;
}

/* of_instance(instance, [id]) -> pids whose environment names it */
static int of_instance(lua_State *L)
{
	struct looking l = { L, luaL_checkstring(L, 1), luaL_optstring(L, 2, NULL) };
	lua_newtable(L);
	proc_each(look, &l, NULL);
	return 1;
}

static int count_fds(lua_State *L)
{
	char path[64], at[96], link[64];
	int n = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)luaL_checkinteger(L, 1));
	for (int fd = 0; fd < 4096; fd++) {
		snprintf(at, sizeof(at), "%s/%d", path, fd);
		n += readlink(at, link, sizeof(link)) > 0;
	}
	lua_pushinteger(L, n);
	return 1;
}

/* --- sockets --- */

static int listen_unix(lua_State *L)
{
	struct err err;
	int fd = sock_listen_unix(luaL_checkstring(L, 1), 0666, &err);
	if (fd < 0)
		return luaL_error(L, "%s", err.text);
	lua_pushinteger(L, fd);
	return 1;
}

static int listen_tcp(lua_State *L)
{
	struct err err;
	int fd = sock_listen_tcp("127.0.0.1", (int)luaL_optinteger(L, 1, 0), &err);
	if (fd < 0)
		return fail(L, err.code);
	lua_pushinteger(L, fd);
	lua_pushinteger(L, sock_port(fd));
	return 2;
}

static int accept_one(lua_State *L)
{
	int fd = sock_accept((int)luaL_checkinteger(L, 1), NULL);
	if (fd < 0)
		return 0;
	lua_pushinteger(L, fd);
	return 1;
}

static int connect_unix(lua_State *L)
{
	struct err err = { 0 };
	int fd = sock_connect_unix(luaL_checkstring(L, 1), &err);
	if (fd < 0)
		return fail(L, err.code);
	lua_pushinteger(L, fd);
	return 1;
}

/* connect_as(uid, path) -> fd of a connection that a process of that user made */
static int connect_as(lua_State *L)
{
	uid_t uid = (uid_t)luaL_checkinteger(L, 1), own = geteuid();
	struct err err = { 0 };
	if (seteuid(uid) < 0)
		return fail(L, errno);
	int fd = sock_connect_unix(luaL_checkstring(L, 2), &err);
	if (seteuid(own) < 0)
		return luaL_error(L, "unable to become uid %d again", (int)own);
	if (fd < 0)
		return fail(L, err.code);
	lua_pushinteger(L, fd);
	return 1;
}

/* read(fd, ms) -> bytes; "" = closed; nothing = not within ms */
static int read_some(lua_State *L)
{
	static char room[256 * 1024];
	struct pollfd p = { .fd = (int)luaL_checkinteger(L, 1), .events = POLLIN };
	if (poll(&p, 1, (int)luaL_optinteger(L, 2, 0)) <= 0)
		return 0;
	ssize_t n = recv(p.fd, room, sizeof(room), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	lua_pushlstring(L, room, n > 0 ? (size_t)n : 0);
	return 1;
}

/* write(fd, bytes) -> whether all went */
static int write_all(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	while (len > 0) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN && poll(&p, 1, 10000) > 0)
			continue;
		if (n < 0)
			break;
		bytes += n;
		len -= (size_t)n;
	}
	lua_pushboolean(L, len == 0);
	return 1;
}

static int close_fd(lua_State *L)
{
	close((int)luaL_checkinteger(L, 1));
	return 0;
}

/* --- files --- */

static int mark_origin(lua_State *L)
{
	struct err err;
	if (home_mark_origin(luaL_checkstring(L, 1), &err) < 0)
		return luaL_error(L, "%s", err.text);
	return 0;
}

static int make_temp(lua_State *L)
{
	char path[] = "/tmp/dss-spec-XXXXXX";
	if (!mkdtemp(path) || chmod(path, 0755) < 0)
		return luaL_error(L, "no temporary folder");
	lua_pushstring(L, path);
	return 1;
}

static int make_dir(lua_State *L)
{
	lua_pushboolean(L, mkdir(luaL_checkstring(L, 1), 0755) == 0);
	return 1;
}

static int change_mode(lua_State *L)
{
	lua_pushboolean(L, chmod(luaL_checkstring(L, 1), (mode_t)luaL_checkinteger(L, 2)) == 0);
	return 1;
}

static int change_owner(lua_State *L)
{
	lua_pushboolean(L, chown(luaL_checkstring(L, 1), (uid_t)luaL_checkinteger(L, 2), (gid_t)luaL_checkinteger(L, 3)) == 0);
	return 1;
}

static int own_ids(lua_State *L)
{
	lua_pushinteger(L, getpid());
	lua_pushinteger(L, geteuid());
	return 2;
}

/* --- run by the processes under test --- */

/* attempt(what, …) -> errno of a system call that ought to fail; 0 = it went through */
static int attempt(lua_State *L)
{
	const char *what = luaL_checkstring(L, 1);
	pid_t pid = (pid_t)luaL_checkinteger(L, 2);
	int rc = !strcmp(what, "kill") ? kill(pid, 0) : !strcmp(what, "ptrace") ? (int)ptrace(PTRACE_ATTACH, pid, NULL, NULL) : -2;
	int e = rc == 0 ? 0 : errno;
	if (rc == -2)
		return luaL_error(L, "unable to attempt %s", what);
	if (rc == 0 && !strcmp(what, "ptrace"))
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	lua_pushinteger(L, e);
	return 1;
}

static bool pump(int from, int to)
{
	static char room[64 * 1024];
	ssize_t n = read(from, room, sizeof(room));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	for (ssize_t done = 0; done < n;) {
		struct pollfd p = { .fd = to, .events = POLLOUT };
		ssize_t m = send(to, room + done, (size_t)(n - done), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (m < 0 && errno == EAGAIN && poll(&p, 1, -1) > 0)
			continue;
		if (m < 0)
			return false;
		done += m;
	}
	return true;
}

/* relay(path, how): never returns. how "leaves": exits once the keeper cuts it off; "stays": lives on, deaf. */
static int relay(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1), *how = luaL_checkstring(L, 2), *safe = getenv("DSS_SAFE"),
		   *fd = getenv("DSS_KEEPER_FD");
	char hello[200];
	struct err err = { 0 };
	int keeper = fd ? atoi(fd) : -1, peer = sock_connect_unix(path, &err);
	if (keeper < 3 || peer < 0)
		return luaL_error(L, "no peer: %s", err.text);
	snprintf(hello, sizeof(hello), "%d %s %s\n", (int)getpid(), safe ? safe : "0",
		 getenv("DSS_LISTEN_PAGE_FD") ? getenv("DSS_LISTEN_PAGE_FD") : "-");
	if (write(peer, hello, strlen(hello)) < 0)
		_exit(4);
	for (;;) {
		struct pollfd p[2] = { { .fd = keeper, .events = POLLIN }, { .fd = peer, .events = POLLIN } };
		poll(p, 2, -1);
		if (p[0].revents && !pump(keeper, peer)) {
			close(peer);
			while (!strcmp(how, "stays"))
				pause();
			_exit(0);
		}
		if (p[1].revents && !pump(peer, keeper))
			_exit(3);
	}
}

int luaopen_t_keeper(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "run", run },
		{ "ended", ended },
		{ "signal", send_signal },
		{ "process", process },
		{ "of_instance", of_instance },
		{ "count_fds", count_fds },
		{ "listen_unix", listen_unix },
		{ "listen_tcp", listen_tcp },
		{ "accept", accept_one },
		{ "connect", connect_unix },
		{ "connect_as", connect_as },
		{ "read", read_some },
		{ "write", write_all },
		{ "close", close_fd },
		{ "mark_origin", mark_origin },
		{ "make_temp", make_temp },
		{ "mkdir", make_dir },
		{ "chmod", change_mode },
		{ "chown", change_owner },
		{ "own_ids", own_ids },
		{ "attempt", attempt },
		{ "relay", relay },
		{ NULL, NULL },
	};
	signal(SIGPIPE, SIG_IGN);
	luaL_newlib(L, words);
	return 1;
}
