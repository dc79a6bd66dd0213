/* fleet_slots: what tasks count for while they are at work (slots, use), and what the ledger is told of the queue. */
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

#define PLACE_US      1000 /* of one turn, for asking the policy about tasks that wait */
#define NOTE_AFTER_MS 100  /* a shorter wait is none worth writing down */
#define RECALL_TASKS  500
#define RECALL_MS     (4 * USAGE_HALF_LIFE_MS)

/* --- slots --- */

void fleet_slots_place(struct fleet *fleet, struct future *f)
{
	struct slot_place places[SLOTS_OF_TASK];
	slots_ticket_free(&f->ticket);
	if (!slots_count(fleet->slots) || !fleet->policy.place)
		return;
	size_t n = fleet->policy.place(fleet->policy.data, f, places);
	if (n > SLOTS_OF_TASK)
		n = SLOTS_OF_TASK;
	if (n == 0)
		return;
	f->ticket = slots_ticket(fleet->slots, places, n);
	if (!f->ticket)
		log_error("task %s is not held by slots: no memory", f->id);
}

static void place_again(struct fleet *fleet, struct future *f)
{
	bool waits = !list_is_empty(&f->in_queue);
	queue_displace(f); /* before its ticket goes: that is part of its lane's name */
	slots_ticket_free(&f->ticket);
	list_remove(&f->in_unplaced);
	if (waits && slots_count(fleet->slots) && fleet->policy.place)
		/* The policy is asked in slices, between turns of the loop: nobody starts before it was. */
		list_push(&fleet->unplaced, &f->in_unplaced);
	else if (waits)
		queue_place(f);
	else if (future_is_open(f) || f->is_at_work)
		fleet_slots_place(fleet, f);
	if (f->is_at_work)
		slots_enter(f->ticket, f->work_bytes);
}

int fleet_set_slots(struct fleet *fleet, const struct slot_rule *rules, size_t n, struct err *err)
{
	if (slots_count(fleet->slots) == 0 && n == 0)
		return 0;
	if (slots_set(fleet->slots, rules, n, err) < 0)
		return -1;
	list_each (&fleet->futures, l)
		place_again(fleet, list_of(l, struct future, in_fleet));
	guests_place_again(fleet->guests);
	fleet_touch(fleet);
	return 0;
}

bool fleet_slots_go_on(struct fleet *fleet)
{
	int64_t until = clock_mono_us() + PLACE_US;
	for (struct list *l; (l = list_first(&fleet->unplaced));) {
		struct future *f = list_of(l, struct future, in_unplaced);
		list_remove(l);
		if (future_is_open(f)) { /* else it was ended meanwhile: a key of slots is not held for it */
			fleet_slots_place(fleet, f);
			queue_place(f);
		}
		if (clock_mono_us() >= until)
			break;
	}
	return list_is_empty(&fleet->unplaced);
}

int fleet_slots_json(const struct fleet *fleet, struct buf *out)
{
	return slots_json(fleet->slots, out);
}

/* --- at work --- */

static int64_t size_on(const struct future *f, const struct kernel *k)
{
	if (!k)
		return queue_size(f);
	return f->memory_bytes && (!k->memory_bytes || f->memory_bytes < k->memory_bytes) ? f->memory_bytes : k->memory_bytes;
}

void fleet_task_enter(struct future *f, const struct kernel *k)
{
	if (f->is_at_work)
		return;
	f->is_at_work = true;
	f->work_bytes = size_on(f, k);
	f->work_mono_ms = clock_mono_ms();
	slots_enter(f->ticket, f->work_bytes);
	usage_begin(f->user, f->work_bytes, f->work_mono_ms);
}

void fleet_task_leave(struct future *f)
{
	int64_t now = clock_mono_ms();
	if (f->is_at_work) {
		f->is_at_work = false;
		slots_leave(f->ticket);
		usage_end(f->user, f->work_bytes, now);
		if (f->was_sent && f->in_pool && (f->state == FUTURE_DONE || f->state == FUTURE_FAILED))
			queue_note_run(f->in_pool, now - f->work_mono_ms);
	}
	if (future_is_ended(f))
		slots_ticket_free(&f->ticket);
}

/* --- what a former backend saw --- */

