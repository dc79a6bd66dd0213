/* t_cgroup: core/sys/cgroup.h for specs, and births into boxes through core/sys/spawn.h. */
#include <errno.h>
#include <fcntl.h>
#include <lua.h>
#include <lauxlib.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sys/cgroup.h"
#include "sys/spawn.h"

#define META     "t_cgroup"
#define ARGS_MAX 16

static const char *const knob_names[] = { "memory", "swap", "pids", "cpu", "cpu_weight", NULL };

static struct cgroup *self_of(lua_State *L)
{
	struct cgroup **cg = luaL_checkudata(L, 1, META);
	luaL_argcheck(L, *cg, 1, "closed");
	return *cg;
}

/* nil, text, errno */
static int fail(lua_State *L, const struct err *err)
{
	lua_pushnil(L);
	lua_pushstring(L, err->text);
	lua_pushinteger(L, err->code);
	return 3;
}

static int done(lua_State *L, int rc, const struct err *err)
{
	if (rc < 0)
		return fail(L, err);
	lua_pushinteger(L, rc);
	return 1;
}

static int l_open(lua_State *L)
{
	struct err err = { 0 };
	char note[512];
	struct cgroup **cg = lua_newuserdatauv(L, sizeof(*cg), 0);
	*cg = NULL;
	luaL_setmetatable(L, META);
	if (cgroup_open(cg, luaL_checkstring(L, 1), luaL_checkstring(L, 2), note, sizeof(note), &err) < 0)
		return fail(L, &err);
	lua_pushstring(L, note);
	return 2;
}

static int l_close(lua_State *L)
{
	cgroup_close(luaL_checkudata(L, 1, META));
	return 0;
}

static int l_mode(lua_State *L)
{
	lua_pushstring(L, cgroup_mode_name(self_of(L)));
	return 1;
}

static int l_has(lua_State *L)
{
	lua_pushboolean(L, cgroup_has(self_of(L), (enum cgroup_knob)luaL_checkoption(L, 2, NULL, knob_names)));
	return 1;
}

static int l_where(lua_State *L)
{
	char out[1024];
	lua_pushstring(L, cgroup_where(self_of(L), luaL_checkstring(L, 2), out, sizeof(out)));
	return 1;
}

static int l_make(lua_State *L)
{
	struct err err = { 0 };
	return done(L, cgroup_make(self_of(L), luaL_checkstring(L, 2), &err), &err);
}

static int l_set(lua_State *L)
{
	struct err err = { 0 };
	enum cgroup_knob knob = (enum cgroup_knob)luaL_checkoption(L, 3, NULL, knob_names);
	return done(L, cgroup_set(self_of(L), luaL_checkstring(L, 2), knob, luaL_checkinteger(L, 4), &err), &err);
}

static int l_attach(lua_State *L)
{
	struct err err = { 0 };
	return done(L, cgroup_attach(self_of(L), luaL_checkstring(L, 2), (pid_t)luaL_optinteger(L, 3, getpid()), &err), &err);
}

static int l_usage(lua_State *L)
{
	struct err err = { 0 };
	struct cgroup_usage u;
	if (cgroup_usage(self_of(L), luaL_checkstring(L, 2), &u, &err) < 0)
		return fail(L, &err);
	const struct {
		const char *name;
		int64_t value;
	} fields[] = {
		{ "memory_bytes", u.memory_bytes },
		{ "current_bytes", u.current_bytes },
		{ "peak_bytes", u.peak_bytes },
		{ "limit_bytes", u.limit_bytes },
		{ "rss_bytes", u.rss_bytes },
		{ "cpu_ms", u.cpu_ms },
		{ "pids", u.pids },
		{ "oom_kills", u.oom_kills },
		{ "pids_refused", u.pids_refused },
	};
	lua_newtable(L);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		lua_pushinteger(L, fields[i].value);
		lua_setfield(L, -2, fields[i].name);
	}
	return 1;
}

