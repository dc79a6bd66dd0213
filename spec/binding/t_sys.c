/* t_sys: descriptors, files, sockets, proc and clock for spec/core/sys_spec.lua. Descriptors are plain integers. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sys/apart.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/proc.h"
#include "sys/sock.h"

/* value, or nil, text, errno */
static int answer(lua_State *L, lua_Integer value, const struct err *err)
{
	if (value >= 0) {
		lua_pushinteger(L, value);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, err->text);
	lua_pushinteger(L, err->code);
	return 3;
}

/* --- descriptors --- */

static int l_pipe(lua_State *L)
{
	int pair[2];
	struct err err = { 0 };
	if (fds_pipe(pair, &err) < 0)
		return answer(L, -1, &err);
	lua_pushinteger(L, pair[0]);
	lua_pushinteger(L, pair[1]);
	return 2;
}

static int l_close(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1);
	fds_close(&fd);
	lua_pushinteger(L, fd);
	return 1;
}

static int l_nonblock(lua_State *L)
{
	struct err err = { 0 };
	return answer(L, fds_nonblock((int)luaL_checkinteger(L, 1), lua_toboolean(L, 2), &err), &err);
}

/* flags(fd) -> close-on-exec?, non-blocking?; nothing for a closed one */
static int l_flags(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1), cloexec = fcntl(fd, F_GETFD);
	if (cloexec < 0)
		return 0;
	lua_pushboolean(L, cloexec & FD_CLOEXEC);
	lua_pushboolean(L, fcntl(fd, F_GETFL) & O_NONBLOCK);
	return 2;
}

/* try_read(fd) -> bytes, "" at the end, nothing where none wait */
static int l_try_read(lua_State *L)
{
	char room[8192];
	ssize_t n = read((int)luaL_checkinteger(L, 1), room, sizeof(room));
	if (n < 0)
		return 0;
	lua_pushlstring(L, room, (size_t)n);
	return 1;
}

static int l_write(lua_State *L)
{
	size_t len;
	const char *s = luaL_checklstring(L, 2, &len);
	lua_pushinteger(L, write((int)luaL_checkinteger(L, 1), s, len));
	return 1;
}

