#ifndef DSS_FLEET_POOL_CURVE_H
#define DSS_FLEET_POOL_CURVE_H
#include <stdint.h>
#include "base/buf.h"
/*
 * pool_curve: what a pool held over the last hour, in steps of 10 s, in memory alone: a restart of the backend begins anew. It needs no timer: its
 * numbers change only where the fleet looks over its pools (fleet_settle), and what was last noted holds until then. Of each step it keeps the most
 * of busy, waiting and target, the least of warm, so that a shortage of a moment is seen, and the number of cold starts. Times are the monotonic clock's.
 */
#define POOL_CURVE_STEPS   360
#define POOL_CURVE_STEP_MS 10000

struct pool_curve;

struct pool_curve_now {
	int warm;            /* idle kernels */
	int busy;            /* kernels that work */
	int waiting;         /* tasks */
	int target;          /* kernels wanted warm */
	int64_t cold_starts; /* since the pool is there: kernels started because a task waited */
};

/* Makes it at the first note. No memory: there is none. */
void pool_curve_note(struct pool_curve **curve, const struct pool_curve_now *now, int64_t mono_ms);
void pool_curve_free(struct pool_curve **curve);
/* {"stepMs","fromAt","warm":[…],"busy":[…],"waiting":[…],"target":[…],"coldStarts":[…]} up to now; curve NULL: lists of nothing. */
int pool_curve_json(struct pool_curve *curve, int64_t mono_ms, int64_t wall_ms, struct buf *out);

#endif
