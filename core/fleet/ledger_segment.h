#ifndef DSS_FLEET_LEDGER_SEGMENT_H
#define DSS_FLEET_LEDGER_SEGMENT_H
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
/*
 * ledger_segment: append-only files DIR/EPOCH-NUMBER.jsonl, mode 0600. One is open; at LEDGER_SEGMENT_BYTES the next begins; the oldest go by
 * age and by the sum of all. Used by one thread at a time.
 *
 * A file is lines of JSON, the first tells what it is: {"segment":1,"epoch":3,"number":1,"boot":"…"}. After a crash the last line may be torn.
 */
#define LEDGER_SEGMENT_BYTES ((int64_t)8 << 20)

struct ledger_segments;

/* Makes the folder (0700), lists what is there. NULL: err. */
struct ledger_segments *ledger_segments_open(const char *dir, int64_t epoch, struct err *err);
void ledger_segments_close(struct ledger_segments **s);
/* Whole lines. Opens a file where none is open. -1: none of them is in the file (err->code is the errno). */
int ledger_segments_append(struct ledger_segments *s, const void *lines, size_t len, int64_t now_ms, struct err *err);
/* Removes what is too old, and the oldest while there is too much; never the open one. */
void ledger_segments_trim(struct ledger_segments *s, int64_t now_ms, int64_t window_ms, int64_t most_bytes);
void ledger_segments_count(const struct ledger_segments *s, int64_t *segments, int64_t *bytes);

#endif
