#ifndef DSS_SYS_CGROUP_GAUGE_H
#define DSS_SYS_CGROUP_GAUGE_H
#include "sys/cgroup.h"
/*
 * cgroup_gauge: the memory of a box that is read each second. Opening a control file costs eight times what reading it does, so a
 * gauge keeps the two files it needs open, as long as the process has descriptors to spare (an eighth of its limit, together).
 */
struct cgroup_gauge {
	int current_fd, stat_fd; /* -1: not kept open */
};
#define CGROUP_GAUGE_INIT                                                                                                          \
	{                                                                                                                          \
		-1, -1                                                                                                             \
	}

void cgroup_gauge_close(struct cgroup *cg, struct cgroup_gauge *g); /* a closed one is fine, and may be read again */
/* Sets memory_bytes (working set) and current_bytes of *out, the rest to -1; with_rest: peak_bytes and cpu_ms too. keep: it will be read
 * again soon. Mode none tells whatever its scan tells. */
int cgroup_gauge_read(struct cgroup *cg, const char *path, struct cgroup_gauge *g, bool keep, bool with_rest,
		      struct cgroup_usage *out, struct err *err);

#endif
