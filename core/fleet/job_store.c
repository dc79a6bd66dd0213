/* job_store: what the store keeps of jobs: activities, and which datasets are built; statuses and lists of what is over. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/fleet.h"
#include "fleet/job_inner.h"
#include "fleet/jtext.h"
#include "fleet/store_sql.h"
#include "fleet/store_texts.h"
#include "net/json.h"
#include "sys/clock.h"

#define LIST_MOST 10000
#define JSON_MOST ((size_t)32 << 20)

#define ACTIVITY "a.id, a.state, a.started_ms, a.ended_ms, a.process, a.request, a.cause, a.code, a.signal, a.peak_bytes, a.message"

static sqlite3_stmt *prepare(struct store_sql *sql, const char *text, int *rc, struct err *err)
{
	sqlite3_stmt *st = NULL;
	*rc = sqlite3_prepare_v2(store_sql_db(sql), text, -1, &st, NULL);
	if (*rc != SQLITE_OK)
		store_sql_fault(sql, *rc, "use", err);
	return st;
}

/* Ends the statement. */
static int finish(struct store_sql *sql, sqlite3_stmt *st, int rc, const char *what, struct err *err)
{
	if (rc == SQLITE_DONE || rc == SQLITE_ROW)
		rc = SQLITE_OK;
	else
		store_sql_fault(sql, rc, what, err);
	sqlite3_finalize(st);
	return rc;
}

static void bind_text(sqlite3_stmt *st, int at, const char *s)
{
	if (s && *s)
		sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC);
}

static void bind_some(sqlite3_stmt *st, int at, int64_t v, int64_t none)
{
	if (v != none)
		sqlite3_bind_int64(st, at, v);
}

static int64_t column_or(sqlite3_stmt *st, int at, int64_t none)
{
	return sqlite3_column_type(st, at) == SQLITE_NULL ? none : sqlite3_column_int64(st, at);
}

/* --- rows --- */

void job_store_read_activity(struct job *job, struct sqlite3_stmt *st, int at)
{
	struct job_activity *a = job_activity(job, store_texts_column(st, at));
	int state = job_state_named(store_texts_column(st, at + 1));
	if (!a || state < 0)
		return;
	a->state = (enum job_state)state;
	a->started_ms = sqlite3_column_int64(st, at + 2);
	a->ended_ms = sqlite3_column_int64(st, at + 3);
	snprintf(a->process, sizeof(a->process), "%s", store_texts_column(st, at + 4));
	snprintf(a->request, sizeof(a->request), "%s", store_texts_column(st, at + 5));
	snprintf(a->cause, sizeof(a->cause), "%s", store_texts_column(st, at + 6));
	a->code = (int)column_or(st, at + 7, -1);
	a->signal = (int)column_or(st, at + 8, -1);
	a->peak_bytes = column_or(st, at + 9, -1);
	free(a->message);
	a->message = store_texts_column(st, at + 10)[0] ? strdup(store_texts_column(st, at + 10)) : NULL;
	/* One that was ordered has its end told by the keeper, which forgets nothing that was not acknowledged. */
	a->is_alive = a->process[0] && !a->cause[0];
}

int job_store_load(void *data, struct store_sql *sql, struct err *err)
{
	struct jobs *jobs = data;
	int rc;
	sqlite3_stmt *st = prepare(sql,
				   "SELECT a.task, " ACTIVITY " FROM activity a JOIN task t ON t.id = a.task"
				   " WHERE t.state IN ('queued','assigned','running')",
				   &rc, err);
	if (!st)
		return -1;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct job *job = jobs_of(jobs, store_texts_column(st, 0));
		if (job)
			job_store_read_activity(job, st, 1);
	}
	if (finish(sql, st, rc, "read", err) != SQLITE_OK)
		return -1;
	st = prepare(sql, "SELECT project, name, job, started_ms, built_ms, definition, script FROM dataset", &rc, err);
	if (!st)
		return -1;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct job_built built = { .started_ms = sqlite3_column_int64(st, 3), .built_ms = sqlite3_column_int64(st, 4) };
		snprintf(built.job, sizeof(built.job), "%s", store_texts_column(st, 2));
		snprintf(built.definition, sizeof(built.definition), "%s", store_texts_column(st, 5));
		snprintf(built.script, sizeof(built.script), "%s", store_texts_column(st, 6));
		job_note_dataset(jobs, store_texts_column(st, 0), store_texts_column(st, 1), &built);
	}
	return finish(sql, st, rc, "read", err) == SQLITE_OK ? 0 : -1;
}

