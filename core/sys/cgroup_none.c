/*
 * No cgroups: boxes are names. The members of a box are its leaders, their descendants and their sessions, seen in one scan of /proc
 * that all boxes share. What leaves both (setsid, then an exit of its parent) is lost from sight: `status` says "none" for it.
 * The caller's own children belong to no box by descent, else its box would hold everything.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sys/cgroup_ops.h"
#include "sys/clock.h"
#include "sys/proc.h"

#define SCAN_FRESH_MS 200 /* usage readings of many boxes share one scan */
#define ANCESTORS_MAX 256
#define KILL_PASSES   16

struct leader {
	pid_t pid;
	uint64_t start_ticks;
};

struct box {
	char *path;
	struct leader *leaders;
	int nleaders;
	/* As of the last scan. */
	int64_t rss_bytes, cpu_ms, pids;
	/* The most ever seen; CPU time of members that ended stays in. */
	int64_t peak_bytes, most_cpu_ms;
};

struct entry {
	struct proc_stat stat;
	struct box *box; /* NULL = nobody's */
};

/* The last scan; one per process, as /proc is. */
static struct {
	const struct cgroup *of;
	struct entry *entries; /* sorted by pid */
	size_t n, room;
	int64_t at_ms;
} scan;

int cgroup_none_open(struct cgroup *cg, struct err *err)
{
	(void)err;
	cg->knobs = 0;
	return 0;
}

/* ---- scanning ---- */

static bool add_entry(void *data, pid_t pid)
{
	struct entry *grown;
	bool *failed = data;
	if (scan.n == scan.room) {
		size_t room = scan.room ? scan.room * 2 : 256;
		if (!(grown = realloc(scan.entries, room * sizeof(*grown)))) {
			*failed = true;
			return false;
		}
		scan.entries = grown;
		scan.room = room;
	}
	struct entry *e = &scan.entries[scan.n];
	e->box = NULL;
	if (proc_read(pid, &e->stat) == 0 && e->stat.state != 'Z' && e->stat.state != 'X')
		scan.n++;
	return true;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = ((const struct entry *)a)->stat.pid, y = ((const struct entry *)b)->stat.pid;
	return x < y ? -1 : x > y;
}

static struct entry *entry_of(pid_t pid)
{
	struct entry key = { .stat.pid = pid };
	return scan.n ? bsearch(&key, scan.entries, scan.n, sizeof(key), by_pid) : NULL;
}

struct claim {
	struct box *box;
	struct leader leader;
};

static int by_leader(const void *a, const void *b)
{
	pid_t x = ((const struct claim *)a)->leader.pid, y = ((const struct claim *)b)->leader.pid;
	return x < y ? -1 : x > y;
}

/* The box that pid leads; NULL: none, or the pid is another process by now. */
static struct box *led_by(const struct claim *claims, size_t n, pid_t pid)
{
	struct claim key = { .leader.pid = pid }, *c = n ? bsearch(&key, claims, n, sizeof(key), by_leader) : NULL;
	const struct entry *e = c ? entry_of(pid) : NULL;
	return c && (!e || e->stat.start_ticks == c->leader.start_ticks) ? c->box : NULL;
}

static struct box *owner_of(const struct claim *claims, size_t n, const struct entry *e)
{
	pid_t self = getpid();
	for (int i = 0; e && i < ANCESTORS_MAX; i++) {
		struct box *box = i > 0 && e->stat.pid == self ? NULL : led_by(claims, n, e->stat.pid);
		/* A session outlives its leader, and its number is not given away before. */
		if (!box && e->stat.session != self)
			box = led_by(claims, n, e->stat.session);
		if (box || e->stat.pid == self)
			return box;
		e = entry_of(e->stat.ppid);
	}
	return NULL;
}

static struct claim *list_claims(const struct cgroup *cg, size_t *n)
{
	size_t cursor = 0, total = 0;
	struct box *box;
	while ((box = map_next(cg->own, &cursor)))
		total += (size_t)box->nleaders;
	struct claim *claims = calloc(total + 1, sizeof(*claims));
	*n = 0;
	for (cursor = 0; claims && (box = map_next(cg->own, &cursor));) {
		box->rss_bytes = box->cpu_ms = box->pids = 0;
		for (int i = 0; i < box->nleaders; i++)
			claims[(*n)++] = (struct claim){ box, box->leaders[i] };
	}
	if (claims)
		qsort(claims, *n, sizeof(*claims), by_leader);
	return claims;
}