/* A mark travels as its bytes, as a keeper that writes it down would do. */
static int l_mark(lua_State *L)
{
	struct err err = { 0 };
	struct cgroup_mark mark;
	if (cgroup_oom_mark(self_of(L), luaL_checkstring(L, 2), &mark, &err) < 0)
		return fail(L, &err);
	lua_pushlstring(L, (const char *)&mark, sizeof(mark));
	return 1;
}

static int l_since(lua_State *L)
{
	struct err err = { 0 };
	struct cgroup_mark mark;
	struct cgroup_oom oom;
	size_t len;
	const char *bytes = luaL_checklstring(L, 3, &len);
	luaL_argcheck(L, len == sizeof(mark), 3, "no mark");
	memcpy(&mark, bytes, sizeof(mark));
	if (cgroup_oom_since(self_of(L), luaL_checkstring(L, 2), &mark, &oom, &err) < 0)
		return fail(L, &err);
	lua_createtable(L, 0, 3);
	lua_pushinteger(L, oom.kills);
	lua_setfield(L, -2, "kills");
	lua_pushstring(L, oom.owner);
	lua_setfield(L, -2, "owner");
	lua_pushinteger(L, oom.owner_limit_bytes);
	lua_setfield(L, -2, "owner_limit_bytes");
	return 1;
}

static int l_oom_fd(lua_State *L)
{
	struct err err = { 0 };
	return done(L, cgroup_oom_fd(self_of(L), luaL_checkstring(L, 2), &err), &err);
}

static int l_kill(lua_State *L)
{
	struct err err = { 0 };
	return done(L, cgroup_kill(self_of(L), luaL_checkstring(L, 2), &err), &err);
}

static int l_freeze(lua_State *L)
{
	struct err err = { 0 };
	return done(L, cgroup_freeze(self_of(L), luaL_checkstring(L, 2), lua_toboolean(L, 3), &err), &err);
}

static int l_is_empty(lua_State *L)
{
	struct err err = { 0 };
	int rc = cgroup_is_empty(self_of(L), luaL_checkstring(L, 2), &err);
	if (rc < 0)
		return fail(L, &err);
	lua_pushboolean(L, rc);
	return 1;
}

