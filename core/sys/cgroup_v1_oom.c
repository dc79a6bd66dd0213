/*
 * Who ran out of memory on cgroup v1, alone or beside a v2 mount (hybrid).
 *
 * Whose limit was hit (seen on Linux 6.18, use_hierarchy = 1; spec/core/cgroup_spec.lua holds it):
 * - memory.failcnt rises at the level whose limit was hit and at no other, but also when reclaim then helped, so after a
 *   while of page cache it says nothing about a death;
 * - it does not rise, and neither does memory.memsw.failcnt, where the sum of memory and swap is what was hit. So the sum is
 *   always set a little above memory + swap (MEMSW_SLACK), and memory's own limit is hit first;
 * - the OOM eventfd of memory.oom_control fires at the level whose limit was hit and at all levels below it, before the
 *   kill. So each level with a limit is watched by an eventfd of ours, and a level's own OOMs are what it saw more than the next
 *   watched level above it. failcnt remains for marks of another handle (a keeper that was replaced in between);
 * - oom_kill in memory.oom_control counts in the victim's own leaf only.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "sys/cgroup_ops.h"
#include "sys/cgroup_tree.h"
#include "sys/fds.h"

/* What this handle knows of a box. Only this process writes limits, so what it wrote need not be read again. */
struct level {
	char *path;
	int fd; /* counts the OOMs in or above the box; -1 = not registered */
	int64_t seen;
	bool is_limited;  /* what `fd` counts more than the next limited level above is this level's own */
	bool is_clean;    /* never had a limit, so its failcnt stays 0 */
	bool is_pristine; /* made by this handle, and no limit was set */
	bool is_unused;   /* made by this handle, and nobody was put into it: all its counters are 0 */
};

static int memory_fd(const struct cgroup *cg)
{
	return cgroup_dir_of(cg, CGROUP_CTL_MEMORY)->fd;
}

/* Registers an eventfd with memory.oom_control; owned by the caller, or -1. */
static int register_fd(struct cgroup *cg, const char *path)
{
	char text[32];
	int control = cgroup_tree_open(memory_fd(cg), path, "memory.oom_control", O_RDONLY);
	int fd = control < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	snprintf(text, sizeof(text), "%d %d", fd, control);
	if (fd >= 0 && cgroup_tree_write(memory_fd(cg), path, "cgroup.event_control", text) < 0)
		fds_close(&fd);
	fds_close(&control);
	return fd;
}

/* The root's path is "", which reads badly as a key. */
static const char *key_of(const char *path)
{
	return *path ? path : ".";
}

static int64_t level_count(struct level *l)
{
	uint64_t more;
	if (l->fd >= 0 && read(l->fd, &more, sizeof(more)) == (ssize_t)sizeof(more))
		l->seen += (int64_t)more;
	return l->seen;
}

static struct level *level_of(const struct cgroup *cg, const char *path)
{
	return map_get(cg->own, key_of(path));
}

static void level_free(struct cgroup *cg, struct level *l)
{
	map_remove(cg->own, key_of(l->path));
	fds_close(&l->fd);
	free(l->path);
	free(l);
}

/* NULL: no memory. */
static struct level *level_add(struct cgroup *cg, const char *path)
{
	struct level *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->fd = -1;
	l->path = strdup(path);
	if (l->path && map_set(cg->own, key_of(path), l) == 0)
		return l;
	free(l->path);
	free(l);
	return NULL;
}

/* The nearest level above that is limited, or NULL. */
static struct level *limited_above(const struct cgroup *cg, const char *path)
{
	char at[CGROUP_PATH_MAX];
	struct level *l = NULL;
	snprintf(at, sizeof(at), "%s", path);
	while ((!l || !l->is_limited) && cgroup_parent(at))
		l = level_of(cg, at);
	return l && l->is_limited ? l : NULL;
}

static void level_limit(struct cgroup *cg, struct level *l)
{
	struct level *above = limited_above(cg, l->path);
	l->is_clean = l->is_pristine = false;
	if (l->is_limited || (l->fd < 0 && (l->fd = register_fd(cg, l->path)) < 0))
		return; /* failcnt must do */
	level_count(l);
	l->seen = above ? level_count(above) : 0; /* so that it begins with none of its own */
	l->is_limited = true;
}

/* What is known of a box; read where it was made or limited by the keeper before this one. NULL: no memory. */
static struct level *level_look(struct cgroup *cg, const char *path)
{
	struct level *l = level_of(cg, path);
	if (l || !(l = level_add(cg, path)))
		return l;
	bool has_limit = cgroup_tree_int(memory_fd(cg), path, "memory.limit_in_bytes") >= 0;
	l->is_clean = !has_limit && cgroup_tree_int(memory_fd(cg), path, "memory.failcnt") == 0;
	if (has_limit)
		level_limit(cg, l);
	return l;
}

