#ifndef DSS_FLEET_CURVE_H
#define DSS_FLEET_CURVE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
/*
 * curve: memory and processor time of each process over time, in memory alone: the last CURVE_RECENT steps of 10 s, and its whole life in at most
 * CURVE_LIFE steps, whose length doubles whenever they are full. Each step keeps the most that was seen in it. What ended is kept for the last
 * CURVES_ENDED processes.
 *
 * It asks nobody: whoever reads processes anyway hands the numbers in. Times are the monotonic clock's, in ms, and never go back.
 */
#define CURVE_RECENT    60
#define CURVE_RECENT_MS 10000
#define CURVE_LIFE      240
#define CURVE_LIFE_MS   1000
#define CURVES_ENDED    500
#define CURVES_LIVE     20000 /* more are not followed */

struct curves;

struct curve_reading { /* -1 = not told */
	int64_t memory_bytes, peak_bytes, cpu_ms, limit_bytes;
};

struct curve_now {
	int64_t memory_bytes, peak_bytes, cpu_ms; /* -1 = not known */
	int64_t share_milli;                      /* 1000 = one core, between the last two readings; -1 = not known */
};

struct curves *curves_new(void); /* NULL: no memory */
void curves_free(struct curves **curves);

/* A process was read. No memory: it has a hole. */
void curves_add(struct curves *curves, const char *process, const struct curve_reading *r, int64_t mono_ms);
/* It has ended; owner: who may see it from now on ("" = admins alone). last: what the end told; its CPU is of the whole life. */
void curves_end(struct curves *curves, const char *process, const char *owner, const struct curve_reading *last, int64_t mono_ms);
/* False: nothing is known of it, or it has ended. */
bool curves_now(const struct curves *curves, const char *process, struct curve_now *out);
/* Of one that has ended; NULL: it lives, or is not known. */
const char *curves_owner(const struct curves *curves, const char *process);
size_t curves_count(const struct curves *curves); /* living and ended */

/* {"id","stepMs","fromAt","memoryBytes":[…|null],"cpuShare":[…|null]}: the last `points` steps of 10 s, an element of a list.
 * False: not known, nothing is put. */
bool curves_put_recent(const struct curves *curves, const char *process, int points, int64_t mono_ms, int64_t wall_ms,
		       struct buf *out);
/* The same of its whole life, with "limitBytes"? and "peakBytes"?. */
bool curves_put_life(const struct curves *curves, const char *process, int64_t mono_ms, int64_t wall_ms, struct buf *out);

#endif
