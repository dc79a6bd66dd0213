/* fleet_recycle: when a kernel has done enough: tasks, age, memory, and what a policy's function says. */
#include <stdio.h>

#include "fleet/fleet_inner.h"
#include "sys/clock.h"

#define RECYCLE_AGE_MS 1000 /* a function that ends every kernel it sees must not make new ones without end */

static const char aged[] = "recycled: it is older than recycle.age says";

static bool has_run_enough(const struct kernel *k)
{
	int64_t after = k->pool->spec->recycle_after_tasks;
	return after && k->tasks_run >= kernel_spread(k, after);
}

static bool is_old(const struct kernel *k, int64_t now)
{
	int64_t age_ms = k->pool->spec->recycle_age_ms;
	return age_ms && now >= k->started_mono_ms + kernel_spread(k, age_ms);
}

/* While tasks wait, a pool that was started at one time does not go at one time. */
static bool may_age_out(const struct pool *pool)
{
	int going = 0, most = pool_count_alive(pool) / 10;
	if (pool->nwaiting <= pool->nheld)
		return true;
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		going += k->is_aged && k->state == KERNEL_STOPPING;
	}
	return going < (most > 1 ? most : 1);
}

const char *fleet_kernel_why_spent(const struct kernel *k, int64_t now_mono_ms)
{
	const struct pool_spec *s = k->pool->spec;
	if (has_run_enough(k))
		return "recycled: it ran as many tasks as recycle.after_tasks says";
	if (is_old(k, now_mono_ms) && may_age_out(k->pool))
		return aged;
	if (s->recycle_memory_bytes && k->memory_now_bytes > s->recycle_memory_bytes)
		return "recycled: it uses more memory than recycle.memory says";
	return NULL;
}

const char *fleet_recycle_why(const struct fleet *fleet, const struct kernel *k)
{
	static char why[256];
	const struct pool_spec *s = k->pool->spec;
	if (k->reserved_for[0])
		return "it was started for one task";
	const char *spent = fleet_kernel_why_spent(k, clock_mono_ms());
	if (spent)
		return spent;
	if (s->has_recycle && fleet->policy.recycle && fleet->policy.recycle(fleet->policy.data, k, why, sizeof(why)))
		return why;
	return NULL;
}

bool fleet_kernel_may_go_on(const struct kernel *k, int64_t now)
{
	const struct pool_spec *s = k->pool->spec;
	return k->state == KERNEL_BUSY && !k->reserved_for[0] && !s->has_recycle && !has_run_enough(k) &&
	       !(s->recycle_memory_bytes && k->memory_now_bytes > s->recycle_memory_bytes) && !is_old(k, now);
}

void fleet_recycle(struct fleet *fleet, struct kernel *k, const char *why)
{
	k->is_aged = why == aged;
	fleet_kernel_retire(fleet, k, why);
}

void fleet_recycle_look(struct fleet *fleet, struct kernel *k, int64_t now, int64_t *next)
{
	int64_t age_ms = k->pool->spec->recycle_age_ms;
	if (!age_ms)
		return;
	if (!is_old(k, now))
		fleet_earlier(next, k->started_mono_ms + kernel_spread(k, age_ms));
	else if (may_age_out(k->pool))
		fleet_recycle(fleet, k, aged);
}

void fleet_ask_recycle(struct fleet *fleet, const char *name)
{
	const struct pool *pool = fleet_pool(fleet, name);
	int64_t now = clock_mono_ms();
	char why[256];
	if (!pool || !pool->spec->has_recycle)
		return;
	list_each (&pool->kernels, l) {
		struct kernel *k = list_of(l, struct kernel, in_pool);
		bool is_due = k->state == KERNEL_IDLE && !k->reserved_for[0] && now - k->started_mono_ms > RECYCLE_AGE_MS;
		if (is_due && fleet->policy.recycle && fleet->policy.recycle(fleet->policy.data, k, why, sizeof(why)))
			fleet_kernel_retire(fleet, k, why);
	}
}