struct saving {
	struct store_job base;
	struct jobs *jobs;
	struct job_activity row; /* job, spec, guest, node: not to be touched */
	char task[FUTURE_ID_MAX], project[JOB_NAME_MAX], job[JOB_NAME_MAX], id[JOB_NAME_MAX];
	struct job_built built;
	json_t *outputs; /* a copy */
	store_done_fn *fn;
	void *data;
};

static int save_datasets(const struct saving *s, struct store_sql *sql, struct err *err)
{
	int rc = SQLITE_OK;
	size_t i;
	json_t *name;
	json_array_foreach(s->outputs, i, name)
	{
		sqlite3_stmt *st = prepare(
			sql,
			"INSERT INTO dataset (project, name, started_ms, built_ms, job, definition, script) VALUES "
			"(?1,?2,?3,?4,?5,?6,?7)"
			" ON CONFLICT (project, name) DO UPDATE SET started_ms = excluded.started_ms, built_ms = excluded.built_ms,"
			" job = excluded.job, definition = excluded.definition, script = excluded.script",
			&rc, err);
		if (!st)
			return rc;
		bind_text(st, 1, s->project);
		bind_text(st, 2, json_string_value(name));
		sqlite3_bind_int64(st, 3, s->built.started_ms);
		bind_some(st, 4, s->built.built_ms, 0);
		bind_text(st, 5, s->job);
		bind_text(st, 6, s->built.definition);
		bind_text(st, 7, s->built.script);
		if ((rc = finish(sql, st, sqlite3_step(st), "write", err)) != SQLITE_OK)
			return rc;
	}
	return rc;
}

static int run_saving(struct store_job *base, struct store_sql *sql, struct err *err)
{
	const struct saving *s = (const struct saving *)base;
	const struct job_activity *a = &s->row;
	int rc;
	sqlite3_stmt *st = prepare(
		sql,
		"INSERT INTO activity (task, id, state, started_ms, ended_ms, process, request, cause, code, signal, peak_bytes,"
		" message) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12) ON CONFLICT (task, id) DO UPDATE SET"
		" state = excluded.state, started_ms = excluded.started_ms, ended_ms = excluded.ended_ms,"
		" process = excluded.process, request = excluded.request, cause = excluded.cause, code = excluded.code,"
		" signal = excluded.signal, peak_bytes = excluded.peak_bytes, message = excluded.message",
		&rc, err);
	if (!st)
		return rc;
	bind_text(st, 1, s->task);
	bind_text(st, 2, s->id);
	bind_text(st, 3, job_state_name(a->state));
	bind_some(st, 4, a->started_ms, 0);
	bind_some(st, 5, a->ended_ms, 0);
	bind_text(st, 6, a->process);
	bind_text(st, 7, a->request);
	bind_text(st, 8, a->cause);
	bind_some(st, 9, a->code, -1);
	bind_some(st, 10, a->signal, -1);
	bind_some(st, 11, a->peak_bytes, -1);
	bind_text(st, 12, a->message);
	rc = finish(sql, st, sqlite3_step(st), "write", err);
	return rc == SQLITE_OK ? save_datasets(s, sql, err) : rc;
}

static void tell_saving(struct store_job *base, const struct store_answer *answer)
{
	struct saving *s = (struct saving *)base;
	struct job *job = map_get(s->jobs->by_task, s->task);
	if (job)
		job->saving--;
	if (s->fn)
		s->fn(s->data, answer);
	else if (answer->outcome != STORE_OK)
		log_error("unable to save activity %s of job %s: %s", s->id, s->job, answer->err.text);
	if ((job = map_get(s->jobs->by_task, s->task)))
		jobs_tidy(s->jobs, job);
}

