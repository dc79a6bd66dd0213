#include "fleet/meter.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/meter_inner.h"
#include "fleet/store_sql.h"

#define HOUR_MS   3600000
#define ROWS_MOST 2000 /* then they are written at once */
#define TEXTS     6

struct row {
	int64_t hour, started_ms, ended_ms;
	struct meter_use use;
	char cause[24];
	bool is_first_told;
	const char *texts[TEXTS]; /* as meter_who, in one piece behind it */
	char room[];
};

struct reading {
	struct meter_reading last;
	bool is_gone;
	char process[];
};

struct meter {
	struct loop *loop;
	struct store *store;
	struct loop_timer *timer;
	int64_t due_in_ms; /* of the timer; 0 = it does not run */
	struct map *rows, *readings;
};

/* --- loading --- */

struct loading {
	meter_reading_fn *fn;
	void *data;
};

static int load_all(void *data, struct store_sql *sql, struct err *err)
{
	const struct loading *l = data;
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(store_sql_db(sql), "SELECT process, cpu_ms, memory_bytes, at_ms, started_ms FROM usage_open",
				    -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const struct meter_reading r = { sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2),
						 sqlite3_column_int64(st, 3), sqlite3_column_int64(st, 4) };
		l->fn(l->data, (const char *)sqlite3_column_text(st, 0), &r);
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_DONE)
		store_sql_fault(sql, rc, "read", err);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

static void on_timer(void *data)
{
	struct meter *m = data;
	m->due_in_ms = 0;
	if (meter_flush(m, NULL, NULL) < 0)
		log_warn("unable to save what processes used: the store takes nothing now");
}

struct meter *meter_new(struct loop *loop, struct store *store, meter_reading_fn *fn, void *data, struct err *err)
{
	struct loading l = { fn, data };
	struct meter *m = calloc(1, sizeof(*m));
	if (m) {
		m->loop = loop;
		m->store = store;
		m->rows = map_new();
		m->readings = map_new();
		m->timer = loop_timer_new(loop, on_timer, m);
	}
	if (!m || !m->rows || !m->readings || !m->timer)
		err_set(err, "unable to count what processes use: no memory");
	else if (store_run_now(store, load_all, &l, err) == 0)
		return m;
	meter_free(&m);
	return NULL;
}

static void empty(struct map **mp)
{
	size_t cursor = 0;
	for (void *p; *mp && (p = map_next(*mp, &cursor));)
		free(p);
	map_free(mp);
}

void meter_free(struct meter **mp)
{
	struct meter *m = *mp;
	if (!m)
		return;
	empty(&m->rows);
	empty(&m->readings);
	loop_timer_free(&m->timer);
	free(m);
	*mp = NULL;
}

/* --- adding --- */

static void flush_in(struct meter *m, int64_t ms)
{
	if (m->due_in_ms && m->due_in_ms <= ms)
		return;
	m->due_in_ms = ms;
	loop_timer_start(m->timer, ms);
}

static struct row *row_of(struct meter *m, const struct meter_who *w, int64_t wall_ms)
{
	const char *const texts[TEXTS] = { w->process, w->user, w->project, w->pool, w->name, w->kind };
	char key[1200];
	size_t len = 0;
	int n = snprintf(key, sizeof(key), "%lld\x1f%s\x1f%s\x1f%s\x1f%s\x1f%s", (long long)(wall_ms / HOUR_MS), texts[0], texts[1],
			 texts[2], texts[3], texts[4]);
	struct row *r = n < (int)sizeof(key) ? map_get(m->rows, key) : NULL;
	if (r || n >= (int)sizeof(key))
		return r;
	for (int i = 0; i < TEXTS; i++)
		len += strlen(texts[i]) + 1;
	r = calloc(1, sizeof(*r) + len);
	if (!r || map_set(m->rows, key, r) < 0) {
		free(r);
		return NULL;
	}
	char *at = r->room;
	for (int i = 0; i < TEXTS; i++) {
		r->texts[i] = strcpy(at, texts[i]);
		at += strlen(at) + 1;
	}
	r->hour = wall_ms / HOUR_MS;
	flush_in(m, map_count(m->rows) >= ROWS_MOST ? METER_SOON_MS : METER_FLUSH_MS);
	return r;
}

void meter_add(struct meter *m, const struct meter_who *who, int64_t wall_ms, int64_t started_ms, const struct meter_use *use)
{
	struct row *r = row_of(m, who, wall_ms);
	if (!r)
		return;
	r->started_ms = started_ms;
	r->use.cpu_ms += use->cpu_ms;
	r->use.alive_ms += use->alive_ms;
	r->use.byte_seconds += use->byte_seconds;
	r->use.tasks += use->tasks;
	if (use->peak_bytes > r->use.peak_bytes)
		r->use.peak_bytes = use->peak_bytes;
}

void meter_note(struct meter *m, const char *process, const struct meter_reading *reading)
{
	struct reading *r = map_get(m->readings, process);
	if (!r) {
		r = calloc(1, sizeof(*r) + strlen(process) + 1);
		if (!r || map_set(m->readings, process, r) < 0) {
			free(r);
			return;
		}
		memcpy(r->process, process, strlen(process) + 1);
		flush_in(m, METER_FLUSH_MS);
	}
	r->is_gone = reading == NULL;
	if (reading)
		r->last = *reading;
}

void meter_end(struct meter *m, const struct meter_who *who, int64_t wall_ms, const char *cause, bool is_first_told)
{
	struct row *r = row_of(m, who, wall_ms);
	if (!r)
		return;
	r->ended_ms = wall_ms;
	r->is_first_told = is_first_told;
	snprintf(r->cause, sizeof(r->cause), "%s", cause);
	flush_in(m, METER_SOON_MS);
}

