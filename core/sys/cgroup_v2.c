/*
 * cgroup v2. A cgroup with processes may not hand controllers to its children ("no internal processes"), so controllers
 * are enabled from the top down when a box is made, and again after the caller has moved itself to a leaf: see cgroup.h.
 *
 * Whose limit was hit: `oom` of memory.events.local rises at that level alone. With memory.oom.group on the leaf the kernel
 * kills all its members, and oom_kill of its memory.events.local counts each.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/text.h"
#include "sys/cgroup_mount.h"
#include "sys/cgroup_ops.h"
#include "sys/cgroup_tree.h"
#include "sys/fds.h"

#define CPU_PERIOD_US 100000

static const struct {
	const char *name;
	bool needed; /* without it the mode is not worth its name */
	unsigned knobs;
} controllers[] = {
	{ "memory", true, 1u << CGROUP_MEMORY | 1u << CGROUP_SWAP },
	{ "pids", true, 1u << CGROUP_PIDS },
	{ "cpu", false, 1u << CGROUP_CPU | 1u << CGROUP_CPU_WEIGHT },
	{ "io", false, 0 },
};
#define NCONTROLLERS (sizeof(controllers) / sizeof(controllers[0]))

/* ---- opening ---- */

/* Whether a line of blank-separated words has this one. */
static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = line; (at = strstr(at, word)); at += len)
		if ((at == line || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\n' || at[len] == '\0'))
			return true;
	return false;
}

/* The mount's true root, the one cgroup that may have both processes and controllers for its children. */
static bool is_true_root(int dir)
{
	return !cgroup_tree_has(dir, "", "cgroup.events");
}

/* The processes directly in it, without those below: the first of another than the caller, or 0. */
static pid_t foreign_member(int dir)
{
	char text[CGROUP_FILE_MAX], *at = text, *end;
	if (cgroup_tree_read(dir, "", "cgroup.procs", text) < 0)
		return 0;
	for (long pid = strtol(at, &end, 10); end != at; at = end, pid = strtol(at, &end, 10))
		if (pid != getpid())
			return (pid_t)pid;
	return 0;
}

/* Takes `where` as the directory above our root: 0, or -1 and why not. */
static int try_base(struct cgroup *cg, const char *where, struct err *err)
{
	char text[CGROUP_FILE_MAX];
	if (!where[0] || access(where, W_OK) < 0)
		return err_sys(err, where[0] ? errno : ENOENT, "%s is not ours to write (delegated?)",
			       where[0] ? where : "own cgroup");
	fds_close(&cg->base_fd);
	cg->base_fd = open(where, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (cg->base_fd < 0 || cgroup_tree_read(cg->base_fd, "", "cgroup.controllers", text) < 0)
		return err_sys(err, errno, "unable to read %s", where);
	cg->knobs = 0;
	for (size_t i = 0; i < NCONTROLLERS; i++) {
		if (has_word(text, controllers[i].name))
			cg->knobs |= controllers[i].knobs;
		else if (controllers[i].needed)
			return err_set(err, "%s does not have the %s controller", where, controllers[i].name);
	}
	pid_t other = is_true_root(cg->base_fd) ? 0 : foreign_member(cg->base_fd);
	if (other)
		return err_set(err, "%s holds another process (pid %d), so it cannot pass controllers on", where, (int)other);
	snprintf(cg->base, sizeof(cg->base), "%s", where);
	return 0;
}

static int choose_base(struct cgroup *cg, const struct cgroup_mount *m, char *note, size_t room, struct err *err)
{
	struct err why = { 0 };
	if (try_base(cg, m->own, &why) == 0)
		return 0;
	if (geteuid() == 0 && strcmp(m->own, m->point) != 0 && try_base(cg, m->point, NULL) == 0 && is_true_root(cg->base_fd)) {
		if (room)
			snprintf(note, room, "%s; using %s", why.text, m->point);
		return 0;
	}
	return err_set(err, "unable to use cgroup v2: %s; start it as a systemd unit with Delegate=yes", why.text);
}

int cgroup_v2_open(struct cgroup *cg, char *note, size_t room, struct err *err)
{
	struct cgroup_mount mounts[CGROUP_MOUNTS_MAX];
	int n = cgroup_mount_list(mounts, cg->name, err), i = 0;
	if (n < 0)
		return -1;
	while (i < n && !(mounts[i].ctls & CGROUP_CTL_V2))
		i++;
	if (i == n)
		return err_sys(err, ENOENT, "unable to use cgroup v2: not mounted");
	if (choose_base(cg, &mounts[i], note, room, err) < 0)
		return -1;
	struct cgroup_dir *dir = &cg->dirs[0];
	if ((size_t)snprintf(dir->where, sizeof(dir->where), "%s/%s", cg->base, cg->name) >= sizeof(dir->where))
		return err_sys(err, ENAMETOOLONG, "unable to make a cgroup in %s", cg->base);
	if (mkdir(dir->where, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "unable to make %s", dir->where);
	dir->fd = open(dir->where, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		return err_sys(err, errno, "unable to open %s", dir->where);
	dir->ctls = CGROUP_CTL_V2;
	cg->ndirs = 1;
	if (mounts[i].is_inside)
		cgroup_set_inside(cg, mounts[i].inside);
	return 0;
}

/* The one hierarchy of v2, or the one beside v1's: always the first. */
static int tree_fd(const struct cgroup *cg)
{
	return cg->dirs[0].fd;
}

/* ---- making ---- */

/* Lets the children of a level use all controllers that are there. */
static int enable(int root, const char *path, const char *shown, struct err *err)
{
	char there[CGROUP_FILE_MAX], on[CGROUP_FILE_MAX], word[16];
	if (cgroup_tree_read(root, path, "cgroup.controllers", there) < 0 ||
	    cgroup_tree_read(root, path, "cgroup.subtree_control", on) < 0)
		return err_sys(err, errno, "unable to read the controllers of %s", shown);
	for (size_t i = 0; i < NCONTROLLERS; i++) {
		const char *name = controllers[i].name;
		if (!has_word(there, name) || has_word(on, name))
			continue;
		snprintf(word, sizeof(word), "+%s", name);
		if (cgroup_tree_write(root, path, "cgroup.subtree_control", word) < 0 && controllers[i].needed)
			return err_sys(err, errno, "unable to enable %s below %s%s", name, shown,
				       errno == EBUSY ? ", which holds processes itself" : "");
	}
	return 0;
}

/* From the base down to path's parent. `pending` becomes true where the caller itself still sits in the base. */
static int enable_down_to(struct cgroup *cg, const char *path, bool *pending, struct err *err)
{
	struct err why = { 0 };
	*pending = false;
	if (enable(cg->base_fd, "", cg->base, &why) < 0) {
		char text[CGROUP_FILE_MAX], pid[16];
		snprintf(pid, sizeof(pid), "%d", (int)getpid());
		*pending = why.code == EBUSY && cgroup_tree_read(cg->base_fd, "", "cgroup.procs", text) >= 0 &&
			   strtol(text, NULL, 10) == getpid() && foreign_member(cg->base_fd) == 0;
		if (*pending)
			return 0;
		if (err)
			*err = why;
		return -1;
	}
	if (!*path)
		return 0;
	if (enable(tree_fd(cg), "", cg->dirs[0].where, err) < 0)
		return -1;
	char level[CGROUP_PATH_MAX];
	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		snprintf(level, sizeof(level), "%.*s", (int)(slash - path), path);
		/* It may have been made as a leaf once; as an inner box it must not take all below with it. */
		cgroup_tree_write(tree_fd(cg), level, "memory.oom.group", "0");
		if (enable(tree_fd(cg), level, level, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- what needs no reading ---- */

struct known { /* in cg->own, by path */
	char *path;
	bool is_unused; /* made by this handle, and nobody was put into it: all counters are 0, whatever its limits */
	bool is_clean;  /* never had a limit, so it never hit one */
	bool is_intact; /* made by this handle, and never killed */
};

static const char *key_of(const char *path)
{
	return *path ? path : ".";
}

static struct known *known_of(const struct cgroup *cg, const char *path)
{
	return map_get(cg->own, key_of(path));
}

/* NULL: no memory, then it is read again. */
static struct known *know(struct cgroup *cg, const char *path)
{
	struct known *k = known_of(cg, path);
	if (k || !(k = calloc(1, sizeof(*k))))
		return k;
	k->path = strdup(path);
	if (k->path && map_set(cg->own, key_of(path), k) == 0)
		return k;
	free(k->path);
	free(k);
	return NULL;
}

static void forget(struct cgroup *cg, const char *path)
{
	size_t cursor = 0;
	struct known *k;
	while ((k = map_next(cg->own, &cursor)))
		if (cgroup_is_within(k->path, path)) {
			map_remove(cg->own, key_of(k->path));
			free(k->path);
			free(k);
		}
}

static void close_all(struct cgroup *cg)
{
	forget(cg, "");
}

static bool is_unused(const struct cgroup *cg, const char *path)
{
	const struct known *k = known_of(cg, path);
	return k && k->is_unused;
}

/* Somebody is about to live there. */
static void used(struct cgroup *cg, const char *path)
{
	struct known *k = known_of(cg, path);
	if (k)
		k->is_unused = false;
}

static void born(struct cgroup *cg, const char *path)
{
	char above[CGROUP_PATH_MAX];
	snprintf(above, sizeof(above), "%s", path);
	if (cgroup_parent(above))
		used(cg, above);
	struct known *k = know(cg, path);
	if (k)
		k->is_unused = k->is_clean = k->is_intact = true;
}

/* A level above others is looked at once. */
static void look(struct cgroup *cg, const char *path, int64_t ooms)
{
	struct known *k = ooms == 0 && cgroup_tree_int(tree_fd(cg), path, "memory.max") < 0 ? know(cg, path) : NULL;
	if (k)
		k->is_clean = true;
}

/* What every leaf has from its birth on. */
static int set_leaf(struct cgroup *cg, const char *path, struct err *err)
{
	static const char *const files[][2] = { { "memory.swap.max", "0" }, { "memory.oom.group", "1" } };
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (cgroup_tree_write(tree_fd(cg), path, files[i][0], files[i][1]) < 0 && errno != ENOENT)
			return err_sys(err, errno, "unable to write %s of box \"%s\"", files[i][0], path);
	return 0;
}

static int make(struct cgroup *cg, const char *path, struct err *err)
{
	int made = cgroup_tree_make(tree_fd(cg), path);
	if (made < 0)
		return err_sys(err, errno, "unable to make %s/%s", cg->dirs[0].where, path);
	/* A box that can be limited proves that all levels above it are enabled: the common case costs one call. */
	bool was_ready = cgroup_tree_has(tree_fd(cg), path, "memory.max"), pending;
	if (!was_ready && enable_down_to(cg, path, &pending, err) < 0)
		return -1;
	if (made > 0)
		born(cg, path);
	return *path && (made || !was_ready) ? set_leaf(cg, path, err) : 0;
}

static int attach(struct cgroup *cg, const char *path, pid_t pid, struct err *err)
{
	char text[16];
	bool pending;
	used(cg, path);
	snprintf(text, sizeof(text), "%d", (int)pid);
	if (cgroup_tree_write(tree_fd(cg), path, "cgroup.procs", text) < 0)
		return err_sys(err, errno, "unable to put pid %d into %s/%s", (int)pid, cg->dirs[0].where, path);
	if (pid != getpid())
		return 0;
	bool was_ready = cgroup_tree_has(tree_fd(cg), path, "memory.max");
	if (!was_ready && enable_down_to(cg, path, &pending, err) < 0)
		return -1;
	return was_ready ? 0 : set_leaf(cg, path, err);
}

static int birth(struct cgroup *cg, const char *path, struct cgroup_birth *out, struct err *err)
{
	/* Linux 6.18 kills whoever CLONE_INTO_CGROUP puts into a box that ever was killed (it compares the count of kills of the parent's
	 * own box), so there, and where one before us may have killed, the child joins. */
	const struct known *k = known_of(cg, path);
	bool is_intact = k && k->is_intact;
	int fd = cgroup_tree_open(tree_fd(cg), path, is_intact ? "" : "cgroup.procs", is_intact ? O_PATH | O_DIRECTORY : O_WRONLY);
	used(cg, path);
	if (is_intact)
		out->into_fd = fd;
	else if (fd >= 0)
		out->join_fds[out->njoin++] = fd;
	return fd < 0 ? err_sys(err, errno, "unable to open %s/%s", cg->dirs[0].where, path) : 0;
}

/* ---- limits ---- */

/* memory.max below what is used would kill at once: reclaim first, and refuse what remains. */
static int make_room(struct cgroup *cg, const char *path, int64_t value, struct err *err)
{
	char text[CGROUP_FILE_MAX];
	int64_t used = cgroup_tree_int(tree_fd(cg), path, "memory.current");
	if (used <= value)
		return 0;
	if (cgroup_tree_has(tree_fd(cg), path, "memory.reclaim")) {
		snprintf(text, sizeof(text), "%lld", (long long)(used - value));
		cgroup_tree_write(tree_fd(cg), path, "memory.reclaim", text); /* EAGAIN: not all; the count below tells */
		used = cgroup_tree_int(tree_fd(cg), path, "memory.current");
	} else if (cgroup_tree_read(tree_fd(cg), path, "memory.stat", text) >= 0) {
		used -= cgroup_tree_key(text, "inactive_file") + cgroup_tree_key(text, "active_file");
	}
	if (used <= value)
		return 0;
	char amount[32];
	return err_sys(err, EBUSY, "%s are in use and cannot be reclaimed", text_print_size(used, amount, sizeof(amount)));
}

static int set(struct cgroup *cg, const char *path, enum cgroup_knob knob, int64_t value, struct err *err)
{
	static const char *const files[] = { "memory.max", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight" };
	char text[64];
	if (knob == CGROUP_MEMORY && value >= 0 && !is_unused(cg, path) && make_room(cg, path, value, err) < 0)
		return -1;
	struct known *k = knob == CGROUP_MEMORY ? known_of(cg, path) : NULL;
	if (k)
		k->is_clean = false;
	if (knob == CGROUP_CPU && value < 0)
		snprintf(text, sizeof(text), "max %d", CPU_PERIOD_US);
	else if (knob == CGROUP_CPU)
		snprintf(text, sizeof(text), "%lld %d", (long long)value * CPU_PERIOD_US / 1000, CPU_PERIOD_US);
	else if (value < 0)
		snprintf(text, sizeof(text), "max");
	else
		snprintf(text, sizeof(text), "%lld", (long long)value);
	if (cgroup_tree_write(tree_fd(cg), path, files[knob], text) == 0)
		return 0;
	if (errno != ENOENT)
		return err_sys(err, errno, "%s", files[knob]);
	if (!cgroup_tree_has(tree_fd(cg), path, "cgroup.procs"))
		return err_sys(err, ENOENT, "no such box");
	if (knob == CGROUP_SWAP && value <= 0)
		return 0; /* a kernel without swap accounting has nothing to limit */
	return err_sys(err, ENOTSUP, "%s is not there, its controller is not passed on to this box", files[knob]);
}

static int64_t limit_bytes(struct cgroup *cg, const char *path)
{
	return cgroup_tree_int(tree_fd(cg), path, "memory.max");
}

/* ---- readings ---- */

static int64_t read_key(int root, const char *path, const char *file, const char *key)
{
	char text[CGROUP_FILE_MAX];
	return cgroup_tree_read(root, path, file, text) < 0 ? -1 : cgroup_tree_key(text, key);
}

static int64_t cpu_ms(const struct cgroup *cg, const char *path)
{
	int64_t us = read_key(tree_fd(cg), path, "cpu.stat", "usage_usec");
	return us < 0 ? -1 : us / 1000;
}

static int usage(struct cgroup *cg, const char *path, struct cgroup_usage *out, struct err *err)
{
	char text[CGROUP_FILE_MAX];
	int root = tree_fd(cg);
	int64_t us = read_key(root, path, "cpu.stat", "usage_usec");
	if (us < 0)
		return err_sys(err, errno, "unable to read cpu.stat of box \"%s\"", path);
	out->cpu_ms = us / 1000;
	out->current_bytes = cgroup_tree_int(root, path, "memory.current");
	out->peak_bytes = cgroup_tree_int(root, path, "memory.peak"); /* from Linux 5.19 */
	out->limit_bytes = limit_bytes(cg, path);
	if (cgroup_tree_read(root, path, "memory.stat", text) >= 0) {
		int64_t anon = cgroup_tree_key(text, "anon"), mapped = cgroup_tree_key(text, "file_mapped");
		int64_t inactive = cgroup_tree_key(text, "inactive_file");
		out->rss_bytes = anon < 0 || mapped < 0 ? -1 : anon + mapped;
		if (out->current_bytes >= 0 && inactive >= 0)
			out->memory_bytes = out->current_bytes > inactive ? out->current_bytes - inactive : 0;
	}
	out->oom_kills = read_key(root, path, "memory.events.local", "oom_kill");
	out->pids = cgroup_tree_int(root, path, "pids.current");
	out->pids_refused = read_key(root, path, "pids.events.local", "max"); /* from Linux 6.11 */
	if (out->pids_refused < 0)
		out->pids_refused = read_key(root, path, "pids.events", "max");
	return 0;
}

static int tally(struct cgroup *cg, const char *path, bool with_refused, struct cgroup_usage *out, struct err *err)
{
	int root = tree_fd(cg);
	int64_t us = read_key(root, path, "cpu.stat", "usage_usec");
	if (us < 0)
		return err_sys(err, errno, "unable to read cpu.stat of box \"%s\"", path);
	out->cpu_ms = us / 1000;
	out->peak_bytes = cgroup_tree_int(root, path, "memory.peak"); /* from Linux 5.19 */
	out->limit_bytes = limit_bytes(cg, path);
	out->oom_kills = read_key(root, path, "memory.events.local", "oom_kill");
	if (with_refused && (out->pids_refused = read_key(root, path, "pids.events.local", "max")) < 0) /* from Linux 6.11 */
		out->pids_refused = read_key(root, path, "pids.events", "max");
	return 0;
}

static int count(struct cgroup *cg, const char *path, bool is_end, struct cgroup_mark *now, struct err *err)
{
	char text[CGROUP_FILE_MAX], level[CGROUP_PATH_MAX];
	snprintf(level, sizeof(level), "%s", path);
	for (int i = 0; i < now->nlevels; i++, cgroup_parent(level)) {
		const struct known *k = known_of(cg, level);
		if (!is_end && k && (i == 0 ? k->is_unused : k->is_clean))
			continue; /* all 0; at an end nothing is taken for known */
		if (cgroup_tree_read(tree_fd(cg), level, "memory.events.local", text) < 0)
			return err_sys(err, errno, "unable to read memory.events.local of box \"%s\"", level);
		now->level[i] = cgroup_tree_key(text, "oom");
		if (i == 0)
			now->kills = cgroup_tree_key(text, "oom_kill");
		else if (!is_end)
			look(cg, level, now->level[i]);
	}
	return 0;
}

static int oom_fd(struct cgroup *cg, const char *path, struct err *err)
{
	(void)cg;
	return err_sys(err, ENOTSUP, "unable to watch box \"%s\": cgroup v2 kills the whole box itself", path);
}

/* ---- members; also used by hybrid ---- */

int cgroup_v2_is_empty(struct cgroup *cg, const char *path, struct err *err)
{
	char text[CGROUP_FILE_MAX];
	if (cgroup_tree_read(tree_fd(cg), path, "cgroup.events", text) < 0) {
		if (errno == ENOENT || errno == ENODEV)
			return 1;
		return err_sys(err, errno, "unable to read cgroup.events of box \"%s\"", path);
	}
	return cgroup_tree_key(text, "populated") == 0;
}

int cgroup_v2_kill(struct cgroup *cg, const char *path, struct err *err)
{
	if (cgroup_tree_write(tree_fd(cg), path, "cgroup.kill", "1") == 0)
		return 0;
	if ((errno == ENOENT || errno == ENODEV) && !cgroup_tree_has(tree_fd(cg), path, "cgroup.procs"))
		return 0; /* no box, nobody */
	return err_sys(err, errno, "unable to kill box \"%s\"", path);
}

static int kill_all(struct cgroup *cg, const char *path, struct err *err)
{
	size_t cursor = 0;
	struct known *k;
	while ((k = map_next(cg->own, &cursor)))
		if (cgroup_is_within(k->path, path))
			k->is_intact = false;
	return cgroup_v2_kill(cg, path, err);
}

int cgroup_v2_freeze(struct cgroup *cg, const char *path, bool on, struct err *err)
{
	if (cgroup_tree_write(tree_fd(cg), path, "cgroup.freeze", on ? "1" : "0") < 0)
		return err_sys(err, errno, "unable to %s box \"%s\"", on ? "freeze" : "thaw", path);
	return 0;
}

/* ---- removal ---- */

static int remove_box(struct cgroup *cg, const char *path, struct err *err)
{
	/* A box without members and without boxes below goes at once; it does not go while it has either. */
	bool is_gone = *path && unlinkat(tree_fd(cg), path, AT_REMOVEDIR) == 0;
	if (is_gone) {
		forget(cg, path);
		return 0;
	}
	int empty = cgroup_v2_is_empty(cg, path, err);
	if (empty <= 0)
		return empty < 0 ? -1 : err_sys(err, EBUSY, "unable to remove box \"%s\", in which processes live", path);
	if (cgroup_tree_remove(tree_fd(cg), path) < 0 || (!*path && rmdir(cg->dirs[0].where) < 0 && errno != ENOENT))
		return err_sys(err, errno, "unable to remove %s%s%s", cg->dirs[0].where, *path ? "/" : "", path);
	forget(cg, path);
	return 0;
}

const struct cgroup_ops cgroup_v2_ops = {
	.make = make,
	.set = set,
	.birth = birth,
	.attach = attach,
	.usage = usage,
	.tally = tally,
	.count = count,
	.cpu_ms = cpu_ms,
	.limit_bytes = limit_bytes,
	.oom_fd = oom_fd,
	.kill = kill_all,
	.freeze = cgroup_v2_freeze,
	.is_empty = cgroup_v2_is_empty,
	.members = cgroup_dirs_members,
	.remove = remove_box,
	.each = cgroup_dirs_each,
	.close = close_all,
};
