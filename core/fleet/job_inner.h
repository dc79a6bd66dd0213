#ifndef DSS_FLEET_JOB_INNER_H
#define DSS_FLEET_JOB_INNER_H
#include "base/map.h"
#include "fleet/job.h"
/* job_inner: what job.c and job_store.c share. Nobody else includes it. */
struct store_sql;

struct job_built {
	int64_t started_ms, built_ms; /* of the last build; built_ms 0: it did not end well, or has not ended */
	char job[JOB_NAME_MAX];
	char definition[80], script[80]; /* hashes of the recipe, as the plan has them; "" = none */
};

struct job_dataset {
	char key[2 * JOB_NAME_MAX + 2]; /* "PROJECT/NAME" */
	struct job_built built;
};

struct jobs {
	struct fleet *fleet;
	struct list all;       /* struct job.link */
	struct map *by_task;   /* borrowed from all */
	struct map *datasets;  /* that a job began to build; owned */
	jobs_fn *on_forgotten; /* NULL = nobody wants to know */
	void *data;
};

/* For store_run_now: rows of open jobs, and what is built. data: struct jobs. */
int job_store_load(void *data, struct store_sql *sql, struct err *err);
void job_note_dataset(struct jobs *jobs, const char *project, const char *name, const struct job_built *built);
/* A row of `activity` (id, state, started_ms, ended_ms, process, request, cause, code, signal, peak_bytes, message from column `at` on). */
struct sqlite3_stmt;
void job_store_read_activity(struct job *job, struct sqlite3_stmt *st, int at);

#endif
