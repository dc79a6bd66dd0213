/* fleet_task: futures from the queue to their kernels, and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/die.h"
#include "fleet/fleet_inner.h"
#include "fleet/jtext.h"
#include "fleet/queue.h"
#include "fleet/usage.h"
#include "sys/clock.h"

#define DEADLINE_SLACK_MS 1000 /* the kernel enforces timeoutMs itself and leaves a stack; only then we ask it to stop */

struct future *fleet_live(const struct fleet *fleet, const char *id)
{
	return map_get(fleet->futures_by_id, id);
}

int fleet_task_adopt(struct fleet *fleet, struct future *f)
{
	struct pool *pool = fleet_pool_or_retired(fleet, f->pool);
	f->user = usage_user(fleet->usage, f->owner);
	if (!pool || !f->user || map_set(fleet->futures_by_id, f->id, f) < 0) {
		future_free(&f);
		return -1;
	}
	f->fleet = fleet;
	f->in_pool = pool;
	list_push(&fleet->futures, &f->in_fleet);
	fleet_slots_place(fleet, f);
	if (f->state == FUTURE_QUEUED) {
		queue_push(pool, f);
	} else {
		fleet_task_leave_queue(f);
		fleet_task_enter(f, NULL);
	}
	return 0;
}

void fleet_task_free(struct fleet *fleet, struct future *f)
{
	map_remove(fleet->futures_by_id, f->id);
	queue_remove(f);
	fleet_task_leave(f);
	future_free(&f);
	fleet_touch(fleet);
}

void fleet_task_leave_queue(struct future *f)
{
	queue_remove(f);
	list_remove(&f->in_unnoted);
	if (list_is_empty(&f->in_active))
		list_push(&f->fleet->active, &f->in_active);
}

/* --- dispatch --- */

/* A smaller limit of the task is set on the box before it gets the task. */
static void limit_box(struct fleet *fleet, struct kernel *k, const struct future *f)
{
	struct err err = { 0 };
	int64_t wanted =
		f->memory_bytes && (!k->memory_bytes || f->memory_bytes < k->memory_bytes) ? f->memory_bytes : k->memory_bytes;
	if (wanted == k->limit_bytes)
		return;
	if (fleet->orders.limit(fleet->orders.data, k, wanted, &err) < 0)
		log_warn("unable to limit %s: %s", k->id, err.text);
	else
		k->limit_bytes = wanted;
}

void fleet_task_take_back(struct fleet *fleet, struct future *f)
{
	struct kernel *k = f->on;
	bool was_sent = f->was_sent;
	f->on = NULL;
	f->was_sent = false;
	f->deadline_mono_ms = 0;
	fleet_task_leave(f);
	fleet_log_give_back(fleet, f, k);
	if (k)
		fleet_kernel_task_over(fleet, k, was_sent);
}

static void tell_started(struct fleet *fleet, const struct future *f, const struct kernel *k)
{
	char detail[128];
	snprintf(detail, sizeof(detail), "{\"kernel\":\"%s\",\"attempt\":%d}", k->id, f->attempt);
	struct store_fact fact = { "task.started", f->id, detail, 0, 0, f->owner };
	store_tell_fact(fleet->store, &fact);
}

static void dispatch(struct fleet *fleet, struct future *f)
{
	struct kernel *k = f->on;
	struct err err = { 0 };
	if (f->abort_cause[0]) {
		fleet_task_end(
			fleet, f, FUTURE_EV_STOPPED, f->abort_cause,
			fleet_task_error("DSS.Aborted", f->abort_cause, "Aborted by %s before it was started.", future_aborter(f)));
		return;
	}
	if (fleet_log_is_awaited(fleet, f))
		return;
	f->was_sent = true;
	k->tasks_run++;
	if (f->timeout_ms)
		f->deadline_mono_ms = clock_mono_ms() + f->timeout_ms + DEADLINE_SLACK_MS;
	fleet_kernel_label(fleet, k);
	limit_box(fleet, k, f);
	if (fleet->orders.send(fleet->orders.data, k, f, &err) < 0) {
		log_warn("unable to send task %s to %s: %s", f->id, k->id, err.text);
		k->tasks_run--;
		f->was_sent = false;
		fleet_task_requeue(fleet, f, FUTURE_EV_UNPLACED);
	} else {
		tell_started(fleet, f, k);
	}
	die_at("task_ordered");
	fleet_touch(fleet);
}

static bool assign(struct fleet *fleet, struct future *f, const struct kernel *k)
{
	if (!future_step(f, FUTURE_EV_ASSIGN))
		return false;
	fleet_note_assign(fleet, f, k);
	fleet_task_enter(f, k); /* before it leaves the queue: who stands behind it may have no room any more */
	queue_started(f);
	fleet_task_leave_queue(f);
	f->attempt++;
	f->was_sent = false;
	f->started_ms = clock_wall_ms();
	snprintf(f->kernel, sizeof(f->kernel), "%s", k->id);
	return true;
}

static void seat(struct future *f, struct kernel *k)
{
	kernel_step(k, KERNEL_EV_ASSIGN);
	f->on = k;
	snprintf(k->task, sizeof(k->task), "%s", f->id);
	k->attempt = f->attempt;
	k->work_mono_ms = clock_mono_ms();
}

