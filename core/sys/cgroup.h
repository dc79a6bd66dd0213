#ifndef DSS_SYS_CGROUP_H
#define DSS_SYS_CGROUP_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"
/*
 * cgroup: one tree of boxes on cgroup v1, v2, a hybrid of both, or nothing at all. A box is named by a path relative
 * to the tree's root ("warm/fek-1"; "" is the root itself); its parents are made on the way and hold no process. Modes:
 *   v2      limits, births (CLONE_INTO_CGROUP), cgroup.kill, memory.oom.group
 *   v1      a directory in each of memory, pids, cpu, cpuacct, freezer (those mounted); births by joining
 *   hybrid  v1 controllers for limits, and the v2 mount beside them for membership, kill, freeze, emptiness and CPU time
 *   none    no directories; usage by /proc, members by what the caller says (cgroup_none_*); no limits (cgroup_has)
 * Every function that takes a path accepts only ids (text_is_id) joined by "/", at most CGROUP_DEPTH_MAX of them.
 *
 * The order on v2, where a cgroup with processes may not hand controllers to its children:
 *   cgroup_open → cgroup_make("core/keeper") → cgroup_attach("core/keeper", getpid()) → everything else.
 * The attach empties the caller's old cgroup and enables the controllers down the tree; before it, boxes can be made but
 * not limited. The other modes do not mind the same order.
 *
 *     if (cgroup_open(&cg, "dss-7", "auto", note, sizeof(note), &err) < 0) ...
 *     cgroup_make(cg, "warm/fek-1", &err);
 *     cgroup_set(cg, "warm/fek-1", CGROUP_MEMORY, 3 << 30, &err);
 *     cgroup_birth(cg, "warm/fek-1", &birth, &err); ... spawn_start ...; cgroup_birth_fini(&birth);
 */
struct cgroup;

#define CGROUP_DEPTH_MAX  7    /* segments of a path */
#define CGROUP_PATH_MAX   1024 /* bytes of a path */
#define CGROUP_LEVELS_MAX (CGROUP_DEPTH_MAX + 1)

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

enum cgroup_knob {
	CGROUP_MEMORY,     /* bytes, -1 = no limit */
	CGROUP_SWAP,       /* bytes beyond memory, -1 = no limit; 0 on every leaf by default */
	CGROUP_PIDS,       /* processes and threads, -1 = no limit */
	CGROUP_CPU,        /* thousandths of a core (least 10), -1 = no limit */
	CGROUP_CPU_WEIGHT, /* 1..10000, 100 = normal */
};

struct cgroup_usage {         /* -1 where this mode cannot tell; boxes below are summed unless said otherwise */
	int64_t memory_bytes; /* working set: current - inactive_file */
	int64_t current_bytes, peak_bytes, limit_bytes;
	int64_t rss_bytes; /* anonymous + mapped, where told */
	int64_t cpu_ms;
	int64_t pids;         /* threads too; mode none: processes only */
	int64_t oom_kills;    /* processes of this very box that the kernel killed for memory */
	int64_t pids_refused; /* forks refused by the pids limit of this very box */
};

struct cgroup_oom {
	int64_t kills;               /* processes of this very box killed for memory since the mark */
	char owner[CGROUP_PATH_MAX]; /* path of the level whose limit was hit ("." = the tree's root); "" = none of ours (host) */
	int64_t owner_limit_bytes;   /* -1 without an owner */
};

struct cgroup_birth {    /* what spawn needs; closed by cgroup_birth_fini */
	int into_fd;     /* v2, a box never killed; else -1 */
	int join_fds[8]; /* open cgroup.procs files: v1, hybrid (the v2 one among them), v2 where into_fd is -1 */
	int njoin;
};

/* want: "auto", "v2", "hybrid", "v1", "none". name: an id, the root's name, "dss-ID". The root is made
 *   v1, hybrid  at the root of each hierarchy if that is writable, else under the caller's own cgroup in it;
 *   v2          under the caller's own cgroup if that is writable and holds no other process (systemd: Delegate=yes), else, as
 *               root, at the mount's root. A caller that already lives in a tree of that name gets that tree.
 * "auto" takes what has the memory controller, falls back to none, and says why in `note` (room bytes; "" = all is well). */
int cgroup_open(struct cgroup **out, const char *name, const char *want, char *note, size_t room, struct err *err);
void cgroup_close(struct cgroup **cg); /* removes nothing */
enum cgroup_mode cgroup_mode(const struct cgroup *cg);
const char *cgroup_mode_name(const struct cgroup *cg); /* "v2", "v1", "hybrid", "none" */
bool cgroup_has(const struct cgroup *cg, enum cgroup_knob knob);
/* The path an admin can look at, e.g. "/sys/fs/cgroup/memory/dss-7/warm/fek-1"; "" in mode none. Returns out. */
const char *cgroup_where(const struct cgroup *cg, const char *path, char *out, size_t room);

