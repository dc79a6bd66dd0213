#include "fleet/webapp.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/store_sql.h"

/* --- loading --- */

struct loading {
	webapp_row_fn *fn;
	void *data;
};

static const char *column(sqlite3_stmt *st, int at)
{
	const char *s = (const char *)sqlite3_column_text(st, at);
	return s ? s : "";
}

static int load_all(void *data, struct store_sql *sql, struct err *err)
{
	const struct loading *l = data;
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_sql_db(sql),
				    "SELECT project, name, state, process, wanted, port, detail FROM webapp ORDER BY project, name",
				    -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const struct webapp_row row = { column(st, 0),
						column(st, 1),
						column(st, 2),
						column(st, 3),
						strcmp(column(st, 4), "running") == 0,
						sqlite3_column_int(st, 5),
						column(st, 6) };
		l->fn(l->data, &row);
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_DONE)
		store_sql_fault(sql, rc, "read", err);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

int webapp_load(struct store *store, webapp_row_fn *fn, void *data, struct err *err)
{
	struct loading l = { fn, data };
	return store_run_now(store, load_all, &l, err);
}

/* --- saving --- */

struct saving {
	struct store_job base;
	char *texts[5]; /* project, name, state, process, detail */
	bool is_wanted;
	int port;
	store_done_fn *fn;
	void *data;
};

static int run_saving(struct store_job *base, struct store_sql *sql, struct err *err)
{
	const struct saving *s = (const struct saving *)base;
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(
		store_sql_db(sql),
		"INSERT INTO webapp (project, name, state, process, detail, wanted, port) VALUES (?1,?2,?3,?4,?5,?6,?7)"
		" ON CONFLICT (project, name) DO UPDATE SET state = excluded.state, process = excluded.process,"
		" detail = excluded.detail, wanted = excluded.wanted, port = excluded.port",
		-1, &st, NULL);
	if (rc == SQLITE_OK) {
		for (int i = 0; i < 5; i++)
			sqlite3_bind_text(st, i + 1, s->texts[i], -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 6, s->is_wanted ? "running" : "stopped", -1, SQLITE_STATIC);
		sqlite3_bind_int(st, 7, s->port);
		rc = sqlite3_step(st);
	}
	rc = rc == SQLITE_DONE ? SQLITE_OK : store_sql_fault(sql, rc, "write", err);
	sqlite3_finalize(st);
	return rc;
}

static void tell_saving(struct store_job *base, const struct store_answer *answer)
{
	struct saving *s = (struct saving *)base;
	if (s->fn)
		s->fn(s->data, answer);
	else if (answer->outcome != STORE_OK)
		log_error("unable to save webapp %s of project %s: %s", s->texts[1], s->texts[0], answer->err.text);
}

static void release_saving(struct store_job *base)
{
	struct saving *s = (struct saving *)base;
	for (int i = 0; i < 5; i++)
		free(s->texts[i]);
	free(s);
}

int webapp_save(struct store *store, const struct webapp_row *row, store_done_fn *fn, void *data)
{
	const char *const texts[5] = { row->project, row->name, row->state, row->process, row->detail };
	struct saving *s = calloc(1, sizeof(*s));
	bool is_whole = s != NULL;
	if (!s)
		return -1;
	*s = (struct saving){ { run_saving, tell_saving, release_saving }, { NULL }, row->is_wanted, row->port, fn, data };
	for (int i = 0; i < 5; i++)
		is_whole = (s->texts[i] = strdup(texts[i])) && is_whole;
	if (is_whole)
		return store_write_job(store, &s->base);
	release_saving(&s->base);
	return -1;
}
