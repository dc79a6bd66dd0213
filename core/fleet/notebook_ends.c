#include "fleet/notebook_ends.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/feed.h"
#include "fleet/jtext.h"
#include "fleet/store_sql.h"

#define OUT_MAX ((size_t)8 << 20)

/*
 * ?1: the word, ?2: the login, ?3: rows. A kernel keeps its id when its notebook is renamed and when it is restarted: so the kernels that the word
 * ever named are found first, then all that is told of them; of the newest alone, since anybody can rename again and again. The index fact_notebook is for this question: its facts are named here as there.
 */
static const char statement[] =
	"WITH told AS MATERIALIZED (SELECT epoch, seq, wall_ms, what, subject, detail, owner,"
	"  CASE what WHEN 'notebook.unloaded' THEN json_extract(detail, '$.kernelId') ELSE subject END AS kernel,"
	"  CASE what WHEN 'notebook.unloaded' THEN subject ELSE json_extract(detail, '$.session') END AS session,"
	"  json_extract(detail, '$.notebook') AS path, json_extract(detail, '$.from') AS earlier, json_extract(detail, "
	"'$.process') AS process"
	"  FROM fact WHERE rowid IN (SELECT rowid FROM fact"
	"   WHERE what IN ('notebook.ended', 'notebook.unloaded', 'notebook.moved')"
	"   AND (?2 IS NULL OR owner IS NULL OR (owner = ?2 AND owner <> '" FEED_OWN_ADMIN "'))"
	"   ORDER BY what = 'notebook.moved', epoch DESC, seq DESC LIMIT 20000) AND json_valid(detail)),"
	" meant AS (SELECT DISTINCT kernel FROM told WHERE ?1 IN (path, earlier, process, kernel, session) OR ?1 || '.ipynb' IN "
	"(path, earlier)"
	"  OR (length(?1) >= 4 AND ?1 IN (substr(kernel, 1, length(?1)), substr(session, 1, length(?1)))))"
	" SELECT wall_ms, what, subject, owner, detail FROM told WHERE what <> 'notebook.moved' AND kernel IN (SELECT kernel FROM "
	"meant)"
	" ORDER BY epoch DESC, seq DESC LIMIT ?3";

struct read {
	struct store_job base;
	char *word, *login; /* owned; login may be NULL */
	int limit;
	struct buf out;
	notebook_ends_fn *fn;
	void *data;
};

/* --- on the reader's thread --- */

static const char *text_at(sqlite3_stmt *st, int at)
{
	return (const char *)sqlite3_column_text(st, at);
}

static void put_row(sqlite3_stmt *st, struct buf *out)
{
	const char *detail = text_at(st, 4);
	jtext_next(out);
	buf_putc(out, '{');
	jtext_int(out, "at", sqlite3_column_int64(st, 0));
	jtext_text(out, "what", text_at(st, 1));
	jtext_text(out, "subject", text_at(st, 2));
	jtext_some_text(out, "owner", text_at(st, 3));
	if (detail)
		jtext_raw(out, "detail", detail, strlen(detail));
	buf_putc(out, '}');
}

static int run_read(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct read *r = (struct read *)base;
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_sql_db(sql), statement, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 1, r->word, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK && r->login)
		rc = sqlite3_bind_text(st, 2, r->login, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int(st, 3, r->limit);
	buf_putc(&r->out, '[');
	if (rc == SQLITE_OK)
		while ((rc = sqlite3_step(st)) == SQLITE_ROW)
			put_row(st, &r->out);
	buf_putc(&r->out, ']');
	rc = rc == SQLITE_DONE ? SQLITE_OK : store_sql_fault(sql, rc, "read", err);
	sqlite3_finalize(st);
	return rc;
}

/* --- on the loop's thread --- */

static void tell_read(struct store_job *base, const struct store_answer *answer)
{
	struct read *r = (struct read *)base;
	struct err err = answer->err;
	bool is_good = answer->outcome == STORE_OK && !r->out.failed;
	if (r->out.failed)
		err_set(&err, "unable to read the ends of notebooks: the answer is too long");
	r->fn(r->data, is_good ? &r->out : NULL, is_good ? NULL : &err);
}

static void release_read(struct store_job *base)
{
	struct read *r = (struct read *)base;
	buf_fini(&r->out);
	free(r->word);
	free(r->login);
	free(r);
}

int notebook_ends_read(struct store *store, const struct notebook_ends_query *q, notebook_ends_fn *fn, void *data)
{
	struct read *r = calloc(1, sizeof(*r));
	if (!r)
		return -1;
	*r = (struct read){ .base = { run_read, tell_read, release_read },
			    .word = strdup(q->word),
			    .login = q->login ? strdup(q->login) : NULL,
			    .limit = q->limit < 1 || q->limit > NOTEBOOK_ENDS_MOST ? NOTEBOOK_ENDS_MOST : q->limit,
			    .fn = fn,
			    .data = data };
	buf_init(&r->out, OUT_MAX);
	if (!r->word || (q->login && !r->login)) {
		release_read(&r->base);
		return -1;
	}
	return store_read_job(store, &r->base);
}
