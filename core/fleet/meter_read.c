/* meter_read: sums of the records, for people and their spreadsheets. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/jtext.h"
#include "fleet/meter_inner.h"
#include "fleet/store_sql.h"

#define HOUR_MS    3600000
#define ANSWER_MAX ((size_t)16 << 20)
#define ROOM       136 /* of a login, a key, a kind */

static const struct {
	const char *by, *key, *where, *order;
} keys[] = {
	{ "user", "user", "1", "2 DESC" },
	{ "project", "project", "1", "2 DESC" },
	{ "kind", "kind", "1", "2 DESC" },
	{ "pool", "pool", "pool <> ''", "2 DESC" },
	{ "recipe", "project || '.' || name", "kind = 'recipe'", "2 DESC" },
	{ "webapp", "project || '.' || name", "kind = 'webapp'", "2 DESC" },
	{ "type", "name", "kind = 'kernel'", "2 DESC" },
	{ "day", "strftime('%Y-%m-%d', hour * 3600, 'unixepoch', 'localtime')", "1", "1" },
	{ "hour", "strftime('%Y-%m-%dT%H:00:00Z', hour * 3600, 'unixepoch')", "1", "1" },
	{ "process", "process", "1", "2 DESC" },
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

static size_t key_at(const char *by)
{
	size_t i = 0;
	while (i < KEYS && strcmp(keys[i].by, by) != 0)
		i++;
	return i;
}

bool meter_is_key(const char *by)
{
	return key_at(by) < KEYS;
}

struct read {
	struct store_job base;
	struct meter *meter;
	size_t key;
	char user[ROOM], project[ROOM], kind[ROOM];
	int64_t since_hour, until_hour;
	int limit;
	struct buf out;
	meter_read_fn *fn;
	void *data;
};

static void put_row(sqlite3_stmt *st, bool is_process, struct buf *out)
{
	const char *key = (const char *)sqlite3_column_text(st, 0);
	jtext_next(out);
	buf_putc(out, '{');
	jtext_text(out, "key", key ? key : "");
	jtext_member(out, "cpuSeconds");
	buf_printf(out, "%.3f", sqlite3_column_double(st, 1) / 1000);
	jtext_member(out, "byteSeconds");
	buf_printf(out, "%.0f", sqlite3_column_double(st, 2));
	jtext_member(out, "aliveSeconds");
	buf_printf(out, "%.3f", sqlite3_column_double(st, 3) / 1000);
	jtext_int(out, "peakBytes", sqlite3_column_int64(st, 4));
	jtext_int(out, "tasks", sqlite3_column_int64(st, 5));
	jtext_int(out, "processes", sqlite3_column_int64(st, 6));
	if (is_process) {
		static const char *const names[] = { "kind", "user", "project", "pool", "name" };
		for (int i = 0; i < 5; i++)
			jtext_text(out, names[i], (const char *)sqlite3_column_text(st, 7 + i));
		jtext_int(out, "startedAt", sqlite3_column_int64(st, 12));
		if (sqlite3_column_type(st, 13) != SQLITE_NULL)
			jtext_int(out, "endedAt", sqlite3_column_int64(st, 13));
		jtext_some_text(out, "cause", (const char *)sqlite3_column_text(st, 14));
	}
	buf_putc(out, '}');
}

static int run_read(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct read *r = (struct read *)base;
	char text[1200];
	sqlite3_stmt *st = NULL;
	bool is_process = strcmp(keys[r->key].by, "process") == 0;
	snprintf(text, sizeof(text),
		 "SELECT %s, TOTAL(cpu_ms), TOTAL(byte_seconds), TOTAL(alive_ms), MAX(peak_bytes), SUM(tasks), COUNT(DISTINCT "
		 "process)%s"
		 " FROM usage WHERE hour >= ?1 AND hour < ?2 AND (?3 = '' OR user = ?3) AND (?4 = '' OR project = ?4)"
		 " AND (?5 = '' OR kind = ?5) AND %s GROUP BY 1 ORDER BY %s, 1 LIMIT ?6",
		 keys[r->key].key,
		 is_process
			 ? ", MAX(kind), MAX(user), MAX(project), MAX(pool), MAX(name), MIN(started_ms), MAX(ended_ms), MAX(cause)"
			 : "",
		 keys[r->key].where, keys[r->key].order);
	int rc = sqlite3_prepare_v2(store_sql_db(sql), text, -1, &st, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_bind_int64(st, 1, r->since_hour);
		sqlite3_bind_int64(st, 2, r->until_hour);
		sqlite3_bind_text(st, 3, r->user, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 4, r->project, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 5, r->kind, -1, SQLITE_STATIC);
		sqlite3_bind_int(st, 6, r->limit);
	}
	buf_putc(&r->out, '[');
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		put_row(st, is_process, &r->out);
		rc = SQLITE_OK;
	}
	buf_putc(&r->out, ']');
	rc = rc == SQLITE_DONE ? SQLITE_OK : store_sql_fault(sql, rc, "read", err);
	sqlite3_finalize(st);
	return rc;
}

static void tell_read(struct store_job *base, const struct store_answer *answer)
{
	struct read *r = (struct read *)base;
	struct err err = { 0 };
	bool is_good = answer->outcome == STORE_OK && !r->out.failed;
	if (r->out.failed)
		err_set(&err, "the answer is larger than %zu MB: ask for less", ANSWER_MAX >> 20);
	r->fn(r->data, is_good ? &r->out : NULL, is_good ? NULL : r->out.failed ? &err : &answer->err);
}

static void release_read(struct store_job *base)
{
	struct read *r = (struct read *)base;
	buf_fini(&r->out);
	free(r);
}

/* What is not on disk yet goes there first: a reading then sees it. */
static void on_flushed(void *data, const struct store_answer *answer)
{
	struct read *r = data;
	(void)answer;
	meter_read_fn *fn = r->fn;
	void *theirs = r->data;
	struct err err = { 0 };
	if (store_read_job(meter_store(r->meter), &r->base) < 0) { /* r is gone */
		err_set(&err, "the store takes nothing now");
		fn(theirs, NULL, &err);
	}
}

int meter_read(struct meter *m, const struct meter_query *q, meter_read_fn *fn, void *data)
{
	size_t key = key_at(q->by);
	struct read *r = key < KEYS ? calloc(1, sizeof(*r)) : NULL;
	if (!r)
		return -1;
	r->base = (struct store_job){ run_read, tell_read, release_read };
	r->meter = m;
	r->key = key;
	snprintf(r->user, sizeof(r->user), "%s", q->user ? q->user : "");
	snprintf(r->project, sizeof(r->project), "%s", q->project ? q->project : "");
	snprintf(r->kind, sizeof(r->kind), "%s", q->kind ? q->kind : "");
	r->since_hour = q->since_ms / HOUR_MS;
	r->until_hour = q->until_ms / HOUR_MS + (q->until_ms % HOUR_MS > 0); /* no sum that runs over */
	r->limit = q->limit;
	buf_init(&r->out, ANSWER_MAX);
	r->fn = fn;
	r->data = data;
	if (meter_flush(m, on_flushed, r) == 0)
		return 0;
	release_read(&r->base);
	return -1;
}
