#ifndef DSS_FLEET_STORE_TEXTS_H
#define DSS_FLEET_STORE_TEXTS_H
#include <sqlite3.h>
#include <stddef.h>
#include "base/err.h"
#include "fleet/store.h"
/*
 * store_texts: small tables that are read whole at the backend's start and then written a row at a time (webapps, kernels of notebooks). Every
 * value travels as a text; a column of integers makes them numbers again (SQLite, "Type Affinity").
 */
#define STORE_TEXTS_MOST 8 /* columns of a statement */

/* The column of a row; NULL in the table is "". Good until the next step. */
const char *store_texts_column(sqlite3_stmt *st, int at);

/* Calls fn with the first n columns of each row that `select` finds; the texts are borrowed for the call. Only before the loop runs. */
typedef void store_texts_fn(void *data, const char *const *texts);
int store_texts_load(struct store *store, const char *select, size_t n, store_texts_fn *fn, void *data, struct err *err);

/* Runs the statement (static) with ?1 … ?n bound to copies of the texts. fn may be NULL: a failure is then logged, naming what was not saved ("webapp
 * P/page"). -1: the store takes nothing now, or there is no memory; fn is not called. */
int store_texts_write(struct store *store, const char *statement, const char *const *texts, size_t n, const char *what,
		      store_done_fn *fn, void *data);

#endif
