#ifndef DSS_BIND_QUARANTINE_H
#define DSS_BIND_QUARANTINE_H
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/err.h"
/*
 * quarantine: functions of policies that are not called. Two ways lead here:
 *   - the backend before us died or hung inside of it (crumb.h): kept in DIR/db/quarantine until the text of its file changes;
 *   - it failed some times in a row: left out for a while (lua/dss/model/guard.lua says how long), in memory only.
 * A function is known by its source ("policies/10-pools.lua:12"), its word ("warm.min") and the SHA-256 of its file's text: whoever
 * edits the file sets it free. Word CRUMB_LOAD: the whole file, which then refuses its set; that takes two such ends in a row, because a
 * backend that is killed for another reason while it starts is probably just reading its policies.
 *
 * One list a process, as the page of crumbs; quarantine_has may be called by any thread, the rest by the loop's alone.
 */
struct quarantined {
	char source[128], word[48], name[64], hash[65];
	char why[512];
	long long since_wall_ms;
	bool is_kept; /* of the first kind: in the file */
	int strikes;  /* ends of a backend in a row */
};

/* Reads DIR/db/quarantine and adds what crumb_last tells. A file that cannot be read is told in the log and begun anew. */
void quarantine_open(const char *dir);
void quarantine_close(void);
/* hash NULL: whatever the text. */
bool quarantine_has(const char *source, const char *word, const char *hash);
/* why NULL: it is called again. */
void quarantine_rest(const char *source, const char *word, const char *name, const char *hash, const char *why);
/* A set is in force: entries whose file is another or not there go. hash_of: NULL where there is no such file. */
void quarantine_keep(const char *(*hash_of)(void *data, const char *file), void *data);
/* fn is told each one in force that is there (at once) or comes (is_there), or goes. */
typedef void quarantine_fn(void *data, const struct quarantined *q, bool is_there);
void quarantine_listen(quarantine_fn *fn, void *data);
/* An array: source, word, name, why, since, kept. */
void quarantine_json(struct buf *out);

#endif
