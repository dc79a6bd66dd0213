#ifndef DSS_SYS_SPAWN_H
#define DSS_SYS_SPAWN_H
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/resource.h>
#include "base/err.h"
/*
 * spawn: one process from a full description. Nothing is inherited but what is named here: environment, descriptors,
 * groups, signal mask and dispositions are all built. Between birth and exec the child makes async-signal-safe calls only.
 *
 * Two ways to be born. With into_fd >= 0 (cgroup v2) or no join at all: raw clone3(CLONE_VM|CLONE_VFORK|CLONE_PIDFD
 * [|CLONE_INTO_CGROUP]); exec's outcome is known on return. With njoin > 0 (cgroup v1): fork, and the child joins
 * itself; status_fd then tells the outcome later: end of file = exec succeeded, a `struct spawn_failure` = it did not.
 * Where clone3 is missing (ENOSYS, EPERM) every birth is by fork and tells later: look at status_fd, never at the way.
 *
 * Steps in order: session, join, descriptors, limits and OOM score, groups and effective ids, directory (entered with
 * the new user's rights), umask, no_new_privs and is_apart, real and saved ids, signals, exec. In the first way the parent stands
 * until exec, so a directory or program on a hung disk holds it up.
 */

#define SPAWN_JOIN_MAX 8
#define SPAWN_FDS_MAX  10

enum spawn_step { SPAWN_JOIN, SPAWN_IDS, SPAWN_RLIMIT, SPAWN_CWD, SPAWN_FDS, SPAWN_PRIVS, SPAWN_EXEC };

struct spawn_failure {
	int step; /* enum spawn_step */
	int errnum;
};

struct spawn_rlimit {
	int resource; /* RLIMIT_… */
	struct rlimit value;
};

struct spawn {
	const char *path; /* absolute; searched for nowhere */
	char *const *argv, *const *envp;
	const char *cwd; /* NULL = "/" */
	bool set_ids;    /* uid, gid and groups below are taken (needs root) */
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t ngroups;
	const struct spawn_rlimit *rlimits;
	size_t nrlimits;
	int stdin_fd, stdout_fd, stderr_fd; /* -1 = /dev/null */
	struct {
		int from, to;
	} fds[SPAWN_FDS_MAX]; /* to >= 3 */
	size_t nfds;
	int into_fd;                  /* cgroup v2 directory, or -1 */
	int join_fds[SPAWN_JOIN_MAX]; /* v1: open cgroup.procs files; the child writes "0" */
	size_t njoin;
	bool no_new_privs;
	bool is_apart;     /* with no_new_privs: as apart.h says */
	int oom_score_adj; /* 0 = leave; lowering is tried, and let go where it is not allowed */
	int umask;         /* -1 = 022 */
};

struct spawned {
	pid_t pid;
	int pidfd;            /* owned by the caller */
	uint64_t start_ticks; /* as proc.h */
	int status_fd;        /* -1 = exec has succeeded; else owned by the caller, non-blocking */
};

/* 0; or -1 and *failure says at which step (step -1: no process could be made; errnum EAGAIN, ENOMEM, …). The child is
 * a session leader. err's text names path and step. Strings and arrays are borrowed until return. */
int spawn_start(const struct spawn *s, struct spawned *out, struct spawn_failure *failure, struct err *err);

/* "exec", "change to its directory", … for a text. */
const char *spawn_step_name(int step);

/* Finds a program: absolute paths as they are, else along `path_list` ("/usr/bin:/bin"). 0 or -1 (ENOENT, EACCES). */
int spawn_find(const char *name, const char *path_list, char *out, size_t room, struct err *err);

#endif
