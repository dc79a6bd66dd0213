#include "fleet/fleet.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/fleet_inner.h"
#include "fleet/jtext.h"
#include "fleet/queue.h"
#include "fleet/usage.h"
#include "sys/clock.h"

#define ABORT_GRACE_MS 10000
#define DRAIN_LOOK_MS  20
#define FLUSH_MS       1000

/* --- what every turn looks over --- */

static bool is_promised(const struct pool *pool, const struct future *f)
{
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		if (k->state <= KERNEL_IDLE && strcmp(k->reserved_for, f->id) == 0)
			return true;
	}
	return false;
}

static void retire_changed(struct fleet *fleet, struct pool *pool)
{
	char variant[16];
	int surplus = pool_surplus(pool);
	pool_spec_variant(pool->spec, variant);
	list_each (&pool->kernels, l) {
		struct kernel *k = list_of(l, struct kernel, in_pool);
		if (k->state > KERNEL_BUSY)
			continue;
		if (pool->is_retired)
			fleet_kernel_retire(fleet, k, "no policy names its pool any more");
		else if (strcmp(k->variant, variant) != 0)
			fleet_kernel_retire(fleet, k, "its pool was changed");
		else if (k->state == KERNEL_IDLE && k->reserved_for[0] && !fleet_live(fleet, k->reserved_for))
			fleet_kernel_retire(fleet, k, "the task it was started for is gone");
		else if (k->state == KERNEL_IDLE && !k->owner && !k->reserved_for[0] && surplus-- > 0 &&
			 list_is_empty(&pool->waiting))
			fleet_kernel_retire(fleet, k, pool->spec->ready_for > 0 ? "more kernels were idle than its warm stock needs"
									  : "more kernels were idle than warm.max");
	}
}

static void assign_waiting(struct fleet *fleet, struct pool *pool, int64_t now)
{
	if (fleet->is_draining || now < fleet->no_assign_before_mono_ms || !pool->nwaiting)
		return;
	queue_look(pool);
	list_each (&pool->kernels, l) {
		struct kernel *k = list_of(l, struct kernel, in_pool);
		struct future *f = k->state == KERNEL_IDLE ? queue_next_for(pool, k, now) : NULL;
		if (f)
			fleet_task_assign(fleet, f, k);
	}
}

/* A waiting task that no present kernel can take, with the pool at its max: an idle kernel (another user's, or too small) gives way. */
static void make_room(struct fleet *fleet, struct pool *pool)
{
	if (queue_count_startable(pool) == 0 || pool_count_alive(pool) < pool->spec->max)
		return;
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
		if (f->memory_bytes <= size || queue_is_held(f) || is_promised(pool, f) || (pool->claims_bytes && f->memory_bytes >= pool->claims_bytes))
			continue;
		if (pool_count_alive(pool) >= pool->spec->max)
			return;
		if (budget_admit(fleet, pool, f->memory_bytes, BUDGET_TASK, 1, now) && fleet_kernel_start(fleet, pool, f) < 0)
			return;
	}
}

static void start_some(struct fleet *fleet, struct pool *pool, enum budget_claim claim, int64_t now)
{
	int n = pool_wanted_starts(pool, claim, now);
	int64_t size = budget_kernel_size(pool);
	for (; n > 0 && budget_admit(fleet, pool, size, claim, n, now); n--)
		if (fleet_kernel_start(fleet, pool, NULL) < 0)
			return;
}

static void note_size(struct fleet *fleet, const struct pool *pool, int was, int64_t now)
{
	const struct pool_spec *s = pool->spec;
	char answer[48], inputs[256];
	snprintf(answer, sizeof(answer), "warm %d -> %d", was, pool->sizing.target);
	snprintf(inputs, sizeof(inputs), "{\"demand\":%.4g,\"leadSeconds\":%.3f,\"readyFor\":%.6g,\"min\":%d,\"max\":%d}",
		 sizing_demand(&pool->sizing, now), (double)sizing_lead_ms(&pool->sizing, fleet->nstarting) / 1000, s->ready_for,
		 s->warm_min, s->warm_max);
	struct decision d = {
		.word = "sizing",
		.name = s->name,
		.source = s->source,
		.subject_kind = "pool",
		.subject = s->name,
		.answer = answer,
		.reason = pool->sizing.target > was ? "more kernels are needed warm at the measured demand"
						    : "fewer were needed warm for long enough",
		.inputs = inputs,
		.threshold = "warm.ready_for",
		.outcome = "done",
	};
	ledger_note(fleet->ledger, &d);
}