static void release_saving(struct store_job *base)
{
	struct saving *s = (struct saving *)base;
	free(s->row.message);
	json_decref(s->outputs);
	free(s);
}

/* An activity that never started leaves what was built before as it is. */
static void note_outputs(const struct job_activity *a, struct saving *s)
{
	size_t i;
	json_t *name;
	if (!a->started_ms)
		return;
	s->built.started_ms = a->started_ms;
	s->built.built_ms = a->state == JOB_DONE ? a->ended_ms : 0;
	snprintf(s->built.job, sizeof(s->built.job), "%s", a->job->id);
	json_copy_text(a->spec, "definition", s->built.definition, sizeof(s->built.definition));
	json_copy_text(a->spec, "scriptHash", s->built.script, sizeof(s->built.script));
	s->outputs = json_deep_copy(json_object_get(a->spec, "outputs"));
	json_array_foreach(s->outputs, i, name) if (json_is_string(name))
		job_note_dataset(a->job->jobs, a->job->project, json_string_value(name), &s->built);
}

int job_save(struct job_activity *a, store_done_fn *fn, void *data)
{
	struct saving *s = calloc(1, sizeof(*s));
	if (!s)
		return -1;
	s->base = (struct store_job){ run_saving, tell_saving, release_saving };
	s->row = *a;
	s->row.message = a->message ? strdup(a->message) : NULL;
	snprintf(s->task, sizeof(s->task), "%s", a->job->task);
	snprintf(s->project, sizeof(s->project), "%s", a->job->project);
	snprintf(s->job, sizeof(s->job), "%s", a->job->id);
	snprintf(s->id, sizeof(s->id), "%s", a->id);
	s->fn = fn;
	s->data = data;
	s->jobs = a->job->jobs;
	note_outputs(a, s);
	if (store_write_job(fleet_store(s->jobs->fleet), &s->base) < 0)
		return -1;
	a->job->saving++;
	return 0;
}

/* --- statuses and lists: the store's rows, with what the fleet knows better of those it has at hand --- */

struct row {
	char task[FUTURE_ID_MAX], project[JOB_NAME_MAX], id[JOB_NAME_MAX], owner[JOB_NAME_MAX], kernel[64], cause[24];
	char *error;
	json_t *def; /* of a list */
	enum future_state state;
	int64_t created_ms, started_ms, ended_ms;
};

struct reading {
	struct store_job base;
	struct jobs *jobs;
	char project[JOB_NAME_MAX], id[JOB_NAME_MAX], owner[JOB_NAME_MAX]; /* id "": a list */
	int limit;
	struct row *rows;
	size_t n;
	struct job *job; /* of a status */
	jobs_json_fn *fn;
	void *data;
};

#define TASK "t.id, t.project, t.job, t.owner, t.kernel, t.cause, t.error, t.state, t.created_ms, t.started_ms, t.ended_ms"

static void read_row(struct row *r, sqlite3_stmt *st)
{
	int state = future_state_named(store_texts_column(st, 7));
	snprintf(r->task, sizeof(r->task), "%s", store_texts_column(st, 0));
	snprintf(r->project, sizeof(r->project), "%s", store_texts_column(st, 1));
	snprintf(r->id, sizeof(r->id), "%s", store_texts_column(st, 2));
	snprintf(r->owner, sizeof(r->owner), "%s", store_texts_column(st, 3));
	snprintf(r->kernel, sizeof(r->kernel), "%s", store_texts_column(st, 4));
	snprintf(r->cause, sizeof(r->cause), "%s", store_texts_column(st, 5));
	r->error = store_texts_column(st, 6)[0] ? strdup(store_texts_column(st, 6)) : NULL;
	r->state = state < 0 ? FUTURE_FAILED : (enum future_state)state;
	r->created_ms = sqlite3_column_int64(st, 8);
	r->started_ms = sqlite3_column_int64(st, 9);
	r->ended_ms = sqlite3_column_int64(st, 10);
}