static int look(const struct cgroup *cg, int64_t fresh_ms, struct err *err)
{
	if (scan.of == cg && fresh_ms > 0 && clock_mono_ms() - scan.at_ms < fresh_ms)
		return 0;
	bool failed = false;
	scan.of = NULL;
	scan.n = 0;
	if (proc_each(add_entry, &failed, err) < 0)
		return -1;
	size_t n, cursor = 0;
	struct claim *claims = failed ? NULL : list_claims(cg, &n);
	if (!claims)
		return err_sys(err, ENOMEM, "unable to look at all processes");
	qsort(scan.entries, scan.n, sizeof(*scan.entries), by_pid);
	for (size_t i = 0; i < scan.n; i++) {
		struct entry *e = &scan.entries[i];
		if (!(e->box = owner_of(claims, n, e)))
			continue;
		e->box->rss_bytes += e->stat.rss_bytes;
		e->box->cpu_ms += (int64_t)e->stat.cpu_ms;
		e->box->pids++;
	}
	free(claims);
	struct box *box;
	while ((box = map_next(cg->own, &cursor))) {
		if (box->rss_bytes > box->peak_bytes)
			box->peak_bytes = box->rss_bytes;
		if (box->cpu_ms > box->most_cpu_ms)
			box->most_cpu_ms = box->cpu_ms;
	}
	scan.of = cg;
	scan.at_ms = clock_mono_ms();
	return 0;
}

/* ---- boxes ---- */

static void box_free(struct cgroup *cg, struct box *box)
{
	if (box->path)
		map_remove(cg->own, box->path);
	if (scan.of == cg)
		scan.of = NULL;
	free(box->path);
	free(box->leaders);
	free(box);
}

static int make_one(struct cgroup *cg, const char *path, struct err *err)
{
	if (map_get(cg->own, path))
		return 0;
	struct box *box = calloc(1, sizeof(*box));
	if (box && (box->path = strdup(path)) && map_set(cg->own, path, box) == 0)
		return 0;
	if (box)
		free(box->path);
	free(box);
	return err_sys(err, ENOMEM, "unable to make box \"%s\"", path);
}

static int make(struct cgroup *cg, const char *path, struct err *err)
{
	char level[CGROUP_PATH_MAX];
	snprintf(level, sizeof(level), "%s", path);
	do {
		if (*level && make_one(cg, level, err) < 0)
			return -1;
	} while (cgroup_parent(level));
	return 0;
}

static struct box *find(struct cgroup *cg, const char *path, struct err *err)
{
	struct box *box = *path ? map_get(cg->own, path) : NULL;
	if (!box)
		err_sys(err, ENOENT, "unable to find box \"%s\"", path);
	return box;
}

/* Leaders that ended and left nobody make room. */
static void forget_gone(struct box *box)
{
	int kept = 0;
	for (int i = 0; i < box->nleaders; i++)
		if (proc_is_same(box->leaders[i].pid, box->leaders[i].start_ticks) || kill(-box->leaders[i].pid, 0) == 0)
			box->leaders[kept++] = box->leaders[i];
	box->nleaders = kept;
}

static int attach(struct cgroup *cg, const char *path, pid_t pid, struct err *err)
{
	struct proc_stat stat;
	struct box *box = find(cg, path, err);
	if (!box)
		return -1;
	if (proc_read(pid, &stat) < 0)
		return err_sys(err, ESRCH, "unable to put pid %d into box \"%s\"", (int)pid, path);
	forget_gone(box);
	struct leader *grown = realloc(box->leaders, (size_t)(box->nleaders + 1) * sizeof(*grown));
	if (!grown)
		return err_sys(err, ENOMEM, "unable to put pid %d into box \"%s\"", (int)pid, path);
	box->leaders = grown;
	box->leaders[box->nleaders++] = (struct leader){ pid, stat.start_ticks };
	if (scan.of == cg)
		scan.of = NULL;
	return 0;
}

void cgroup_none_forget(struct cgroup *cg, const char *path, pid_t pid)
{
	struct box *box = cg->mode == CGROUP_NONE ? map_get(cg->own, path) : NULL;
	int kept = 0;
	for (int i = 0; box && i < box->nleaders; i++)
		if (box->leaders[i].pid != pid)
			box->leaders[kept++] = box->leaders[i];
	if (box)
		box->nleaders = kept;
}

static int set(struct cgroup *cg, const char *path, enum cgroup_knob knob, int64_t value, struct err *err)
{
	(void)cg, (void)path, (void)knob, (void)value;
	return err_sys(err, ENOTSUP, "no cgroups");
}

static int birth(struct cgroup *cg, const char *path, struct cgroup_birth *out, struct err *err)
{
	(void)out; /* born as any other; cgroup_none_member tells us later */
	return find(cg, path, err) ? 0 : -1;
}

static int usage(struct cgroup *cg, const char *path, struct cgroup_usage *out, struct err *err)
{
	size_t cursor = 0;
	struct box *box;
	if ((*path && !find(cg, path, err)) || look(cg, SCAN_FRESH_MS, err) < 0)
		return -1;
	out->rss_bytes = out->cpu_ms = out->pids = out->peak_bytes = 0;
	while ((box = map_next(cg->own, &cursor))) {
		if (!cgroup_is_within(box->path, path))
			continue;
		out->rss_bytes += box->rss_bytes;
		out->cpu_ms += box->most_cpu_ms;
		out->pids += box->pids;
		out->peak_bytes += box->peak_bytes;
	}
	out->memory_bytes = out->current_bytes = out->rss_bytes;
	return 0;
}

static int tally(struct cgroup *cg, const char *path, bool with_refused, struct cgroup_usage *out, struct err *err)
{
	(void)with_refused;
	return usage(cg, path, out, err);
}

