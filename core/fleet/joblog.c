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
#include "fleet/store_sql.h"
#include "sys/fds.h"

#define WEBAPP "webapp-" /* the log of webapp NAME lies in jobs/PROJECT/webapp-NAME */

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