static int read_activities(struct reading *r, struct store_sql *sql, struct err *err)
{
	int rc;
	sqlite3_stmt *st = prepare(sql, "SELECT " ACTIVITY " FROM activity a WHERE a.task = ?1", &rc, err);
	if (!st)
		return rc;
	bind_text(st, 1, r->job->task);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		job_store_read_activity(r->job, st, 0);
	return finish(sql, st, rc, "read", err);
}

static int read_one(struct reading *r, struct store_sql *sql, struct err *err)
{
	int rc;
	sqlite3_stmt *st = prepare(sql, "SELECT " TASK ", t.payload FROM task t WHERE t.project = ?1 AND t.job = ?2", &rc, err);
	if (!st)
		return rc;
	bind_text(st, 1, r->project);
	bind_text(st, 2, r->id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && (r->rows = calloc(1, sizeof(*r->rows)))) {
		read_row(r->rows, st);
		const void *plan = sqlite3_column_blob(st, 11);
		size_t len = (size_t)sqlite3_column_bytes(st, 11);
		r->job = job_new(r->rows->task, r->project, r->id, r->rows->owner, plan, len, err);
		r->n = r->job ? 1 : 0;
	}
	bool is_bad = rc == SQLITE_ROW && !r->n;
	rc = finish(sql, st, rc, "read", err);
	if (rc != SQLITE_OK || !r->n)
		return is_bad ? SQLITE_CORRUPT : rc;
	return read_activities(r, sql, err);
}

static int read_list(struct reading *r, struct store_sql *sql, struct err *err)
{
	int rc;
	sqlite3_stmt *st =
		prepare(sql,
			"SELECT " TASK ", json_extract(CAST(t.payload AS TEXT), '$.def') FROM task t WHERE t.job IS NOT NULL"
			" AND (?1 IS NULL OR t.project = ?1) AND (?2 IS NULL OR t.owner = ?2)"
			" ORDER BY t.created_ms DESC, t.rowid DESC LIMIT ?3",
			&rc, err);
	size_t room = 0;
	if (!st)
		return rc;
	bind_text(st, 1, r->project);
	bind_text(st, 2, r->owner);
	sqlite3_bind_int(st, 3, r->limit);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (r->n == room) {
			struct row *more = realloc(r->rows, (room = room ? room * 2 : 32) * sizeof(*more));
			if (!more) {
				rc = SQLITE_NOMEM;
				break;
			}
			r->rows = more;
		}
		memset(&r->rows[r->n], 0, sizeof(r->rows[r->n]));
		read_row(&r->rows[r->n], st);
		const char *def = store_texts_column(st, 11);
		r->rows[r->n++].def = json_parse_object(def, strlen(def), NULL);
	}
	return finish(sql, st, rc, "read", err);
}

static int run_reading(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct reading *r = (struct reading *)base;
	return r->id[0] ? read_one(r, sql, err) : read_list(r, sql, err);
}

static int pid_of(const struct reading *r, const char *kernel)
{
	const struct kernel *k = kernel && *kernel ? fleet_kernel(r->jobs->fleet, kernel) : NULL;
	return k ? k->pid : 0;
}

/* `reason` has room for the text that the view borrows. */
static struct job_view view_of(struct reading *r, const struct row *row)
{
	struct job_view v = { .task = row->task,
			      .project = row->project,
			      .id = row->id,
			      .owner = row->owner,
			      .kernel = row->kernel,
			      .cause = row->cause,
			      .error = row->error,
			      .state = row->state,
			      .created_ms = row->created_ms,
			      .started_ms = row->started_ms,
			      .ended_ms = row->ended_ms };
	const struct future *f = fleet_at_hand(r->jobs->fleet, row->task);
	const struct job *job = map_get(r->jobs->by_task, row->task);
	if (f) {
		/* An end is shown once it is on disk. */
		v.state = f->is_ended_unsaved ? FUTURE_RUNNING : f->state;
		v.kernel = f->kernel;
		v.cause = f->cause;
		v.error = f->error;
		v.started_ms = f->started_ms;
		v.ended_ms = f->is_ended_unsaved ? 0 : f->ended_ms;
	}
	v.kernel_pid = pid_of(r, v.kernel);
	v.is_ending = job && job->is_over;
	return v;
}

