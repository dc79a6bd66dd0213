#include "fleet/store_schema.h"

#include <sqlite3.h>

#include "fleet/store_sql.h"

/* Numbered from 1; each runs in one transaction with the update of meta.schema. Never changed once released: added to. */
static const char *const migrations[STORE_SCHEMA] = {
	"CREATE TABLE task ("
	"  id TEXT PRIMARY KEY, client_key TEXT, owner TEXT NOT NULL, project TEXT, kind TEXT NOT NULL, type TEXT NOT NULL,"
	"  pool TEXT NOT NULL, title TEXT, priority INTEGER NOT NULL DEFAULT 0, payload BLOB NOT NULL, limits TEXT,"
	"  timeout_ms INTEGER, retries INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,"
	"  kernel TEXT, cause TEXT, error TEXT, result BLOB, created_ms INTEGER NOT NULL, started_ms INTEGER, ended_ms INTEGER);"
	"CREATE UNIQUE INDEX task_client_key ON task(owner, client_key) WHERE client_key IS NOT NULL;"
	"CREATE INDEX task_open ON task(state) WHERE state IN ('queued','assigned','running');"
	"CREATE TABLE fact ("
	"  epoch INTEGER NOT NULL, seq INTEGER NOT NULL, wall_ms INTEGER NOT NULL, mono_ms INTEGER NOT NULL, boot TEXT NOT NULL,"
	"  what TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT, PRIMARY KEY (epoch, seq));",
	"CREATE TABLE key ("
	"  id TEXT PRIMARY KEY, user TEXT NOT NULL, label TEXT, is_admin INTEGER NOT NULL DEFAULT 0, hash TEXT NOT NULL UNIQUE,"
	"  created_ms INTEGER NOT NULL, revoked_ms INTEGER, last_used_ms INTEGER);",
	"ALTER TABLE task ADD COLUMN tags TEXT;"
	"ALTER TABLE fact ADD COLUMN owner TEXT;",
	"ALTER TABLE task ADD COLUMN exclusive TEXT;"
	"CREATE UNIQUE INDEX task_exclusive ON task(owner, exclusive)"
	"  WHERE exclusive IS NOT NULL AND state IN ('queued','assigned','running');",
	"CREATE TABLE decision ("
	"  id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT "
	"NULL,"
	"  count INTEGER NOT NULL, word TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, subject_kind TEXT NOT NULL,"
	"  subject TEXT NOT NULL, answer TEXT NOT NULL, reason TEXT, inputs TEXT, threshold TEXT, mode TEXT NOT NULL,"
	"  outcome TEXT NOT NULL, owner TEXT, version INTEGER NOT NULL);"
	"CREATE INDEX decision_subject ON decision(subject, subject_kind, last_ms);"
	"CREATE INDEX decision_name ON decision(word, name, last_ms);"
	"CREATE INDEX decision_last ON decision(last_ms);"
	"CREATE TABLE policy_version ("
	"  version INTEGER PRIMARY KEY, taken_ms INTEGER NOT NULL, hash TEXT NOT NULL, by TEXT, note TEXT, text BLOB NOT NULL);",
	"CREATE INDEX task_ended ON task(ended_ms) WHERE ended_ms IS NOT NULL;",
	"ALTER TABLE task ADD COLUMN job TEXT;"
	"CREATE UNIQUE INDEX task_job ON task(project, job) WHERE job IS NOT NULL;"
	"CREATE TABLE activity ("
	"  task TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, started_ms INTEGER, ended_ms INTEGER, process TEXT,"
	"  request TEXT, cause TEXT, code INTEGER, signal INTEGER, peak_bytes INTEGER, message TEXT, PRIMARY KEY (task, id));"
	"CREATE TRIGGER task_gone AFTER DELETE ON task WHEN old.job IS NOT NULL BEGIN"
	"  DELETE FROM activity WHERE task = old.id; END;"
	"CREATE TABLE dataset ("
	"  project TEXT NOT NULL, name TEXT NOT NULL, started_ms INTEGER NOT NULL, built_ms INTEGER, job TEXT NOT NULL,"
	"  definition TEXT, script TEXT, PRIMARY KEY (project, name));",
	"CREATE TABLE webapp ("
	"  project TEXT NOT NULL, name TEXT NOT NULL, wanted TEXT NOT NULL, state TEXT NOT NULL, process TEXT NOT NULL,"
	"  port INTEGER NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (project, name));",
	"CREATE TABLE project_setting ("
	"  project TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL, by TEXT NOT NULL, at_ms INTEGER NOT NULL,"
	"  PRIMARY KEY (project, key));"
	"CREATE TABLE usage ("
	"  process TEXT NOT NULL, hour INTEGER NOT NULL, user TEXT NOT NULL, project TEXT NOT NULL, pool TEXT NOT NULL,"
	"  name TEXT NOT NULL, kind TEXT NOT NULL, cpu_ms INTEGER NOT NULL, byte_seconds INTEGER NOT NULL,"
	"  alive_ms INTEGER NOT NULL, peak_bytes INTEGER NOT NULL, tasks INTEGER NOT NULL, started_ms INTEGER NOT NULL,"
	"  ended_ms INTEGER, cause TEXT, PRIMARY KEY (process, hour, user, project, pool, name)) WITHOUT ROWID;"
	"CREATE INDEX usage_hour ON usage(hour);"
	"CREATE TABLE usage_open ("
	"  process TEXT PRIMARY KEY, cpu_ms INTEGER NOT NULL, memory_bytes INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
	"  started_ms INTEGER NOT NULL);",
	"CREATE INDEX task_training ON task(project, created_ms) WHERE type = 'train';",
	"CREATE TABLE notebook (kernel TEXT PRIMARY KEY, process TEXT NOT NULL, detail TEXT NOT NULL) WITHOUT ROWID;",
	"CREATE INDEX fact_notebook ON fact(what) WHERE what IN ('notebook.ended', 'notebook.unloaded', 'notebook.moved');",
};

int store_schema_migrate(struct store_sql *sql, const char *path, struct err *err)
{
	int64_t schema = 0;
	if (store_sql_run(sql, "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value)", err) != SQLITE_OK ||
	    store_sql_get_meta(sql, "schema", &schema, err) != SQLITE_OK)
		return -1;
	if (schema > STORE_SCHEMA)
		return err_set(err,
			       "unable to use %s: its schema is %lld, this program knows up to %d; use the newer program, or an "
			       "older copy of the file",
			       path, (long long)schema, STORE_SCHEMA);
	for (; schema < STORE_SCHEMA; schema++) {
		if (store_sql_run(sql, "BEGIN IMMEDIATE", err) != SQLITE_OK)
			return -1;
		if (store_sql_run(sql, migrations[schema], err) != SQLITE_OK ||
		    store_sql_set_meta(sql, "schema", schema + 1, err) != SQLITE_OK ||
		    store_sql_run(sql, "COMMIT", err) != SQLITE_OK) {
			store_sql_run(sql, "ROLLBACK", NULL);
			return err_add(err, "unable to migrate to schema %lld", (long long)schema + 1);
		}
	}
	return 0;
}
