/*
 * bind.members: who lives in a process's box, read when somebody asks: cgroup.procs and /proc/PID/stat, never a command line.
 *   of(cgroup, pid, most) → { { pid, parentPid, name, state, memoryBytes, cpuSeconds }, … }, total
 * cgroup: the box's folder, "" = without boxes: pid and what it started, by their parents. total: how many live there; those beyond most, and those that
 * /proc hides from us, are only counted. Without boxes who has begun within the last two seconds may be missing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/toc.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/proc.h"

#define MOST_MAX   256
#define BYTES_MAX  (64 * 1024) /* of cgroup.procs: some 9,000 processes; those beyond are not even counted */
#define FAMILY_MAX 4096
#define FAMILY_MS  2000 /* one look at all processes serves who asks within that time: a list of processes asks for each row */

struct pids {
	pid_t pid[MOST_MAX], parent[MOST_MAX]; /* parent 0: not looked at */
	size_t n, most, total;
};

static void add(struct pids *l, pid_t pid, pid_t parent)
{
	if (l->n < l->most) {
		l->parent[l->n] = parent;
		l->pid[l->n++] = pid;
	}
	l->total++;
}

static void read_box(struct pids *l, const char *cgroup)
{
	static char bytes[BYTES_MAX + 1]; /* one thread runs Lua */
	char path[600];
	size_t len = 0;
	int n = snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	int fd = n > 0 && (size_t)n < sizeof(path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	for (ssize_t got; fd >= 0 && len < BYTES_MAX && (got = read(fd, bytes + len, BYTES_MAX - len)) > 0;)
		len += (size_t)got;
	fds_close(&fd);
	bytes[len] = '\0';
	for (char *at = bytes, *end; (end = strchr(at, '\n')); at = end + 1) {
		long pid = strtol(at, NULL, 10);
		if (pid > 0)
			add(l, (pid_t)pid, 0);
	}
}

/* --- without boxes --- */

static struct { /* one thread runs Lua */
	struct {
		pid_t pid, ppid;
	} of[FAMILY_MAX];
	size_t n;
	int64_t read_ms; /* monotonic; 0 = never */
} family;

static bool note(void *data, pid_t pid)
{
	struct proc_stat st;
	(void)data;
	if (proc_read(pid, &st) == 0) {
		family.of[family.n].pid = pid;
		family.of[family.n++].ppid = st.ppid;
	}
	return family.n < FAMILY_MAX;
}

static void read_family(struct pids *l, pid_t first)
{
	int64_t now = clock_mono_ms();
	if (!family.read_ms || now - family.read_ms >= FAMILY_MS) {
		family.n = 0;
		family.read_ms = proc_each(note, NULL, NULL) < 0 ? 0 : now;
	}
	add(l, first, 0);
	for (size_t at = 0; at < l->n; at++)
		for (size_t i = 0; i < family.n; i++)
			if (family.of[i].ppid == l->pid[at])
				add(l, family.of[i].pid, l->pid[at]);
}

static void put_int(lua_State *L, const char *name, int64_t v)
{
	lua_pushinteger(L, v);
	lua_setfield(L, -2, name);
}

static int members_of(lua_State *L)
{
	const char *cgroup = arg_text(L, 1, NULL);
	pid_t pid = (pid_t)luaL_checkinteger(L, 2);
	lua_Integer most = luaL_checkinteger(L, 3), shown = 0;
	struct pids l = { .n = 0 };
	luaL_argcheck(L, most > 0 && most <= MOST_MAX, 3, "no such number of members");
	luaL_argcheck(L, pid > 0, 2, "no pid");
	l.most = (size_t)most;
	if (*cgroup)
		read_box(&l, cgroup);
	else
		read_family(&l, pid);
	lua_createtable(L, (int)l.n, 0);
	for (size_t i = 0; i < l.n; i++) {
		struct proc_stat st;
		char state[2] = "";
		if (proc_read(l.pid[i], &st) < 0 || (l.parent[i] && st.ppid != l.parent[i])) /* gone, or another of that number */
			continue;
		state[0] = st.state;
		for (char *at = st.comm; *at; at++) /* a process names itself as it likes */
			if ((signed char)*at < 0x20 || *at == 0x7f)
				*at = '?';
		lua_createtable(L, 0, 6);
		put_int(L, "pid", st.pid);
		put_int(L, "parentPid", st.ppid);
		put_int(L, "memoryBytes", st.rss_bytes);
		lua_pushstring(L, st.comm);
		lua_setfield(L, -2, "name");
		lua_pushstring(L, state);
		lua_setfield(L, -2, "state");
		lua_pushnumber(L, (double)st.cpu_ms / 1000);
		lua_setfield(L, -2, "cpuSeconds");
		lua_rawseti(L, -2, ++shown);
	}
	lua_pushinteger(L, (lua_Integer)l.total);
	return 2;
}

int bind_members_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "of", members_of }, { NULL, NULL } };
	luaL_newlib(L, functions);
	return 1;
}
