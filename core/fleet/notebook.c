#include "fleet/notebook.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/store_sql.h"

/* --- loading --- */

struct loading {
	notebook_row_fn *fn;
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
	int rc = sqlite3_prepare_v2(store_sql_db(sql), "SELECT kernel, process, detail FROM notebook ORDER BY kernel", -1, &st,
				    NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const struct notebook_row row = { column(st, 0), column(st, 1), column(st, 2) };
		l->fn(l->data, &row);
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_DONE)
		store_sql_fault(sql, rc, "read", err);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

int notebook_load(struct store *store, notebook_row_fn *fn, void *data, struct err *err)
{
	struct loading l = { fn, data };
	return store_run_now(store, load_all, &l, err);
}

/* --- saving --- */

struct saving {
	struct store_job base;
	char *texts[3]; /* kernel, process, detail; process NULL: the row goes */
	store_done_fn *fn;
	void *data;
};

static int run_saving(struct store_job *base, struct store_sql *sql, struct err *err)
{
	const struct saving *s = (const struct saving *)base;
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_sql_db(sql),
				    s->texts[1] ? "INSERT OR REPLACE INTO notebook (kernel, process, detail) VALUES (?1,?2,?3)"
						: "DELETE FROM notebook WHERE kernel = ?1",
				    -1, &st, NULL);
	if (rc == SQLITE_OK) {
		for (int i = 0; i < 3 && s->texts[i]; i++)
			sqlite3_bind_text(st, i + 1, s->texts[i], -1, SQLITE_STATIC);
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
		log_error("unable to save the kernel %s of a notebook: %s", s->texts[0], answer->err.text);
}

static void release_saving(struct store_job *base)
{
	struct saving *s = (struct saving *)base;
	for (int i = 0; i < 3; i++)
		free(s->texts[i]);
	free(s);
}

static int write_row(struct store *store, const char *const texts[3], int n, store_done_fn *fn, void *data)
{
	struct saving *s = calloc(1, sizeof(*s));
	bool is_whole = s != NULL;
	if (!s)
		return -1;
	*s = (struct saving){ { run_saving, tell_saving, release_saving }, { NULL }, fn, data };
	for (int i = 0; i < n; i++)
		is_whole = (s->texts[i] = strdup(texts[i])) && is_whole;
	if (is_whole)
		return store_write_job(store, &s->base);
	release_saving(&s->base);
	return -1;
}

int notebook_save(struct store *store, const struct notebook_row *row, store_done_fn *fn, void *data)
{
	const char *const texts[3] = { row->kernel, row->process, row->detail };
	return write_row(store, texts, 3, fn, data);
}

int notebook_remove(struct store *store, const char *kernel, store_done_fn *fn, void *data)
{
	const char *const texts[3] = { kernel, NULL, NULL };
	return write_row(store, texts, 1, fn, data);
}
