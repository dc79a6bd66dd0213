#include "fleet/joblog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "fleet/jtext.h"
#include "fleet/store_sql.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define WEBAPP     "webapp-" /* the log of webapp NAME lies in jobs/PROJECT/webapp-NAME */
#define LOOKS_STEP 1000      /* folders of one piece of a list */
#define JSON_MOST  ((size_t)4 << 20)

/* Somebody writes there, or will. */
bool joblog_is_open(struct store_sql *sql, const char *project, const char *id)
{
	bool is_webapp = strncmp(id, WEBAPP, strlen(WEBAPP)) == 0;
	const char *text =
		is_webapp ? "SELECT 1 FROM webapp WHERE project = ?2 AND name = ?1 AND (wanted = 'running' OR process <> '')"
			  : "SELECT 1 FROM task WHERE ended_ms IS NULL AND (id = ?1 OR (project = ?2 AND job = ?1))";
	sqlite3_stmt *st = NULL;
	bool is_open = true; /* what cannot be asked stays */
	if (sqlite3_prepare_v2(store_sql_db(sql), text, -1, &st, NULL) != SQLITE_OK)
		return true;
	sqlite3_bind_text(st, 1, is_webapp ? id + strlen(WEBAPP) : id, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, project, -1, SQLITE_STATIC);
	is_open = sqlite3_step(st) != SQLITE_DONE;
	sqlite3_finalize(st);
	return is_open;
}

/* One of ours: where somebody else could put names, nothing is removed by name. */
static bool is_ours(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & S_IWOTH);
}

DIR *joblog_open_folder(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (at != AT_FDCWD && fd >= 0 && !is_ours(fd))
		fds_close(&fd);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir)
		fds_close(&fd);
	return dir;
}

bool joblog_is_name(const struct dirent *d)
{
	return d->d_name[0] != '.' && text_is_id(d->d_name, strlen(d->d_name));
}

