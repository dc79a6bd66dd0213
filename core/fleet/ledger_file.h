#ifndef DSS_FLEET_LEDGER_FILE_H
#define DSS_FLEET_LEDGER_FILE_H
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
/* ledger_file: the exact copy as it lies on the disk, for those who read it apart from the backend, which may be writing at the same time. */

struct ledger_line {
	int64_t seq, at_ms, version; /* version 0: not known */
	const char *text;            /* the whole line, borrowed for the call */
	size_t len;
};

/* Each decision from since_ms on, in the order of their noting; what became of one later is left out. Whole lines only: one that is being written is passed
 * over. fn: not 0 = stop. -1: err; a folder that is not there has none. */
typedef int ledger_line_fn(void *data, const struct ledger_line *line);
int ledger_file_each(const char *dir, int64_t since_ms, ledger_line_fn *fn, void *data, struct err *err);

/* The texts of a set that was in force (JSON [{"name","text"}]) from the store's file, which others may have open. 1: found, 0: not kept, -1: err. */
int ledger_file_version(const char *store_path, int64_t version, struct buf *out, struct err *err);

#endif
