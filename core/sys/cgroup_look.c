#include "sys/cgroup_look.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sys/cgroup_mount.h"
#include "sys/cgroup_ops.h"
#include "sys/cgroup_tree.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define MOUNTS_HOLD_MS 5000
#define MEMSW_SLACK    (64 * 4096) /* what is set above memory + swap: cgroup_v1.c */

static int open_dir(const char *path)
{
	return *path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* What lies below our root: "run/jobs/SALES" of "/sys/fs/cgroup/memory/dss-7/run/jobs/SALES"; NULL: not below it. */
static const char *below_tree(const char *where, const char *tree)
{
	size_t len = strlen(tree);
	for (const char *at = where; (at = strchr(at, '/'));) {
		at++;
		if (strncmp(at, tree, len) == 0 && at[len] == '/')
			return at + len + 1;
	}
	return NULL;
}

/* The mounts of this machine, as they were a moment ago: many boxes are looked at in a row. */
static int mounts_now(const char *tree, const struct cgroup_mount **out)
{
	static struct cgroup_mount mounts[CGROUP_MOUNTS_MAX];
	static char of[160];
	static int64_t read_ms;
	static int n;
	int64_t now = clock_mono_ms();
	*out = mounts;
	if (read_ms && now - read_ms < MOUNTS_HOLD_MS && strcmp(of, tree) == 0)
		return n;
	snprintf(of, sizeof(of), "%s", tree);
	read_ms = now;
	n = cgroup_mount_list(mounts, tree, NULL);
	return n;
}

/* The same box in the hierarchy that carries ctl; -1. */
static int open_other(unsigned ctl, const char *where, const char *tree)
{
	const struct cgroup_mount *mounts;
	char path[1400];
	const char *below = below_tree(where, tree);
	int n = below ? mounts_now(tree, &mounts) : 0, fd = -1;
	for (int i = 0; i < n && fd < 0; i++) {
		if (!(mounts[i].ctls & ctl))
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", mounts[i].point, tree, below);
		fd = open_dir(path);
		if (fd < 0 && mounts[i].own[0]) {
			snprintf(path, sizeof(path), "%s/%s/%s", mounts[i].own, tree, below);
			fd = open_dir(path);
		}
	}
	return fd;
}

static int64_t key_of(int fd, const char *file, const char *key)
{
	char text[CGROUP_FILE_MAX];
	return cgroup_tree_read(fd, "", file, text) < 0 ? -1 : cgroup_tree_key(text, key);
}

static void set_working(struct cgroup_look *out, int64_t inactive)
{
	if (out->current_bytes >= 0 && inactive >= 0)
		out->memory_bytes = out->current_bytes > inactive ? out->current_bytes - inactive : 0;
}

/* "max 100000", "50000 100000" */
static int64_t cpu_max(int fd)
{
	char text[CGROUP_FILE_MAX];
	long long quota = -1, period = 0;
	if (cgroup_tree_read(fd, "", "cpu.max", text) < 0 || sscanf(text, "%lld %lld", &quota, &period) != 2 || period <= 0)
		return -1;
	return quota * 1000 / period;
}

static void look_v2(int fd, struct cgroup_look *out)
{
	int64_t us = key_of(fd, "cpu.stat", "usage_usec");
	out->current_bytes = cgroup_tree_int(fd, "", "memory.current");
	out->peak_bytes = cgroup_tree_int(fd, "", "memory.peak");
	out->limit_bytes = cgroup_tree_int(fd, "", "memory.max");
	out->swap_limit_bytes = cgroup_tree_int(fd, "", "memory.swap.max");
	set_working(out, key_of(fd, "memory.stat", "inactive_file"));
	out->threads = cgroup_tree_int(fd, "", "pids.current");
	out->threads_limit = cgroup_tree_int(fd, "", "pids.max");
	out->cpu_ms = us < 0 ? -1 : us / 1000;
	out->cpu_limit_milli = cpu_max(fd);
	out->oom_kills = key_of(fd, "memory.events", "oom_kill");
}

static void look_v1(int fd, const char *where, const char *tree, struct cgroup_look *out)
{
	out->current_bytes = cgroup_tree_int(fd, "", "memory.usage_in_bytes");
	out->peak_bytes = cgroup_tree_int(fd, "", "memory.max_usage_in_bytes");
	out->limit_bytes = cgroup_tree_int(fd, "", "memory.limit_in_bytes");
	int64_t sum = cgroup_tree_int(fd, "", "memory.memsw.limit_in_bytes"), more = sum - out->limit_bytes - MEMSW_SLACK;
	if (sum >= 0 && out->limit_bytes >= 0)
		out->swap_limit_bytes = more > 0 ? more : 0;
	set_working(out, key_of(fd, "memory.stat", "total_inactive_file"));
	int pids = open_other(CGROUP_CTL_PIDS, where, tree), cpu = open_other(CGROUP_CTL_CPU, where, tree);
	int acct = open_other(CGROUP_CTL_CPUACCT, where, tree), v2 = open_other(CGROUP_CTL_V2, where, tree);
	if (pids >= 0) {
		out->threads = cgroup_tree_int(pids, "", "pids.current");
		out->threads_limit = cgroup_tree_int(pids, "", "pids.max");
	}
	if (cpu >= 0) {
		int64_t quota = cgroup_tree_int(cpu, "", "cpu.cfs_quota_us"),
			period = cgroup_tree_int(cpu, "", "cpu.cfs_period_us");
		out->cpu_limit_milli = quota >= 0 && period > 0 ? quota * 1000 / period : -1;
	}
	int64_t ns = acct >= 0 ? cgroup_tree_int(acct, "", "cpuacct.usage") : -1;
	int64_t us = ns < 0 && v2 >= 0 ? key_of(v2, "cpu.stat", "usage_usec") : -1;
	out->cpu_ms = ns >= 0 ? ns / 1000000 : us >= 0 ? us / 1000 : -1;
	fds_close(&pids);
	fds_close(&cpu);
	fds_close(&acct);
	fds_close(&v2);
}

int cgroup_look_at(const char *where, const char *tree, struct cgroup_look *out)
{
	memset(out, 0xff, sizeof(*out)); /* all fields -1 */
	int fd = open_dir(where);
	if (fd < 0)
		return -1;
	if (cgroup_tree_has(fd, "", "cgroup.controllers"))
		look_v2(fd, out);
	else
		look_v1(fd, where, tree, out);
	fds_close(&fd);
	return 0;
}

/* Of the one v2 mount: its root tells what it may hand on. */
static bool has_v2(const struct cgroup_mount *m, const char *name)
{
	char text[CGROUP_FILE_MAX];
	int fd = m->ctls & CGROUP_CTL_V2 ? open_dir(m->point) : -1;
	bool has = fd >= 0 && cgroup_tree_read(fd, "", "cgroup.controllers", text) >= 0 && strstr(text, name);
	fds_close(&fd);
	return has;
}

bool cgroup_look_can(const char *controller)
{
	static const struct {
		const char *name;
		unsigned ctl;
	} v1[] = { { "memory", CGROUP_CTL_MEMORY }, { "pids", CGROUP_CTL_PIDS }, { "cpu", CGROUP_CTL_CPU } };
	struct cgroup_mount mounts[CGROUP_MOUNTS_MAX];
	int n = cgroup_mount_list(mounts, "dss", NULL);
	for (int i = 0; i < n; i++) {
		for (size_t k = 0; k < sizeof(v1) / sizeof(v1[0]); k++)
			if (strcmp(v1[k].name, controller) == 0 && mounts[i].ctls & v1[k].ctl)
				return true;
		if (has_v2(&mounts[i], controller))
			return true;
	}
	return false;
}
