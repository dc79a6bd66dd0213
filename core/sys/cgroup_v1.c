/*
 * cgroup v1, alone or beside a v2 mount that has no controllers (hybrid).
 * Who ran out of memory: cgroup_v1_oom.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "sys/cgroup_mount.h"
#include "sys/cgroup_ops.h"
#include "sys/cgroup_tree.h"
#include "sys/fds.h"
#include "sys/proc.h"

#define MEMSW_SLACK   (64 * 4096) /* the kernel charges up to 64 pages at once */
#define CPU_PERIOD_US 100000
#define CPU_QUOTA     "cpu.cfs_quota_us"
#define SWAPPINESS    60   /* the kernel's default, for boxes that may swap again */
#define KILL_PASSES   16   /* without a freezer; each pass sees only children of those it missed */
#define FREEZE_WAITS  20   /* x 1 ms; a frozen disk must not hold the caller for longer */
#define KILL_MAX      4096 /* members per pass */
#define KILL_BATCH    64   /* members held by a pidfd at a time */

/* ---- opening ---- */

static const struct {
	unsigned ctl;
	bool v1, hybrid; /* v2 freezes, and its cpu.stat tells CPU time, at no extra join */
} wanted[] = {
	{ CGROUP_CTL_V2, false, true }, { CGROUP_CTL_MEMORY, true, true },   { CGROUP_CTL_PIDS, true, true },
	{ CGROUP_CTL_CPU, true, true }, { CGROUP_CTL_CPUACCT, true, false }, { CGROUP_CTL_FREEZER, true, false },
};

static bool is_writable(const char *dir)
{
	return dir[0] && access(dir, W_OK) == 0;
}

