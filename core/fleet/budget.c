#include "fleet/budget.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/budget_inner.h"
#include "fleet/fleet_inner.h"
#include "fleet/queue.h"

#define RESERVE_LEAST ((int64_t)1 << 30)
#define HOLD_AFTER_MS 60000
#define SIZE_MOST     ((int64_t)1 << 52) /* larger ones count as that: sums of them are none that run over */

void budget_init(struct budget *b, int64_t machine_bytes, int64_t reserve_bytes)
{
	int64_t tenth = machine_bytes / 10, half = machine_bytes / 2;
	int64_t reserve = reserve_bytes > 0 ? reserve_bytes : tenth > RESERVE_LEAST ? tenth : RESERVE_LEAST;
	if (reserve_bytes > 0 && reserve >= machine_bytes && machine_bytes > 0)
		log_warn("a reserve of all the node's memory leaves nothing for kernels: half of it is kept");
	if (reserve_bytes > 0 ? reserve >= machine_bytes : reserve > half)
		reserve = half;
	*b = (struct budget){
		.machine_bytes = machine_bytes,
		.reserve_bytes = machine_bytes > 0 ? reserve : 0,
		.total_bytes = machine_bytes > 0 ? machine_bytes - reserve : 0,
		.promise_bytes = -1,
	};
}

/* --- sizes --- */

static int64_t cut(int64_t bytes)
{
	return bytes < SIZE_MOST ? bytes : SIZE_MOST;
}

int64_t budget_times(int64_t n, int64_t bytes)
{
	int64_t out;
	return __builtin_mul_overflow(n, bytes, &out) ? SIZE_MOST : cut(out);
}

int64_t budget_kernel_size(const struct pool *pool)
{
	if (pool->spec->memory_bytes)
		return cut(pool->spec->memory_bytes);
	return pool->peak_bytes > BUDGET_KERNEL_LEAST ? pool->peak_bytes : BUDGET_KERNEL_LEAST;
}

/* The limit it was started with: a task's smaller one ends with the task. */
static int64_t size_of(const struct kernel *k)
{
	if (k->memory_bytes)
		return cut(k->memory_bytes);
	return k->limit_bytes ? cut(k->limit_bytes) : budget_kernel_size(k->pool);
}

int64_t budget_pool_promise(const struct pool *pool)
{
	int64_t sum = 0;
	list_each (&pool->kernels, l)
		sum += size_of(list_of(l, struct kernel, in_pool));
	return sum;
}

int64_t budget_promise(const struct fleet *fleet)
{
	int64_t sum = fleet->budget.services_bytes + guests_promise(fleet->guests, NULL);
	list_each (&fleet->kernels, l)
		sum += size_of(list_of(l, struct kernel, in_fleet));
	return sum;
}

int64_t budget_size_for(const struct future *f)
{
	int64_t size = budget_kernel_size(f->in_pool);
	return f->memory_bytes > size ? cut(f->memory_bytes) : size;
}

bool budget_is_room_without(const struct future *f, const struct kernel *k)
{
	const struct fleet *fleet = f->fleet;
	return !fleet->budget.total_bytes || budget_promise(fleet) - size_of(k) + budget_size_for(f) <= fleet->budget.total_bytes;
}

/* --- the ledger --- */

static void note(struct fleet *fleet, const struct pool *pool, const struct kernel *k, const char *answer, int64_t bytes,
		 const char *reason)
{
	char inputs[256];
	snprintf(inputs, sizeof(inputs),
		 "{\"budgetBytes\":%" PRId64 ",\"promisedBytes\":%" PRId64 ",\"%s\":%" PRId64 ",\"waiting\":%zu}",
		 fleet->budget.total_bytes, fleet->budget.promise_bytes, k ? "kernelBytes" : "needBytes", bytes, pool->nwaiting);
	struct decision d = {
		.word = "budget",
		.name = pool->spec->name,
		.source = pool->spec->source,
		.subject_kind = k ? "kernel" : "pool",
		.subject = k ? k->id : pool->spec->name,
		.answer = answer,
		.reason = reason,
		.inputs = inputs,
		.outcome = strcmp(answer, "wait") == 0 ? "kept" : "done",
	};
	ledger_note(fleet->ledger, &d);
}

/* --- who gives way --- */

