#ifndef DSS_SYS_CGROUP_LOOK_H
#define DSS_SYS_CGROUP_LOOK_H
#include <stdbool.h>
#include <stdint.h>
/*
 * cgroup_look: what a box uses and may use, for who may not open the tree: by its path as the keeper tells it (cgroup_where). Controllers that
 * are mounted elsewhere (v1) are found by the mounts of this machine.
 */
struct cgroup_look {                                    /* -1 where nothing tells, or there is no limit; sums over all below */
	int64_t memory_bytes;                           /* working set: current - inactive_file */
	int64_t current_bytes, peak_bytes, limit_bytes; /* with the page cache */
	int64_t swap_limit_bytes;                       /* beyond memory */
	int64_t threads, threads_limit, cpu_ms, cpu_limit_milli;
	int64_t oom_kills; /* processes of it and of all below that the kernel killed for memory; v1 does not tell of a level: -1 */
};

/* 0, or -1: there is no such box any more. tree: our root's name, "dss-7". */
int cgroup_look_at(const char *where, const char *tree, struct cgroup_look *out);
/* Has this machine that controller ("memory", "pids", "cpu") at all? Whether we may use it only opening a tree tells. */
bool cgroup_look_can(const char *controller);

#endif
