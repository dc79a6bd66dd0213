#include "sys/fileset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sys/fds.h"

enum { TEMP_ROOM = 64, TEMP_TRIES = 100, KEEP_TRIES = 1000 };

/* --- sets --- */

bool fileset_is_name(const char *name, const char *suffix)
{
	size_t n = strlen(name), tail = strlen(suffix);
	if (name[0] == '.' || n <= tail || n > FILESET_NAME_MAX || strcmp(name + n - tail, suffix) != 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] == '/' || (unsigned char)name[i] < ' ' || name[i] == 127)
			return false;
	return true;
}

const struct fileset_file *fileset_find(const struct fileset *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->at[i].name, name) == 0)
			return &set->at[i];
	return NULL;
}

static void file_fini(struct fileset_file *f)
{
	free(f->name);
	free(f->text);
}

int fileset_add(struct fileset *set, const char *name, const void *text, size_t len, struct err *err)
{
	size_t i = set->n;
	if (set->n == FILESET_FILES_MAX)
		return err_set(err, "unable to take %s: there are more than %d files", name, FILESET_FILES_MAX);
	if (len > FILESET_TEXT_MAX)
		return err_set(err, "unable to take %s: it is longer than %d kB", name, FILESET_TEXT_MAX >> 10);
	if (fileset_find(set, name))
		return err_set(err, "unable to take %s: it is named twice", name);
	struct fileset_file f = { strdup(name), malloc(len + 1), len };
	struct fileset_file *more = realloc(set->at, (set->n + 1) * sizeof *more);
	if (more)
		set->at = more;
	if (!f.name || !f.text || !more) {
		file_fini(&f);
		return err_set(err, "unable to take %s: not enough memory", name);
	}
	memcpy(f.text, text, len);
	f.text[len] = '\0';
	while (i > 0 && strcmp(set->at[i - 1].name, name) > 0)
		i--;
	memmove(set->at + i + 1, set->at + i, (set->n - i) * sizeof *set->at);
	set->at[i] = f;
	set->n++;
	return 0;
}

void fileset_fini(struct fileset *set)
{
	for (size_t i = 0; i < set->n; i++)
		file_fini(&set->at[i]);
	free(set->at);
	*set = (struct fileset){ 0 };
}

static int read_one(int dirfd, const char *name, char *room, struct fileset *set, struct err *err)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, 0) < 0)
		return err_sys(err, errno, "unable to read %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, "unable to read %s: it is no plain file", name);
	ssize_t n = fds_read_at(dirfd, name, room, FILESET_TEXT_MAX + 1, err);
	return n < 0 ? -1 : fileset_add(set, name, room, (size_t)n, err);
}

int fileset_read(int dirfd, const char *suffix, struct fileset *set, struct err *err)
{
	int rc = 0, fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	char *room = malloc(FILESET_TEXT_MAX + 1);
	*set = (struct fileset){ 0 };
	if (!dir || !room) {
		rc = err_sys(err, errno, "unable to read the folder");
		if (!dir)
			fds_close(&fd);
	}
	for (const struct dirent *d; rc == 0 && (d = readdir(dir));)
		if (fileset_is_name(d->d_name, suffix))
			rc = read_one(dirfd, d->d_name, room, set, err);
	if (dir)
		closedir(dir);
	free(room);
	if (rc < 0)
		fileset_fini(set);
	return rc;
}