static int l_open_dir(lua_State *L)
{
	lua_pushinteger(L, open(luaL_checkstring(L, 1), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return 1;
}

static int l_open_append(lua_State *L)
{
	lua_pushinteger(L, open(luaL_checkstring(L, 1), O_WRONLY | O_APPEND | O_CLOEXEC));
	return 1;
}

/* dup_to(fd, to), not close-on-exec */
static int l_dup_to(lua_State *L)
{
	lua_pushinteger(L, dup2((int)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)));
	return 1;
}

/* close_from(least, keep…) */
static int l_close_from(lua_State *L)
{
	int keep[8], n = lua_gettop(L) - 1;
	luaL_argcheck(L, n <= 8, n, "too many");
	for (int i = 0; i < n; i++)
		keep[i] = (int)luaL_checkinteger(L, i + 2);
	fds_close_from((int)luaL_checkinteger(L, 1), keep, (size_t)n);
	return 0;
}

static int l_read_file(lua_State *L)
{
	char room[4096];
	struct err err = { 0 };
	size_t size = (size_t)luaL_optinteger(L, 2, sizeof(room));
	luaL_argcheck(L, size <= sizeof(room), 2, "too much room");
	ssize_t n = fds_read_file(luaL_checkstring(L, 1), room, size, &err);
	if (n < 0)
		return answer(L, -1, &err);
	lua_pushlstring(L, room, (size_t)n);
	return 1;
}

static int l_write_file(lua_State *L)
{
	struct err err = { 0 };
	return answer(L, fds_write_at(AT_FDCWD, luaL_checkstring(L, 1), luaL_checkstring(L, 2), &err), &err);
}

static int l_replace_file(lua_State *L)
{
	size_t len;
	struct err err = { 0 };
	const char *data = luaL_checklstring(L, 2, &len);
	return answer(L, fds_replace_file(luaL_checkstring(L, 1), data, len, (mode_t)luaL_checkinteger(L, 3), &err), &err);
}

static int l_make_dirs(lua_State *L)
{
	struct err err = { 0 };
	return answer(L, fds_make_dirs(luaL_checkstring(L, 1), 0755, &err), &err);
}

static int l_raise_limit(lua_State *L)
{
	lua_pushinteger(L, fds_raise_limit());
	return 1;
}

/* --- sockets --- */

static int l_listen_tcp(lua_State *L)
{
	struct err err = { 0 };
	return answer(L, sock_listen_tcp(luaL_checkstring(L, 1), (int)luaL_checkinteger(L, 2), &err), &err);
}

static int l_connect_tcp(lua_State *L)
{
	struct err err = { 0 };
	return answer(L, sock_connect_tcp(luaL_checkstring(L, 1), (int)luaL_checkinteger(L, 2), &err), &err);
}

static int l_port(lua_State *L)
{
	lua_pushinteger(L, sock_port((int)luaL_checkinteger(L, 1)));
	return 1;
}

static int l_listen_unix(lua_State *L)
{
	struct err err = { 0 };
	return answer(L, sock_listen_unix(luaL_checkstring(L, 1), (mode_t)luaL_checkinteger(L, 2), &err), &err);
}

static int l_connect_unix(lua_State *L)
{
	struct err err = { 0 };
	return answer(L, sock_connect_unix(luaL_checkstring(L, 1), &err), &err);
}

static int l_connect_unix_own(lua_State *L)
{
	struct err err = { 0 };
	return answer(L, sock_connect_unix_own(luaL_checkstring(L, 1), &err), &err);
}

static int l_pair(lua_State *L)
{
	int pair[2];
	struct err err = { 0 };
	if (sock_pair(pair, &err) < 0)
		return answer(L, -1, &err);
	lua_pushinteger(L, pair[0]);
	lua_pushinteger(L, pair[1]);
	return 2;
}

static int l_accept(lua_State *L)
{
	struct err err = { 0 };
	return answer(L, sock_accept((int)luaL_checkinteger(L, 1), &err), &err);
}

static int l_peer(lua_State *L)
{
	struct err err = { 0 };
	struct sock_peer peer;
	if (sock_get_peer((int)luaL_checkinteger(L, 1), &peer, &err) < 0)
		return answer(L, -1, &err);
	lua_pushinteger(L, peer.pid);
	lua_pushinteger(L, peer.uid);
	lua_pushinteger(L, peer.gid);
	return 3;
}

/* send_fds(fd, bytes, fd…) -> sent, or -1 and errno */
static int l_send_fds(lua_State *L)
{
	int fds[16], n = lua_gettop(L) - 2;
	luaL_argcheck(L, n <= 16, n, "too many");
	for (int i = 0; i < n; i++)
		fds[i] = (int)luaL_checkinteger(L, i + 3);
	size_t len;
	const char *data = luaL_checklstring(L, 2, &len);
	ssize_t sent = sock_send_fds((int)luaL_checkinteger(L, 1), data, len, fds, (size_t)n);
	int errnum = errno;
	lua_pushinteger(L, sent);
	lua_pushinteger(L, sent < 0 ? errnum : 0);
	return 2;
}

/* recv_fds(fd, room for fds) -> bytes, fd…; or nothing */
static int l_recv_fds(lua_State *L)
{
	char data[256];
	int fds[8];
	size_t nfds = (size_t)luaL_optinteger(L, 2, 8);
	ssize_t n = sock_recv_fds((int)luaL_checkinteger(L, 1), data, sizeof(data), fds, &nfds);
	if (n < 0)
		return 0;
	lua_pushlstring(L, data, (size_t)n);
	for (size_t i = 0; i < nfds; i++)
		lua_pushinteger(L, fds[i]);
	return (int)nfds + 1;
}

/* --- proc and clock --- */

static int l_proc(lua_State *L)
{
	struct proc_stat st;
	if (proc_read((pid_t)luaL_checkinteger(L, 1), &st) < 0)
		return 0;
	lua_createtable(L, 0, 9);
	const struct {
		const char *name;
		lua_Integer value;
	} numbers[] = { { "pid", st.pid },
			{ "ppid", st.ppid },
			{ "pgid", st.pgid },
			{ "session", st.session },
			{ "uid", st.uid },
			{ "start_ticks", (lua_Integer)st.start_ticks },
			{ "rss_bytes", st.rss_bytes },
			{ "cpu_ms", (lua_Integer)st.cpu_ms } };
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		lua_pushinteger(L, numbers[i].value);
		lua_setfield(L, -2, numbers[i].name);
	}
	lua_pushstring(L, st.comm), lua_setfield(L, -2, "comm");
	lua_pushlstring(L, &st.state, 1), lua_setfield(L, -2, "state");
	return 1;
}

static int l_is_same(lua_State *L)
{
	lua_pushboolean(L, proc_is_same((pid_t)luaL_checkinteger(L, 1), (uint64_t)luaL_checkinteger(L, 2)));
	return 1;
}

/* signal_same(pid, start_ticks, signo) -> 0, or nil, "", errno */
static int l_signal_same(lua_State *L)
{
	struct err err = { 0 };
	int r = proc_signal_same((pid_t)luaL_checkinteger(L, 1), (uint64_t)luaL_checkinteger(L, 2), (int)luaL_checkinteger(L, 3));
	err.code = r < 0 ? errno : 0;
	return answer(L, r, &err);
}

/* env(pid, name, room?) */
static int l_env(lua_State *L)
{
	char out[256];
	size_t room = (size_t)luaL_optinteger(L, 3, sizeof(out));
	luaL_argcheck(L, room <= sizeof(out), 3, "too much room");
	if (!proc_env((pid_t)luaL_checkinteger(L, 1), luaL_checkstring(L, 2), out, room))
		return 0;
	lua_pushstring(L, out);
	return 1;
}

