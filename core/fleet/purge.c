#include "fleet/purge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "fleet/joblog.h"
#include "fleet/ledger.h"
#include "fleet/store_sql.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define EVERY_MS   3600000
#define SOON_MS    60000 /* after a start: taking up comes first */
#define STEP_MS    20    /* between steps: others write as well */
#define AGAIN_MS   60000 /* a full disk, a locked store */
#define ROWS_STEP  500
#define LOGS_STEP  50
#define LOOKS_STEP 5000 /* folders looked at in one step */

enum kind { TASKS, RESULTS, FACTS, DECISIONS, VERSIONS, USAGE, LOGS, KINDS };

/*
 * ?1: older than, or how many stay; ?2: rows of one step; ?3: where the step before came to. None looks at more rows than it may take, and
 * a few: the writer's time is the submits'. Facts are in the order in which they came, so old ones are among the first; those of a clock
 * that went wrong wait for their time.
 */
static const char *const statements[KINDS] = {
	[TASKS] = "DELETE FROM task WHERE rowid IN (SELECT rowid FROM task WHERE ended_ms IS NOT NULL AND ended_ms < ?1 ORDER BY "
		  "ended_ms LIMIT ?2)",
	[RESULTS] =
		"UPDATE task SET result = NULL WHERE rowid IN"
		" (SELECT rowid FROM task WHERE ended_ms IS NOT NULL AND ended_ms >= ?3 AND ended_ms < ?1 AND result IS NOT NULL"
		" ORDER BY ended_ms LIMIT ?2) RETURNING ended_ms",
	[FACTS] = "DELETE FROM fact WHERE rowid IN (SELECT rowid FROM"
		  " (SELECT rowid, wall_ms FROM fact ORDER BY epoch, seq LIMIT 10 * ?2) WHERE wall_ms < ?1 LIMIT ?2)",
	[DECISIONS] = "DELETE FROM decision WHERE id IN (SELECT id FROM decision WHERE last_ms < ?1 ORDER BY last_ms LIMIT ?2)",
	[VERSIONS] =
		"DELETE FROM policy_version WHERE version IN"
		" (SELECT version FROM policy_version WHERE version <= (SELECT MAX(version) FROM policy_version) - ?1 LIMIT ?2)",
	/* an hour at a time */
	[USAGE] = "DELETE FROM usage WHERE hour < ?1 / 3600000 AND hour = (SELECT MIN(hour) FROM usage)",
};

struct purge {
	struct loop *loop;
	struct fleet *fleet;
	struct loop_timer *timer;
	char jobs[PATH_MAX];
	struct policy_retention keep;
	bool is_set, is_running, is_changed;
	enum kind at;
	int64_t results_from_ms; /* those of tasks that ended before have gone */
	int64_t logs_from;       /* folders that were looked at in this round and stay */
	struct purge_stats stats;
};

struct job {
	struct store_job base;
	struct purge *purge; /* of the loop's thread; not touched by run */
	enum kind kind;
	int64_t bound, from;
	char jobs[PATH_MAX];
	int64_t done;    /* how many went */
	int64_t reached; /* from of the next step */
	bool is_whole;   /* none is left */
};

/* --- rows --- */

static int run_rows(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct job *j = (struct job *)base;
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_sql_db(sql), statements[j->kind], -1, &st, NULL);
	if (rc != SQLITE_OK)
		return store_sql_fault(sql, rc, "tidy", err);
	sqlite3_bind_int64(st, 1, j->bound);
	sqlite3_bind_int(st, 2, ROWS_STEP);
	if (j->kind == RESULTS)
		sqlite3_bind_int64(st, 3, j->from);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		if (sqlite3_column_int64(st, 0) > j->reached)
			j->reached = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	if (rc != SQLITE_DONE)
		return store_sql_fault(sql, rc, "tidy", err);
	j->done = sqlite3_changes(store_sql_db(sql));
	j->is_whole = j->kind == USAGE ? j->done == 0 : j->done < ROWS_STEP;
	if (j->is_whole)
		j->reached = j->bound;
	return SQLITE_OK;
}

/* --- logs: jobs/PROJECT/ID/output.log: of a job, of a task (in RUN), of a webapp --- */

static bool may_go_on(const struct job *j)
{
	return j->done < LOGS_STEP && j->reached < j->from + LOOKS_STEP;
}

/* Folders before j->from were looked at by the steps before: none of them is looked at again before the next round. */
static void look_at_project(struct job *j, struct store_sql *sql, int jobs, const char *name)
{
	const struct dirent *d;
	DIR *project = joblog_open_folder(jobs, name);
	if (!project)
		return;
	while (may_go_on(j) && (d = readdir(project))) {
		if (!joblog_is_name(d))
			continue;
		bool is_new = j->reached >= j->from;
		if (is_new && !joblog_is_open(sql, name, d->d_name) && joblog_remove_old(dirfd(project), d->d_name, j->bound))
			j->done++;
		else
			j->reached++;
	}
	closedir(project);
}

static int run_logs(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct job *j = (struct job *)base;
	const struct dirent *d;
	DIR *jobs = joblog_open_folder(AT_FDCWD, j->jobs);
	if (!jobs) {
		j->is_whole = true;
		if (errno == ENOENT)
			return SQLITE_OK;
		err_sys(err, errno, "unable to tidy %s", j->jobs);
		return SQLITE_ERROR;
	}
	while (may_go_on(j) && (d = readdir(jobs)))
		if (joblog_is_name(d))
			look_at_project(j, sql, dirfd(jobs), d->d_name);
	j->is_whole = may_go_on(j);
	closedir(jobs);
	return SQLITE_OK;
}

/* --- step by step --- */

