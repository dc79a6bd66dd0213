#ifndef DSS_FLEET_STORE_SQL_H
#define DSS_FLEET_STORE_SQL_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "fleet/future.h"
#include "fleet/store.h"
/*
 * store_sql: the store's SQL: one connection, its schema and its statements. Used by one thread at a time; inner to store.c.
 * Functions return an SQLite result code (SQLITE_OK on success) and set err.
 */
struct store_sql;

struct store_sql *store_sql_open(const char *path, bool is_reader, struct err *err);
void store_sql_close(struct store_sql **sql);
/* Journal mode, migrations. -1: err. */
int store_sql_prepare(struct store_sql *sql, struct err *err);

/* For neighbours with tables of their own (ledger, versions, retention): the connection, to prepare and step statements on, and the error that
 * a result code means: sets err and returns rc. */
struct sqlite3;
struct sqlite3 *store_sql_db(const struct store_sql *sql);
int store_sql_fault(struct store_sql *sql, int rc, const char *what, struct err *err); /* what: "read", "write" */
int store_sql_run(struct store_sql *sql, const char *statement, struct err *err);
/* What each group of writes needs, prepared once. */
int store_sql_begin(struct store_sql *sql, struct err *err);
int store_sql_commit(struct store_sql *sql, struct err *err);
int store_sql_open_savepoint(struct store_sql *sql, struct err *err);
int store_sql_close_savepoint(struct store_sql *sql, bool is_kept, struct err *err); /* not kept: rolled back */
bool store_sql_in_transaction(const struct store_sql *sql);
void store_sql_checkpoint(struct store_sql *sql);
int store_sql_get_meta(struct store_sql *sql, const char *name, int64_t *out, struct err *err); /* 0 where it is not there */
int store_sql_set_meta(struct store_sql *sql, const char *name, int64_t value, struct err *err);

/* SQLITE_CONSTRAINT with first_id set: the owner used that client key before. STORE_SQL_EXCLUDED: an open task of the owner, first_id, has
 * that exclusive name. */
#define STORE_SQL_EXCLUDED 0x10000
int store_sql_insert(struct store_sql *sql, const struct future *f, char first_id[FUTURE_ID_MAX], struct err *err);
int store_sql_update(struct store_sql *sql, const struct future *f, struct err *err);
int store_sql_fact(struct store_sql *sql, int64_t epoch, int64_t seq, const struct store_fact *fact, const char *boot,
		   struct err *err);

/* --- keys, for keys.c --- */
struct store_key {
	const char *id, *user, *label, *hash; /* label may be NULL; hash: hex SHA-256 of the secret */
	bool is_admin;
	int64_t created_ms, revoked_ms, last_used_ms; /* 0 = not */
};
int store_sql_put_key(struct store_sql *sql, const struct store_key *key, struct err *err); /* makes or changes it */
typedef void store_key_fn(void *data, const struct store_key *key);
int store_sql_each_key(struct store_sql *sql, store_key_fn *fn, void *data, struct err *err);

/* --- facts, for feed.c: those after (epoch, seq) and before (end_epoch, end_seq), in order --- */
typedef void store_sql_fact_fn(void *data, int64_t epoch, int64_t seq, const struct store_fact *fact);
int store_sql_each_fact(struct store_sql *sql, const int64_t after[2], const int64_t before[2], int limit, store_sql_fact_fn *fn,
			void *data, struct err *err);

/* Calls fn with each row's future (fn takes it). */
int store_sql_each_open(struct store_sql *sql, store_load_fn *fn, void *data, struct err *err);
int store_sql_get(struct store_sql *sql, const char *id, bool with_result, struct future **out, struct err *err);
int store_sql_each_ended(struct store_sql *sql, const char *owner, int limit, store_load_fn *fn, void *data, struct err *err);

#endif