static int l_cmdline(lua_State *L)
{
	char out[512];
	if (!proc_cmdline((pid_t)luaL_checkinteger(L, 1), out, sizeof(out)))
		return 0;
	lua_pushstring(L, out);
	return 1;
}

static bool count_until(void *data, pid_t pid)
{
	int *left = data;
	return pid > 0 && --*left > 0;
}

/* each(most) -> how many were shown before it was told to stop */
static int l_each(lua_State *L)
{
	int most = (int)luaL_checkinteger(L, 1), left = most;
	struct err err = { 0 };
	int r = proc_each(count_until, &left, &err);
	return answer(L, r < 0 ? -1 : most - left, &err);
}

static int l_port_holder(lua_State *L)
{
	char text[256];
	lua_pushinteger(L, proc_port_holder((int)luaL_checkinteger(L, 1), text, sizeof(text)));
	lua_pushstring(L, text);
	return 2;
}

static int l_pidfd(lua_State *L)
{
	struct err err = { 0 };
	return answer(L, proc_pidfd((pid_t)luaL_checkinteger(L, 1), &err), &err);
}

static int l_memory(lua_State *L)
{
	lua_pushinteger(L, proc_memory_total());
	lua_pushinteger(L, proc_pss((pid_t)luaL_checkinteger(L, 1)));
	return 2;
}

static int l_clock(lua_State *L)
{
	lua_pushinteger(L, clock_mono_ms());
	lua_pushinteger(L, clock_mono_us());
	lua_pushinteger(L, clock_wall_ms());
	lua_pushstring(L, clock_boot_id());
	return 4;
}

static int l_clock_print(lua_State *L)
{
	char out[25];
	lua_pushstring(L, clock_print(luaL_checkinteger(L, 1), out, sizeof(out)));
	return 1;
}

static int l_ids(lua_State *L)
{
	lua_pushinteger(L, getpid());
	lua_pushinteger(L, geteuid());
	lua_pushinteger(L, getegid());
	return 3;
}

static void try_apart(int to, pid_t other, const char *from_file, const char *to_file)
{
	char path[64], said[100];
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (apart_enter_untraced() < 0) {
		dprintf(to, "no Landlock");
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)other); /* root may read an environment all the same */
	int fd = open(path, O_RDONLY | O_CLOEXEC), why = errno, own = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	snprintf(said, sizeof(said), "other %s own %s signal %s rename %s", fd < 0 ? strerror(why) : "read", own < 0 ? "no" : "yes",
		 kill(other, 0) == 0 ? "yes" : "no", rename(from_file, to_file) == 0 ? "yes" : strerror(errno));
	dprintf(to, "%s", said);
	_exit(0);
}

/* apart(pid, from, to): what a child can still do that is set apart as Linux 5.19 to 6.11 can. */
static int l_apart(lua_State *L)
{
	int ends[2], status;
	char said[200];
	pid_t other = (pid_t)luaL_checkinteger(L, 1);
	const char *from = luaL_checkstring(L, 2), *to = luaL_checkstring(L, 3);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return luaL_error(L, "no pipe");
	pid_t pid = fork();
	if (pid == 0)
		try_apart(ends[1], other, from, to);
	close(ends[1]);
	ssize_t n = read(ends[0], said, sizeof(said));
	close(ends[0]);
	waitpid(pid, &status, 0);
	lua_pushlstring(L, said, n > 0 ? (size_t)n : 0);
	return 1;
}

int luaopen_t_sys(lua_State *L);
int luaopen_t_sys(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "apart", l_apart },
		{ "pipe", l_pipe },
		{ "close", l_close },
		{ "nonblock", l_nonblock },
		{ "flags", l_flags },
		{ "try_read", l_try_read },
		{ "write", l_write },
		{ "open_dir", l_open_dir },
		{ "open_append", l_open_append },
		{ "dup_to", l_dup_to },
		{ "close_from", l_close_from },
		{ "read_file", l_read_file },
		{ "write_file", l_write_file },
		{ "replace_file", l_replace_file },
		{ "make_dirs", l_make_dirs },
		{ "raise_limit", l_raise_limit },
		{ "listen_tcp", l_listen_tcp },
		{ "connect_tcp", l_connect_tcp },
		{ "port", l_port },
		{ "listen_unix", l_listen_unix },
		{ "connect_unix", l_connect_unix },
		{ "connect_unix_own", l_connect_unix_own },
		{ "pair", l_pair },
		{ "accept", l_accept },
		{ "peer", l_peer },
		{ "send_fds", l_send_fds },
		{ "recv_fds", l_recv_fds },
		{ "proc", l_proc },
		{ "is_same", l_is_same },
		{ "signal_same", l_signal_same },
		{ "env", l_env },
		{ "cmdline", l_cmdline },
		{ "each", l_each },
		{ "port_holder", l_port_holder },
		{ "pidfd", l_pidfd },
		{ "memory", l_memory },
		{ "clock", l_clock },
		{ "clock_print", l_clock_print },
		{ "ids", l_ids },
		{ NULL, NULL },
	};
	luaL_newlib(L, words);
	return 1;
}