static void size_pool(struct fleet *fleet, struct pool *pool, int64_t now, int64_t *next)
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
	int was = sizing_look(&pool->sizing, &bounds, now, next);
	if (pool->sizing.target != was && !is_first)
		note_size(fleet, pool, was, now);
}

static void settle_pool(struct fleet *fleet, struct pool *pool, int64_t now, int64_t *next)
{
	retire_changed(fleet, pool);
	assign_waiting(fleet, pool, now);
	fleet_note_waits(fleet, pool);
	if (fleet->is_draining || pool->is_retired)
		return;
	size_pool(fleet, pool, now, next);
	make_room(fleet, pool);
	if (pool->next_start_mono_ms > now)
		fleet_earlier(next, pool->next_start_mono_ms);
}

/* In the order of what they are worth to the node, see budget.h. */
static void start_kernels(struct fleet *fleet, int64_t now)
{
	if (fleet->is_draining || now < fleet->no_start_before_mono_ms)
		return;
	budget_begin(fleet);
	list_each (&fleet->pools, l) {
		struct pool *pool = list_of(l, struct pool, link);
		budget_enter(fleet, pool);
		start_some(fleet, pool, BUDGET_MIN, now);
	}
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

static void look_at_deadlines(struct fleet *fleet, int64_t now, int64_t *next)
{
	list_each (&fleet->kernels, l)
		fleet_kernel_look(fleet, list_of(l, struct kernel, in_fleet), now, next);
	list_each (&fleet->active, l)
		fleet_task_look(fleet, list_of(l, struct future, in_active), now, next);
	if (fleet->no_assign_before_mono_ms > now)
		fleet_earlier(next, fleet->no_assign_before_mono_ms);
	if (fleet->no_start_before_mono_ms > now)
		fleet_earlier(next, fleet->no_start_before_mono_ms);
}

int64_t fleet_count_busy(const struct fleet *fleet)
{
	int64_t n = 0;
	list_each (&fleet->kernels, l)
		n += list_of(l, struct kernel, in_fleet)->task[0] != 0;
	return n;
}

static bool is_any_busy(const struct fleet *fleet)
{
	return fleet_count_busy(fleet) > 0;
}

static void tell_drained(struct fleet *fleet)
{
	if (!fleet->is_draining || !fleet->drained || is_any_busy(fleet))
		return;
	if (store_waiting(fleet->store)) {
		loop_timer_start(fleet->due, DRAIN_LOOK_MS);
		return;
	}
	void (*fn)(void *) = fleet->drained;
	fleet->drained = NULL;
	fn(fleet->drained_data);
}

static int count_starting(const struct fleet *fleet)
{
	int n = 0;
	list_each (&fleet->kernels, l)
		n += list_of(l, struct kernel, in_fleet)->state == KERNEL_STARTING;
	return n;
}

void fleet_settle(struct fleet *fleet)
{
	int64_t now = clock_mono_ms(), next = 0;
	fleet->is_dirty = false;
	if (!fleet->is_started)
		return;
	fleet->nstarting = count_starting(fleet);
	if (!fleet_slots_go_on(fleet))
		fleet_earlier(&next, now + 1);
	list_each (&fleet->pools, l) {
		struct pool *pool = list_of(l, struct pool, link);
		settle_pool(fleet, pool, now, &next);
		if (pool->is_retired && list_is_empty(&pool->kernels) && list_is_empty(&pool->waiting))
			pool_free(&pool);
	}
	start_kernels(fleet, now);
	look_at_deadlines(fleet, now, &next);
	if (next)
		loop_timer_start(fleet->due, next > now ? next - now : 1);
	else
		loop_timer_stop(fleet->due);
	fleet_sample(fleet);
	tell_drained(fleet);
}

void fleet_touch(struct fleet *fleet)
{
	fleet->is_dirty = true;
	if (fleet->policy.touched)
		fleet->policy.touched(fleet->policy.data);
}

static void on_flush(void *data)
{
	struct fleet *fleet = data;
	ledger_flush(fleet->ledger);
}

/* Whoever noted a decision in this turn: it is handed to the store within a second. */
static void watch_ledger(struct fleet *fleet)
{
	if (ledger_is_waiting(fleet->ledger) && !loop_timer_is_running(fleet->flusher))
		loop_timer_start(fleet->flusher, FLUSH_MS);
}

static void before_wait(void *data)
{
	struct fleet *fleet = data;
	/* A few rounds at most: what one round does may call for another, but never holds up the loop. */
	for (int i = 0; fleet->is_dirty && i < 4; i++)
		fleet_settle(fleet);
	if (fleet->is_dirty && fleet->is_started)
		loop_timer_start(fleet->due, 1);
	watch_ledger(fleet);
}

static void on_due(void *data)
{
	fleet_touch(data);
}

/* --- set-up --- */

static void load_one(void *data, struct future *f)
{
	struct fleet *fleet = data;
	char id[FUTURE_ID_MAX];
	memcpy(id, f->id, sizeof(id));
	if (fleet_task_adopt(fleet, f) < 0)
		log_error("unable to load task %s: no memory; it stays in the store", id);
}

/* Beside the store: what was decided, and what an admin should know. */
static int open_boards(struct fleet *fleet, const struct fleet_config *config, struct err *err)
{
	char dir[4096];
	const char *slash = strrchr(config->store_path, '/');
	int n = snprintf(dir, sizeof(dir), "%.*sledger", slash ? (int)(slash + 1 - config->store_path) : 0, config->store_path);
	if (n < 0 || (size_t)n >= sizeof(dir))
		return err_set(err, "unable to open the ledger: the path is too long");
	struct ledger_config ledger = { .store = fleet->store, .dir = dir };
	fleet->ledger = ledger_new(&ledger, err);
	if (!fleet->ledger)
		return -1;
	fleet->alerts = alerts_new(fleet->store);
	ledger_set_alerts(fleet->ledger, fleet->alerts);
	return fleet->alerts ? 0 : err_set(err, "unable to start the fleet: no memory");
}

struct fleet *fleet_new(struct loop *loop, const struct fleet_config *config, struct err *err)
{
	struct fleet *fleet = calloc(1, sizeof(*fleet));
	if (!fleet) {
		err_set(err, "unable to start the fleet: no memory");
		return NULL;
	}
	list_init(&fleet->pools);
	list_init(&fleet->kernels);
	list_init(&fleet->futures);
	list_init(&fleet->active);
	list_init(&fleet->recent);
	list_init(&fleet->unplaced);
	fleet->loop = loop;
	fleet->orders = config->orders;
	budget_init(&fleet->budget, config->memory_bytes, config->reserve_bytes);
	fleet->abort_grace_ms = config->abort_grace_ms ? config->abort_grace_ms : ABORT_GRACE_MS;
	fleet->slots = slots_new();
	fleet->usage = usage_new(0, 0);
	fleet->kernels_by_id = map_new();
	fleet->futures_by_id = map_new();
	fleet->recent_by_id = map_new();
	fleet->due = loop_timer_new(loop, on_due, fleet);
	fleet->sampler = loop_timer_new(loop, fleet_sample_due, fleet);
	fleet->flusher = loop_timer_new(loop, on_flush, fleet);
	fleet->prepare = loop_prepare_new(loop, before_wait, fleet);
	if (!fleet->slots || !fleet->usage || !fleet->kernels_by_id || !fleet->futures_by_id || !fleet->recent_by_id || !fleet->due || !fleet->sampler ||
	    !fleet->flusher || !fleet->prepare) {
		err_set(err, "unable to start the fleet: no memory");
		goto out;
	}
	fleet->store = store_open(loop, config->store_path, config->on_fatal, config->orders.data, err);
	if (!fleet->store || store_load_open(fleet->store, load_one, fleet, err) < 0)
		goto out;
	if (open_boards(fleet, config, err) < 0)
		goto out;
	return fleet;
out:
	fleet_free(&fleet);
	return NULL;
}

void fleet_free(struct fleet **fp)
{
	struct fleet *fleet = *fp;
	if (!fleet)
		return;
	if (fleet->ledger)
		ledger_flush(fleet->ledger);
	alerts_free(&fleet->alerts);
	store_close(&fleet->store);
	ledger_free(&fleet->ledger);
	loop_prepare_free(&fleet->prepare);
	loop_timer_free(&fleet->due);
	loop_timer_free(&fleet->sampler);
	loop_timer_free(&fleet->flusher);
	list_each (&fleet->futures, l) {
		struct future *f = list_of(l, struct future, in_fleet);
		free(f->debt);
		future_free(&f);
	}
	fleet_recent_free(fleet);
	list_each (&fleet->kernels, l) {
		struct kernel *k = list_of(l, struct kernel, in_fleet);
		kernel_free(&k);
	}
	list_each (&fleet->pools, l) {
		struct pool *p = list_of(l, struct pool, link);
		pool_free(&p);
	}
	slots_free(&fleet->slots);
	usage_free(&fleet->usage);
	map_free(&fleet->kernels_by_id);
	map_free(&fleet->futures_by_id);
	map_free(&fleet->recent_by_id);
	free(fleet);
	*fp = NULL;
}

void fleet_start(struct fleet *fleet)
{
	fleet->is_started = true;
	fleet->started_wall_ms = clock_wall_ms();
	fleet_usage_recall(fleet);
	fleet_touch(fleet);
}

struct store *fleet_store(struct fleet *fleet)
{
	return fleet->store;
}

struct ledger *fleet_ledger(struct fleet *fleet)
{
	return fleet->ledger;
}
struct alerts *fleet_alerts(struct fleet *fleet)
{
	return fleet->alerts;
}

void fleet_drain(struct fleet *fleet, void (*fn)(void *data), void *data)
{
	fleet->is_draining = true;
	fleet->drained = fn;
	fleet->drained_data = data;
	fleet_touch(fleet);
}

/* --- pools --- */

struct pool *fleet_pool(const struct fleet *fleet, const char *name)
{
	list_each (&fleet->pools, l) {
		struct pool *p = list_of(l, struct pool, link);
		if (strcmp(p->spec->name, name) == 0)
			return p;
	}
	return NULL;
}

struct pool *fleet_pool_or_retired(struct fleet *fleet, const char *name)
{
	struct pool *p = fleet_pool(fleet, name);
	struct pool_spec *spec = p ? NULL : pool_spec_new(name);
	if (p || !spec)
		return p;
	spec->warm_min = spec->warm_max = 0;
	spec->kind = strdup("");
	p = pool_new(spec);
	if (!p || !p->spec->kind) {
		pool_free(&p);
		return NULL;
	}
	p->is_retired = true;
	list_push(&fleet->pools, &p->link);
	return p;
}

static int check_specs(struct pool_spec **specs, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (pool_spec_check(specs[i], err) < 0)
			return -1;
		for (size_t j = 0; j < i; j++)
			if (strcmp(specs[i]->name, specs[j]->name) == 0)
				return err_set(err, "%s: pool \"%s\" was declared before, at %s",
					       specs[i]->source ? specs[i]->source : "?", specs[i]->name,
					       specs[j]->source ? specs[j]->source : "?");
	}
	return 0;
}

