#include "sys/machine.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/cgroup_mount.h"
#include "sys/cgroup_ops.h"
#include "sys/fds.h"
#include "sys/proc.h"

#define NO_LIMIT (INT64_MAX / 2) /* v1 writes nearly 2^63 where there is none */

/* The first number of a file; -1: not to be read, or a word such as "max". */
static int64_t read_number(const char *dir, const char *name)
{
	char path[1200], text[64], *end;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path) ||
	    fds_read_file(path, text, sizeof(text), NULL) < 1)
		return -1;
	long long v = strtoll(text, &end, 10);
	return end == text || v < 0 ? -1 : (int64_t)v;
}

/* "name 123" in a memory.stat; -1: not there. */
static int64_t read_stat(const char *dir, const char *name)
{
	char path[1200], text[8192];
	size_t len = strlen(name);
	if ((size_t)snprintf(path, sizeof(path), "%s/memory.stat", dir) >= sizeof(path) ||
	    fds_read_file(path, text, sizeof(text), NULL) < 1)
		return -1;
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return strtoll(line + len, NULL, 10);
	}
	return -1;
}

static int64_t less(int64_t a, int64_t b)
{
	return b >= 0 && b < NO_LIMIT && (a < 0 || b < a) ? b : a;
}

/* v2: this level and all above it, up to the mount point, which has a limit where it is a container's own. */
static int64_t least_above(const struct cgroup_mount *m, const char *dir, int64_t least)
{
	char at[800];
	size_t stop = strlen(m->point);
	snprintf(at, sizeof(at), "%s", dir);
	for (;;) {
		least = less(least, read_number(at, "memory.max"));
		char *slash = strrchr(at, '/');
		if (!slash || (size_t)(slash - at) < stop)
			return least;
		*slash = 0;
	}
}

static int list(struct cgroup_mount *mounts, const char *tree)
{
	struct err err = { 0 };
	int n = cgroup_mount_list(mounts, tree, &err);
	return n < 0 ? 0 : n;
}

/* The root of our boxes in that mount; without boxes our own cgroup. */
static void root_of(const struct cgroup_mount *m, const char *tree, char *out, size_t room)
{
	snprintf(out, room, m->is_inside ? "%s/%s" : "%s", m->own, tree);
}

int64_t machine_memory(const char *tree)
{
	struct cgroup_mount mounts[CGROUP_MOUNTS_MAX];
	char dir[800];
	int64_t least = proc_memory_total();
	for (int i = 0, n = list(mounts, tree); i < n; i++) {
		const struct cgroup_mount *m = &mounts[i];
		if (!m->own[0])
			continue;
		root_of(m, tree, dir, sizeof(dir));
		if (m->ctls & CGROUP_CTL_MEMORY)
			least = less(least, read_stat(dir, "hierarchical_memory_limit"));
		else if (m->ctls & CGROUP_CTL_V2)
			least = least_above(m, dir, least);
	}
	return least;
}

static int64_t box_size(const char *dir, bool is_v2)
{
	int64_t limit = read_number(dir, is_v2 ? "memory.max" : "memory.limit_in_bytes");
	int64_t used = read_number(dir, is_v2 ? "memory.current" : "memory.usage_in_bytes");
	int64_t inactive = read_stat(dir, is_v2 ? "inactive_file" : "total_inactive_file");
	if (limit >= 0 && limit < NO_LIMIT)
		return limit;
	if (used < 0)
		return 0;
	return inactive > 0 && inactive < used ? used - inactive : used;
}

/* -1: there is no such folder, or no memory is told in it. */
static int64_t sum_boxes(const char *core, bool is_v2)
{
	char path[1100];
	int64_t sum = 0;
	DIR *dir = opendir(core);
	if (!dir)
		return -1;
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_type == DT_DIR && e->d_name[0] != '.' &&
		    (size_t)snprintf(path, sizeof(path), "%s/%s", core, e->d_name) < sizeof(path))
			sum += box_size(path, is_v2);
	closedir(dir);
	return sum > 0 ? sum : -1;
}

static int64_t rss_of(pid_t pid)
{
	struct proc_stat s;
	return proc_read(pid, &s) == 0 ? s.rss_bytes : 0;
}

int64_t machine_services(const char *tree)
{
	struct cgroup_mount mounts[CGROUP_MOUNTS_MAX];
	char dir[800], core[820];
	for (int i = 0, n = list(mounts, tree); i < n; i++) {
		const struct cgroup_mount *m = &mounts[i];
		if (!m->own[0] || !m->is_inside || !(m->ctls & (CGROUP_CTL_MEMORY | CGROUP_CTL_V2)))
			continue;
		root_of(m, tree, dir, sizeof(dir));
		snprintf(core, sizeof(core), "%s/core", dir);
		int64_t sum = sum_boxes(core, !(m->ctls & CGROUP_CTL_MEMORY));
		if (sum >= 0)
			return sum;
	}
	return rss_of(getpid()) + rss_of(getppid());
}
