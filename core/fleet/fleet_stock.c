/* fleet_stock: what is started: in the order of what it is worth to the node (budget.h), and as much as the demand wants warm. */
#include <stdio.h>
#include <string.h>

#include "fleet/fleet_inner.h"
#include "fleet/guest_inner.h"
#include "fleet/queue.h"

static bool is_promised(const struct pool *pool, const struct future *f)
{
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		if (k->state <= KERNEL_IDLE && strcmp(k->reserved_for, f->id) == 0)
			return true;
	}
	return false;
}

/* A waiting task that no present kernel can take, with the pool at its max: an idle kernel (another user's, or too small) gives way. */
void fleet_stock_make_room(struct fleet *fleet, struct pool *pool, int64_t now)
{
	if (queue_count_startable(pool) == 0 || pool_count_alive(pool) < pool->spec->max || now < fleet->no_assign_before_mono_ms)
		return; /* the last: an idle one is of use as soon as the disk is */
	list_each (&pool->kernels, l) {
		struct kernel *k = list_of(l, struct kernel, in_pool);
		if (k->state == KERNEL_STOPPING || k->state == KERNEL_STARTING)
			return; /* a place is being made, or help is on its way */
	}
	list_each (&pool->kernels, l) {
		struct kernel *k = list_of(l, struct kernel, in_pool);
		if (k->state == KERNEL_IDLE) {
			fleet_kernel_retire(fleet, k, "a waiting task needs its place");
			return;
		}
	}
}

static void start_cold(struct fleet *fleet, struct pool *pool, int64_t now)
{
	int64_t size = pool->spec->memory_bytes;
	if (!size || !pool->nwaiting_sized || now < pool->next_start_mono_ms)
		return;
	list_each (&pool->waiting, l) {
		const struct future *f = list_of(l, struct future, in_queue);
		if (f->memory_bytes <= size || queue_is_held(f) || (pool->claims_bytes && f->memory_bytes >= pool->claims_bytes) ||
		    is_promised(pool, f))
			continue;
		if (pool_count_alive(pool) >= pool->spec->max)
			return;
		if (!budget_admit(fleet, pool, f->memory_bytes, BUDGET_TASK, 1, now))
			continue;
		if (fleet_kernel_start(fleet, pool, f) < 0)
			return;
		pool->cold_starts++;
	}
}

static void start_some(struct fleet *fleet, struct pool *pool, enum budget_claim claim, int64_t now)
{
	int n = pool_wanted_starts(pool, claim, now);
	int64_t size = budget_kernel_size(pool);
	for (; n > 0 && budget_admit(fleet, pool, size, claim, n, now); n--) {
		if (fleet_kernel_start(fleet, pool, NULL) < 0)
			return;
		pool->cold_starts += claim == BUDGET_TASK;
	}
}

static void note_size(struct fleet *fleet, const struct pool *pool, int was, int64_t now)
{
	const struct pool_spec *s = pool->spec;
	char reason[120], inputs[256];
	snprintf(reason, sizeof(reason), "warm %d -> %d: %s", was, pool->sizing.target,
		 pool->sizing.target > was ? "more kernels are needed warm at the measured demand"
					   : "fewer were needed warm for long enough");
	snprintf(inputs, sizeof(inputs), "{\"demand\":%.4g,\"leadSeconds\":%.3f,\"readyFor\":%.6g,\"min\":%d,\"max\":%d}",
		 sizing_demand(&pool->sizing, now), (double)sizing_lead_ms(&pool->sizing, fleet->nstarting) / 1000, s->ready_for,
		 s->warm_min, s->warm_max);
	struct decision d = {
		.word = "sizing",
		.name = s->name,
		.source = s->source,
		.subject_kind = "pool",
		.subject = s->name,
		.answer = "set",
		.reason = reason,
		.inputs = inputs,
		.threshold = "warm.ready_for",
		.outcome = "done",
	};
	ledger_note(fleet->ledger, &d);
}

void fleet_stock_size(struct fleet *fleet, struct pool *pool, int64_t now, int64_t *next)
{
	const struct pool_spec *s = pool->spec;
	const struct budget *b = &fleet->budget;
	struct sizing_bounds bounds = { s->ready_for, s->warm_min, s->warm_max < s->max ? s->warm_max : s->max, fleet->nstarting };
	if (s->ready_for <= 0)
		return;
	int64_t most = b->total_bytes ? (b->total_bytes - b->services_bytes) / budget_kernel_size(pool) : bounds.max;
	if (most < bounds.max)
		bounds.max = most > 0 ? (int)most : 0;
	bool is_first = !pool->sizing.patience_ms;
	if (is_first) { /* what a former backend held warm is not thrown away for want of measurements */
		int warm = pool_count_warm(pool);
		pool->sizing.target = warm < bounds.max ? warm : bounds.max;
	}
	int was = sizing_look(&pool->sizing, &bounds, now, next);
	if (pool->sizing.target != was && !is_first)
		note_size(fleet, pool, was, now);
}

void fleet_stock_start(struct fleet *fleet, int64_t now, int64_t *next)
{
	if (fleet->is_draining || now < fleet->no_start_before_mono_ms)
		return;
	budget_begin(fleet);
	list_each (&fleet->pools, l) {
		struct pool *pool = list_of(l, struct pool, link);
		budget_enter(fleet, pool);
		start_some(fleet, pool, BUDGET_MIN, now);
	}
	guests_look(fleet->guests, now, next);
	list_each (&fleet->pools, l) {
		struct pool *pool = list_of(l, struct pool, link);
		if (!pool->is_retired)
			start_cold(fleet, pool, now);
		start_some(fleet, pool, BUDGET_TASK, now);
	}
	list_each (&fleet->pools, l)
		start_some(fleet, list_of(l, struct pool, link), BUDGET_STOCK, now);
	budget_end(fleet, now);
}