/* Only plain files, and only where all of them are old: nothing of ours makes anything else there. */
static bool is_old(DIR *dir, int64_t bound_ms)
{
	const struct dirent *d;
	struct stat st;
	while ((d = readdir(dir)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
		    (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
		     (int64_t)st.st_mtime * 1000 >= bound_ms))
			return false;
	return fstat(dirfd(dir), &st) == 0 && (int64_t)st.st_mtime * 1000 < bound_ms;
}

bool joblog_remove_old(int project, const char *id, int64_t bound_ms)
{
	const struct dirent *d;
	DIR *dir = joblog_open_folder(project, id);
	if (!dir)
		return false;
	bool ok = is_old(dir, bound_ms);
	rewinddir(dir);
	while (ok && (d = readdir(dir)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			ok = unlinkat(dirfd(dir), d->d_name, 0) == 0;
	closedir(dir);
	return ok && unlinkat(project, id, AT_REMOVEDIR) == 0;
}

/* --- the list --- */

struct listing {
	struct store_job base;
	char jobs[PATH_MAX], project[256]; /* "" = of all */
	int64_t from, at;                  /* folders that were passed over */
	bool is_whole;
	struct buf json;
	joblog_list_fn *fn;
	void *data;
};

static void put_row(struct listing *l, struct store_sql *sql, int project, const char *key, const char *id)
{
	const struct dirent *d;
	struct stat st;
	char both[600];
	int64_t size = 0, files = 0, changed = 0, now = clock_wall_ms();
	DIR *dir = joblog_open_folder(project, id);
	if (!dir)
		return;
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
}

static void list_project(struct listing *l, struct store_sql *sql, int jobs, const char *key)
{
	const struct dirent *d;
	DIR *dir = joblog_open_folder(jobs, key);
	if (!dir)
		return;
	while (l->at < l->from + LOOKS_STEP && (d = readdir(dir)))
		if (joblog_is_name(d) && l->at++ >= l->from)
			put_row(l, sql, dirfd(dir), key, d->d_name);
	closedir(dir);
}

static int run_listing(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct listing *l = (struct listing *)base;
	const struct dirent *d;
	DIR *jobs = joblog_open_folder(AT_FDCWD, l->jobs);
	buf_putc(&l->json, '[');
	if (!jobs && errno != ENOENT) {
		err_sys(err, errno, "unable to list %s", l->jobs);
		return SQLITE_ERROR;
	}
	while (jobs && l->at < l->from + LOOKS_STEP && (d = readdir(jobs)))
		if (joblog_is_name(d) && (!l->project[0] || strcmp(l->project, d->d_name) == 0))
			list_project(l, sql, dirfd(jobs), d->d_name);
	l->is_whole = l->at < l->from + LOOKS_STEP;
	if (jobs)
		closedir(jobs);
	buf_putc(&l->json, ']');
	if (!l->json.failed)
		return SQLITE_OK;
	err_set(err, "unable to list %s: not enough memory", l->jobs);
	return SQLITE_NOMEM;
}

static void tell_listing(struct store_job *base, const struct store_answer *answer)
{
	struct listing *l = (struct listing *)base;
	bool ok = answer->outcome == STORE_OK;
	l->fn(l->data, ok ? &l->json : NULL, ok && !l->is_whole ? l->at : -1, ok ? NULL : &answer->err);
}

static void release_listing(struct store_job *base)
{
	buf_fini(&((struct listing *)base)->json);
	free(base);
}

int joblog_list(struct store *store, const char *dir, const char *project, int64_t from, joblog_list_fn *fn, void *data)
{
	struct listing *l = calloc(1, sizeof(*l));
	if (!l)
		return -1;
	l->base = (struct store_job){ run_listing, tell_listing, release_listing };
	snprintf(l->jobs, sizeof(l->jobs), "%.*s/jobs", PATH_MAX - 8, dir);
	snprintf(l->project, sizeof(l->project), "%s", project ? project : "");
	l->from = from;
	l->fn = fn;
	l->data = data;
	buf_init(&l->json, JSON_MOST);
	return store_read_job(store, &l->base);
}

/* --- removing one --- */

struct removal {
	struct store_job base;
	char jobs[PATH_MAX], project[256], id[256];
	int64_t changed_ms;
	const char *why;
	joblog_remove_fn *fn;
	void *data;
};

static int run_removal(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct removal *r = (struct removal *)base;
	(void)err;
	if (joblog_is_open(sql, r->project, r->id)) {
		r->why = "it is written again";
		return SQLITE_OK;
	}
	DIR *jobs = joblog_open_folder(AT_FDCWD, r->jobs);
	DIR *project = jobs ? joblog_open_folder(dirfd(jobs), r->project) : NULL;
	/* times of files are told in whole seconds */
	if (!project || !joblog_remove_old(dirfd(project), r->id, r->changed_ms + 1000))
		r->why = "it has changed, or holds what is no log of ours";
	if (project)
		closedir(project);
	if (jobs)
		closedir(jobs);
	return SQLITE_OK;
}

static void tell_removal(struct store_job *base, const struct store_answer *answer)
{
	struct removal *r = (struct removal *)base;
	r->fn(r->data, answer->outcome == STORE_OK ? r->why : answer->err.text);
}

static void release_removal(struct store_job *base)
{
	free(base);
}

int joblog_remove(struct store *store, const char *dir, const char *project, const char *id, int64_t changed_ms,
		  joblog_remove_fn *fn, void *data)
{
	struct removal *r = calloc(1, sizeof(*r));
	if (!r)
		return -1;
	r->base = (struct store_job){ run_removal, tell_removal, release_removal };
	snprintf(r->jobs, sizeof(r->jobs), "%.*s/jobs", PATH_MAX - 8, dir);
	snprintf(r->project, sizeof(r->project), "%s", project);
	snprintf(r->id, sizeof(r->id), "%s", id);
	r->changed_ms = changed_ms;
	r->fn = fn;
	r->data = data;
	return store_read_job(store, &r->base);
}
