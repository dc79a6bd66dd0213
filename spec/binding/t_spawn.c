/* t_spawn: births, waiting and signals for spec/core/spawn_spec.lua. */
#include <errno.h>
#include <lauxlib.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <lua.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sys/spawn.h"

enum { WORDS_MAX = 32 };

static lua_Integer field_int(lua_State *L, int table, const char *name, lua_Integer otherwise)
{
	lua_getfield(L, table, name);
	lua_Integer n = luaL_optinteger(L, -1, otherwise);
	lua_pop(L, 1);
	return n;
}

/* --- spawn --- */

/* Strings stay alive as long as the table does. NULL where the field is absent. */
static char **field_words(lua_State *L, int table, const char *name, char **room)
{
	if (lua_getfield(L, table, name) == LUA_TNIL) {
		lua_pop(L, 1);
		return NULL;
	}
	size_t n = lua_rawlen(L, -1);
	luaL_argcheck(L, n < WORDS_MAX, table, "too many words");
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i + 1);
		room[i] = (char *)luaL_checkstring(L, -1);
		lua_pop(L, 1);
	}
	room[n] = NULL;
	lua_pop(L, 1);
	return room;
}

/* Numbers of an array field; how many. */
static size_t field_ints(lua_State *L, int table, const char *name, lua_Integer *out, size_t room)
{
	size_t n = 0;
	if (lua_getfield(L, table, name) == LUA_TTABLE)
		for (; n < lua_rawlen(L, -1) && n < room; n++) {
			lua_rawgeti(L, -1, (lua_Integer)n + 1);
			out[n] = luaL_checkinteger(L, -1);
			lua_pop(L, 1);
		}
	lua_pop(L, 1);
	return n;
}

static void read_lists(lua_State *L, struct spawn *s, gid_t *groups, struct spawn_rlimit *rlimits)
{
	lua_Integer n[32];
	s->ngroups = field_ints(L, 1, "groups", n, 8);
	for (size_t i = 0; i < s->ngroups; i++)
		groups[i] = (gid_t)n[i];
	s->groups = groups;
	s->nrlimits = field_ints(L, 1, "rlimits", n, 12) / 3; /* resource, soft, hard, … */
	for (size_t i = 0; i < s->nrlimits; i++)
		rlimits[i] = (struct spawn_rlimit){ (int)n[3 * i], { (rlim_t)n[3 * i + 1], (rlim_t)n[3 * i + 2] } };
	s->rlimits = rlimits;
	s->nfds = field_ints(L, 1, "fds", n, 32) / 2; /* from, to, … */
	for (size_t i = 0; i < s->nfds && i < SPAWN_FDS_MAX; i++) {
		s->fds[i].from = (int)n[2 * i];
		s->fds[i].to = (int)n[2 * i + 1];
	}
	s->njoin = field_ints(L, 1, "join", n, SPAWN_JOIN_MAX);
	for (size_t i = 0; i < s->njoin; i++)
		s->join_fds[i] = (int)n[i];
}

/* spawn{…} -> {pid,pidfd,start_ticks,status_fd}, or nil, text, step, errno */
static int l_spawn(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	char *argv[WORDS_MAX], *envp[WORDS_MAX];
	gid_t groups[8];
	struct spawn_rlimit rlimits[4];
	struct spawn s = { .stdin_fd = (int)field_int(L, 1, "stdin", -1),
			   .stdout_fd = (int)field_int(L, 1, "stdout", -1),
			   .stderr_fd = (int)field_int(L, 1, "stderr", -1),
			   .into_fd = (int)field_int(L, 1, "into", -1),
			   .oom_score_adj = (int)field_int(L, 1, "oom_score_adj", 0),
			   .umask = (int)field_int(L, 1, "umask", -1),
			   .uid = (uid_t)field_int(L, 1, "uid", 0),
			   .gid = (gid_t)field_int(L, 1, "gid", 0),
			   .set_ids = field_int(L, 1, "uid", -1) >= 0 };
	s.argv = field_words(L, 1, "argv", argv);
	s.envp = field_words(L, 1, "env", envp);
	lua_getfield(L, 1, "path");
	s.path = luaL_optstring(L, -1, s.argv != NULL ? s.argv[0] : NULL);
	lua_getfield(L, 1, "cwd");
	s.cwd = luaL_optstring(L, -1, NULL);
	lua_getfield(L, 1, "no_new_privs");
	s.no_new_privs = lua_toboolean(L, -1);
	lua_getfield(L, 1, "is_apart");
	s.is_apart = lua_toboolean(L, -1);
	read_lists(L, &s, groups, rlimits);

	struct spawned out;
	struct spawn_failure failure;
	struct err err = { 0 };
	if (spawn_start(&s, &out, &failure, &err) < 0) {
		lua_pushnil(L);
		lua_pushstring(L, err.text);
		lua_pushinteger(L, failure.step);
		lua_pushinteger(L, failure.errnum);
		return 4;
	}
	lua_createtable(L, 0, 4);
	lua_pushinteger(L, out.pid), lua_setfield(L, -2, "pid");
	lua_pushinteger(L, out.pidfd), lua_setfield(L, -2, "pidfd");
	lua_pushinteger(L, (lua_Integer)out.start_ticks), lua_setfield(L, -2, "start_ticks");
	lua_pushinteger(L, out.status_fd), lua_setfield(L, -2, "status_fd");
	return 1;
}