/* --- writing --- */

struct flush {
	struct store_job base;
	struct map *rows, *readings; /* owned */
	store_done_fn *fn;
	void *data;
};

static const char put_row[] =
	"INSERT INTO usage (process, user, project, pool, name, kind, hour, cpu_ms, byte_seconds, alive_ms, peak_bytes, tasks,"
	" started_ms, ended_ms, cause)"
	" SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15 WHERE ?16 = 0 OR NOT EXISTS"
	" (SELECT 1 FROM usage WHERE process = ?1 AND ended_ms IS NOT NULL)"
	" ON CONFLICT DO UPDATE SET cpu_ms = cpu_ms + excluded.cpu_ms, byte_seconds = byte_seconds + excluded.byte_seconds,"
	" alive_ms = alive_ms + excluded.alive_ms, peak_bytes = MAX(peak_bytes, excluded.peak_bytes), tasks = tasks + "
	"excluded.tasks,"
	" ended_ms = COALESCE(excluded.ended_ms, ended_ms), cause = COALESCE(excluded.cause, cause)";

static int write_row(sqlite3_stmt *st, const struct row *r)
{
	const int64_t numbers[] = { r->hour,      r->use.cpu_ms, (int64_t)r->use.byte_seconds, r->use.alive_ms, r->use.peak_bytes,
				    r->use.tasks, r->started_ms };
	sqlite3_reset(st);
	for (int i = 0; i < TEXTS; i++)
		sqlite3_bind_text(st, i + 1, r->texts[i], -1, SQLITE_STATIC);
	for (int i = 0; i < (int)(sizeof(numbers) / sizeof(numbers[0])); i++)
		sqlite3_bind_int64(st, TEXTS + 1 + i, numbers[i]);
	if (r->ended_ms) {
		sqlite3_bind_int64(st, 14, r->ended_ms);
		sqlite3_bind_text(st, 15, r->cause, -1, SQLITE_STATIC);
	} else {
		sqlite3_bind_null(st, 14);
		sqlite3_bind_null(st, 15);
	}
	sqlite3_bind_int(st, 16, r->is_first_told);
	return sqlite3_step(st);
}

static int write_rows(const struct flush *f, struct store_sql *sql)
{
	sqlite3_stmt *st = NULL;
	size_t cursor = 0;
	int rc = sqlite3_prepare_v2(store_sql_db(sql), put_row, -1, &st, NULL);
	for (const struct row *r; rc == SQLITE_OK && (r = map_next(f->rows, &cursor));)
		rc = write_row(st, r) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(store_sql_db(sql));
	sqlite3_finalize(st);
	return rc;
}

static int write_readings(const struct flush *f, struct store_sql *sql)
{
	sqlite3_stmt *put = NULL, *drop = NULL;
	size_t cursor = 0;
	int rc = sqlite3_prepare_v2(store_sql_db(sql),
				    "INSERT OR REPLACE INTO usage_open (process, cpu_ms, memory_bytes, at_ms, started_ms)"
				    " VALUES (?1, ?2, ?3, ?4, ?5)",
				    -1, &put, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(store_sql_db(sql), "DELETE FROM usage_open WHERE process = ?1", -1, &drop, NULL);
	for (const struct reading *r; rc == SQLITE_OK && (r = map_next(f->readings, &cursor));) {
		sqlite3_stmt *st = r->is_gone ? drop : put;
		const int64_t numbers[] = { r->last.cpu_ms, r->last.memory_bytes, r->last.at_wall_ms, r->last.started_wall_ms };
		sqlite3_reset(st);
		sqlite3_bind_text(st, 1, r->process, -1, SQLITE_STATIC);
		for (int i = 0; i < 4 && !r->is_gone; i++)
			sqlite3_bind_int64(st, i + 2, numbers[i]);
		rc = sqlite3_step(st) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(store_sql_db(sql));
	}
	sqlite3_finalize(put);
	sqlite3_finalize(drop);
	return rc;
}

static int run_flush(struct store_job *base, struct store_sql *sql, struct err *err)
{
	const struct flush *f = (const struct flush *)base;
	int rc = write_rows(f, sql);
	if (rc == SQLITE_OK)
		rc = write_readings(f, sql);
	return rc == SQLITE_OK ? rc : store_sql_fault(sql, rc, "write", err);
}

static void tell_flush(struct store_job *base, const struct store_answer *answer)
{
	const struct flush *f = (const struct flush *)base;
	if (answer->outcome != STORE_OK)
		log_error("what %zu processes used is lost: %s", map_count(f->rows), answer->err.text);
	if (f->fn)
		f->fn(f->data, answer);
}

static void release_flush(struct store_job *base)
{
	struct flush *f = (struct flush *)base;
	empty(&f->rows);
	empty(&f->readings);
	free(f);
}

int meter_flush(struct meter *m, store_done_fn *fn, void *data)
{
	struct flush *f = calloc(1, sizeof(*f));
	struct map *rows = map_new(), *readings = map_new();
	if (!f || !rows || !readings) {
		map_free(&rows);
		map_free(&readings);
		free(f);
		return -1;
	}
	*f = (struct flush){ { run_flush, tell_flush, release_flush }, m->rows, m->readings, fn, data };
	m->rows = rows;
	m->readings = readings;
	m->due_in_ms = 0;
	loop_timer_stop(m->timer);
	return store_write_job(m->store, &f->base);
}

struct store *meter_store(const struct meter *m)
{
	return m->store;
}
