/* ledger_read: the folded rows as JSON, newest first. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/feed.h"
#include "fleet/jtext.h"
#include "fleet/ledger_inner.h"
#include "fleet/store_sql.h"

#define OUT_MAX ((size_t)32 << 20)

enum { BY_WORD, BY_NAME, BY_SUBJECT_KIND, BY_SUBJECT, BY_LOGIN, BY_COUNT };

static const char *const conditions[BY_COUNT] = {
	[BY_WORD] = " AND word = ?1",
	[BY_NAME] = " AND name = ?2",
	[BY_SUBJECT_KIND] = " AND subject_kind = ?3",
	[BY_SUBJECT] = " AND subject = ?4",
	[BY_LOGIN] = (" AND (owner IS NULL OR (owner = ?5 AND owner <> '" FEED_OWN_ADMIN "'))"),
};

struct ledger_reader *ledger_reader_new(const struct ledger_query *q, ledger_read_fn *fn, void *data)
{
	const char *texts[BY_COUNT] = { q->word, q->name, q->subject_kind, q->subject, q->login };
	struct ledger_reader *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	list_init(&r->link);
	buf_init(&r->out, OUT_MAX);
	r->only_would = q->only_would;
	r->oldest_first = q->oldest_first;
	r->before_seq = q->before_seq;
	r->limit = q->limit < 1 ? 1 : q->limit > LEDGER_READ_MOST ? LEDGER_READ_MOST : q->limit;
	r->fn = fn;
	r->data = data;
	for (int i = 0; i < BY_COUNT; i++)
		if (texts[i] && !(r->texts[i] = strdup(texts[i]))) {
			ledger_reader_free(&r);
			break;
		}
	return r;
}

void ledger_reader_free(struct ledger_reader **rp)
{
	struct ledger_reader *r = *rp;
	if (!r)
		return;
	for (int i = 0; i < BY_COUNT; i++)
		free(r->texts[i]);
	buf_fini(&r->out);
	free(r);
	*rp = NULL;
}

/* --- on the reader's thread --- */

enum {
	COL_SEQ,
	COL_LAST,
	COL_FIRST,
	COL_COUNT,
	COL_TEXTS, /* then those of `columns`, in their order */
};

static const char *const columns[] = { "word",   "name",   "source",    "subjectKind", "subject",
				       "answer", "reason", "threshold", "mode",        "owner" };

#define COLUMNS_SQL                                                                                                                \
	"SELECT seq, last_ms, first_ms, count, word, name, source, subject_kind, subject, answer, reason, threshold, mode, owner," \
	" outcome, inputs, version FROM decision WHERE 1"
enum { COL_OUTCOME = COL_TEXTS + 10, COL_INPUTS, COL_VERSION };

static const char *text_at(sqlite3_stmt *st, int at)
{
	return (const char *)sqlite3_column_text(st, at);
}

/* "failed: no such user" is the outcome and why. */
static void put_outcome(struct buf *out, const char *outcome)
{
	const char *why = outcome ? strstr(outcome, ": ") : NULL;
	char word[64];
	snprintf(word, sizeof(word), "%.*s", why ? (int)(why - outcome) : 63, outcome ? outcome : "");
	jtext_text(out, "outcome", word);
	jtext_some_text(out, "outcomeText", why ? why + 2 : NULL);
}

static void put_row(sqlite3_stmt *st, struct buf *out)
{
	const char *inputs = text_at(st, COL_INPUTS);
	jtext_next(out);
	buf_putc(out, '{');
	jtext_int(out, "seq", sqlite3_column_int64(st, COL_SEQ));
	jtext_int(out, "at", sqlite3_column_int64(st, COL_LAST));
	jtext_int(out, "firstAt", sqlite3_column_int64(st, COL_FIRST));
	jtext_int(out, "count", sqlite3_column_int64(st, COL_COUNT));
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		jtext_some_text(out, columns[i], text_at(st, COL_TEXTS + (int)i));
	if (inputs && *inputs)
		jtext_raw(out, "inputs", inputs, strlen(inputs));
	put_outcome(out, text_at(st, COL_OUTCOME));
	jtext_int(out, "version", sqlite3_column_int64(st, COL_VERSION));
	buf_putc(out, '}');
}

static int run_read(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct ledger_reader *r = (struct ledger_reader *)base;
	sqlite3 *db = store_sql_db(sql);
	sqlite3_stmt *st = NULL;
	char text[1000];
	int n = snprintf(text, sizeof(text), "%s", COLUMNS_SQL);
	for (int i = 0; i < BY_COUNT; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s", r->texts[i] ? conditions[i] : "");
	snprintf(text + n, sizeof(text) - (size_t)n, "%s%s ORDER BY %s LIMIT ?7", r->only_would ? " AND outcome = 'would'" : "",
		 r->before_seq > 0 ? " AND seq < ?6" : "", r->oldest_first ? "last_ms, seq" : "last_ms DESC, seq DESC");
	int rc = sqlite3_prepare_v2(db, text, -1, &st, NULL);
	for (int i = 0; rc == SQLITE_OK && i < BY_COUNT; i++)
		if (r->texts[i])
			sqlite3_bind_text(st, i + 1, r->texts[i], -1, SQLITE_STATIC);
	if (rc == SQLITE_OK && r->before_seq > 0)
		sqlite3_bind_int64(st, 6, r->before_seq);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int(st, 7, r->limit);
	buf_putc(&r->out, '[');
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW)
			put_row(st, &r->out);
	}
	buf_putc(&r->out, ']');
	if (rc != SQLITE_DONE)
		err_set(err, "unable to read decisions: %s", sqlite3_errmsg(db));
	else if (r->out.failed)
		err_set(err, "unable to read decisions: the answer is too long; ask for fewer");
	sqlite3_finalize(st);
	return rc == SQLITE_DONE && !r->out.failed ? SQLITE_OK : SQLITE_ERROR;
}

/* --- on the loop's thread --- */

static void tell_read(struct store_job *base, const struct store_answer *answer)
{
	struct ledger_reader *r = (struct ledger_reader *)base;
	bool is_ok = answer->outcome == STORE_OK;
	r->fn(r->data, is_ok ? &r->out : NULL, is_ok ? NULL : &answer->err);
}

static void release_read(struct store_job *base)
{
	struct ledger_reader *r = (struct ledger_reader *)base;
	ledger_reader_free(&r);
}

void ledger_reader_start(struct ledger_reader **rp, struct store *store)
{
	struct ledger_reader *r = *rp;
	struct err err = { 0 };
	ledger_read_fn *fn = r->fn;
	void *data = r->data;
	*rp = NULL;
	r->base = (struct store_job){ run_read, tell_read, release_read };
	if (store_read_job(store, &r->base) == 0)
		return;
	err_set(&err, "unable to read decisions: the store takes nothing now");
	fn(data, NULL, &err);
}