static int64_t bound_of(const struct purge *p, enum kind kind)
{
	int64_t now = clock_wall_ms();
	const int64_t ages[KINDS] = {
		[TASKS] = p->keep.tasks_ms,         [RESULTS] = p->keep.results_ms, [FACTS] = p->keep.facts_ms,
		[DECISIONS] = p->keep.decisions_ms, [USAGE] = p->keep.usage_ms,     [LOGS] = p->keep.job_logs_ms
	};
	return kind == VERSIONS ? p->keep.versions : now - ages[kind];
}

static void note(struct purge *p, const struct job *j)
{
	int64_t *const counts[KINDS] = { &p->stats.tasks,    &p->stats.results, &p->stats.facts, &p->stats.decisions,
					 &p->stats.versions, &p->stats.usage,   &p->stats.logs };
	*counts[j->kind] += j->done;
	if (j->kind == RESULTS && j->reached > p->results_from_ms)
		p->results_from_ms = j->reached;
	if (j->kind == LOGS)
		p->logs_from = j->is_whole ? 0 : j->reached;
}

static void tell(struct store_job *base, const struct store_answer *answer)
{
	struct job *j = (struct job *)base;
	struct purge *p = j->purge;
	if (answer->outcome != STORE_OK) {
		log_warn("%s; next try in %d s", answer->err.text, AGAIN_MS / 1000);
		p->is_running = false;
		loop_timer_start(p->timer, AGAIN_MS);
		return;
	}
	note(p, j);
	if (j->is_whole)
		p->at++;
	if (p->at < KINDS) {
		loop_timer_start(p->timer, STEP_MS);
		return;
	}
	p->is_running = false;
	loop_timer_start(p->timer, p->is_changed ? STEP_MS : EVERY_MS);
}

static void release(struct store_job *base)
{
	free(base);
}

static void step(void *data)
{
	struct purge *p = data;
	struct store *store = fleet_store(p->fleet);
	if (!p->is_running)
		p->at = TASKS;
	p->is_changed = p->is_running && p->is_changed;
	p->is_running = true;
	struct job *j = calloc(1, sizeof(*j));
	if (j) {
		j->base = (struct store_job){ p->at == LOGS ? run_logs : run_rows, tell, release };
		j->purge = p;
		j->kind = p->at;
		j->bound = bound_of(p, p->at);
		j->from = p->at == RESULTS ? p->results_from_ms : p->at == LOGS ? p->logs_from : 0;
		memcpy(j->jobs, p->jobs, sizeof(j->jobs));
	}
	if (!j || (p->at == LOGS ? store_read_job(store, &j->base) : store_write_job(store, &j->base)) < 0) {
		p->is_running = false;
		loop_timer_start(p->timer, AGAIN_MS);
	}
}

/* --- logs of one project --- */

struct clearing {
	struct job job;
	struct store *store;
	char project[128];
};

static int run_clearing(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct clearing *c = (struct clearing *)base;
	(void)err;
	int jobs = open(c->job.jobs, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (jobs >= 0)
		look_at_project(&c->job, sql, jobs, c->project);
	if (jobs >= 0 && c->job.done == 0)
		unlinkat(jobs, c->project, AT_REMOVEDIR);
	fds_close(&jobs);
	return SQLITE_OK;
}

static void order_clearing(struct store *store, const char *jobs, const char *project);

static void tell_clearing(struct store_job *base, const struct store_answer *answer)
{
	const struct clearing *c = (const struct clearing *)base;
	if (answer->outcome == STORE_OK && c->job.done > 0)
		order_clearing(c->store, c->job.jobs, c->project);
}

static void order_clearing(struct store *store, const char *jobs, const char *project)
{
	struct clearing *c = calloc(1, sizeof(*c));
	if (!c)
		return;
	c->job.base = (struct store_job){ run_clearing, tell_clearing, release };
	c->job.kind = LOGS;
	c->job.bound = INT64_MAX;
	c->store = store;
	snprintf(c->job.jobs, sizeof(c->job.jobs), "%s", jobs);
	snprintf(c->project, sizeof(c->project), "%s", project);
	if (store_read_job(store, &c->job.base) < 0)
		log_warn("unable to clear the logs of project %s: the store takes nothing now", project);
}

void purge_logs(struct purge *p, const char *project)
{
	order_clearing(fleet_store(p->fleet), p->jobs, project);
}

struct purge *purge_new(struct loop *loop, struct fleet *fleet, const char *dir)
{
	struct purge *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->loop = loop;
	p->fleet = fleet;
	p->timer = loop_timer_new(loop, step, p);
	if (!p->timer || snprintf(p->jobs, sizeof(p->jobs), "%s/jobs", dir) >= (int)sizeof(p->jobs))
		purge_free(&p);
	return p;
}

void purge_free(struct purge **p)
{
	if (!*p)
		return;
	loop_timer_free(&(*p)->timer);
	free(*p);
	*p = NULL;
}

void purge_set(struct purge *p, const struct policy_retention *retention)
{
	bool is_same = p->is_set && memcmp(&p->keep, retention, sizeof(*retention)) == 0;
	if (is_same)
		return;
	ledger_set_window(fleet_ledger(p->fleet), retention->ledger_ms, retention->ledger_most_bytes);
	ledger_set_keep(fleet_ledger(p->fleet), retention->decisions_ms, 0);
	p->keep = *retention;
	p->is_changed = true;
	if (!p->is_running)
		loop_timer_start(p->timer, p->is_set || getenv("DSS_SPECS") ? STEP_MS : SOON_MS);
	p->is_set = true;
}

void purge_get_stats(const struct purge *p, struct purge_stats *out)
{
	*out = p->stats;
}