void cgroup_v1_born(struct cgroup *cg, const char *path)
{
	char above[CGROUP_PATH_MAX];
	struct level *l = level_of(cg, path);
	snprintf(above, sizeof(above), "%s", path);
	if (cgroup_parent(above))
		cgroup_v1_use(cg, above);
	if (l)
		level_free(cg, l); /* of a box that somebody else removed */
	if ((l = level_add(cg, path)))
		l->is_clean = l->is_pristine = l->is_unused = true;
}

bool cgroup_v1_is_pristine(const struct cgroup *cg, const char *path)
{
	const struct level *l = level_of(cg, path);
	return l && l->is_pristine;
}

void cgroup_v1_use(struct cgroup *cg, const char *path)
{
	struct level *l = level_of(cg, path);
	if (l)
		l->is_unused = false;
}

void cgroup_v1_limited(struct cgroup *cg, const char *path, bool by_memory)
{
	struct level *l = level_of(cg, path);
	if (l)
		l->is_pristine = false;
	if (by_memory && (l || (l = level_add(cg, path))))
		level_limit(cg, l);
}

void cgroup_v1_forget(struct cgroup *cg, const char *path)
{
	size_t cursor = 0;
	struct level *l;
	while ((l = map_next(cg->own, &cursor)))
		if (cgroup_is_within(l->path, path))
			level_free(cg, l);
}

/* One registration serves us and the caller: its count is read by cgroup_v1_oom_drain and by level_count, never by the caller itself. */
int cgroup_v1_oom_fd(struct cgroup *cg, const char *path, struct err *err)
{
	struct level *l = level_look(cg, path);
	if (l && l->fd < 0)
		l->fd = register_fd(cg, path);
	int fd = l && l->fd >= 0 ? fcntl(l->fd, F_DUPFD_CLOEXEC, 0) : -1;
	return fd >= 0 ? fd : err_sys(err, l ? errno : ENOMEM, "unable to watch box \"%s\" for memory events", path);
}

void cgroup_v1_oom_drain(struct cgroup *cg, const char *path, int fd)
{
	struct level *l = level_of(cg, path);
	uint64_t more;
	if (read(fd, &more, sizeof(more)) == (ssize_t)sizeof(more) && l)
		l->seen += (int64_t)more;
}

int64_t cgroup_v1_oom_kills(const struct cgroup *cg, const char *path)
{
	char text[CGROUP_FILE_MAX];
	return cgroup_tree_read(memory_fd(cg), path, "memory.oom_control", text) < 0 ? -1 : cgroup_tree_key(text, "oom_kill");
}

/* Reads all limited levels on the way up, until none has news: the difference of two levels must be of one moment. */
static void read_levels(struct level *const *levels, int n)
{
	bool is_news = true;
	for (int pass = 0; pass < 4 && is_news; pass++) {
		is_news = false;
		for (int i = 0; i < n; i++) {
			int64_t before = levels[i] ? levels[i]->seen : 0;
			is_news |= levels[i] && level_count(levels[i]) != before;
		}
	}
}

int cgroup_v1_count(struct cgroup *cg, const char *path, bool is_end, struct cgroup_mark *now, struct err *err)
{
	char at[CGROUP_PATH_MAX];
	struct level *levels[CGROUP_LEVELS_MAX], *l = level_look(cg, path), *above = NULL;
	const int n = now->nlevels;
	assert(n > 0 && n <= CGROUP_LEVELS_MAX);
	now->kills = l && l->is_unused ? 0 : cgroup_v1_oom_kills(cg, path);
	if (now->kills < 0)
		return err_sys(err, errno, "unable to read memory.oom_control of box \"%s\"", path);
	snprintf(at, sizeof(at), "%s", path);
	for (int i = 0; i < n; i++, cgroup_parent(at)) {
		l = level_look(cg, at);
		levels[i] = l && l->is_limited ? l : NULL;
		/* At an end all is read: somebody may have set a limit by hand. */
		bool is_zero = !is_end && l && (l->is_clean || (i == 0 && l->is_unused));
		now->level[i] = is_zero ? 0 : cgroup_tree_int(memory_fd(cg), at, "memory.failcnt");
	}
	read_levels(levels, n);
	for (int i = n - 1; i >= 0; i--)
		if (levels[i]) {
			int64_t own = levels[i]->seen - (above ? above->seen : 0);
			now->event[i] = own > 0 ? own : 0;
			above = levels[i];
		}
	return 0;
}
