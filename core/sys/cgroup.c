#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/text.h"
#include "sys/cgroup_mount.h"
#include "sys/cgroup_ops.h"
#include "sys/cgroup_tree.h"
#include "sys/fds.h"

static const char *const mode_names[] = { "none", "v1", "hybrid", "v2" };

static const struct cgroup_ops *const mode_ops[] = { &cgroup_none_ops, &cgroup_v1_ops, &cgroup_hybrid_ops, &cgroup_v2_ops };

static const struct {
	const char *name;
	int64_t least, most;
	bool unlimited; /* -1 is allowed */
	bool is_bytes;
} knobs[] = {
	[CGROUP_MEMORY] = { "memory", 0, INT64_MAX / 2, true, true },
	[CGROUP_SWAP] = { "swap", 0, INT64_MAX / 2, true, true },
	[CGROUP_PIDS] = { "pids", 0, 1 << 30, true, false },
	[CGROUP_CPU] = { "cpu", 10, 10 * 1000 * 1000, true, false }, /* v1 takes no quota below 1 ms per 100 ms */
	[CGROUP_CPU_WEIGHT] = { "cpu weight", 1, 10000, false, false },
};

/* ---- helpers of the modes ---- */

const struct cgroup_dir *cgroup_dir_of(const struct cgroup *cg, unsigned ctl)
{
	for (int i = 0; i < cg->ndirs; i++)
		if (cg->dirs[i].ctls & ctl)
			return &cg->dirs[i];
	return NULL;
}

void cgroup_set_inside(struct cgroup *cg, const char *path)
{
	cg->is_inside = true;
	snprintf(cg->inside, sizeof(cg->inside), "%s", path);
}

bool cgroup_parent(char *path)
{
	if (!*path)
		return false;
	char *slash = strrchr(path, '/');
	*(slash ? slash : path) = '\0';
	return true;
}

