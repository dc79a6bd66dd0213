#include "fleet/store_texts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/store_sql.h"

const char *store_texts_column(sqlite3_stmt *st, int at)
{
	const char *s = (const char *)sqlite3_column_text(st, at);
	return s ? s : "";
}

/* --- loading --- */

struct loading {
	const char *select;
	size_t n;
	store_texts_fn *fn;
	void *data;
};

static int load_all(void *data, struct store_sql *sql, struct err *err)
{
	const struct loading *l = data;
	const char *texts[STORE_TEXTS_MOST];
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_sql_db(sql), l->select, -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		for (size_t i = 0; i < l->n; i++)
			texts[i] = store_texts_column(st, (int)i);
		l->fn(l->data, texts);
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_DONE)
		store_sql_fault(sql, rc, "read", err);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

int store_texts_load(struct store *store, const char *select, size_t n, store_texts_fn *fn, void *data, struct err *err)
{
	struct loading l = { select, n, fn, data };
	assert(n <= STORE_TEXTS_MOST);
	return store_run_now(store, load_all, &l, err);
}

/* --- writing --- */

struct writing {
	struct store_job base;
	const char *statement;
	char *texts[STORE_TEXTS_MOST], *what;
	size_t n;
	store_done_fn *fn;
	void *data;
};

static int run_writing(struct store_job *base, struct store_sql *sql, struct err *err)
{
	const struct writing *w = (const struct writing *)base;
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_sql_db(sql), w->statement, -1, &st, NULL);
	for (size_t i = 0; rc == SQLITE_OK && i < w->n; i++)
		rc = sqlite3_bind_text(st, (int)i + 1, w->texts[i], -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	rc = rc == SQLITE_DONE ? SQLITE_OK : store_sql_fault(sql, rc, "write", err);
	sqlite3_finalize(st);
	return rc;
}

static void tell_writing(struct store_job *base, const struct store_answer *answer)
{
	struct writing *w = (struct writing *)base;
	if (w->fn)
		w->fn(w->data, answer);
	else if (answer->outcome != STORE_OK)
		log_error("unable to save %s: %s", w->what, answer->err.text);
}

static void release_writing(struct store_job *base)
{
	struct writing *w = (struct writing *)base;
	for (size_t i = 0; i < w->n; i++)
		free(w->texts[i]);
	free(w->what);
	free(w);
}

int store_texts_write(struct store *store, const char *statement, const char *const *texts, size_t n, const char *what,
		      store_done_fn *fn, void *data)
{
	struct writing *w = calloc(1, sizeof(*w));
	assert(n <= STORE_TEXTS_MOST);
	if (!w)
		return -1;
	*w = (struct writing){
		.base = { run_writing, tell_writing, release_writing }, .statement = statement, .n = n, .fn = fn, .data = data
	};
	bool is_whole = (w->what = strdup(what)) != NULL;
	for (size_t i = 0; i < n; i++)
		is_whole = (w->texts[i] = strdup(texts[i])) && is_whole;
	if (is_whole)
		return store_write_job(store, &w->base);
	release_writing(&w->base);
	return -1;
}
