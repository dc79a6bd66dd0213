#include "fleet/versions.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/jtext.h"
#include "fleet/store_sql.h"
#include "net/digest.h"
#include "sys/clock.h"

#define TEXT_MOST ((size_t)32 << 20)

struct versions {
	struct store *store;
	int64_t newest;
	char hash[DIGEST_HEX_SIZE];
};

struct job {
	struct store_job base;
	int64_t version, taken_ms; /* read: 0 = the list */
	char hash[DIGEST_HEX_SIZE];
	char *text, *by, *note; /* owned */
	size_t len;
	int limit;
	struct buf out;
	bool is_found;
	versions_fn *fn;
	void *data;
};

static int step_all(struct store_sql *sql, sqlite3_stmt *st, void (*row)(void *data, sqlite3_stmt *st), void *data,
		    const char *what, struct err *err)
{
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		if (row)
			row(data, st);
	if (rc != SQLITE_DONE)
		store_sql_fault(sql, rc, what, err);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static sqlite3_stmt *prepare(struct store_sql *sql, const char *text, int *rc, struct err *err)
{
	sqlite3_stmt *st = NULL;
	*rc = sqlite3_prepare_v2(store_sql_db(sql), text, -1, &st, NULL);
	if (*rc != SQLITE_OK)
		store_sql_fault(sql, *rc, "read", err);
	return st;
}

/* --- the newest --- */

static void take_newest(void *data, sqlite3_stmt *st)
{
	struct versions *v = data;
	const char *hash = (const char *)sqlite3_column_text(st, 1);
	v->newest = sqlite3_column_int64(st, 0);
	snprintf(v->hash, sizeof(v->hash), "%s", hash ? hash : "");
}

static int read_newest(void *data, struct store_sql *sql, struct err *err)
{
	int rc;
	sqlite3_stmt *st = prepare(sql, "SELECT version, hash FROM policy_version ORDER BY version DESC LIMIT 1", &rc, err);
	return st ? step_all(sql, st, take_newest, data, "read", err) : rc;
}

struct versions *versions_open(struct store *store, struct err *err)
{
	struct versions *v = calloc(1, sizeof(*v));
	if (!v) {
		err_set(err, "unable to read the versions of the policies: not enough memory");
		return NULL;
	}
	v->store = store;
	if (store_run_now(store, read_newest, v, err) < 0)
		versions_free(&v);
	return v;
}

void versions_free(struct versions **v)
{
	free(*v);
	*v = NULL;
}

int64_t versions_now(const struct versions *v)
{
	return v->newest;
}

/* --- jobs --- */

static void release(struct store_job *base)
{
	struct job *j = (struct job *)base;
	free(j->text);
	free(j->by);
	free(j->note);
	buf_fini(&j->out);
	free(j);
}

static struct job *job_new(int (*run)(struct store_job *, struct store_sql *, struct err *),
			   void (*tell)(struct store_job *, const struct store_answer *))
{
	struct job *j = calloc(1, sizeof(*j));
	if (!j)
		return NULL;
	j->base = (struct store_job){ run, tell, release };
	buf_init(&j->out, TEXT_MOST);
	return j;
}

/* --- taking --- */

static int write_one(struct store_job *base, struct store_sql *sql, struct err *err)
{
	const struct job *j = (const struct job *)base;
	int rc;
	sqlite3_stmt *st =
		prepare(sql, "INSERT OR REPLACE INTO policy_version (version, taken_ms, hash, by, note, text) VALUES (?,?,?,?,?,?)",
			&rc, err);
	if (!st)
		return rc;
	sqlite3_bind_int64(st, 1, j->version);
	sqlite3_bind_int64(st, 2, j->taken_ms);
	sqlite3_bind_text(st, 3, j->hash, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, j->by, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 5, j->note, -1, SQLITE_STATIC);
	sqlite3_bind_blob64(st, 6, j->text, j->len, SQLITE_STATIC);
	return step_all(sql, st, NULL, NULL, "write", err);
}

static void tell_written(struct store_job *base, const struct store_answer *answer)
{
	if (answer->outcome != STORE_OK)
		log_warn("unable to keep version %lld of the policies: %s", (long long)((struct job *)base)->version,
			 answer->err.text);
}

int64_t versions_take(struct versions *v, const char *text, size_t len, const char *by, const char *note)
{
	char hash[DIGEST_HEX_SIZE];
	digest_sha256_hex(text, len, hash);
	if (v->newest > 0 && strcmp(hash, v->hash) == 0)
		return v->newest;
	v->newest++;
	memcpy(v->hash, hash, sizeof(hash));
	struct job *j = job_new(write_one, tell_written);
	if (j) {
		j->version = v->newest;
		j->taken_ms = clock_wall_ms();
		memcpy(j->hash, hash, sizeof(hash));
		j->text = malloc(len ? len : 1);
		j->len = len;
		j->by = by ? strdup(by) : NULL;
		j->note = note ? strdup(note) : NULL;
	}
	if (!j || !j->text) {
		log_warn("unable to keep version %lld of the policies: not enough memory", (long long)v->newest);
		if (j)
			release(&j->base);
		return v->newest;
	}
	memcpy(j->text, text, len);
	if (store_write_job(v->store, &j->base) < 0)
		log_warn("unable to keep version %lld of the policies: the store takes nothing now", (long long)v->newest);
	return v->newest;
}

/* --- reading --- */

static void put_row(void *data, sqlite3_stmt *st)
{
	struct buf *out = &((struct job *)data)->out;
	jtext_next(out);
	buf_putc(out, '{');
	jtext_int(out, "version", sqlite3_column_int64(st, 0));
	jtext_int(out, "takenAt", sqlite3_column_int64(st, 1));
	jtext_text(out, "hash", (const char *)sqlite3_column_text(st, 2));
	jtext_some_text(out, "by", (const char *)sqlite3_column_text(st, 3));
	jtext_some_text(out, "note", (const char *)sqlite3_column_text(st, 4));
	buf_putc(out, '}');
}

static int read_list(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct job *j = (struct job *)base;
	int rc;
	sqlite3_stmt *st = prepare(
		sql, "SELECT version, taken_ms, hash, by, note FROM policy_version ORDER BY version DESC LIMIT ?", &rc, err);
	if (!st)
		return rc;
	sqlite3_bind_int(st, 1, j->limit);
	buf_putc(&j->out, '[');
	rc = step_all(sql, st, put_row, j, "read", err);
	buf_putc(&j->out, ']');
	j->is_found = true;
	return rc;
}

static void put_text(void *data, sqlite3_stmt *st)
{
	struct job *j = data;
	buf_put(&j->out, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
	j->is_found = true;
}

static int read_text(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct job *j = (struct job *)base;
	int rc;
	sqlite3_stmt *st = prepare(sql, "SELECT text FROM policy_version WHERE version = ?", &rc, err);
	if (!st)
		return rc;
	sqlite3_bind_int64(st, 1, j->version);
	return step_all(sql, st, put_text, j, "read", err);
}

static void tell_read(struct store_job *base, const struct store_answer *answer)
{
	struct job *j = (struct job *)base;
	struct err long_err = { 0 };
	const struct err *why = answer->outcome != STORE_OK ? &answer->err : NULL;
	if (!why && j->out.failed) {
		err_set(&long_err, "the text is too long");
		why = &long_err;
	}
	j->fn(j->data, why || !j->is_found ? NULL : &j->out, why);
}

static int ask(struct versions *v, struct job *j, versions_fn *fn, void *data)
{
	if (!j)
		return -1;
	j->fn = fn;
	j->data = data;
	return store_read_job(v->store, &j->base);
}

int versions_list(struct versions *v, int limit, versions_fn *fn, void *data)
{
	struct job *j = job_new(read_list, tell_read);
	if (j)
		j->limit = limit;
	return ask(v, j, fn, data);
}

int versions_get(struct versions *v, int64_t version, versions_fn *fn, void *data)
{
	struct job *j = job_new(read_text, tell_read);
	if (j)
		j->version = version;
	return ask(v, j, fn, data);
}
