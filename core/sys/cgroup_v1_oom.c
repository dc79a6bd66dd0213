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

struct watch { /* counts the OOMs in or above a box; what one above it counts too is not its own */
	char *path;
	int fd;
	int64_t seen;
};

static int memory_fd(const struct cgroup *cg)
{
	return cgroup_dir_of(cg, CGROUP_CTL_MEMORY)->fd;
}

/* Registers an eventfd with memory.oom_control; owned by the caller, or -1. */
int cgroup_v1_oom_fd(struct cgroup *cg, const char *path, struct err *err)
{
	char text[32];
	int control = cgroup_tree_open(memory_fd(cg), path, "memory.oom_control", O_RDONLY);
	int fd = control < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	snprintf(text, sizeof(text), "%d %d", fd, control);
	if (fd >= 0 && cgroup_tree_write(memory_fd(cg), path, "cgroup.event_control", text) < 0)
		fds_close(&fd);
	fds_close(&control);
	return fd >= 0 ? fd : err_sys(err, errno, "unable to watch box \"%s\" for memory events", path);
}

/* The root's path is "", which reads badly as a key. */
static const char *key_of(const char *path)
{
	return *path ? path : ".";
}

static int64_t watch_count(struct watch *w)
{
	uint64_t more;
	if (read(w->fd, &more, sizeof(more)) == (ssize_t)sizeof(more))
		w->seen += (int64_t)more;
	return w->seen;
}

static struct watch *watch_of(const struct cgroup *cg, const char *path)
{
	return map_get(cg->own, key_of(path));
}

/* The nearest level above that is watched, or NULL. */
static struct watch *watch_above(const struct cgroup *cg, const char *path)
{
	char level[CGROUP_PATH_MAX];
	struct watch *w = NULL;
	snprintf(level, sizeof(level), "%s", path);
	while (!w && cgroup_parent(level))
		w = watch_of(cg, level);
	return w;
}

static struct watch *watch_add(struct cgroup *cg, const char *path)
{
	struct watch *w = watch_of(cg, path), *above = watch_above(cg, path);
	if (w || !(w = calloc(1, sizeof(*w))))
		return w;
	w->seen = above ? watch_count(above) : 0; /* so that it begins with none of its own */
	w->path = strdup(path);
	w->fd = cgroup_v1_oom_fd(cg, path, NULL);
	if (w->path && w->fd >= 0 && map_set(cg->own, key_of(path), w) == 0)
		return w;
	fds_close(&w->fd);
	free(w->path);
	free(w);
	return NULL;
}

void cgroup_v1_watch(struct cgroup *cg, const char *path)
{
	watch_add(cg, path);
}

static void watch_free(struct cgroup *cg, struct watch *w)
{
	map_remove(cg->own, key_of(w->path));
	fds_close(&w->fd);
	free(w->path);
	free(w);
}

void cgroup_v1_unwatch(struct cgroup *cg, const char *path)
{
	size_t cursor = 0;
	struct watch *w;
	while ((w = map_next(cg->own, &cursor)))
		if (cgroup_is_within(w->path, path))
			watch_free(cg, w);
}

int64_t cgroup_v1_oom_kills(const struct cgroup *cg, const char *path)
{
	char text[CGROUP_FILE_MAX];
	return cgroup_tree_read(memory_fd(cg), path, "memory.oom_control", text) < 0 ? -1 : cgroup_tree_key(text, "oom_kill");
}

/* Reads all watches on the way up, until none has news: the difference of two levels must be of one moment. */
static void read_watches(struct watch *const *watches, int n)
{
	bool is_news = true;
	for (int pass = 0; pass < 4 && is_news; pass++) {
		is_news = false;
		for (int i = 0; i < n; i++) {
			int64_t before = watches[i] ? watches[i]->seen : 0;
			is_news |= watches[i] && watch_count(watches[i]) != before;
		}
	}
}

int cgroup_v1_count(struct cgroup *cg, const char *path, struct cgroup_mark *now, struct err *err)
{
	char level[CGROUP_PATH_MAX];
	struct watch *watches[CGROUP_LEVELS_MAX], *above = NULL;
	const int n = now->nlevels;
	assert(n > 0 && n <= CGROUP_LEVELS_MAX);
	now->kills = cgroup_v1_oom_kills(cg, path);
	if (now->kills < 0)
		return err_sys(err, errno, "unable to read memory.oom_control of box \"%s\"", path);
	snprintf(level, sizeof(level), "%s", path);
	for (int i = 0; i < n; i++, cgroup_parent(level)) {
		watches[i] = watch_of(cg, level);
		if (!watches[i] &&
		    cgroup_tree_int(memory_fd(cg), level, "memory.limit_in_bytes") >= 0) /* limited by the keeper before this one */
			watches[i] = watch_add(cg, level);
		now->level[i] = cgroup_tree_int(memory_fd(cg), level, "memory.failcnt");
	}
	read_watches(watches, n);
	for (int i = n - 1; i >= 0; i--)
		if (watches[i]) {
			int64_t own = watches[i]->seen - (above ? above->seen : 0);
			now->event[i] = own > 0 ? own : 0;
			above = watches[i];
		}
	return 0;
}