/* What it is worth to keep: the seconds of starting that it saves in an hour, for each byte. */
static double worth(const struct pool *pool, int64_t bytes, int64_t now)
{
	return pool_use(pool, now) * 3600 * (double)sizing_lead_ms(&pool->sizing, 1) / 1000 / (double)bytes;
}

/* Idle, for no task, and not one of warm.min: one of a user is none of those. spare: of its pool's fresh ones. */
static bool may_give_way(const struct kernel *k, int spare)
{
	return k->state == KERNEL_IDLE && !k->reserved_for[0] && (k->owner || spare > 0);
}

static int spare_of(const struct pool *pool)
{
	int spare = pool_count_warm(pool) - pool->spec->warm_min;
	return pool->is_retired ? pool_count_warm(pool) : spare;
}

static int64_t count_givable(const struct pool *pool)
{
	int64_t sum = 0;
	int spare = spare_of(pool);
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		if (!may_give_way(k, spare))
			continue;
		sum += size_of(k);
		spare -= !k->owner;
	}
	return sum;
}

/* The least worth of all; in one pool one of a user before a fresh one, for fewer can use it. */
static struct kernel *least_worth(const struct fleet *fleet, int64_t now)
{
	struct kernel *found = NULL;
	double least = 0;
	list_each (&fleet->pools, l) {
		const struct pool *pool = list_of(l, struct pool, link);
		int spare = spare_of(pool);
		list_each (&pool->kernels, m) {
			struct kernel *k = list_of(m, struct kernel, in_pool);
			double w = may_give_way(k, spare) ? worth(pool, size_of(k), now) : -1;
			if (w < 0 || (found && (w > least || (w == least && (found->pool != pool || found->owner || !k->owner)))))
				continue;
			found = k;
			least = w;
		}
	}
	return found;
}

static int64_t count_leaving(const struct fleet *fleet)
{
	int64_t sum = 0;
	list_each (&fleet->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_fleet);
		sum += k->state == KERNEL_STOPPING ? size_of(k) : 0;
	}
	return sum;
}

/* claimant NULL: a guest. */
static void let_go(struct fleet *fleet, struct kernel *k, const struct pool *claimant, enum budget_claim claim, int64_t now)
{
	char why[320], size[32], start[48];
	const struct pool *pool = k->pool;
	snprintf(why, sizeof(why),
		 "%s needs its place in the node's memory, and it was worth least: %.1f uses an hour x %s to start for %s",
		 claim == BUDGET_MIN ? "warm.min of another pool"
		 : claimant          ? "a waiting task"
				     : "a waiting recipe or webapp",
		 pool_use(pool, now) * 3600, text_print_duration(sizing_lead_ms(&pool->sizing, 1), start, sizeof(start)),
		 text_print_size(size_of(k), size, sizeof(size)));
	note(fleet, pool, k, "retire", size_of(k), why);
	if (claimant)
		log_info("budget: %s gives way to pool %s: %s", k->id, claimant->spec->name, why);
	else
		log_info("budget: %s gives way to a recipe or webapp: %s", k->id, why);
	fleet_kernel_retire(fleet, k, why);
}

/* True: enough is on its way out. Nobody goes where that would not be enough. */
static bool make_room(struct fleet *fleet, const struct pool *pool, int64_t bytes, enum budget_claim claim, int64_t now)
{
	struct budget *b = &fleet->budget;
	int64_t missing = b->promise_bytes + b->held_bytes + bytes - b->total_bytes - count_leaving(fleet), givable = 0;
	if (missing <= 0)
		return true;
	list_each (&fleet->pools, l)
		givable += count_givable(list_of(l, struct pool, link));
	if (givable < missing)
		return false;
	while (missing > 0) {
		struct kernel *k = least_worth(fleet, now);
		if (!k)
			return false;
		missing -= size_of(k);
		let_go(fleet, k, pool, claim, now);
	}
	return true;
}

/* --- a round --- */

void budget_begin(struct fleet *fleet)
{
	struct budget *b = &fleet->budget;
	b->promise_bytes = -1;
	b->held_bytes = 0;
	b->min_bytes = b->services_bytes;
	b->is_short = false;
	list_each (&fleet->pools, l)
		list_of(l, struct pool, link)->claims_bytes = 0;
}

void budget_enter(struct fleet *fleet, struct pool *pool)
{
	fleet->budget.min_bytes += budget_times(pool->spec->warm_min, budget_kernel_size(pool));
}