/* Nobody tells: no level ever ran out. */
static int count(struct cgroup *cg, const char *path, bool is_end, struct cgroup_mark *now, struct err *err)
{
	(void)now, (void)is_end;
	return !*path || find(cg, path, err) ? 0 : -1;
}

static int64_t limit_bytes(struct cgroup *cg, const char *path)
{
	(void)cg, (void)path;
	return -1;
}

static int oom_fd(struct cgroup *cg, const char *path, struct err *err)
{
	(void)cg;
	return err_sys(err, ENOTSUP, "unable to watch box \"%s\": no cgroups", path);
}

/* ---- members ---- */

static int members(struct cgroup *cg, const char *path, pid_t *out, int room, struct err *err)
{
	if (look(cg, 0, err) < 0)
		return -1;
	int n = 0;
	for (size_t i = 0; i < scan.n; i++)
		if (scan.entries[i].box && cgroup_is_within(scan.entries[i].box->path, path) && n++ < room)
			out[n - 1] = scan.entries[i].stat.pid;
	return n;
}

/* Boxes that nobody leads have no members: what a leader that was forgotten left is nobody's. */
static bool is_led(const struct cgroup *cg, const char *path)
{
	size_t cursor = 0;
	const struct box *box;
	while ((box = map_next(cg->own, &cursor)))
		if (box->nleaders > 0 && cgroup_is_within(box->path, path))
			return true;
	return false;
}

static int is_empty(struct cgroup *cg, const char *path, struct err *err)
{
	const struct box *box = *path ? map_get(cg->own, path) : NULL;
	if (box && box->nleaders == 0 && !is_led(cg, path))
		return 1;
	int n = members(cg, path, NULL, 0, err);
	return n < 0 ? -1 : n == 0;
}

/* The signal to all members, again until no new one shows up; the number of the last look, or -1. */
static int signal_all(struct cgroup *cg, const char *path, int signum, struct err *err)
{
	int before = -1, n = 0;
	for (int pass = 0; pass < KILL_PASSES; pass++) {
		n = members(cg, path, NULL, 0, err);
		if (n < 0 || n == 0 || n == before)
			break;
		for (size_t i = 0; i < scan.n; i++) {
			const struct entry *e = &scan.entries[i];
			if (e->box && cgroup_is_within(e->box->path, path) && e->stat.pid != getpid())
				proc_signal_same(e->stat.pid, e->stat.start_ticks, signum);
		}
		before = n;
	}
	return n;
}

static int kill_all(struct cgroup *cg, const char *path, struct err *err)
{
	/* Stopped first, so that nobody forks while the list is read. */
	if (signal_all(cg, path, SIGSTOP, err) < 0)
		return -1;
	return signal_all(cg, path, SIGKILL, err) < 0 ? -1 : 0;
}

static int freeze(struct cgroup *cg, const char *path, bool on, struct err *err)
{
	return signal_all(cg, path, on ? SIGSTOP : SIGCONT, err) < 0 ? -1 : 0;
}

/* ---- removal, listing ---- */

static int remove_box(struct cgroup *cg, const char *path, struct err *err)
{
	size_t cursor = 0;
	struct box *box;
	int empty = is_empty(cg, path, err);
	if (empty <= 0)
		return empty < 0 ? -1 : err_sys(err, EBUSY, "unable to remove box \"%s\", in which processes live", path);
	while ((box = map_next(cg->own, &cursor)))
		if (cgroup_is_within(box->path, path))
			box_free(cg, box);
	return 0;
}

static int deepest_first(const void *a, const void *b)
{
	return -strcmp(*(char *const *)a, *(char *const *)b);
}

static int each(struct cgroup *cg, cgroup_fn *fn, void *data, struct err *err)
{
	size_t n = 0, cursor = 0, total = map_count(cg->own);
	struct box *box;
	char **paths = calloc(total + 1, sizeof(*paths));
	if (!paths)
		return err_sys(err, ENOMEM, "unable to list boxes");
	/* Copies: fn may remove boxes. */
	while ((box = map_next(cg->own, &cursor)))
		if ((paths[n] = strdup(box->path)))
			n++;
	qsort(paths, n, sizeof(*paths), deepest_first);
	for (size_t i = 0; i < n; i++) {
		fn(data, paths[i]);
		free(paths[i]);
	}
	free(paths);
	return n == total ? 0 : err_sys(err, ENOMEM, "unable to list boxes");
}

static void close_boxes(struct cgroup *cg)
{
	size_t cursor = 0;
	struct box *box;
	while ((box = map_next(cg->own, &cursor)))
		box_free(cg, box);
	free(scan.entries);
	memset(&scan, 0, sizeof(scan));
}

const struct cgroup_ops cgroup_none_ops = {
	.make = make,
	.set = set,
	.birth = birth,
	.attach = attach,
	.usage = usage,
	.tally = tally,
	.count = count,
	.limit_bytes = limit_bytes,
	.oom_fd = oom_fd,
	.kill = kill_all,
	.freeze = freeze,
	.is_empty = is_empty,
	.members = members,
	.remove = remove_box,
	.each = each,
	.close = close_boxes,
};