/* status(fd) -> "exec", or "failed", step, errno, or nil while not known */
static int l_status(lua_State *L)
{
	struct spawn_failure f;
	ssize_t n = read((int)luaL_checkinteger(L, 1), &f, sizeof(f));
	if (n < 0)
		return 0;
	lua_pushstring(L, n == 0 ? "exec" : "failed");
	if (n == 0)
		return 1;
	lua_pushinteger(L, f.step);
	lua_pushinteger(L, f.errnum);
	return 3;
}

static int l_step_name(lua_State *L)
{
	lua_pushstring(L, spawn_step_name((int)luaL_checkinteger(L, 1)));
	return 1;
}

static int l_find(lua_State *L)
{
	char out[512];
	struct err err = { 0 };
	if (spawn_find(luaL_checkstring(L, 1), luaL_checkstring(L, 2), out, sizeof(out), &err) < 0) {
		lua_pushnil(L);
		lua_pushstring(L, err.text);
		lua_pushinteger(L, err.code);
		return 3;
	}
	lua_pushstring(L, out);
	return 1;
}

/* try_wait(pid) -> "exit", code | "signal", number | nothing while it lives | "none" */
static int l_try_wait(lua_State *L)
{
	int status;
	pid_t r = waitpid((pid_t)luaL_checkinteger(L, 1), &status, WNOHANG);
	if (r == 0)
		return 0;
	lua_pushstring(L, r < 0 ? "none" : WIFEXITED(status) ? "exit" : "signal");
	lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return 2;
}

static int l_kill(lua_State *L)
{
	lua_pushboolean(L, kill((pid_t)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)) == 0);
	return 1;
}

/* block_signal(signo, on) for this thread */
static int l_block_signal(lua_State *L)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, (int)luaL_checkinteger(L, 1));
	sigprocmask(lua_toboolean(L, 2) ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
	return 0;
}

static int l_ignore_signal(lua_State *L)
{
	signal((int)luaL_checkinteger(L, 1), lua_toboolean(L, 2) ? SIG_IGN : SIG_DFL);
	return 0;
}

static int l_dumpable(lua_State *L)
{
	lua_pushinteger(L, prctl(PR_GET_DUMPABLE));
	return 1;
}

/* From now on this process and its children get that errno, as under an old kernel or a container's filter */
static int deny(lua_State *L, int call)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)luaL_checkinteger(L, 1)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	bool ok = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
	lua_pushboolean(L, ok);
	return 1;
}

/* deny_clone3(errno), deny_ppoll(errno) */
static int l_deny_clone3(lua_State *L)
{
	return deny(L, SYS_clone3);
}

static int l_deny_ppoll(lua_State *L)
{
	return deny(L, SYS_ppoll);
}

int luaopen_t_spawn(lua_State *L);
int luaopen_t_spawn(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "spawn", l_spawn },
		{ "status", l_status },
		{ "step_name", l_step_name },
		{ "find", l_find },
		{ "try_wait", l_try_wait },
		{ "kill", l_kill },
		{ "block_signal", l_block_signal },
		{ "ignore_signal", l_ignore_signal },
		{ "deny_clone3", l_deny_clone3 },
		{ "deny_ppoll", l_deny_ppoll },
		{ "dumpable", l_dumpable },
		{ NULL, NULL },
	};
	luaL_newlib(L, words);
	return 1;
}