static int64_t mins_beside(const struct fleet *fleet, const struct pool *pool)
{
	return fleet->budget.min_bytes - budget_times(pool->spec->warm_min, budget_kernel_size(pool));
}

/* Is its room kept until it is there? Not where it never will be: all the others would wait for nothing. */
static bool may_hold(const struct fleet *fleet, const struct pool *pool, int64_t bytes, enum budget_claim claim, bool is_on_its_way,
		     int64_t now)
{
	const struct budget *b = &fleet->budget;
	if (is_on_its_way)
		return true;
	if (claim == BUDGET_MIN)
		return b->min_bytes <= b->total_bytes;
	return pool->short_since_ms && now - pool->short_since_ms >= HOLD_AFTER_MS &&
	       mins_beside(fleet, pool) + bytes <= b->total_bytes;
}

bool budget_admit(struct fleet *fleet, struct pool *pool, int64_t bytes, enum budget_claim claim, int n, int64_t now)
{
	struct budget *b = &fleet->budget;
	int64_t counts = bytes = cut(bytes);
	if (!b->total_bytes)
		return true;
	if (!pool->spec->memory_bytes && bytes > b->total_bytes - b->services_bytes)
		bytes = b->total_bytes - b->services_bytes; /* it never had a limit: one at a time, rather than none */
	if (b->promise_bytes < 0)
		b->promise_bytes = budget_promise(fleet);
	bool is_room = b->promise_bytes + b->held_bytes + bytes <= b->total_bytes;
	if (is_room && (claim != BUDGET_STOCK || !b->is_short)) {
		b->promise_bytes += counts;
		return true;
	}
	if (claim == BUDGET_STOCK)
		return false;
	b->is_short = true;
	if (!pool->claims_bytes || bytes < pool->claims_bytes)
		pool->claims_bytes = bytes;
	if (may_hold(fleet, pool, bytes, claim, make_room(fleet, pool, bytes, claim, now), now))
		b->held_bytes += claim == BUDGET_MIN ? budget_times(n, bytes) : bytes;
	return false;
}

bool budget_admit_guest(struct fleet *fleet, int64_t bytes, bool may_keep, int64_t now)
{
	struct budget *b = &fleet->budget;
	bytes = cut(bytes);
	if (!b->total_bytes)
		return true;
	if (b->promise_bytes < 0)
		b->promise_bytes = budget_promise(fleet);
	if (b->promise_bytes + b->held_bytes + bytes <= b->total_bytes) {
		b->promise_bytes += bytes;
		return true;
	}
	b->is_short = true;
	bool is_on_its_way = make_room(fleet, NULL, bytes, BUDGET_TASK, now);
	if (is_on_its_way || (may_keep && b->min_bytes + bytes <= b->total_bytes))
		b->held_bytes += bytes;
	return false;
}

void budget_hold_guest(struct fleet *fleet, int64_t bytes)
{
	fleet->budget.is_short = true;
	fleet->budget.held_bytes += bytes;
}

static void begin_short(struct fleet *fleet, struct pool *pool, int64_t now)
{
	char why[256], part[96], need[96];
	budget_print_part(fleet->budget.promise_bytes, fleet->budget.total_bytes, part, sizeof(part));
	budget_print_need(pool->claims_bytes, fleet->budget.total_bytes - fleet->budget.promise_bytes, need, sizeof(need));
	snprintf(why, sizeof(why), "the node's memory is promised: %s; it needs %s", part, need);
	note(fleet, pool, NULL, "wait", pool->claims_bytes, why);
	pool->short_since_ms = now;
}

static void end_short(struct fleet *fleet, struct pool *pool, int64_t now)
{
	char why[160], time[48];
	snprintf(why, sizeof(why), "there is room again, after %s",
		 text_print_duration(now - pool->short_since_ms, time, sizeof(time)));
	if (fleet->budget.promise_bytes < 0)
		fleet->budget.promise_bytes = budget_promise(fleet);
	note(fleet, pool, NULL, "admit", pool->short_bytes, why);
	pool->short_since_ms = 0;
}

void budget_end(struct fleet *fleet, int64_t now)
{
	list_each (&fleet->pools, l) {
		struct pool *pool = list_of(l, struct pool, link);
		if (pool->claims_bytes && !pool->short_since_ms)
			begin_short(fleet, pool, now);
		else if (!pool->claims_bytes && pool->short_since_ms)
			end_short(fleet, pool, now);
		pool->short_bytes = pool->claims_bytes;
	}
}