static void on_recalled(void *data, struct future **f, size_t n, const struct err *why)
{
	struct fleet *fleet = data;
	int64_t now = clock_mono_ms(), wall = clock_wall_ms();
	if (why)
		log_warn("unable to read what users used lately: %s; all begin at 0", why->text);
	for (size_t i = 0; i < n; i++) {
		int64_t ago = wall - f[i]->ended_ms;
		const struct pool *pool = fleet_pool(fleet, f[i]->pool);
		int64_t bytes = f[i]->memory_bytes ? f[i]->memory_bytes : pool ? pool->spec->memory_bytes : 0;
		bool counts = f[i]->started_ms && f[i]->ended_ms < fleet->started_wall_ms && ago >= 0 && ago < RECALL_MS;
		struct usage_user *user = counts ? usage_user(fleet->usage, f[i]->owner) : NULL;
		if (user)
			usage_add(user, bytes, f[i]->ended_ms - f[i]->started_ms, ago, now);
		future_free(&f[i]);
	}
}

void fleet_usage_recall(struct fleet *fleet)
{
	if (store_list_ended(fleet->store, NULL, RECALL_TASKS, on_recalled, fleet) < 0)
		log_warn("unable to read what users used lately: no memory; all begin at 0");
}

/* --- the ledger --- */

static void note(struct fleet *fleet, const struct future *f, const char *answer, const char *reason, int position, int total,
		 const char *outcome)
{
	char inputs[400];
	int64_t now = clock_mono_ms();
	const struct pool_spec *s = f->in_pool->spec;
	struct buf user;
	buf_init(&user, 1024);
	jtext_put(&user, f->owner);
	snprintf(inputs, sizeof(inputs),
		 "{\"priority\":%d,\"user\":%.200s,\"usedGbSeconds\":%.3f,\"usedSeconds\":%.3f,\"position\":%d,\"queued\":%d}",
		 f->priority, user.failed || user.len > 200 ? "null" : user.data, usage_gb_seconds(f->user, now),
		 usage_seconds(f->user, now), position, total);
	buf_fini(&user);
	struct decision d = {
		.word = "queue",
		.name = s->name,
		.source = s->source ? s->source : "core",
		.subject_kind = "task",
		.subject = f->id,
		.answer = answer,
		.reason = reason,
		.inputs = inputs,
		.outcome = outcome,
		.owner = f->owner,
	};
	ledger_note(fleet->ledger, &d);
}

static void note_wait(struct fleet *fleet, struct future *f)
{
	char reason[512];
	int64_t now = clock_mono_ms();
	enum queue_why why = queue_why(f, now, NULL, 0);
	if (why == QUEUE_WHY_NONE || f->told_why == (int)why)
		return;
	f->told_why = (int)why;
	queue_why(f, now, reason, sizeof(reason));
	note(fleet, f, "wait", reason, f->position, (int)f->in_pool->nwaiting, NULL);
}

void fleet_note_later(struct fleet *fleet, struct future *f)
{
	f->note_at_mono_ms = clock_mono_ms() + NOTE_AFTER_MS;
	list_remove(&f->in_unnoted);
	list_push(&fleet->unnoted, &f->in_unnoted);
}

void fleet_note_due(struct fleet *fleet, int64_t now, int64_t *next)
{
	for (struct list *l; (l = list_first(&fleet->unnoted));) {
		struct future *f = list_of(l, struct future, in_unnoted);
		bool waits = !list_is_empty(&f->in_queue);
		if (waits && now < f->note_at_mono_ms) {
			fleet_earlier(next, f->note_at_mono_ms);
			return;
		}
		list_remove(l);
		if (waits)
			note_wait(fleet, f);
	}
}

void fleet_note_waits(struct fleet *fleet, struct pool *pool)
{
	for (struct future *f; (f = queue_news(pool));)
		if (f->told_why) /* it waits for long enough */
			note_wait(fleet, f);
}

void fleet_note_assign(struct fleet *fleet, const struct future *f, const struct kernel *k)
{
	char reason[256];
	if (!f->told_why) /* it got the kernel that was free, at once: nothing was decided, and thousands of them a second say nothing */
		return;
	queue_why_first(f, k, reason, sizeof(reason));
	note(fleet, f, "assign", reason, 1, (int)f->in_pool->nwaiting, "done");
}
