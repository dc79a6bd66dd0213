#ifndef DSS_FLEET_VERSIONS_H
#define DSS_FLEET_VERSIONS_H
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "fleet/store.h"
/*
 * versions: every set of policies that was in force, numbered from 1, for history, rollback and replay. The same text as the newest one
 * is that version again. A set's text is the JSON array [{"name","text"}] of its files.
 */
struct versions;

/* Reads the newest number; before the loop runs. NULL: err says why. The store is borrowed. */
struct versions *versions_open(struct store *store, struct err *err);
void versions_free(struct versions **v); /* after the store was closed */
/* The number that this text has from now on; written later, logged when that fails. by: who caused it, NULL = the files changed. */
int64_t versions_take(struct versions *v, const char *text, size_t len, const char *by, const char *note);
int64_t versions_now(const struct versions *v); /* 0: none was taken yet */

/* out: borrowed, NULL with why, or where there is no such version. */
typedef void versions_fn(void *data, const struct buf *out, const struct err *why);
/* Newest first: [{"version","takenAt","hash","by"?,"note"?}]. -1: fn is not called. */
int versions_list(struct versions *v, int limit, versions_fn *fn, void *data);
/* The text of one, as it was taken. */
int versions_get(struct versions *v, int64_t version, versions_fn *fn, void *data);

#endif