/* As the set has them: the first comes first, also where a task names no pool. Those that are gone stand last. */
static void sort_pools(struct fleet *fleet)
{
	struct list sorted = LIST_INIT(sorted);
	for (struct list *l; (l = list_first(&fleet->pools));) {
		struct list *at = sorted.prev;
		list_remove(l);
		while (at != &sorted && list_of(at, struct pool, link)->order > list_of(l, struct pool, link)->order)
			at = at->prev;
		list_insert_after(at, l);
	}
	for (struct list *l; (l = list_first(&sorted));) {
		list_remove(l);
		list_push(&fleet->pools, l);
	}
}

static void warn_of_unlimited(const struct fleet *fleet)
{
	char size[32];
	list_each (&fleet->pools, l) {
		const struct pool *p = list_of(l, struct pool, link);
		if (fleet->budget.total_bytes && !p->is_retired && !p->spec->memory_bytes)
			log_warn("%s: pool \"%s\" has no limits.memory: in the node's memory budget each of its kernels counts with the most "
				 "that one took lately, now %s",
				 p->spec->source ? p->spec->source : "?", p->spec->name,
				 text_print_size(budget_kernel_size(p), size, sizeof(size)));
	}
}

int fleet_set_pools(struct fleet *fleet, struct pool_spec **specs, size_t n, struct err *err)
{
	struct list fresh = LIST_INIT(fresh);
	int rc = check_specs(specs, n, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (fleet_pool(fleet, specs[i]->name))
			continue;
		struct pool *p = pool_new(specs[i]);
		specs[i] = NULL;
		if (!p) {
			rc = err_set(err, "unable to make a pool: no memory");
			continue;
		}
		p->order = (int)i;
		list_push(&fresh, &p->link);
	}
	if (rc < 0)
		goto out;
	list_each (&fleet->pools, l) {
		struct pool *p = list_of(l, struct pool, link);
		p->is_retired = true;
		p->order = INT_MAX;
	}
	for (size_t i = 0; i < n; i++) {
		if (!specs[i])
			continue;
		struct pool *p = fleet_pool(fleet, specs[i]->name);
		pool_spec_free(&p->spec);
		p->spec = specs[i];
		p->order = (int)i;
		p->is_retired = false;
		pool_note_ready(p); /* a changed policy may have repaired it: try at once */
		specs[i] = NULL;
	}
	list_each (&fresh, l) {
		list_remove(l);
		list_push(&fleet->pools, l);
	}
	sort_pools(fleet);
	warn_of_unlimited(fleet);
	budget_look_over(fleet);
	fleet_touch(fleet);
out:
	list_each (&fresh, l) {
		struct pool *p = list_of(l, struct pool, link);
		pool_free(&p);
	}
	for (size_t i = 0; i < n; i++)
		pool_spec_free(&specs[i]);
	return rc;
}

