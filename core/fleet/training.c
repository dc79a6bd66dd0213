#include "fleet/training.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/jtext.h"
#include "fleet/store_sql.h"

#define LIST_MOST   1000
#define RESULT_MOST (64 * 1024) /* of a result that is shown in the list */
#define JSON_MOST   ((size_t)32 << 20)

enum { TASK, PROJECT, OWNER, STATE, CAUSE, ERROR, MODEL, SESSION, ALGORITHM, MODEL_ID, NAME, TEXTS };

struct row {
	char *texts[TEXTS]; /* owned; NULL where absent */
	char *result;
	size_t result_len;
	int64_t created_ms, started_ms, ended_ms;
};

struct reading {
	struct store_job base;
	struct fleet *fleet;
	char *project, *model; /* NULL = all */
	int limit;
	struct row *rows;
	size_t n;
	training_list_fn *fn;
	void *data;
};

static const char select_rows[] =
	"SELECT id, project, owner, state, cause, error, json_extract(p, '$.model'), json_extract(p, '$.sessionId'),"
	" json_extract(p, '$.algorithm'), json_extract(p, '$.modelId'), json_extract(p, '$.sessionName'),"
	" CASE WHEN length(result) <= ?3 THEN result END, created_ms, started_ms, ended_ms FROM"
	" (SELECT *, CAST(payload AS TEXT) AS p FROM task WHERE type = '" TRAINING_TYPE "' AND (?1 IS NULL OR project = ?1)"
	"  ORDER BY created_ms DESC, rowid DESC)"
	" WHERE (?2 IS NULL OR json_extract(p, '$.model') = ?2) LIMIT ?4";

static int read_row(struct row *r, sqlite3_stmt *st)
{
	for (int i = 0; i < TEXTS; i++) {
		const char *s = (const char *)sqlite3_column_text(st, i);
		if (s && !(r->texts[i] = strdup(s)))
			return SQLITE_NOMEM;
	}
	const void *result = sqlite3_column_blob(st, TEXTS);
	r->result_len = (size_t)sqlite3_column_bytes(st, TEXTS);
	if (result && r->result_len && !(r->result = malloc(r->result_len)))
		return SQLITE_NOMEM;
	if (r->result)
		memcpy(r->result, result, r->result_len);
	r->created_ms = sqlite3_column_int64(st, TEXTS + 1);
	r->started_ms = sqlite3_column_int64(st, TEXTS + 2);
	r->ended_ms = sqlite3_column_int64(st, TEXTS + 3);
	return SQLITE_OK;
}

static int run_reading(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct reading *r = (struct reading *)base;
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_sql_db(sql), select_rows, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return store_sql_fault(sql, rc, "read", err);
	sqlite3_bind_text(st, 1, r->project, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, r->model, -1, SQLITE_STATIC);
	sqlite3_bind_int(st, 3, RESULT_MOST);
	sqlite3_bind_int(st, 4, r->limit);
	while (r->n < (size_t)r->limit && (rc = sqlite3_step(st)) == SQLITE_ROW)
		if ((rc = read_row(&r->rows[r->n++], st)) != SQLITE_OK)
			break;
	if (rc == SQLITE_DONE || rc == SQLITE_ROW || rc == SQLITE_OK)
		rc = SQLITE_OK;
	else
		store_sql_fault(sql, rc, "read", err);
	sqlite3_finalize(st);
	return rc;
}

static void put_row(const struct reading *r, const struct row *row, struct buf *out)
{
	static const struct {
		const char *name;
		int at;
	} members[] = { { "task", TASK },        { "project", PROJECT }, { "owner", OWNER },
			{ "model", MODEL },      { "session", SESSION }, { "algorithm", ALGORITHM },
			{ "modelId", MODEL_ID }, { "name", NAME },       { "cause", CAUSE } };
	const struct future *f = fleet_live(r->fleet, row->texts[TASK]);
	const char *state = row->texts[STATE];
	/* Memory is ahead of what was read: an end is shown once it is on disk, all else at once. */
	if (f)
		state = future_state_name(f->is_ended_unsaved ? FUTURE_RUNNING : f->state);
	buf_putc(out, '{');
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		jtext_some_text(out, members[i].name, row->texts[members[i].at]);
	jtext_text(out, "state", state);
	if (row->texts[ERROR])
		jtext_raw(out, "error", row->texts[ERROR], strlen(row->texts[ERROR]));
	if (row->result)
		jtext_raw(out, "result", row->result, row->result_len);
	jtext_int(out, "createdMs", row->created_ms);
	jtext_some_int(out, "startedMs", row->started_ms ? row->started_ms : -1);
	jtext_some_int(out, "endedMs", row->ended_ms ? row->ended_ms : -1);
	if (f) {
		jtext_member(out, "future");
		fleet_future_json(r->fleet, f, false, out);
	}
	buf_putc(out, '}');
}

static void tell_reading(struct store_job *base, const struct store_answer *answer)
{
	struct reading *r = (struct reading *)base;
	struct err err = { 0 };
	struct buf out;
	if (answer->outcome != STORE_OK) {
		r->fn(r->data, NULL, &answer->err);
		return;
	}
	buf_init(&out, JSON_MOST);
	buf_putc(&out, '[');
	for (size_t i = 0; i < r->n; i++) {
		jtext_next(&out);
		put_row(r, &r->rows[i], &out);
	}
	buf_putc(&out, ']');
	if (out.failed)
		err_set(&err, "no memory for the list of trainings");
	r->fn(r->data, out.failed ? NULL : &out, out.failed ? &err : NULL);
	buf_fini(&out);
}

static void release_reading(struct store_job *base)
{
	struct reading *r = (struct reading *)base;
	for (size_t i = 0; r->rows && i < r->n; i++) {
		for (int t = 0; t < TEXTS; t++)
			free(r->rows[i].texts[t]);
		free(r->rows[i].result);
	}
	free(r->rows);
	free(r->project);
	free(r->model);
	free(r);
}

static struct reading *new_reading(const char *project, const char *model, int limit)
{
	struct reading *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->base = (struct store_job){ run_reading, tell_reading, release_reading };
	r->limit = limit > 0 && limit < LIST_MOST ? limit : LIST_MOST;
	r->rows = calloc((size_t)r->limit, sizeof(*r->rows));
	r->project = project ? strdup(project) : NULL;
	r->model = model ? strdup(model) : NULL;
	if (!r->rows || (project && !r->project) || (model && !r->model)) {
		release_reading(&r->base);
		return NULL;
	}
	return r;
}

void training_list(struct fleet *fleet, const char *project, const char *model, int limit, training_list_fn *fn, void *data)
{
	struct err err = { 0 };
	struct reading *r = new_reading(project, model, limit);
	if (r) {
		r->fleet = fleet;
		r->fn = fn;
		r->data = data;
		if (store_read_job(fleet_store(fleet), &r->base) == 0)
			return;
	}
	err_set(&err, "unable to read the trainings: the store takes nothing now");
	fn(data, NULL, &err);
}
