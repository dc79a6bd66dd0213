#include "fleet/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/fleet_inner.h"
#include "fleet/guest_inner.h"
#include "fleet/jtext.h"
#include "fleet/queue.h"
#include "fleet/usage.h"
#include "sys/clock.h"

#define ABORT_GRACE_MS      10000
#define DRAIN_LOOK_MS       20
#define START_ALERT         "pool.start:"
#define START_FAILURES_TOLD 3
#define FLUSH_MS            1000

/* --- what every turn looks over --- */

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
			fleet_kernel_retire(fleet, k,
					    pool->spec->ready_for > 0 ? "more kernels were idle than its warm stock needs"
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

static void clear_start_alert(struct fleet *fleet, struct pool *pool)
{
	char key[96];
	if (!pool->told_failures)
		return;
	snprintf(key, sizeof(key), START_ALERT "%s", pool->spec->name);
	alerts_clear(fleet->alerts, key);
	pool->told_failures = 0;
}

/* One start may fail for what is over in a moment. */
static void tell_of_starts(struct fleet *fleet, struct pool *pool)
{
	const struct pool_spec *s = pool->spec;
	char key[96], text[700];
	if (!pool->failure[0] || pool->is_retired) {
		clear_start_alert(fleet, pool);
		return;
	}
	if (pool->failed_starts < START_FAILURES_TOLD || pool->failed_starts == pool->told_failures)
		return;
	pool->told_failures = pool->failed_starts;
	snprintf(key, sizeof(key), START_ALERT "%s", s->name);
	snprintf(text, sizeof(text), "pool %s: no kernel starts, %d times in a row: %s", s->name, pool->failed_starts,
		 pool->failure);
	alerts_renew(fleet->alerts, key, ALERT_ERROR, s->name, s->source, text);
}

static void settle_pool(struct fleet *fleet, struct pool *pool, int64_t now, int64_t *next)
{
	bool is_served = !fleet->is_draining && !pool->is_retired;
	tell_of_starts(fleet, pool);
	if (is_served)
		fleet_stock_size(fleet, pool, now, next);
	retire_changed(fleet, pool);
	assign_waiting(fleet, pool, now);
	fleet_note_waits(fleet, pool);
	if (!is_served)
		return;
	fleet_stock_make_room(fleet, pool, now);
	if (pool->next_start_mono_ms > now)
		fleet_earlier(next, pool->next_start_mono_ms);
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
	fleet_stock_start(fleet, now, &next);
	list_each (&fleet->pools, l)
		pool_note_curve(list_of(l, struct pool, link), now);
	guests_tell(fleet->guests);
	fleet_note_due(fleet, now, &next);
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

/* A run of a macro lives in the backend alone: the one that had it is gone. */
static void end_macro(struct fleet *fleet, struct future *f)
{
	f->state = FUTURE_FAILED;
	f->ended_ms = clock_wall_ms();
	snprintf(f->cause, sizeof(f->cause), "lost");
	free(f->error);
	f->error = strdup("{\"errorType\":\"dss.exceptions.MacroException\",\"message\":\"The backend ended while the macro ran; "
			  "what it had done "
			  "until then is in the ledger (dssctl why)\"}");
	if (store_update_task(fleet->store, f, NULL, NULL) < 0)
		log_error("unable to end macro run %s: the store takes nothing now", f->id);
	future_free(&f);
}

static void load_one(void *data, struct future *f)
{
	struct fleet *fleet = data;
	char id[FUTURE_ID_MAX];
	if (strcmp(f->kind, "macro") == 0) {
		end_macro(fleet, f);
		return;
	}
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
	list_init(&fleet->unnoted);
	fleet->loop = loop;
	fleet->orders = config->orders;
	budget_init(&fleet->budget, config->memory_bytes, config->reserve_bytes);
	fleet->abort_grace_ms = config->abort_grace_ms ? config->abort_grace_ms : ABORT_GRACE_MS;
	fleet->slots = slots_new();
	fleet->usage = usage_new(0, 0);
	fleet->guests = guests_new(fleet);
	fleet->kernels_by_id = map_new();
	fleet->futures_by_id = map_new();
	fleet->recent_by_id = map_new();
	fleet->due = loop_timer_new(loop, on_due, fleet);
	fleet->sampler = loop_timer_new(loop, fleet_sample_due, fleet);
	fleet->flusher = loop_timer_new(loop, on_flush, fleet);
	fleet->prepare = loop_prepare_new(loop, before_wait, fleet);
	if (!fleet->slots || !fleet->usage || !fleet->guests || !fleet->kernels_by_id || !fleet->futures_by_id ||
	    !fleet->recent_by_id || !fleet->due || !fleet->sampler || !fleet->flusher || !fleet->prepare) {
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
	guests_free(&fleet->guests);
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
struct guests *fleet_guests(struct fleet *fleet)
{
	return fleet->guests;
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