bool cgroup_is_within(const char *path, const char *top)
{
	size_t len = strlen(top);
	return len == 0 || (strncmp(path, top, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

int cgroup_dirs_members(struct cgroup *cg, const char *path, pid_t *out, int room, struct err *err)
{
	int n = cgroup_tree_members(cg->dirs[0].fd, path, out, room);
	return n < 0 ? err_sys(err, errno, "unable to list the members of box \"%s\"", path) : n;
}

int cgroup_dirs_each(struct cgroup *cg, cgroup_fn *fn, void *data, struct err *err)
{
	int rc = cgroup_tree_each(cg->dirs[0].fd, "", fn, data);
	return rc < 0 ? err_sys(err, errno, "unable to list boxes in %s", cg->dirs[0].where) : 0;
}

/* ---- paths ---- */

static int check_path(const char *path, struct err *err)
{
	int depth = 0;
	const char *why = strlen(path) >= CGROUP_PATH_MAX ? "too long" : NULL;
	for (const char *segment = path; *path && !why;) {
		size_t len = strcspn(segment, "/");
		if (!text_is_id(segment, len))
			why = "each part must be an id";
		else if (++depth > CGROUP_DEPTH_MAX)
			why = "too deep";
		if (why || !segment[len])
			break;
		segment += len + 1;
	}
	if (!why)
		return 0;
	char shown[128];
	text_escape(shown, sizeof(shown), path, strnlen(path, 80));
	err_set(err, "unable to use \"%s\" as the path of a box: %s", shown, why);
	if (err)
		err->code = EINVAL;
	return -1;
}

/* ---- opening ---- */

/* The modes to try, best first, for what is wanted; the count, or -1: the word is unknown. */
static int wanted_modes(const char *want, const char *name, enum cgroup_mode out[4], struct err *err)
{
	for (int mode = CGROUP_NONE; mode <= CGROUP_V2; mode++)
		if (strcmp(want, mode_names[mode]) == 0) {
			out[0] = (enum cgroup_mode)mode;
			return 1;
		}
	if (strcmp(want, "auto") != 0)
		return err_set(err, "unable to open boxes: unknown mode \"%s\" (auto, v2, hybrid, v1 or none)", want);
	struct cgroup_mount mounts[CGROUP_MOUNTS_MAX];
	unsigned seen = 0;
	int n = cgroup_mount_list(mounts, name, err);
	for (int i = 0; i < n; i++)
		seen |= mounts[i].ctls;
	int modes = 0;
	if (seen & CGROUP_CTL_MEMORY) {
		if (seen & CGROUP_CTL_V2)
			out[modes++] = CGROUP_HYBRID;
		out[modes++] = CGROUP_V1;
	} else if (seen & CGROUP_CTL_V2) {
		out[modes++] = CGROUP_V2;
	}
	out[modes++] = CGROUP_NONE;
	return modes;
}

static struct cgroup *new_handle(const char *name, enum cgroup_mode mode)
{
	struct cgroup *cg = calloc(1, sizeof(*cg));
	if (!cg)
		return NULL;
	cg->mode = mode;
	cg->ops = mode_ops[mode];
	cg->base_fd = -1;
	snprintf(cg->name, sizeof(cg->name), "%s", name);
	if (getrandom(&cg->epoch, sizeof(cg->epoch), GRND_NONBLOCK) < 0)
		cg->epoch = (uint64_t)getpid() << 32 ^ (uintptr_t)cg;
	return cg;
}

static int open_mode(struct cgroup *cg, char *note, size_t room, struct err *err)
{
	if (!(cg->own = map_new()))
		return err_sys(err, ENOMEM, "unable to open boxes");
	switch (cg->mode) {
	case CGROUP_V2:
		return cgroup_v2_open(cg, note, room, err);
	case CGROUP_V1:
		return cgroup_v1_open(cg, false, err);
	case CGROUP_HYBRID:
		return cgroup_v1_open(cg, true, err);
	default:
		return cgroup_none_open(cg, err);
	}
}

int cgroup_open(struct cgroup **out, const char *name, const char *want, char *note, size_t room, struct err *err)
{
	enum cgroup_mode modes[4];
	*out = NULL;
	if (note && room)
		note[0] = '\0';
	else
		room = 0;
	if (!text_is_id(name, strlen(name)))
		return err_set(err, "unable to open boxes: \"%.80s\" is no id", name);
	int n = wanted_modes(want, name, modes, err);
	if (n < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		struct err why = { 0 };
		struct cgroup *cg = new_handle(name, modes[i]);
		if (!cg)
			return err_sys(err, ENOMEM, "unable to open boxes");
		if (open_mode(cg, note, room, &why) == 0) {
			*out = cg;
			if (n > 1 && modes[i] == CGROUP_NONE && room && !note[0])
				snprintf(note, room, "no cgroup hierarchy is mounted here: nothing is limited");
			return 0;
		}
		for (int d = cg->ndirs - 1; d >= 0; d--)
			if (cg->dirs[d].is_new)
				rmdir(cg->dirs[d].where);
		cgroup_close(&cg);
		if (i == n - 1) {
			if (err)
				*err = why;
			return -1;
		}
		if (room)
			snprintf(note, room, "%s; continuing with %s", why.text, mode_names[modes[i + 1]]);
	}
	return -1;
}

void cgroup_close(struct cgroup **pcg)
{
	struct cgroup *cg = *pcg;
	if (!cg)
		return;
	if (cg->own && cg->ops->close)
		cg->ops->close(cg);
	map_free(&cg->own);
	for (int i = 0; i < cg->ndirs; i++)
		fds_close(&cg->dirs[i].fd);
	fds_close(&cg->base_fd);
	free(cg);
	*pcg = NULL;
}

/* ---- questions ---- */

enum cgroup_mode cgroup_mode(const struct cgroup *cg)
{
	return cg->mode;
}

const char *cgroup_mode_name(const struct cgroup *cg)
{
	return mode_names[cg->mode];
}

bool cgroup_has(const struct cgroup *cg, enum cgroup_knob knob)
{
	return (cg->knobs >> knob) & 1;
}

const char *cgroup_where(const struct cgroup *cg, const char *path, char *out, size_t room)
{
	const struct cgroup_dir *dir = cgroup_dir_of(cg, CGROUP_CTL_MEMORY);
	if (!dir && cg->ndirs)
		dir = &cg->dirs[0];
	if (!dir || check_path(path, NULL) < 0)
		snprintf(out, room, "%s", "");
	else
		snprintf(out, room, "%s%s%s", dir->where, *path ? "/" : "", path);
	return out;
}

int cgroup_kills_open(const char *where)
{
	static const char *const files[] = { "memory.oom_control", "memory.events" };
	char path[512];
	int fd = -1;
	for (size_t i = 0; *where && fd < 0 && i < sizeof(files) / sizeof(files[0]); i++) {
		int n = snprintf(path, sizeof(path), "%s/%s", where, files[i]);
		if (n > 0 && (size_t)n < sizeof(path))
			fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	return fd;
}

int64_t cgroup_kills_read(int fd)
{
	char text[1024];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return -1;
	text[n] = '\0';
	const char *line = strstr(text, "\noom_kill ");
	return line ? strtoll(line + 10, NULL, 10) : 0;
}

int64_t cgroup_kills_at(const char *where)
{
	int fd = cgroup_kills_open(where);
	int64_t kills = fd < 0 ? 0 : cgroup_kills_read(fd);
	fds_close(&fd);
	return kills < 0 ? 0 : kills;
}

/* ---- boxes ---- */

int cgroup_make(struct cgroup *cg, const char *path, struct err *err)
{
	return check_path(path, err) < 0 ? -1 : cg->ops->make(cg, path, err);
}

/* A limit as people write it: "3.0 GB", "none", "4096". Returns out. */
static const char *print_limit(enum cgroup_knob knob, int64_t value, char *out, size_t room)
{
	if (knobs[knob].is_bytes && value >= 0)
		return text_print_size(value, out, room);
	if (value == -1 && knobs[knob].unlimited)
		snprintf(out, room, "none");
	else
		snprintf(out, room, "%lld", (long long)value);
	return out;
}

int cgroup_set(struct cgroup *cg, const char *path, enum cgroup_knob knob, int64_t value, struct err *err)
{
	if (check_path(path, err) < 0)
		return -1;
	if ((unsigned)knob >= sizeof(knobs) / sizeof(knobs[0]))
		return err_sys(err, EINVAL, "unable to limit box \"%s\"", path);
	char limit[40];
	print_limit(knob, value, limit, sizeof(limit));
	bool fits = value == -1 ? knobs[knob].unlimited : value >= knobs[knob].least && value <= knobs[knob].most;
	if (!fits)
		return err_sys(err, EINVAL, "unable to set the %s limit of box \"%s\" to %s", knobs[knob].name, path, limit);
	/* A leaf's swap of 0 holds by itself where there is no swap accounting (v1: swappiness). */
	if (!cgroup_has(cg, knob) && !(knob == CGROUP_SWAP && value == 0 && cgroup_has(cg, CGROUP_MEMORY)))
		return err_sys(err, ENOTSUP, "unable to limit %s of box \"%s\" (cgroups: %s)", knobs[knob].name, path,
			       mode_names[cg->mode]);
	if (cg->ops->set(cg, path, knob, value, err) < 0)
		return err_add(err, "unable to set the %s limit of box \"%s\" to %s", knobs[knob].name, path, limit);
	return 0;
}

int cgroup_birth(struct cgroup *cg, const char *path, struct cgroup_birth *out, struct err *err)
{
	*out = (struct cgroup_birth){ .into_fd = -1 };
	if (check_path(path, err) < 0)
		return -1;
	if (cg->ops->birth(cg, path, out, err) < 0) {
		cgroup_birth_fini(out);
		return -1;
	}
	return 0;
}

void cgroup_birth_fini(struct cgroup_birth *b)
{
	fds_close(&b->into_fd);
	while (b->njoin > 0)
		fds_close(&b->join_fds[--b->njoin]);
}

int cgroup_attach(struct cgroup *cg, const char *path, pid_t pid, struct err *err)
{
	if (check_path(path, err) < 0 || cg->ops->attach(cg, path, pid, err) < 0)
		return -1;
	if (pid == getpid())
		cgroup_set_inside(cg, path);
	return 0;
}

int cgroup_usage(struct cgroup *cg, const char *path, struct cgroup_usage *out, struct err *err)
{
	memset(out, 0xff, sizeof(*out)); /* all fields -1 */
	return check_path(path, err) < 0 ? -1 : cg->ops->usage(cg, path, out, err);
}

int cgroup_tally(struct cgroup *cg, const char *path, bool with_refused, struct cgroup_usage *out, struct err *err)
{
	memset(out, 0xff, sizeof(*out));
	return check_path(path, err) < 0 ? -1 : cg->ops->tally(cg, path, with_refused, out, err);
}

/* ---- who ran out of memory ---- */

static int count(struct cgroup *cg, const char *path, bool is_end, struct cgroup_mark *mark, struct err *err)
{
	*mark = (struct cgroup_mark){ .epoch = cg->epoch, .nlevels = 1 };
	if (check_path(path, err) < 0)
		return -1;
	for (const char *p = path; *p; p++)
		mark->nlevels += *p == '/';
	mark->nlevels += *path != '\0';
	for (int i = 0; i < CGROUP_LEVELS_MAX; i++)
		mark->event[i] = -1;
	return cg->ops->count(cg, path, is_end, mark, err);
}

int cgroup_oom_mark(struct cgroup *cg, const char *path, struct cgroup_mark *mark, struct err *err)
{
	return count(cg, path, false, mark, err);
}

/* How often level i itself ran out between two marks. Not watched then, but now: it was counted from 0 since. */
static int64_t own_ooms(const struct cgroup_mark *then, const struct cgroup_mark *now, int i)
{
	if (now->event[i] < 0 || now->epoch != then->epoch)
		return now->level[i] - then->level[i];
	return now->event[i] - (then->event[i] > 0 ? then->event[i] : 0);
}

int cgroup_oom_since(struct cgroup *cg, const char *path, const struct cgroup_mark *mark, struct cgroup_oom *out, struct err *err)
{
	struct cgroup_mark now;
	*out = (struct cgroup_oom){ .owner_limit_bytes = -1 };
	if (count(cg, path, true, &now, err) < 0)
		return -1;
	if (now.nlevels != mark->nlevels)
		return err_sys(err, EINVAL, "unable to compare box \"%s\" with the mark of another", path);
	out->kills = now.kills - mark->kills;
	if (out->kills <= 0)
		return 0;
	char level[CGROUP_PATH_MAX];
	snprintf(level, sizeof(level), "%s", path);
	/* The deepest first: a leaf that ran out itself lost its own process to that, whatever happened above. */
	for (int i = 0; i < now.nlevels; i++, cgroup_parent(level))
		if (own_ooms(mark, &now, i) > 0) {
			snprintf(out->owner, sizeof(out->owner), "%s", *level ? level : ".");
			out->owner_limit_bytes = cg->ops->limit_bytes(cg, level);
			break;
		}
	return 0;
}

int cgroup_oom_fd(struct cgroup *cg, const char *path, struct err *err)
{
	return check_path(path, err) < 0 ? -1 : cg->ops->oom_fd(cg, path, err);
}

void cgroup_oom_drain(struct cgroup *cg, const char *path, int fd)
{
	if (cg->ops->oom_drain && check_path(path, NULL) == 0)
		cg->ops->oom_drain(cg, path, fd);
}

/* ---- members ---- */

int cgroup_kill(struct cgroup *cg, const char *path, struct err *err)
{
	if (check_path(path, err) < 0)
		return -1;
	if (cg->is_inside && cgroup_is_within(cg->inside, path))
		return err_sys(err, EINVAL, "unable to kill box \"%s\": the caller lives in it", path);
	return cg->ops->kill(cg, path, err);
}

int cgroup_freeze(struct cgroup *cg, const char *path, bool on, struct err *err)
{
	return check_path(path, err) < 0 ? -1 : cg->ops->freeze(cg, path, on, err);
}

int cgroup_is_empty(struct cgroup *cg, const char *path, struct err *err)
{
	return check_path(path, err) < 0 ? -1 : cg->ops->is_empty(cg, path, err);
}

int cgroup_members(struct cgroup *cg, const char *path, pid_t *out, int room, struct err *err)
{
	return check_path(path, err) < 0 ? -1 : cg->ops->members(cg, path, out, room, err);
}

int cgroup_remove(struct cgroup *cg, const char *path, struct err *err)
{
	return check_path(path, err) < 0 ? -1 : cg->ops->remove(cg, path, err);
}

int cgroup_leave(struct cgroup *cg, struct err *err)
{
	char path[600], pid[16];
	int rc = 0;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	for (int i = 0; i < cg->ndirs; i++) {
		snprintf(path, sizeof(path), "%s/../cgroup.procs", cg->dirs[i].where);
		if (fds_write_at(AT_FDCWD, path, pid, err) < 0)
			rc = -1;
	}
	if (rc == 0)
		cg->is_inside = false;
	return rc;
}

int cgroup_each(struct cgroup *cg, cgroup_fn *fn, void *data, struct err *err)
{
	return cg->ops->each(cg, fn, data, err);
}

void cgroup_none_member(struct cgroup *cg, const char *path, pid_t pid)
{
	if (cg->mode == CGROUP_NONE)
		cgroup_attach(cg, path, pid, NULL);
}