static void tell_one(struct reading *r, struct buf *out)
{
	struct buf state;
	struct job_view v = view_of(r, r->rows);
	const struct job *live = map_get(r->jobs->by_task, r->rows->task);
	const struct future *f = fleet_live(r->jobs->fleet, r->rows->task);
	json_t *words = NULL;
	buf_init(&state, 1 << 20);
	/* Why it waits is the queue's to say. */
	if (f && f->state == FUTURE_QUEUED && fleet_future_json(r->jobs->fleet, f, false, &state) == 0) {
		words = json_parse_object(state.data, state.len, NULL);
		v.reason = json_string_value(json_object_get(words, "reason"));
	}
	job_status_json(live ? live : r->job, &v, out);
	json_decref(words);
	buf_fini(&state);
}

static void tell_reading(struct store_job *base, const struct store_answer *answer)
{
	struct reading *r = (struct reading *)base;
	struct buf out;
	if (answer->outcome != STORE_OK || (r->id[0] && !r->n)) {
		r->fn(r->data, NULL, NULL, NULL, answer->outcome != STORE_OK ? &answer->err : NULL);
		return;
	}
	buf_init(&out, JSON_MOST);
	if (r->id[0]) {
		tell_one(r, &out);
	} else {
		buf_putc(&out, '[');
		for (size_t i = 0; i < r->n; i++) {
			struct job_view v = view_of(r, &r->rows[i]);
			jtext_next(&out);
			job_item_json(r->rows[i].def, map_get(r->jobs->by_task, r->rows[i].task), &v, &out);
		}
		buf_putc(&out, ']');
	}
	struct err full = { 0 };
	if (out.failed)
		err_set(&full, "no memory for the answer");
	r->fn(r->data, out.failed ? NULL : &out, r->n ? r->rows[0].owner : NULL, r->n ? r->rows[0].task : NULL,
	      out.failed ? &full : NULL);
	buf_fini(&out);
}

static void release_reading(struct store_job *base)
{
	struct reading *r = (struct reading *)base;
	for (size_t i = 0; i < r->n; i++) {
		free(r->rows[i].error);
		json_decref(r->rows[i].def);
	}
	free(r->rows);
	job_free(&r->job);
	free(r);
}

static void read_jobs(struct jobs *jobs, const char *project, const char *id, const char *owner, int limit, jobs_json_fn *fn,
		      void *data)
{
	struct err err = { 0 };
	struct reading *r = calloc(1, sizeof(*r));
	if (r) {
		r->base = (struct store_job){ run_reading, tell_reading, release_reading };
		r->jobs = jobs;
		snprintf(r->project, sizeof(r->project), "%s", project ? project : "");
		snprintf(r->id, sizeof(r->id), "%s", id ? id : "");
		snprintf(r->owner, sizeof(r->owner), "%s", owner ? owner : "");
		r->limit = limit > 0 && limit < LIST_MOST ? limit : LIST_MOST;
		r->fn = fn;
		r->data = data;
		if (store_read_job(fleet_store(jobs->fleet), &r->base) == 0)
			return;
	}
	err_set(&err, "unable to read the jobs: the store takes nothing now");
	fn(data, NULL, NULL, NULL, &err);
}

void jobs_status(struct jobs *jobs, const char *project, const char *id, jobs_json_fn *fn, void *data)
{
	read_jobs(jobs, project, id, NULL, 1, fn, data);
}

void jobs_list(struct jobs *jobs, const char *project, const char *owner, int limit, jobs_json_fn *fn, void *data)
{
	read_jobs(jobs, project, NULL, owner, limit, fn, data);
}