/* Steps both tables; nothing is saved or sent yet. */
bool fleet_task_pair(struct fleet *fleet, struct future *f, struct kernel *k)
{
	bool is_bound = k->owner;
	if (kernel_bind_owner(k, f->owner) < 0 || !assign(fleet, f, k))
		return false;
	if (!is_bound)
		k->bound_mono_ms = clock_mono_ms();
	seat(f, k);
	return true;
}

static void return_to_queue(struct future *f)
{
	f->told_why = 0;
	fleet_note_later(f->fleet, f);
	list_remove(&f->in_active);
	queue_push(f->in_pool, f);
}

/* Back to the queue as if never assigned. */
static void unpair(struct fleet *fleet, struct future *f)
{
	fleet_task_take_back(fleet, f);
	if (f->state == FUTURE_ASSIGNED && future_step(f, FUTURE_EV_UNPLACED)) {
		f->attempt--;
		f->kernel[0] = 0;
		f->started_ms = 0;
		return_to_queue(f);
	}
}

static void pause_assigning(struct fleet *fleet, const char *why)
{
	log_error("unable to save an assignment: %s; next try in %d s", why, FLEET_RETRY_SAVE_MS / 1000);
	fleet->no_assign_before_mono_ms = clock_mono_ms() + FLEET_RETRY_SAVE_MS;
}

/* All that is queued for the disk about this future is there: go on from its present state. */
static void settled(struct fleet *fleet, struct future *f)
{
	if (f->commits > 0)
		return;
	if (f->is_void)
		fleet_task_free(fleet, f);
	else if (f->state == FUTURE_ASSIGNED && f->on && !f->was_sent)
		dispatch(fleet, f);
}

void fleet_task_go_on(struct fleet *fleet, struct future *f)
{
	settled(fleet, f);
}

static void on_state_saved(void *data, const struct store_answer *answer)
{
	struct future *f = data;
	struct fleet *fleet = f->fleet;
	f->commits--;
	if (answer->outcome != STORE_OK && !f->is_void) {
		pause_assigning(fleet, answer->err.text);
		if (f->state == FUTURE_ASSIGNED && f->on && !f->was_sent)
			unpair(fleet, f);
	}
	settled(fleet, f);
	fleet_touch(fleet);
}

static void on_requeue_saved(void *data, const struct store_answer *answer)
{
	struct future *f = data;
	struct fleet *fleet = f->fleet;
	struct fleet_debt *debt = f->debt;
	f->debt = NULL;
	/* Not saved: the store still says "assigned to a kernel that is gone", which a next backend judges in the same way. */
	on_state_saved(f, answer);
	fleet_debt_pay(debt);
	fleet_touch(fleet);
}

static int save(struct fleet *fleet, struct future *f, store_done_fn *fn)
{
	if (store_update_task(fleet->store, f, fn, f) < 0)
		return -1;
	f->commits++;
	return 0;
}

void fleet_task_assign(struct fleet *fleet, struct future *f, struct kernel *k)
{
	if (!fleet_task_pair(fleet, f, k))
		return;
	if (save(fleet, f, on_state_saved) < 0) {
		pause_assigning(fleet, "no memory");
		unpair(fleet, f);
	}
}

/* --- the next one of a kernel, assigned in the transaction that ends the one before --- */

struct future *fleet_task_choose_next(struct fleet *fleet, struct future *f)
{
	const struct kernel *k = f->on;
	int64_t now = clock_mono_ms();
	bool has_ended = f->state == FUTURE_DONE || f->state == FUTURE_FAILED;
	if (!k || !f->was_sent || !has_ended || f->log != FUTURE_LOG_NONE || k->state != KERNEL_BUSY || fleet->is_draining ||
	    !fleet->is_started || now < fleet->no_assign_before_mono_ms || !fleet_kernel_may_go_on(k, now))
		return NULL;
	/* Its place at its slots is the next one's: both are in one transaction. */
	slots_leave(f->ticket);
	struct future *n = k->owner ? queue_next_for(k->pool, k, now) : NULL;
	if (n && assign(fleet, n, k))
		return n;
	slots_enter(f->ticket, f->work_bytes);
	return NULL;
}

void fleet_task_unchoose(struct fleet *fleet, struct future *next)
{
	next->commits--;
	if (!next->is_void)
		unpair(fleet, next);
	settled(fleet, next);
}

void fleet_task_take_next(struct fleet *fleet, struct future *next, struct kernel *k)
{
	next->commits--;
	if (!next->is_void && k && next->state == FUTURE_ASSIGNED)
		seat(next, k);
	else if (!next->is_void && next->state == FUTURE_ASSIGNED)
		fleet_task_requeue(fleet, next, FUTURE_EV_UNPLACED); /* its kernel ended, or is to end */
	settled(fleet, next);
}

void fleet_task_requeue(struct fleet *fleet, struct future *f, enum future_event why)
{
	bool is_unplaced = why == FUTURE_EV_UNPLACED;
	fleet_task_take_back(fleet, f);
	if (!future_step(f, why))
		return;
	if (is_unplaced)
		f->attempt--;
	f->kernel[0] = 0;
	f->started_ms = 0;
	f->progress = -1;
	free(f->message);
	f->message = NULL;
	return_to_queue(f);
	if (save(fleet, f, on_requeue_saved) < 0) {
		fleet_debt_pay(f->debt);
		f->debt = NULL;
	}
	fleet_touch(fleet);
}
