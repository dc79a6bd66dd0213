#include "fleet/store_sql.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/store_row.h"
#include "fleet/store_schema.h"
#include "fleet/store_vfs.h"
#include "fleet/store_wal.h"

#define CHECKPOINT_PAGES 8000 /* 32 MB of log: the writer is to do it when idle; under load it would stand in the way */
#define BUSY_MS          5000 /* an admin's sqlite3 may hold the file for a moment */

enum statement {
	S_INSERT,
	S_SAME_KEY,
	S_SAME_NAME,
	S_UPDATE,
	S_FACT,
	S_GET_META,
	S_SET_META,
	S_OPEN,
	S_GET,
	S_GET_WITH_RESULT,
	S_ENDED,
	S_PUT_KEY,
	S_KEYS,
	S_FACTS,
	S_BEGIN,
	S_COMMIT,
	S_SAVEPOINT,
	S_RELEASE,
	S_COUNT
};

static const char *const texts[S_COUNT] = {
	[S_INSERT] = "INSERT INTO task (id, client_key, owner, project, kind, type, pool, title, priority, payload, limits, "
		     "timeout_ms, retries,"
		     " state, attempt, kernel, cause, error, created_ms, started_ms, ended_ms, tags,"
		     " exclusive, job)"
		     " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24)",
	[S_SAME_KEY] = "SELECT id FROM task WHERE owner = ?1 AND client_key = ?2",
	[S_SAME_NAME] = "SELECT id FROM task WHERE owner = ?1 AND exclusive = ?2 AND state IN ('queued','assigned','running')",
	[S_UPDATE] = "UPDATE task SET state = ?2, attempt = ?3, kernel = ?4, cause = ?5, error = ?6, result = ?7, started_ms = ?8, "
		     "ended_ms = ?9"
		     " WHERE id = ?1",
	[S_FACT] = "INSERT INTO fact (epoch, seq, wall_ms, mono_ms, boot, what, subject, detail, owner) VALUES "
		   "(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	[S_GET_META] = "SELECT value FROM meta WHERE name = ?1",
	[S_SET_META] = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
	[S_OPEN] =
		"SELECT " STORE_ROW_COLUMNS " FROM task WHERE state IN ('queued','assigned','running') ORDER BY created_ms, rowid",
	[S_GET] = "SELECT " STORE_ROW_COLUMNS " FROM task WHERE id = ?1",
	[S_GET_WITH_RESULT] = "SELECT " STORE_ROW_COLUMNS ", result FROM task WHERE id = ?1",
	[S_ENDED] = "SELECT " STORE_ROW_COLUMNS " FROM task WHERE ended_ms IS NOT NULL AND (?1 IS NULL OR owner = ?1)"
		    " ORDER BY ended_ms DESC, rowid DESC LIMIT ?2",
	[S_PUT_KEY] = "INSERT INTO key (id, user, label, is_admin, hash, created_ms, revoked_ms, last_used_ms)"
		      " VALUES (?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT (id) DO UPDATE SET revoked_ms = excluded.revoked_ms,"
		      " last_used_ms = excluded.last_used_ms",
	[S_KEYS] =
		"SELECT id, user, label, is_admin, hash, created_ms, revoked_ms, last_used_ms FROM key ORDER BY created_ms, rowid",
	[S_BEGIN] = "BEGIN IMMEDIATE",
	[S_COMMIT] = "COMMIT",
	[S_SAVEPOINT] = "SAVEPOINT op",
	[S_RELEASE] = "RELEASE op",
	[S_FACTS] = "SELECT epoch, seq, wall_ms, mono_ms, what, subject, detail, owner FROM fact"
		    " WHERE (epoch, seq) > (?1, ?2) AND (epoch, seq) < (?3, ?4) ORDER BY epoch, seq LIMIT ?5",
};

struct store_sql {
	sqlite3 *db;
	sqlite3_stmt *statements[S_COUNT];
	struct store_wal *wal; /* of the writer; NULL: none */
	char path[4096];
};

static int fail(struct store_sql *sql, int rc, struct err *err, const char *what)
{
	err_set(err, "unable to %s %s: %s", what, sql->path, sql->db ? sqlite3_errmsg(sql->db) : sqlite3_errstr(rc));
	if (err)
		err->code = rc;
	return rc;
}

