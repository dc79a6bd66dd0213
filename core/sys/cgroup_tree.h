#ifndef DSS_SYS_CGROUP_TREE_H
#define DSS_SYS_CGROUP_TREE_H
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>
#include "sys/cgroup.h"
/*
 * cgroup_tree: files and directories of one hierarchy below a root directory (an O_PATH fd). `path` is a checked box path,
 * "" = the root. Failures are errno alone: the modes know the words. Private to cgroup*.c.
 */

#define CGROUP_FILE_MAX 8192 /* memory.stat has 1-3 KB */

int cgroup_tree_read(int root, const char *path, const char *file, char out[CGROUP_FILE_MAX]); /* length or -1 */
int cgroup_tree_read_fd(int fd, char out[CGROUP_FILE_MAX]);                            /* from its begin, wherever it stands */
int cgroup_tree_write(int root, const char *path, const char *file, const char *text); /* 0 or -1 */
/* The number a file holds; -1: "max", over 2^62 (v1's "no limit"), or not readable. */
int64_t cgroup_tree_int(int root, const char *path, const char *file);
bool cgroup_tree_has(int root, const char *path, const char *file);
int cgroup_tree_open(int root, const char *path, const char *file, int flags); /* an fd or -1 */

/* The value of the line "KEY VALUE" in a file's text; -1: not there. */
int64_t cgroup_tree_key(const char *text, const char *key);

/* mkdir of every level of path below root. 1: made, 0: was there, -1. */
int cgroup_tree_make(int root, const char *path);
/* rmdir of path and all below it, children first; not of the root itself. ENOENT is success. */
int cgroup_tree_remove(int root, const char *path);
/* Calls fn for each box below path, children first. */
int cgroup_tree_each(int root, const char *path, cgroup_fn *fn, void *data);
/* Process ids in path and all below it: the first `room` into out; the count, or -1. A missing path has none. */
int cgroup_tree_members(int root, const char *path, pid_t *out, int room);

#endif
