/* joblog_list: which logs lie in jobs/, in pieces: by name, so that what comes and goes between two pieces moves no other past them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fleet/jtext.h"
#include "fleet/joblog.h"
#include "fleet/store_sql.h"
#include "sys/clock.h"

#define LOOKS_STEP 1000 /* folders of one piece */
#define JSON_MOST  ((size_t)4 << 20)
#define NAME_ROOM  256

struct listing {
	struct store_job base;
	char jobs[PATH_MAX];
	char project[NAME_ROOM];                            /* "" = of all */
	char after_project[NAME_ROOM], after_id[NAME_ROOM]; /* the last of the piece before; "" = none */
	char last[2 * NAME_ROOM];
	int looks;
	bool is_whole;
	struct buf json;
	joblog_list_fn *fn;
	void *data;
};

struct names {
	char **all;
	size_t n, room;
};

static void names_fini(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->all[i]);
	free(names->all);
}

static int names_add(struct names *names, const char *name)
{
	if (names->n == names->room) {
		size_t room = names->room > 0 ? 2 * names->room : 256;
		char **all = realloc(names->all, room * sizeof(*all));
		if (!all)
			return -1;
		names->all = all;
		names->room = room;
	}
	if (!(names->all[names->n] = strdup(name)))
		return -1;
	names->n++;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of logs, or of projects, that come after that one, sorted. */
static int names_read(struct names *names, DIR *dir, const char *after, struct err *err)
{
	const struct dirent *d;
	for (errno = 0; (d = readdir(dir)); errno = 0)
		if (joblog_is_name(d) && strlen(d->d_name) < NAME_ROOM && strcmp(d->d_name, after) > 0 &&
		    names_add(names, d->d_name) < 0)
			return err_set(err, "not enough memory");
	if (errno)
		return err_sys(err, errno, "unable to list logs of jobs");
	if (names->n > 0)
		qsort(names->all, names->n, sizeof(*names->all), compare);
	return 0;
}

/* NULL without an error: it is none of ours, or went meanwhile. */
static DIR *open_named(int at, const char *name, struct err *err)
{
	errno = 0;
	DIR *dir = joblog_open_folder(at, name);
	if (!dir && errno && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		err_sys(err, errno, "unable to list the log of a job: %s", name);
	return dir;
}

static int put_row(struct listing *l, struct store_sql *sql, int project, const char *key, const char *id, struct err *err)
{
	const struct dirent *d;
	struct stat st;
	char both[2 * NAME_ROOM];
	int64_t size = 0, files = 0, changed = 0, now = clock_wall_ms();
	DIR *dir = open_named(project, id, err);
	if (!dir)
		return err->text[0] ? -1 : 0;
	if (fstat(dirfd(dir), &st) == 0)
		changed = (int64_t)st.st_mtime * 1000;
	while ((d = readdir(dir)))
		if (d->d_name[0] != '.' && fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			size += S_ISREG(st.st_mode) ? st.st_size : 0;
			files++;
			if ((int64_t)st.st_mtime * 1000 > changed)
				changed = (int64_t)st.st_mtime * 1000;
		}
	closedir(dir);
	snprintf(both, sizeof(both), "%s/%s", key, id);
	jtext_next(&l->json);
	buf_putc(&l->json, '{');
	jtext_text(&l->json, "id", both);
	jtext_text(&l->json, "project", key);
	jtext_text(&l->json, "name", id);
	jtext_int(&l->json, "size", size);
	jtext_int(&l->json, "files", files);
	jtext_int(&l->json, "age", now > changed ? (now - changed) / 1000 : 0);
	jtext_int(&l->json, "changed", changed);
	jtext_bool(&l->json, "open", joblog_is_open(sql, key, id));
	buf_putc(&l->json, '}');
	return 0;
}

static int list_project(struct listing *l, struct store_sql *sql, int jobs, const char *key, struct err *err)
{
	struct names names = { 0 };
	DIR *dir = open_named(jobs, key, err);
	if (!dir)
		return err->text[0] ? -1 : 0;
	int rc = names_read(&names, dir, strcmp(key, l->after_project) == 0 ? l->after_id : "", err);
	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		if (l->looks++ == LOOKS_STEP) {
			l->is_whole = false;
			break;
		}
		snprintf(l->last, sizeof(l->last), "%s/%s", key, names.all[i]);
		rc = put_row(l, sql, dirfd(dir), key, names.all[i], err);
	}
	names_fini(&names);
	closedir(dir);
	return rc;
}

static int list_all(struct listing *l, struct store_sql *sql, DIR *jobs, struct err *err)
{
	struct names names = { 0 };
	int rc = names_read(&names, jobs, "", err);
	for (size_t i = 0; rc == 0 && l->is_whole && i < names.n; i++)
		if ((!l->project[0] || strcmp(l->project, names.all[i]) == 0) && strcmp(names.all[i], l->after_project) >= 0)
			rc = list_project(l, sql, dirfd(jobs), names.all[i], err);
	names_fini(&names);
	return rc;
}

static int run_listing(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct listing *l = (struct listing *)base;
	DIR *jobs = joblog_open_folder(AT_FDCWD, l->jobs);
	if (!jobs && errno != ENOENT) {
		err_sys(err, errno, "unable to list %s", l->jobs);
		return SQLITE_ERROR;
	}
	buf_putc(&l->json, '[');
	l->is_whole = true;
	int rc = jobs ? list_all(l, sql, jobs, err) : 0;
	if (jobs)
		closedir(jobs);
	buf_putc(&l->json, ']');
	if (rc == 0 && l->json.failed)
		rc = err_set(err, "unable to list %s: not enough memory", l->jobs);
	return rc == 0 ? SQLITE_OK : SQLITE_ERROR;
}

static void tell_listing(struct store_job *base, const struct store_answer *answer)
{
	struct listing *l = (struct listing *)base;
	bool ok = answer->outcome == STORE_OK;
	l->fn(l->data, ok ? &l->json : NULL, ok && !l->is_whole ? l->last : NULL, ok ? NULL : &answer->err);
}

static void release_listing(struct store_job *base)
{
	buf_fini(&((struct listing *)base)->json);
	free(base);
}

int joblog_list(struct store *store, const char *dir, const char *project, const char *after, joblog_list_fn *fn, void *data)
{
	struct listing *l = calloc(1, sizeof(*l));
	const char *slash = strchr(after, '/');
	if (!l)
		return -1;
	l->base = (struct store_job){ run_listing, tell_listing, release_listing };
	snprintf(l->jobs, sizeof(l->jobs), "%.*s/jobs", PATH_MAX - 8, dir);
	snprintf(l->project, sizeof(l->project), "%s", project ? project : "");
	if (slash) {
		snprintf(l->after_project, sizeof(l->after_project), "%.*s", (int)(slash - after), after);
		snprintf(l->after_id, sizeof(l->after_id), "%s", slash + 1);
	}
	l->fn = fn;
	l->data = data;
	buf_init(&l->json, JSON_MOST);
	return store_read_job(store, &l->base);
}