static int open_dir(struct cgroup *cg, const struct cgroup_mount *m, struct err *err)
{
	struct cgroup_dir *dir = &cg->dirs[cg->ndirs];
	const char *above = is_writable(m->point) ? m->point : m->own;
	if (!is_writable(above))
		return err_sys(err, EACCES, "unable to make a cgroup in %s", m->point);
	if ((size_t)snprintf(dir->where, sizeof(dir->where), "%s/%s", above, cg->name) >= sizeof(dir->where))
		return err_sys(err, ENAMETOOLONG, "unable to make a cgroup in %s", m->point);
	dir->is_new = mkdir(dir->where, 0755) == 0;
	if (!dir->is_new && errno != EEXIST)
		return err_sys(err, errno, "unable to make %s", dir->where);
	dir->fd = open(dir->where, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		return err_sys(err, errno, "unable to open %s", dir->where);
	dir->ctls = m->ctls;
	if (cg->ndirs++ == 0 && m->is_inside)
		cgroup_set_inside(cg, m->inside);
	return 0;
}

/* Kernels before 5.11 can account each level for itself alone; then limits of upper levels would mean nothing. */
static int use_hierarchy(const struct cgroup_dir *memory, struct err *err)
{
	if (cgroup_tree_int(memory->fd, "", "memory.use_hierarchy") == 0 &&
	    cgroup_tree_write(memory->fd, "", "memory.use_hierarchy", "1") < 0)
		return err_sys(err, errno, "unable to set memory.use_hierarchy of %s", memory->where);
	return 0;
}

int cgroup_v1_open(struct cgroup *cg, bool with_v2, struct err *err)
{
	struct cgroup_mount mounts[CGROUP_MOUNTS_MAX];
	int n = cgroup_mount_list(mounts, cg->name, err);
	if (n < 0)
		return -1;
	for (size_t w = 0; w < sizeof(wanted) / sizeof(wanted[0]); w++) {
		if (!(with_v2 ? wanted[w].hybrid : wanted[w].v1) || cgroup_dir_of(cg, wanted[w].ctl))
			continue;
		int i = 0;
		while (i < n && !(mounts[i].ctls & wanted[w].ctl))
			i++;
		if (i < n && open_dir(cg, &mounts[i], err) < 0)
			return -1;
	}
	const struct cgroup_dir *memory = cgroup_dir_of(cg, CGROUP_CTL_MEMORY), *v2 = cgroup_dir_of(cg, CGROUP_CTL_V2);
	if (!memory || use_hierarchy(memory, err) < 0)
		return memory ? -1 : err_sys(err, ENOENT, "unable to limit memory: no cgroup v1 memory hierarchy");
	if (with_v2 && (!v2 || !cgroup_tree_has(v2->fd, "", "cgroup.kill")))
		return err_sys(err, ENOTSUP, "unable to use cgroup v2 beside v1: no cgroup.kill there");
	/* Boxes take it over from their parent as they are made; a root that was there may hold others. */
	cg->is_swapless = memory->is_new && cgroup_tree_write(memory->fd, "", "memory.swappiness", "0") == 0;
	cg->knobs = 1u << CGROUP_MEMORY;
	if (cgroup_tree_has(memory->fd, "", "memory.memsw.limit_in_bytes"))
		cg->knobs |= 1u << CGROUP_SWAP;
	if (cgroup_dir_of(cg, CGROUP_CTL_PIDS))
		cg->knobs |= 1u << CGROUP_PIDS;
	if (cgroup_dir_of(cg, CGROUP_CTL_CPU))
		cg->knobs |= 1u << CGROUP_CPU | 1u << CGROUP_CPU_WEIGHT;
	return 0;
}

static int memory_fd(const struct cgroup *cg)
{
	return cgroup_dir_of(cg, CGROUP_CTL_MEMORY)->fd;
}

/* ---- making, limits ---- */

static int make(struct cgroup *cg, const char *path, struct err *err)
{
	bool is_new = false;
	for (int i = 0; i < cg->ndirs; i++) {
		int rc = cgroup_tree_make(cg->dirs[i].fd, path);
		if (rc < 0)
			return err_sys(err, errno, "unable to make %s/%s", cg->dirs[i].where, path);
		is_new |= rc > 0 && cg->dirs[i].ctls & CGROUP_CTL_MEMORY;
	}
	if (is_new)
		cgroup_v1_born(cg, path);
	if (is_new && !cg->is_swapless && cgroup_tree_write(memory_fd(cg), path, "memory.swappiness", "0") < 0)
		return err_sys(err, errno, "unable to keep box \"%s\" out of swap", path);
	return 0;
}

static int write_int(int dir, const char *path, const char *file, int64_t value, struct err *err)
{
	char text[32];
	snprintf(text, sizeof(text), "%lld", (long long)value);
	return cgroup_tree_write(dir, path, file, text) < 0 ? err_sys(err, errno, "%s", file) : 0;
}

static int set_memory_and_sum(int dir, const char *path, bool sum_first, int64_t memory, int64_t sum, struct err *err)
{
	for (int step = 0; step < 2; step++) {
		bool is_sum = (step == 0) == sum_first;
		if (write_int(dir, path, is_sum ? "memory.memsw.limit_in_bytes" : "memory.limit_in_bytes", is_sum ? sum : memory,
			      err) < 0)
			return -1;
	}
	return 0;
}

/* The sum may never be below memory alone: raise it first, lower it last. */
static int set_memory(struct cgroup *cg, const char *path, int64_t value, struct err *err)
{
	int dir = memory_fd(cg), rc;
	if (!cgroup_has(cg, CGROUP_SWAP)) {
		rc = write_int(dir, path, "memory.limit_in_bytes", value, err);
	} else {
		bool is_pristine = cgroup_v1_is_pristine(cg, path);
		int64_t memory = is_pristine ? -1 : cgroup_tree_int(dir, path, "memory.limit_in_bytes");
		int64_t sum = is_pristine ? -1 : cgroup_tree_int(dir, path, "memory.memsw.limit_in_bytes"), new_sum = -1;
		if (value >= 0 && memory >= 0 && sum >= 0)
			new_sum = value + (sum > memory ? sum - memory : 0);
		else if (value >= 0 && (is_pristine || cgroup_tree_int(dir, path, "memory.swappiness") == 0))
			new_sum = value + MEMSW_SLACK; /* swap 0, asked for while memory was unlimited */
		bool raises = memory >= 0 && (value < 0 || value > memory);
		rc = set_memory_and_sum(dir, path, raises || (new_sum < 0 && sum >= 0), value, new_sum, err);
	}
	if (rc < 0)
		return err && err->code == EBUSY ? err_add(err, "more is in use and cannot be reclaimed") : -1;
	cgroup_v1_limited(cg, path, value >= 0);
	return 0;
}

static int set_swap(struct cgroup *cg, const char *path, int64_t value, struct err *err)
{
	int dir = memory_fd(cg);
	cgroup_v1_limited(cg, path, false);
	if (value != 0)
		cg->is_swapless = false; /* boxes below would swap too */
	if (*path && write_int(dir, path, "memory.swappiness", value == 0 ? 0 : SWAPPINESS, err) < 0)
		return -1;
	if (!cgroup_has(cg, CGROUP_SWAP))
		return 0;
	int64_t memory = cgroup_tree_int(dir, path, "memory.limit_in_bytes");
	if (memory < 0 && value > 0)
		return err_sys(err, EINVAL, "v1 limits the sum of memory and swap: limit memory first");
	return write_int(dir, path, "memory.memsw.limit_in_bytes", memory < 0 || value < 0 ? -1 : memory + value + MEMSW_SLACK,
			 err);
}

/* The least quota of the levels above; -1: they have none. */
static int64_t quota_above(int dir, const char *path)
{
	char at[CGROUP_PATH_MAX];
	int64_t least = -1;
	snprintf(at, sizeof(at), "%s", path);
	while (cgroup_parent(at)) {
		int64_t quota = cgroup_tree_int(dir, at, CPU_QUOTA);
		if (quota >= 0 && (least < 0 || quota < least))
			least = quota;
	}
	return least;
}

struct lowering {
	int dir;
	int64_t most;
};

static void lower_quota(void *data, const char *path)
{
	const struct lowering *l = data;
	if (cgroup_tree_int(l->dir, path, CPU_QUOTA) > l->most)
		write_int(l->dir, path, CPU_QUOTA, l->most, NULL);
}

/* v1 takes no quota above a parent's or below a child's. On v2 the least on the way up holds, whatever stands below: so it is here, as those
 * below take no more than there is. What they had before is not kept. */
static int set_cpu(struct cgroup *cg, const char *path, int64_t value, struct err *err)
{
	int dir = cgroup_dir_of(cg, CGROUP_CTL_CPU)->fd;
	int64_t quota = value < 0 ? -1 : value * CPU_PERIOD_US / 1000;
	struct err why = { 0 };
	if (write_int(dir, path, CPU_QUOTA, quota, &why) == 0)
		return 0;
	if (why.code == EINVAL && quota >= 0) {
		struct lowering l = { dir, quota };
		int64_t above = quota_above(dir, path);
		if (above >= 0 && above < quota)
			l.most = above;
		cgroup_tree_each(dir, path, lower_quota, &l);
		why = (struct err){ 0 };
		if (write_int(dir, path, CPU_QUOTA, l.most, &why) == 0)
			return 0;
	}
	err_sys(err, why.code, "%s", CPU_QUOTA);
	return err && why.code == EINVAL ? err_add(err, "v1 takes no quota above the parent's or below a child's") : -1;
}

static int set(struct cgroup *cg, const char *path, enum cgroup_knob knob, int64_t value, struct err *err)
{
	switch (knob) {
	case CGROUP_MEMORY:
		return set_memory(cg, path, value, err);
	case CGROUP_SWAP:
		return set_swap(cg, path, value, err);
	case CGROUP_CPU:
		return set_cpu(cg, path, value, err);
	case CGROUP_CPU_WEIGHT: {
		int64_t shares = value * 1024 / 100;
		return write_int(cgroup_dir_of(cg, CGROUP_CTL_CPU)->fd, path, "cpu.shares", shares < 2 ? 2 : shares, err);
	}
	case CGROUP_PIDS: {
		char text[32];
		snprintf(text, sizeof(text), "%lld", (long long)value);
		int rc = cgroup_tree_write(cgroup_dir_of(cg, CGROUP_CTL_PIDS)->fd, path, "pids.max", value < 0 ? "max" : text);
		return rc < 0 ? err_sys(err, errno, "pids.max") : 0;
	}
	}
	return -1;
}

static int64_t limit_bytes(struct cgroup *cg, const char *path)
{
	return cgroup_tree_int(memory_fd(cg), path, "memory.limit_in_bytes");
}

/* ---- births ---- */

static int birth(struct cgroup *cg, const char *path, struct cgroup_birth *out, struct err *err)
{
	for (int i = 0; i < cg->ndirs; i++) {
		int fd = cgroup_tree_open(cg->dirs[i].fd, path, "cgroup.procs", O_WRONLY);
		if (fd < 0)
			return err_sys(err, errno, "unable to open %s/%s/cgroup.procs", cg->dirs[i].where, path);
		out->join_fds[out->njoin++] = fd;
	}
	cgroup_v1_use(cg, path);
	return 0;
}

static int attach(struct cgroup *cg, const char *path, pid_t pid, struct err *err)
{
	cgroup_v1_use(cg, path);
	for (int i = 0; i < cg->ndirs; i++)
		if (write_int(cg->dirs[i].fd, path, "cgroup.procs", pid, NULL) < 0)
			return err_sys(err, errno, "unable to put pid %d into %s/%s", (int)pid, cg->dirs[i].where, path);
	return 0;
}

/* ---- readings ---- */

static int64_t cpu_ms(const struct cgroup *cg, const char *path)
{
	char text[CGROUP_FILE_MAX];
	const struct cgroup_dir *dir = cgroup_dir_of(cg, CGROUP_CTL_CPUACCT);
	if (dir) {
		int64_t ns = cgroup_tree_int(dir->fd, path, "cpuacct.usage");
		return ns < 0 ? -1 : ns / 1000000;
	}
	dir = cgroup_dir_of(cg, CGROUP_CTL_V2);
	int64_t us = dir && cgroup_tree_read(dir->fd, path, "cpu.stat", text) >= 0 ? cgroup_tree_key(text, "usage_usec") : -1;
	return us < 0 ? -1 : us / 1000;
}

static int usage(struct cgroup *cg, const char *path, struct cgroup_usage *out, struct err *err)
{
	char text[CGROUP_FILE_MAX];
	const struct cgroup_dir *pids = cgroup_dir_of(cg, CGROUP_CTL_PIDS);
	int dir = memory_fd(cg);
	if (cgroup_tree_read(dir, path, "memory.stat", text) < 0)
		return err_sys(err, errno, "unable to read memory.stat of box \"%s\"", path);
	int64_t anon = cgroup_tree_key(text, "total_rss"), mapped = cgroup_tree_key(text, "total_mapped_file");
	int64_t inactive = cgroup_tree_key(text, "total_inactive_file");
	out->current_bytes = cgroup_tree_int(dir, path, "memory.usage_in_bytes");
	out->peak_bytes = cgroup_tree_int(dir, path, "memory.max_usage_in_bytes");
	out->limit_bytes = limit_bytes(cg, path);
	out->rss_bytes = anon < 0 || mapped < 0 ? -1 : anon + mapped;
	if (out->current_bytes >= 0 && inactive >= 0)
		out->memory_bytes = out->current_bytes > inactive ? out->current_bytes - inactive : 0;
	out->oom_kills = cgroup_v1_oom_kills(cg, path);
	out->cpu_ms = cpu_ms(cg, path);
	if (pids) {
		out->pids = cgroup_tree_int(pids->fd, path, "pids.current");
		if (cgroup_tree_read(pids->fd, path, "pids.events", text) >= 0)
			out->pids_refused = cgroup_tree_key(text, "max");
	}
	return 0;
}

/* A box without its memory file is no box any more. */
static int tally(struct cgroup *cg, const char *path, bool with_refused, struct cgroup_usage *out, struct err *err)
{
	char text[CGROUP_FILE_MAX];
	const struct cgroup_dir *pids = cgroup_dir_of(cg, CGROUP_CTL_PIDS);
	if ((out->oom_kills = cgroup_v1_oom_kills(cg, path)) < 0)
		return err_sys(err, errno, "unable to read memory.oom_control of box \"%s\"", path);
	out->peak_bytes = cgroup_tree_int(memory_fd(cg), path, "memory.max_usage_in_bytes");
	out->limit_bytes = limit_bytes(cg, path);
	out->cpu_ms = cpu_ms(cg, path);
	if (with_refused && pids && cgroup_tree_read(pids->fd, path, "pids.events", text) >= 0)
		out->pids_refused = cgroup_tree_key(text, "max");
	return 0;
}

/* ---- members (v1 alone) ---- */

static int is_empty(struct cgroup *cg, const char *path, struct err *err)
{
	int n = cgroup_dirs_members(cg, path, NULL, 0, err);
	return n < 0 ? -1 : n == 0;
}

static int freeze(struct cgroup *cg, const char *path, bool on, struct err *err)
{
	const struct cgroup_dir *dir = cgroup_dir_of(cg, CGROUP_CTL_FREEZER);
	if (!dir)
		return err_sys(err, ENOTSUP, "unable to freeze box \"%s\": no freezer hierarchy", path);
	if (cgroup_tree_write(dir->fd, path, "freezer.state", on ? "FROZEN" : "THAWED") < 0)
		return err_sys(err, errno, "unable to %s box \"%s\"", on ? "freeze" : "thaw", path);
	return 0;
}

/* Whether all members stand still; waits a little for it. */
static bool is_frozen(struct cgroup *cg, const char *path)
{
	char text[CGROUP_FILE_MAX];
	const struct timespec ms = { 0, 1000000 };
	for (int i = 0; i < FREEZE_WAITS; i++) {
		if (cgroup_tree_read(cgroup_dir_of(cg, CGROUP_CTL_FREEZER)->fd, path, "freezer.state", text) < 0)
			return false;
		if (strcmp(text, "FROZEN\n") == 0)
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

static bool is_among(pid_t pid, const pid_t *pids, int n)
{
	while (n > 0 && pids[n - 1] != pid)
		n--;
	return n > 0;
}

/*
 * SIGKILL to those of the n pids that are members still. A member may end and its number be another's by the time the
 * list is used: so it is held by a pidfd first, and then has to be on a second list.
 */
static void kill_some(struct cgroup *cg, const char *path, const pid_t *pids, int n)
{
	static pid_t now[KILL_MAX]; /* 16 KB; only one loop per process calls this */
	int fds[KILL_BATCH];
	for (int i = 0; i < n; i++) {
		bool is_other = pids[i] > 0 && pids[i] != getpid(); /* 0: of another pid namespace */
		fds[i] = is_other ? proc_pidfd(pids[i], NULL) : -1;
		/* Nothing to hold it by: better the small risk than a box that lives on. */
		if (is_other && fds[i] < 0 && (errno == EMFILE || errno == ENFILE))
			kill(pids[i], SIGKILL);
	}
	int m = cgroup_tree_members(cg->dirs[0].fd, path, now, KILL_MAX);
	for (int i = 0; i < n; i++) {
		if (fds[i] >= 0 && (m < 0 || is_among(pids[i], now, m < KILL_MAX ? m : KILL_MAX)))
			proc_pidfd_signal(fds[i], SIGKILL);
		fds_close(&fds[i]);
	}
}

/* SIGKILL to all; the count, or -1. */
static int kill_pass(struct cgroup *cg, const char *path, struct err *err)
{
	static pid_t pids[KILL_MAX];
	int n = cgroup_dirs_members(cg, path, pids, KILL_MAX, err), most = n < KILL_MAX ? n : KILL_MAX;
	for (int i = 0; i < most; i += KILL_BATCH)
		kill_some(cg, path, pids + i, most - i < KILL_BATCH ? most - i : KILL_BATCH);
	return n;
}

static int kill_all(struct cgroup *cg, const char *path, struct err *err)
{
	int n = cgroup_tree_members(cg->dirs[0].fd, path, NULL, 0);
	if (n == 0)
		return 0;
	bool froze = cgroup_dir_of(cg, CGROUP_CTL_FREEZER) && freeze(cg, path, true, NULL) == 0;
	bool still = froze && is_frozen(cg, path);
	/* The dead leave the list by and by; whoever is left after all passes was told, or is a child of the very last. */
	for (int pass = 0; pass < KILL_PASSES; pass++) {
		n = kill_pass(cg, path, err);
		if (n <= 0 || (still && n <= KILL_MAX))
			break;
	}
	if (froze)
		freeze(cg, path, false, NULL);
	return n < 0 ? -1 : 0;
}

/* ---- removal ---- */

static int remove_box(struct cgroup *cg, const char *path, struct err *err)
{
	const struct cgroup_dir *last = &cg->dirs[cg->ndirs - 1];
	/* A box without members and without boxes below goes at once; none goes while it has either. */
	bool is_going = *path && unlinkat(last->fd, path, AT_REMOVEDIR) == 0;
	int empty = is_going ? 1 : cg->ops->is_empty(cg, path, err);
	if (empty <= 0)
		return empty < 0 ? -1 : err_sys(err, EBUSY, "unable to remove box \"%s\", in which processes live", path);
	for (int i = cg->ndirs - 1 - is_going; i >= 0; i--) {
		if (cgroup_tree_remove(cg->dirs[i].fd, path) < 0 || (!*path && rmdir(cg->dirs[i].where) < 0 && errno != ENOENT))
			return err_sys(err, errno, "unable to remove %s%s%s", cg->dirs[i].where, *path ? "/" : "", path);
	}
	cgroup_v1_forget(cg, path);
	return 0;
}

static void close_all(struct cgroup *cg)
{
	cgroup_v1_forget(cg, "");
}

#define COMMON                                                                                                                     \
	.make = make, .set = set, .birth = birth, .attach = attach, .usage = usage, .tally = tally, .count = cgroup_v1_count,      \
	.cpu_ms = cpu_ms, .limit_bytes = limit_bytes, .oom_fd = cgroup_v1_oom_fd, .oom_drain = cgroup_v1_oom_drain,                \
	.members = cgroup_dirs_members, .remove = remove_box, .each = cgroup_dirs_each, .close = close_all

const struct cgroup_ops cgroup_v1_ops = { COMMON, .kill = kill_all, .freeze = freeze, .is_empty = is_empty };

const struct cgroup_ops cgroup_hybrid_ops = { COMMON, .kill = cgroup_v2_kill, .freeze = cgroup_v2_freeze,
					      .is_empty = cgroup_v2_is_empty };