struct store_sql *store_sql_open(const char *path, bool is_reader, struct err *err)
{
	struct store_sql *sql = calloc(1, sizeof(*sql));
	if (!sql) {
		err_set(err, "unable to open %s: no memory", path);
		return NULL;
	}
	snprintf(sql->path, sizeof(sql->path), "%s", path);
	int flags = is_reader ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	int rc = sqlite3_open_v2(path, &sql->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, store_vfs_name());
	if (rc != SQLITE_OK) {
		fail(sql, rc, err, "open");
		store_sql_close(&sql);
		return NULL;
	}
	sqlite3_extended_result_codes(sql->db, 0);
	sqlite3_busy_timeout(sql->db, BUSY_MS);
	sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	return sql;
}

void store_sql_close(struct store_sql **sqlp)
{
	struct store_sql *sql = *sqlp;
	if (!sql)
		return;
	for (int i = 0; i < S_COUNT; i++)
		sqlite3_finalize(sql->statements[i]);
	store_wal_free(&sql->wal);
	sqlite3_close(sql->db);
	free(sql);
	*sqlp = NULL;
}

int store_sql_run(struct store_sql *sql, const char *statement, struct err *err)
{
	int rc = sqlite3_exec(sql->db, statement, NULL, NULL, NULL);
	return rc == SQLITE_OK ? rc : fail(sql, rc, err, "write");
}

struct sqlite3 *store_sql_db(const struct store_sql *sql)
{
	return sql->db;
}

int store_sql_fault(struct store_sql *sql, int rc, const char *what, struct err *err)
{
	return fail(sql, rc, err, what);
}

bool store_sql_in_transaction(const struct store_sql *sql)
{
	return !sqlite3_get_autocommit(sql->db);
}

void store_sql_checkpoint(struct store_sql *sql)
{
	sqlite3_wal_checkpoint_v2(sql->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

/* A prepared statement, ready to be bound; NULL: err. */
static sqlite3_stmt *use(struct store_sql *sql, enum statement which, int *rc, struct err *err)
{
	*rc = SQLITE_OK;
	if (!sql->statements[which])
		*rc = sqlite3_prepare_v3(sql->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &sql->statements[which], NULL);
	if (*rc != SQLITE_OK) {
		fail(sql, *rc, err, "use");
		return NULL;
	}
	return sql->statements[which];
}

static int finish(struct store_sql *sql, sqlite3_stmt *st, int rc, struct err *err, const char *what)
{
	if (rc == SQLITE_DONE || rc == SQLITE_ROW)
		rc = SQLITE_OK;
	else
		fail(sql, rc, err, what);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc;
}

static void bind_text(sqlite3_stmt *st, int at, const char *s)
{
	if (s && *s)
		sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(st, at);
}

static void bind_some(sqlite3_stmt *st, int at, int64_t v)
{
	if (v)
		sqlite3_bind_int64(st, at, v);
	else
		sqlite3_bind_null(st, at);
}

static int run_word(struct store_sql *sql, enum statement which, struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, which, &rc, err);
	return st ? finish(sql, st, sqlite3_step(st), err, "write") : rc;
}

int store_sql_begin(struct store_sql *sql, struct err *err)
{
	int rc = run_word(sql, S_BEGIN, err);
	if (rc == SQLITE_OK && sql->wal)
		store_wal_make_room(sql->wal);
	return rc;
}
int store_sql_commit(struct store_sql *sql, struct err *err)
{
	return run_word(sql, S_COMMIT, err);
}
int store_sql_open_savepoint(struct store_sql *sql, struct err *err)
{
	return run_word(sql, S_SAVEPOINT, err);
}

int store_sql_close_savepoint(struct store_sql *sql, bool is_kept, struct err *err)
{
	return is_kept ? run_word(sql, S_RELEASE, err) : store_sql_run(sql, "ROLLBACK TO op; RELEASE op", err);
}

int store_sql_get_meta(struct store_sql *sql, const char *name, int64_t *out, struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, S_GET_META, &rc, err);
	if (!st)
		return rc;
	bind_text(st, 1, name);
	rc = sqlite3_step(st);
	*out = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	return finish(sql, st, rc, err, "read");
}

