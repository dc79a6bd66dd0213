#ifndef DSS_SYS_MACHINE_H
#define DSS_SYS_MACHINE_H
#include <stdint.h>
/* machine: how much memory is there for us, and what the boxes beside the kernels may take. Read from /proc and the cgroup files, with no
 * rights of our own. tree: the root of our boxes, "dss-ID"; for a process that lives in it. */

/* Bytes: the least of the machine's memory and the limits of all cgroups above our boxes, theirs included. -1: not to be told. */
int64_t machine_memory(const char *tree);
/* Bytes: of each box in core/ its limit, or its working set where it has none. Without cgroups the memory of this process and its
 * parent. */
int64_t machine_services(const char *tree);

#endif