static bool is_same(const struct fileset_file *a, const struct fileset_file *b)
{
	return a && b && a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static void put_name(struct buf *out, const char *name)
{
	if (out)
		buf_printf(out, "%s%s", out->len ? ", " : "", name);
}

size_t fileset_differ(const struct fileset *a, const struct fileset *b, struct buf *out)
{
	size_t n = 0;
	for (size_t i = 0; i < a->n; i++)
		if (!is_same(&a->at[i], fileset_find(b, a->at[i].name))) {
			put_name(out, a->at[i].name);
			n++;
		}
	for (size_t i = 0; i < b->n; i++)
		if (!fileset_find(a, b->at[i].name)) {
			put_name(out, b->at[i].name);
			n++;
		}
	return n;
}

/* --- writing: a list of steps, each of which can be taken back --- */

struct step {
	enum { STEP_ADD, STEP_REPLACE, STEP_REMOVE } what;
	const char *name;
	char temp[TEMP_ROOM]; /* before: what comes (not of STEP_REMOVE); after: what was there (not of STEP_ADD) */
	bool has_temp, is_done;
};

struct work {
	int dirfd;
	const struct fileset_write *w;
	struct step *steps;
	size_t n;
};

/* A name that nobody has; fd NULL: none is made of it. */
static int new_temp(int dirfd, char *temp, int *fd)
{
	static _Atomic unsigned counter;
	for (int i = 0; i < TEMP_TRIES; i++) {
		snprintf(temp, TEMP_ROOM, ".dss-%ld-%u.tmp", (long)getpid(), counter++);
		if (!fd && faccessat(dirfd, temp, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
			return 0;
		if (!fd)
			continue;
		*fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (*fd >= 0 || errno != EEXIST)
			return *fd >= 0 ? 0 : -1;
	}
	errno = EEXIST;
	return -1;
}

static int prepare_file(struct work *k, struct step *s, const struct fileset_file *f, struct err *err)
{
	int fd = -1, rc = -1;
	const char *verb = "make a temporary file for";
	if (new_temp(k->dirfd, s->temp, &fd) == 0) {
		s->has_temp = true;
		verb = "write";
		rc = fds_write_all(fd, f->text, f->len) < 0 || fchmod(fd, k->w->mode) < 0 || fsync(fd) < 0 ? -1 : 0;
	}
	if (rc < 0)
		err_sys(err, errno, "unable to %s %s", verb, f->name);
	fds_close(&fd);
	return rc;
}

/* A link is followed by who reads: put a file in its place, and what it leads to is not read any more. */
static int refuse_link(struct work *k, const char *name, struct err *err)
{
	struct stat st;
	if (fstatat(k->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
		return err_set(err, "unable to replace %s: it is a link; change what it leads to", name);
	return 0;
}

static int prepare(struct work *k, struct err *err)
{
	const struct fileset *now = k->w->now, *want = k->w->want;
	for (size_t i = 0; i < want->n; i++) {
		const struct fileset_file *f = &want->at[i], *before = fileset_find(now, f->name);
		if (is_same(f, before))
			continue;
		if (before && refuse_link(k, f->name, err) < 0)
			return -1;
		struct step *s = &k->steps[k->n++];
		s->what = before ? STEP_REPLACE : STEP_ADD;
		s->name = f->name;
		if (prepare_file(k, s, f, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < now->n; i++)
		if (!fileset_find(want, now->at[i].name)) {
			if (refuse_link(k, now->at[i].name, err) < 0)
				return -1;
			k->steps[k->n++] = (struct step){ .what = STEP_REMOVE, .name = now->at[i].name };
		}
	return 0;
}

/* Where the file system cannot exchange names (EINVAL) there is a moment without the file. */
static int exchange(int dirfd, char *temp, const char *name)
{
	char aside[TEMP_ROOM];
	if (renameat2(dirfd, temp, dirfd, name, RENAME_EXCHANGE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (new_temp(dirfd, aside, NULL) < 0 || renameat(dirfd, name, dirfd, aside) < 0)
		return -1;
	if (renameat(dirfd, temp, dirfd, name) < 0) {
		int errnum = errno;
		renameat(dirfd, aside, dirfd, name);
		errno = errnum;
		return -1;
	}
	memcpy(temp, aside, TEMP_ROOM);
	return 0;
}

static int put_new(int dirfd, const char *temp, const char *name)
{
	if (renameat2(dirfd, temp, dirfd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return linkat(dirfd, temp, dirfd, name, 0) < 0 ? -1 : unlinkat(dirfd, temp, 0);
}

static int carry_out(struct work *k, struct step *s, struct err *err)
{
	int rc;
	if (s->what == STEP_REPLACE)
		rc = exchange(k->dirfd, s->temp, s->name);
	else if (s->what == STEP_ADD)
		rc = put_new(k->dirfd, s->temp, s->name);
	else
		rc = new_temp(k->dirfd, s->temp, NULL) < 0 ? -1 : renameat(k->dirfd, s->name, k->dirfd, s->temp);
	if (rc < 0)
		return err_sys(err, errno, "unable to %s %s", s->what == STEP_REMOVE ? "take away" : "replace", s->name);
	s->is_done = true;
	s->has_temp = s->what != STEP_ADD;
	return 0;
}

/* As it was. What cannot be taken back is told: the file's name and where its text stands. */
static void take_back(struct work *k, struct step *s, struct err *err)
{
	int rc = s->what == STEP_REPLACE ? exchange(k->dirfd, s->temp, s->name)
		 : s->what == STEP_ADD   ? unlinkat(k->dirfd, s->name, 0)
					 : renameat(k->dirfd, s->temp, k->dirfd, s->name);
	if (rc < 0)
		err_add(err, "unable to put back %s (what was there is %s)", s->name, s->temp);
	else if (s->what == STEP_REMOVE)
		s->has_temp = false;
	if (rc < 0)
		s->has_temp = false; /* the only copy: it stays */
	s->is_done = false;
}

void fileset_name_keep(int dirfd, char out[FILESET_KEEP_ROOM])
{
	struct tm tm;
	time_t now = time(NULL);
	size_t n = strftime(out, FILESET_KEEP_ROOM, ".before-%Y%m%d-%H%M%S", localtime_r(&now, &tm));
	for (int i = 2; i < KEEP_TRIES && faccessat(dirfd, out, F_OK, AT_SYMLINK_NOFOLLOW) == 0; i++)
		snprintf(out + n, FILESET_KEEP_ROOM - n, "-%d", i);
}

/* Before anything is changed: what is told to be kept is kept. */
static int open_keep(struct work *k, int *keep, struct err *err)
{
	if (k->n == 0 || !k->w->keep)
		return 0;
	if (mkdirat(k->dirfd, k->w->keep, 0750) == 0)
		*keep = openat(k->dirfd, k->w->keep, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *keep >= 0 ? 0 : err_sys(err, errno, "unable to make %s for what is there", k->w->keep);
}

/* What was there: kept in a folder, or gone. One that cannot be moved there stays under its temporary name. */
static void clear(struct work *k, int keep)
{
	for (size_t i = 0; i < k->n; i++) {
		struct step *s = &k->steps[i];
		if (!s->has_temp)
			continue;
		if (keep < 0 || !s->is_done)
			unlinkat(k->dirfd, s->temp, 0);
		else
			renameat(k->dirfd, s->temp, keep, s->name);
	}
}

int fileset_write(int dirfd, const struct fileset_write *w, struct err *err)
{
	struct work k = { dirfd, w, calloc(w->now->n + w->want->n + 1, sizeof *k.steps), 0 };
	size_t done = 0;
	int keep = -1;
	if (!k.steps)
		return err_set(err, "unable to write the files: not enough memory");
	int rc = prepare(&k, err);
	if (rc == 0)
		rc = open_keep(&k, &keep, err);
	for (; rc == 0 && done < k.n; done++)
		rc = carry_out(&k, &k.steps[done], err);
	if (rc == 0 && k.n > 0 && fsync(dirfd) < 0)
		rc = err_sys(err, errno, "unable to flush the folder");
	for (size_t i = k.n; rc < 0 && i > 0; i--)
		if (k.steps[i - 1].is_done)
			take_back(&k, &k.steps[i - 1], err);
	clear(&k, rc == 0 ? keep : -1);
	if (rc < 0 && keep >= 0)
		unlinkat(dirfd, w->keep, AT_REMOVEDIR);
	fds_close(&keep);
	free(k.steps);
	return rc;
}
