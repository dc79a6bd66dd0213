#ifndef DSS_SYS_CGROUP_H
#define DSS_SYS_CGROUP_H
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"
/*
 * cgroup: one tree of boxes on cgroup v1, v2, a hybrid of both, or nothing at all. A box is named by a path relative
 * to the tree's root ("warm/fek-1"); its parents are made on the way and hold no process. Modes:
 *   v2      limits, births (CLONE_INTO_CGROUP), cgroup.kill, memory.oom.group
 *   v1      a directory in each of memory, pids, cpu, cpuacct, freezer (those mounted); births by joining
 *   hybrid  v1 controllers for limits, and the v2 mount beside them for membership, kill and emptiness
 *   none    no directories; usage by /proc, members by what the caller says (cgroup_none_*); `limits` is false
 * Every function that takes a path accepts only [A-Za-z0-9_.:()-] segments without "..".
 */
struct cgroup;

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

enum cgroup_knob {
	CGROUP_MEMORY,      /* bytes, -1 = no limit */
	CGROUP_SWAP,        /* bytes beyond memory, -1 = no limit; 0 on every leaf by default */
	CGROUP_PIDS,        /* processes and threads, -1 = no limit */
	CGROUP_CPU,         /* thousandths of a core, -1 = no limit */
	CGROUP_CPU_WEIGHT,  /* 1..10000, 100 = normal */
};

struct cgroup_usage {   /* -1 where this mode cannot tell */
	int64_t memory_bytes;         /* working set: current - inactive_file */
	int64_t current_bytes, peak_bytes, limit_bytes;
	int64_t rss_bytes;            /* anonymous + mapped, where told */
	int64_t cpu_ms;
	int64_t pids;
	int64_t oom_kills;            /* processes of this very box that the kernel killed for memory */
	int64_t pids_refused;         /* forks refused by the pids limit of this very box */
};

struct cgroup_oom {
	int64_t kills;                /* as oom_kills above, summed over the leaf */
	char owner[256];              /* path of the level whose limit was hit since `cgroup_oom_mark`; "" = none of ours (host) */
	int64_t owner_limit_bytes;
};

struct cgroup_birth {             /* what spawn needs; closed by cgroup_birth_fini */
	int into_fd;                  /* -1 unless v2 or hybrid */
	int join_fds[8];
	int njoin;
};

/* want: "auto", "v2", "v1", "none". name: the root's name, "dss-ID". On v2 the root is made under the caller's own
 * cgroup if that is delegated (DIR writable), with controllers enabled down the tree; the caller itself must then move to a leaf
 * (cgroup_attach). "auto" falls back to none and says why in `note` (room bytes). owner: uid that may not write here (all
 * directories stay the caller's). */
int cgroup_open(struct cgroup **out, const char *name, const char *want, char *note, size_t room, struct err *err);
void cgroup_close(struct cgroup **cg);                       /* removes nothing */
enum cgroup_mode cgroup_mode(const struct cgroup *cg);
const char *cgroup_mode_name(const struct cgroup *cg);       /* "v2", "v1", "hybrid", "none" */
bool cgroup_has(const struct cgroup *cg, enum cgroup_knob knob);
/* The path an admin can look at, e.g. "/sys/fs/cgroup/memory/dss-7/warm/fek-1"; "" in mode none. */
const char *cgroup_where(const struct cgroup *cg, const char *path, char *out, size_t room);

int cgroup_make(struct cgroup *cg, const char *path, struct err *err);          /* an existing one is fine */
int cgroup_set(struct cgroup *cg, const char *path, enum cgroup_knob knob, int64_t value, struct err *err);
int cgroup_birth(struct cgroup *cg, const char *path, struct cgroup_birth *out, struct err *err);
void cgroup_birth_fini(struct cgroup_birth *b);
int cgroup_attach(struct cgroup *cg, const char *path, pid_t pid, struct err *err);
int cgroup_usage(struct cgroup *cg, const char *path, struct cgroup_usage *out, struct err *err);

/* Remembers the counters of the leaf and of every level above it; compare with cgroup_oom after a death. */
struct cgroup_mark { int64_t kills; int64_t level[8]; int nlevels; };
int cgroup_oom_mark(struct cgroup *cg, const char *path, struct cgroup_mark *mark, struct err *err);
int cgroup_oom_since(struct cgroup *cg, const char *path, const struct cgroup_mark *mark, struct cgroup_oom *out, struct err *err);
/* v1, hybrid: an eventfd that becomes readable when an OOM happens in or above this box; -1 with err->code ENOTSUP where
 * the kernel kills the group itself (v2) or nothing tells (none). Owned by the caller. */
int cgroup_oom_fd(struct cgroup *cg, const char *path, struct err *err);

/* Kills every member, also those that fork while it runs (v2, hybrid: cgroup.kill; v1: freeze, kill, thaw). */
int cgroup_kill(struct cgroup *cg, const char *path, struct err *err);
int cgroup_freeze(struct cgroup *cg, const char *path, bool on, struct err *err);
int cgroup_is_empty(struct cgroup *cg, const char *path, struct err *err);      /* 1, 0, or -1; a missing box is empty */
/* Members, own and of boxes below; the count (may pass room), or -1. */
int cgroup_members(struct cgroup *cg, const char *path, pid_t *out, int room, struct err *err);
/* Removes a box and the empty boxes below it; EBUSY while someone lives there. Parents stay. */
int cgroup_remove(struct cgroup *cg, const char *path, struct err *err);
/* Paths of all boxes (depth first, children before parents); for finding what a dead keeper left. */
typedef void cgroup_fn(void *data, const char *path);
int cgroup_each(struct cgroup *cg, cgroup_fn *fn, void *data, struct err *err);

/* Mode none: which process leads a box (usage is read from its tree in /proc). */
void cgroup_none_member(struct cgroup *cg, const char *path, pid_t pid);

#endif
