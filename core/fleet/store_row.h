#ifndef DSS_FLEET_STORE_ROW_H
#define DSS_FLEET_STORE_ROW_H
#include <sqlite3.h>
#include <stdbool.h>
#include "fleet/future.h"
/* store_row: a task as it comes out of the table of tasks. Inner to store_sql.c. */

/* What store_row_read wants to be selected, in this order; with_result: the column result behind it. */
#define STORE_ROW_COLUMNS                                                                                                          \
	"id, client_key, owner, project, kind, type, pool, title, priority, payload, json_extract(limits,'$.memoryBytes'), "       \
	"timeout_ms,"                                                                                                              \
	" retries, state, attempt, kernel, cause, error, created_ms, started_ms, ended_ms, (state = 'done' AND result IS NOT "     \
	"NULL), tags,"                                                                                                             \
	" exclusive, job"

/* Owned by the caller. NULL: no memory, or a row that no program of ours wrote. */
struct future *store_row_read(sqlite3_stmt *st, bool with_result);

#endif
