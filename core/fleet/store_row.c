#include "fleet/store_row.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COL_TAGS = 22, COL_EXCLUSIVE, COL_JOB, COL_RESULT };

static char *column_copy(sqlite3_stmt *st, int at)
{
	const char *s = (const char *)sqlite3_column_text(st, at);
	return s ? strdup(s) : NULL;
}

static char *column_bytes(sqlite3_stmt *st, int at, size_t *len)
{
	const void *p = sqlite3_column_blob(st, at);
	*len = (size_t)sqlite3_column_bytes(st, at);
	char *copy = malloc(*len + 1);
	if (!copy)
		return NULL;
	if (p)
		memcpy(copy, p, *len);
	copy[*len] = 0;
	return copy;
}

struct future *store_row_read(sqlite3_stmt *st, bool with_result)
{
	struct future *f = future_new();
	if (!f)
		return NULL;
	char **names[] = { NULL, &f->client_key, &f->owner, &f->project, &f->kind, &f->type, &f->pool, &f->title };
	const char *id = (const char *)sqlite3_column_text(st, 0), *state = (const char *)sqlite3_column_text(st, 13);
	for (int i = 1; i < 8; i++)
		*names[i] = column_copy(st, i);
	snprintf(f->id, sizeof(f->id), "%s", id ? id : "");
	f->priority = sqlite3_column_int(st, 8);
	f->payload = column_bytes(st, 9, &f->payload_len);
	f->memory_bytes = sqlite3_column_int64(st, 10);
	f->timeout_ms = sqlite3_column_int64(st, 11);
	f->retries = sqlite3_column_int(st, 12);
	int s = state ? future_state_named(state) : -1;
	f->state = (enum future_state)(s < 0 ? 0 : s);
	f->attempt = sqlite3_column_int(st, 14);
	const char *kernel = (const char *)sqlite3_column_text(st, 15), *cause = (const char *)sqlite3_column_text(st, 16);
	snprintf(f->kernel, sizeof(f->kernel), "%s", kernel ? kernel : "");
	snprintf(f->cause, sizeof(f->cause), "%s", cause ? cause : "");
	f->error = column_copy(st, 17);
	f->created_ms = sqlite3_column_int64(st, 18);
	f->started_ms = sqlite3_column_int64(st, 19);
	f->ended_ms = sqlite3_column_int64(st, 20);
	f->has_result = sqlite3_column_int(st, 21);
	f->tags = column_copy(st, COL_TAGS);
	f->exclusive = column_copy(st, COL_EXCLUSIVE);
	f->job = column_copy(st, COL_JOB);
	if (with_result && sqlite3_column_type(st, COL_RESULT) != SQLITE_NULL)
		f->result = column_bytes(st, COL_RESULT, &f->result_len);
	if (!f->owner || !f->kind || !f->type || !f->pool || !f->payload || s < 0)
		future_free(&f);
	return f;
}