/* OOM kills in the box at `where` (from cgroup_where) since it was made; 0 also where nothing counts. For who may not open the tree. */
int64_t cgroup_kills_at(const char *where);
/* The same for who looks often: the counter's descriptor, or -1 where nothing counts; and the count now, -1 where the box has gone. */
int cgroup_kills_open(const char *where);
int64_t cgroup_kills_read(int fd);

int cgroup_make(struct cgroup *cg, const char *path, struct err *err); /* an existing one is fine */
/* Errors by code: EBUSY a memory limit below what is in use and cannot be reclaimed (nothing is killed for it),
 * ENOTSUP not in this mode, EINVAL out of range or refused beside the limits of other levels (v1: CPU). */
int cgroup_set(struct cgroup *cg, const char *path, enum cgroup_knob knob, int64_t value, struct err *err);
int cgroup_birth(struct cgroup *cg, const char *path, struct cgroup_birth *out, struct err *err);
void cgroup_birth_fini(struct cgroup_birth *b);
int cgroup_attach(struct cgroup *cg, const char *path, pid_t pid, struct err *err);
int cgroup_usage(struct cgroup *cg, const char *path, struct cgroup_usage *out, struct err *err);
/* What is asked after an end, in few readings: cpu_ms, peak_bytes, limit_bytes, oom_kills and, if wanted, pids_refused; the rest is -1. */
int cgroup_tally(struct cgroup *cg, const char *path, bool with_refused, struct cgroup_usage *out, struct err *err);

/* Remembers the counters of the leaf and of every level above it; compare with cgroup_oom_since after a death. Plain
 * numbers: may be written down and used with another handle (then v1 is less sure of the owner, see cgroup_v1_oom.c). */
struct cgroup_mark {
	int64_t kills;
	int nlevels;                      /* [0] = the leaf, [nlevels - 1] = the root */
	int64_t level[CGROUP_LEVELS_MAX]; /* times this level's own limit was hit */
	int64_t event[CGROUP_LEVELS_MAX]; /* v1, hybrid: OOMs of this level by this handle; -1 = not watched */
	uint64_t epoch;                   /* the handle whose `event` counts these are */
};
int cgroup_oom_mark(struct cgroup *cg, const char *path, struct cgroup_mark *mark, struct err *err);
int cgroup_oom_since(struct cgroup *cg, const char *path, const struct cgroup_mark *mark, struct cgroup_oom *out, struct err *err);
/* v1, hybrid: an eventfd that becomes readable when an OOM happens in or above this box (and when the box is removed); -1 with
 * err->code ENOTSUP where the kernel kills the group itself (v2) or nothing tells (none). Owned by the caller, who never reads it: its
 * count is shared with the marks, and cgroup_oom_drain makes it unreadable again. */
int cgroup_oom_fd(struct cgroup *cg, const char *path, struct err *err);
void cgroup_oom_drain(struct cgroup *cg, const char *path, int fd);

/* Kills every member, own and of boxes below, also those that fork while it runs (v2, hybrid: cgroup.kill; v1: freeze, kill,
 * thaw). Does not wait for their end. The caller itself is never killed: EINVAL where it lives in the box. */
int cgroup_kill(struct cgroup *cg, const char *path, struct err *err);
int cgroup_freeze(struct cgroup *cg, const char *path, bool on, struct err *err); /* asked for, not awaited */
int cgroup_is_empty(struct cgroup *cg, const char *path, struct err *err);        /* 1, 0, or -1; a missing box is empty */
/* Members, own and of boxes below; the count (may pass room), or -1. A missing box has none. */
int cgroup_members(struct cgroup *cg, const char *path, pid_t *out, int room, struct err *err);
/* Removes a box and the empty boxes below it; EBUSY while someone lives there, then or soon after try again. Parents stay;
 * a missing box is fine. Path "": the whole tree. */
int cgroup_remove(struct cgroup *cg, const char *path, struct err *err);
/* The caller goes back to the level above our root, so that the whole tree can be removed by the last one to leave. Best effort: a
 * v2 tree below a delegated cgroup stays to its manager. 0 or -1. */
int cgroup_leave(struct cgroup *cg, struct err *err);
/* Paths of all boxes (depth first, children before parents, without the root); for finding what a dead keeper left. */
typedef void cgroup_fn(void *data, const char *path);
int cgroup_each(struct cgroup *cg, cgroup_fn *fn, void *data, struct err *err);

/* Mode none: a process that leads a box: it, its descendants and its session are the members, of which usage is the sum. Nothing in
 * other modes. (cgroup_attach does the same there.) */
void cgroup_none_member(struct cgroup *cg, const char *path, pid_t pid);
/* Mode none: that leader has ended and left nobody, as its parent and subreaper knows. A box without leaders is removed without looking
 * at all processes of the machine. */
void cgroup_none_forget(struct cgroup *cg, const char *path, pid_t pid);

#endif
