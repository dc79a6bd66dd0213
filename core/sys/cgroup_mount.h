#ifndef DSS_SYS_CGROUP_MOUNT_H
#define DSS_SYS_CGROUP_MOUNT_H
#include <stdbool.h>
#include "base/err.h"
/* cgroup_mount: where cgroup hierarchies are mounted, and where in them the caller lives. Private to cgroup*.c. */

#define CGROUP_MOUNTS_MAX 16

struct cgroup_mount {
	unsigned ctls;    /* enum cgroup_ctl; 0 = none that we use */
	char point[256];  /* the mount point */
	char own[512];    /* the caller's own cgroup as a directory; "" = not visible through this mount */
	bool is_inside;   /* the caller lives in or below a cgroup named `tree`; `own` is then the one above that, */
	char inside[512]; /* and this is where in it: "core/keeper" */
};

/* The number found (0 is no error), or -1. tree: a root's name; a keeper that starts again from within its tree so finds it
 * instead of nesting another. */
int cgroup_mount_list(struct cgroup_mount *out, const char *tree, struct err *err);

#endif