void fleet_set_services(struct fleet *fleet, int64_t bytes)
{
	if (bytes == fleet->budget.services_bytes)
		return;
	fleet->budget.services_bytes = bytes;
	fleet_touch(fleet);
}

int fleet_budget_json(const struct fleet *fleet, struct buf *out)
{
	return budget_json(fleet, out);
}

void fleet_set_policy(struct fleet *fleet, const struct fleet_policy *policy)
{
	fleet->policy = *policy;
}

static void put_numbers(struct pool_spec *s, const struct pool_numbers *n)
{
	s->warm_min = n->warm_min;
	s->warm_max = n->warm_max;
	s->max = n->max;
	s->memory_bytes = n->memory_bytes;
}

int fleet_tune_pool(struct fleet *fleet, const char *name, const struct pool_numbers *n, struct err *err)
{
	struct pool *pool = fleet_pool(fleet, name);
	if (!pool || pool->is_retired)
		return err_set(err, "pool \"%s\" does not exist", name);
	struct pool_spec *s = pool->spec;
	struct pool_numbers old = { s->warm_min, s->warm_max, s->max, s->memory_bytes };
	if (old.warm_min == n->warm_min && old.warm_max == n->warm_max && old.max == n->max && old.memory_bytes == n->memory_bytes)
		return 0;
	put_numbers(s, n);
	if (pool_spec_check(s, err) < 0) {
		put_numbers(s, &old);
		return -1;
	}
	budget_look_over(fleet);
	fleet_touch(fleet);
	return 0;
}

void fleet_each_pool(const struct fleet *fleet, fleet_pool_fn *fn, void *data)
{
	list_each (&fleet->pools, l)
		fn(data, list_of(l, struct pool, link));
}

void fleet_get_counts(const struct fleet *fleet, struct fleet_counts *out)
{
	*out = fleet->counts;
	list_each (&fleet->futures, l) {
		const struct future *f = list_of(l, struct future, in_fleet);
		if (!f->is_void && !f->waiter)
			out->open[f->state <= FUTURE_RUNNING ? f->state : FUTURE_RUNNING]++;
	}
}

int fleet_pools_json(const struct fleet *fleet, struct buf *out)
{
	buf_putc(out, '[');
	list_each (&fleet->pools, l) {
		jtext_next(out);
		pool_json(list_of(l, struct pool, link), out);
	}
	buf_putc(out, ']');
	return out->failed ? -1 : 0;
}

int fleet_kernels_json(const struct fleet *fleet, struct buf *out)
{
	buf_putc(out, '[');
	list_each (&fleet->kernels, l) {
		jtext_next(out);
		kernel_json(list_of(l, struct kernel, in_fleet), out);
	}
	buf_putc(out, ']');
	return out->failed ? -1 : 0;
}