int store_sql_set_meta(struct store_sql *sql, const char *name, int64_t value, struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, S_SET_META, &rc, err);
	if (!st)
		return rc;
	bind_text(st, 1, name);
	sqlite3_bind_int64(st, 2, value);
	return finish(sql, st, sqlite3_step(st), err, "write");
}

int store_sql_prepare(struct store_sql *sql, struct err *err)
{
	if (store_sql_run(sql, "PRAGMA journal_mode = WAL", err) != SQLITE_OK ||
	    store_sql_run(sql, "PRAGMA synchronous = FULL", err) != SQLITE_OK)
		return -1;
	sql->wal = store_wal_new(sql->db, sql->path, CHECKPOINT_PAGES);
	return store_schema_migrate(sql, sql->path, err);
}

/* The owner's task with that client key or exclusive name: `found`, with its id. */
static int find_first(struct store_sql *sql, enum statement by, const char *owner, const char *word, int found,
		      char first_id[FUTURE_ID_MAX], struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, by, &rc, err);
	if (!st)
		return rc;
	first_id[0] = 0;
	bind_text(st, 1, owner);
	bind_text(st, 2, word);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		snprintf(first_id, FUTURE_ID_MAX, "%s", (const char *)sqlite3_column_text(st, 0));
	rc = finish(sql, st, rc, err, "read");
	return rc == SQLITE_OK && first_id[0] ? found : rc;
}

int store_sql_insert(struct store_sql *sql, const struct future *f, char first_id[FUTURE_ID_MAX], struct err *err)
{
	char limits[64];
	int rc = SQLITE_OK;
	if (f->client_key)
		rc = find_first(sql, S_SAME_KEY, f->owner, f->client_key, SQLITE_CONSTRAINT, first_id, err);
	if (rc == SQLITE_OK && f->exclusive)
		rc = find_first(sql, S_SAME_NAME, f->owner, f->exclusive, STORE_SQL_EXCLUDED, first_id, err);
	sqlite3_stmt *st = rc == SQLITE_OK ? use(sql, S_INSERT, &rc, err) : NULL;
	if (!st)
		return rc;
	const char *names[] = { f->id, f->client_key, f->owner, f->project, f->kind, f->type, f->pool, f->title };
	for (int i = 0; i < 8; i++)
		bind_text(st, i + 1, names[i]);
	sqlite3_bind_int(st, 9, f->priority);
	sqlite3_bind_blob64(st, 10, f->payload, f->payload_len, SQLITE_STATIC);
	snprintf(limits, sizeof(limits), "{\"memoryBytes\":%lld}", (long long)f->memory_bytes);
	bind_text(st, 11, f->memory_bytes ? limits : NULL);
	bind_some(st, 12, f->timeout_ms);
	sqlite3_bind_int(st, 13, f->retries);
	bind_text(st, 14, future_state_name(f->state));
	sqlite3_bind_int(st, 15, f->attempt);
	bind_text(st, 16, f->kernel);
	bind_text(st, 17, f->cause);
	bind_text(st, 18, f->error);
	sqlite3_bind_int64(st, 19, f->created_ms);
	bind_some(st, 20, f->started_ms);
	bind_some(st, 21, f->ended_ms);
	bind_text(st, 22, f->tags);
	bind_text(st, 23, f->exclusive);
	bind_text(st, 24, f->job);
	return finish(sql, st, sqlite3_step(st), err, "write");
}

int store_sql_update(struct store_sql *sql, const struct future *f, struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, S_UPDATE, &rc, err);
	if (!st)
		return rc;
	bind_text(st, 1, f->id);
	bind_text(st, 2, future_state_name(f->state));
	sqlite3_bind_int(st, 3, f->attempt);
	bind_text(st, 4, f->kernel);
	bind_text(st, 5, f->cause);
	bind_text(st, 6, f->error);
	if (f->result)
		sqlite3_bind_blob64(st, 7, f->result, f->result_len, SQLITE_STATIC);
	bind_some(st, 8, f->started_ms);
	bind_some(st, 9, f->ended_ms);
	return finish(sql, st, sqlite3_step(st), err, "write");
}