/* members(path, room = 256) → { pid, … }, count */
static int l_members(lua_State *L)
{
	struct err err = { 0 };
	pid_t pids[256];
	int room = (int)luaL_optinteger(L, 3, 256);
	luaL_argcheck(L, room >= 0 && room <= 256, 3, "0..256");
	int n = cgroup_members(self_of(L), luaL_checkstring(L, 2), pids, room, &err);
	if (n < 0)
		return fail(L, &err);
	lua_newtable(L);
	for (int i = 0; i < n && i < room; i++) {
		lua_pushinteger(L, pids[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_pushinteger(L, n);
	return 2;
}

static int l_remove(lua_State *L)
{
	struct err err = { 0 };
	return done(L, cgroup_remove(self_of(L), luaL_checkstring(L, 2), &err), &err);
}

static int l_leave(lua_State *L)
{
	struct err err = { 0 };
	return done(L, cgroup_leave(self_of(L), &err), &err);
}

static void add_path(void *data, const char *path)
{
	lua_State *L = data;
	lua_pushstring(L, path);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static int l_each(lua_State *L)
{
	struct err err = { 0 };
	struct cgroup *cg = self_of(L);
	lua_newtable(L);
	return cgroup_each(cg, add_path, L, &err) < 0 ? fail(L, &err) : 1;
}

/* Waits for exec's outcome where it comes later. */
static int await_exec(struct spawned *child, struct err *err)
{
	struct spawn_failure failure;
	ssize_t n = 0;
	struct pollfd p = { child->status_fd, POLLIN, 0 };
	if (child->status_fd < 0)
		return 0;
	if (poll(&p, 1, 10000) == 1)
		n = read(child->status_fd, &failure, sizeof(failure));
	close(child->status_fd);
	return n <= 0 ? 0 : err_sys(err, failure.errnum, "unable to %s", spawn_step_name(failure.step));
}

/* spawn(path, arg0, …) → pid, born in the box */
static int l_spawn(lua_State *L)
{
	struct err err = { 0 };
	struct cgroup *cg = self_of(L);
	const char *path = luaL_checkstring(L, 2);
	char *argv[ARGS_MAX + 1] = { NULL }, *envp[] = { (char *)"PATH=/usr/bin:/bin", NULL };
	int n = lua_gettop(L) - 2;
	luaL_argcheck(L, n >= 1 && n <= ARGS_MAX, 3, "1..16 arguments");
	for (int i = 0; i < n; i++)
		argv[i] = (char *)luaL_checkstring(L, 3 + i);
	struct cgroup_birth birth;
	if (cgroup_birth(cg, path, &birth, &err) < 0)
		return fail(L, &err);
	struct spawn s = { .path = argv[0],
			   .argv = argv,
			   .envp = envp,
			   .stdin_fd = -1,
			   .stdout_fd = -1,
			   .stderr_fd = -1,
			   .into_fd = birth.into_fd,
			   .njoin = (size_t)birth.njoin,
			   .umask = -1 };
	memcpy(s.join_fds, birth.join_fds, sizeof(int) * (size_t)birth.njoin);
	struct spawned child;
	struct spawn_failure failure;
	int rc = spawn_start(&s, &child, &failure, &err);
	cgroup_birth_fini(&birth);
	if (rc < 0 || await_exec(&child, &err) < 0)
		return fail(L, &err);
	close(child.pidfd);
	cgroup_none_member(cg, path, child.pid);
	lua_pushinteger(L, child.pid);
	return 1;
}

/* ended(pid) → false while it lives; "exited", code | "killed", signal: reaps it */
static int l_ended(lua_State *L)
{
	int status;
	pid_t pid = waitpid((pid_t)luaL_checkinteger(L, 1), &status, WNOHANG);
	if (pid < 0)
		return luaL_error(L, "waitpid: %s", strerror(errno));
	if (pid == 0) {
		lua_pushboolean(L, 0);
		return 1;
	}
	lua_pushstring(L, WIFEXITED(status) ? "exited" : "killed");
	lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return 2;
}

static int l_signal(lua_State *L)
{
	lua_pushboolean(L, kill((pid_t)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)) == 0);
	return 1;
}

static int l_is_readable(lua_State *L)
{
	struct pollfd p = { (int)luaL_checkinteger(L, 1), POLLIN, 0 };
	lua_pushboolean(L, poll(&p, 1, 0) == 1);
	return 1;
}

static int l_close_fd(lua_State *L)
{
	close((int)luaL_checkinteger(L, 1));
	return 0;
}

static int l_pid(lua_State *L)
{
	lua_pushinteger(L, getpid());
	return 1;
}

static int l_mkdir(lua_State *L)
{
	lua_pushboolean(L, mkdir(luaL_checkstring(L, 1), 0755) == 0);
	return 1;
}

static int l_rmdir(lua_State *L)
{
	lua_pushboolean(L, rmdir(luaL_checkstring(L, 1)) == 0);
	return 1;
}

int luaopen_t_cgroup(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "mode", l_mode },         { "has", l_has },         { "where", l_where },   { "make", l_make },
		{ "set", l_set },           { "attach", l_attach },   { "usage", l_usage },   { "mark", l_mark },
		{ "since", l_since },       { "oom_fd", l_oom_fd },   { "kill", l_kill },     { "freeze", l_freeze },
		{ "is_empty", l_is_empty }, { "members", l_members }, { "remove", l_remove }, { "each", l_each },
		{ "spawn", l_spawn },       { "close", l_close },     { "leave", l_leave },   { NULL, NULL },
	};
	static const luaL_Reg words[] = {
		{ "open", l_open },
		{ "ended", l_ended },
		{ "signal", l_signal },
		{ "is_readable", l_is_readable },
		{ "close_fd", l_close_fd },
		{ "pid", l_pid },
		{ "mkdir", l_mkdir },
		{ "rmdir", l_rmdir },
		{ NULL, NULL },
	};
	luaL_newmetatable(L, META);
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, l_close);
	lua_setfield(L, -2, "__gc");
	luaL_newlib(L, words);
	return 1;
}
