#ifndef DSS_FLEET_JOBLOG_H
#define DSS_FLEET_JOBLOG_H
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "fleet/store.h"
/*
 * joblog: the logs that lie in jobs/: jobs/PROJECT/ID of a job, jobs/RUN/ID of a task, jobs/PROJECT/webapp-NAME of a webapp. Which there are, and how
 * one is removed: never through a link, never one that somebody writes or will, never a folder that holds what we did not make.
 */
struct store_sql;

/* Inner to the store's threads: purge.c. at AT_FDCWD: name is a path. NULL: none of ours, or it cannot be read. */
DIR *joblog_open_folder(int at, const char *name);
bool joblog_is_name(const struct dirent *d);
/* Somebody writes there, or will. */
bool joblog_is_open(struct store_sql *sql, const char *project, const char *id);
/* Removes jobs/PROJECT/ID where all in it is older. */
bool joblog_remove_old(int project, const char *id, int64_t bound_ms);

/* A piece of the list, off the loop: [{"id","project","name","size","files","age","open","changed"}], age in seconds, changed in ms of the wall; by
 * name. after: "", then what the piece before said (borrowed), though it may be gone by then. next NULL: that was the last. project NULL: of all. json NULL: why;
 * what cannot be read is no shorter list. -1: the store takes nothing. */
typedef void joblog_list_fn(void *data, const struct buf *json, const char *next, const struct err *why);
int joblog_list(struct store *store, const char *dir, const char *project, const char *after, joblog_list_fn *fn, void *data);

/* Removes one, off the loop, if nothing in it has changed since then (as the list told) and nobody writes there. why NULL: it is gone. */
typedef void joblog_remove_fn(void *data, const char *why);
int joblog_remove(struct store *store, const char *dir, const char *project, const char *id, int64_t changed_ms,
		  joblog_remove_fn *fn, void *data);

#endif