int store_sql_fact(struct store_sql *sql, int64_t epoch, int64_t seq, const struct store_fact *fact, const char *boot,
		   struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, S_FACT, &rc, err);
	if (!st)
		return rc;
	sqlite3_bind_int64(st, 1, epoch);
	sqlite3_bind_int64(st, 2, seq);
	sqlite3_bind_int64(st, 3, fact->wall_ms);
	sqlite3_bind_int64(st, 4, fact->mono_ms);
	sqlite3_bind_text(st, 5, boot, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 6, fact->what, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 7, fact->subject, -1, SQLITE_STATIC);
	bind_text(st, 8, fact->detail);
	bind_text(st, 9, fact->owner);
	return finish(sql, st, sqlite3_step(st), err, "write");
}

static int each_row(struct store_sql *sql, sqlite3_stmt *st, store_load_fn *fn, void *data, struct err *err)
{
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct future *f = store_row_read(st, false);
		if (!f) {
			rc = SQLITE_NOMEM;
			break;
		}
		fn(data, f);
	}
	return finish(sql, st, rc, err, "read");
}

int store_sql_each_open(struct store_sql *sql, store_load_fn *fn, void *data, struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, S_OPEN, &rc, err);
	return st ? each_row(sql, st, fn, data, err) : rc;
}

int store_sql_each_ended(struct store_sql *sql, const char *owner, int limit, store_load_fn *fn, void *data, struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, S_ENDED, &rc, err);
	if (!st)
		return rc;
	bind_text(st, 1, owner);
	sqlite3_bind_int(st, 2, limit);
	return each_row(sql, st, fn, data, err);
}

int store_sql_get(struct store_sql *sql, const char *id, bool with_result, struct future **out, struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, with_result ? S_GET_WITH_RESULT : S_GET, &rc, err);
	*out = NULL;
	if (!st)
		return rc;
	bind_text(st, 1, id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && !(*out = store_row_read(st, with_result)))
		rc = SQLITE_NOMEM;
	return finish(sql, st, rc, err, "read");
}

/* --- keys and facts --- */

static const char *text_at(sqlite3_stmt *st, int at)
{
	const char *s = (const char *)sqlite3_column_text(st, at);
	return s ? s : "";
}

int store_sql_put_key(struct store_sql *sql, const struct store_key *k, struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, S_PUT_KEY, &rc, err);
	if (!st)
		return rc;
	bind_text(st, 1, k->id);
	bind_text(st, 2, k->user);
	bind_text(st, 3, k->label);
	sqlite3_bind_int(st, 4, k->is_admin);
	bind_text(st, 5, k->hash);
	sqlite3_bind_int64(st, 6, k->created_ms);
	bind_some(st, 7, k->revoked_ms);
	bind_some(st, 8, k->last_used_ms);
	return finish(sql, st, sqlite3_step(st), err, "write");
}

int store_sql_each_key(struct store_sql *sql, store_key_fn *fn, void *data, struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, S_KEYS, &rc, err);
	if (!st)
		return rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_key k = {
			.id = text_at(st, 0),
			.user = text_at(st, 1),
			.label = (const char *)sqlite3_column_text(st, 2),
			.is_admin = sqlite3_column_int(st, 3),
			.hash = text_at(st, 4),
			.created_ms = sqlite3_column_int64(st, 5),
			.revoked_ms = sqlite3_column_int64(st, 6),
			.last_used_ms = sqlite3_column_int64(st, 7),
		};
		fn(data, &k);
	}
	return finish(sql, st, rc, err, "read");
}

int store_sql_each_fact(struct store_sql *sql, const int64_t after[2], const int64_t before[2], int limit, store_sql_fact_fn *fn,
			void *data, struct err *err)
{
	int rc;
	sqlite3_stmt *st = use(sql, S_FACTS, &rc, err);
	if (!st)
		return rc;
	const int64_t bounds[] = { after[0], after[1], before[0], before[1], limit };
	for (int i = 0; i < 5; i++)
		sqlite3_bind_int64(st, i + 1, bounds[i]);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_fact fact = {
			.what = text_at(st, 4),
			.subject = text_at(st, 5),
			.detail = (const char *)sqlite3_column_text(st, 6),
			.wall_ms = sqlite3_column_int64(st, 2),
			.mono_ms = sqlite3_column_int64(st, 3),
			.owner = (const char *)sqlite3_column_text(st, 7),
		};
		fn(data, sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1), &fact);
	}
	return finish(sql, st, rc, err, "read");
}
