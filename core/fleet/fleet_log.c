/*
 * fleet_log: tasks whose output goes to a log of their own (commands, trainings, and jobs): the kernel's pipe is switched over before the task
 * is sent, and back before its end is told, so that who reads an end reads the whole log. At the same moment the box's counters are
 * read: the kernel may have survived what was killed in it for its memory, and a parent may even exit 0 then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/fleet_inner.h"
#include "fleet/training.h"
#include "sys/clock.h"

#define ANSWER_MS 2000 /* a slow disk or a dead logger holds nobody up for longer */
#define OOM_MS    8000 /* a box out of memory ends: that end tells the limit, the peak, whose */

bool fleet_log_is_own(const struct future *f)
{
	return f->job || strcmp(f->type, "command") == 0 || strcmp(f->type, TRAINING_TYPE) == 0;
}

static int route(struct fleet *fleet, const struct future *f, const struct kernel *k, bool is_own)
{
	struct err err = { 0 };
	if (!fleet->orders.route)
		return -1;
	if (fleet->orders.route(fleet->orders.data, k, f->id, is_own, &err) == 0)
		return 0;
	log_warn("unable to route the output of %s: %s", k->id, err.text);
	return -1;
}

bool fleet_log_is_awaited(struct fleet *fleet, struct future *f)
{
	if (!fleet_log_is_own(f) || f->log == FUTURE_LOG_ON)
		return false;
	if (f->log == FUTURE_LOG_ASKED)
		return true;
	f->end.is_let = false;
	if (route(fleet, f, f->on, true) < 0)
		return false;
	f->log = FUTURE_LOG_ASKED;
	f->log_until_mono_ms = clock_mono_ms() + ANSWER_MS;
	fleet_touch(fleet);
	return true;
}

void fleet_log_adopt(struct fleet *fleet, struct future *f)
{
	/* The same sink again changes nothing; the backend before this one may not have come to it. */
	if (fleet_log_is_own(f) && route(fleet, f, f->on, true) == 0)
		f->log = FUTURE_LOG_ON;
}

void fleet_log_give_back(struct fleet *fleet, struct future *f, struct kernel *k)
{
	if (f->log != FUTURE_LOG_NONE && k && !f->end.is_let)
		route(fleet, f, k, false);
	f->log = FUTURE_LOG_NONE;
	f->log_until_mono_ms = 0;
}

/* --- ends --- */

bool fleet_log_hold_end(struct fleet *fleet, struct future *f, enum future_event event, const char *cause, char *error)
{
	struct err err = { 0 };
	if (f->end.is_held) {
		free(error);
		return true;
	}
	if (f->log != FUTURE_LOG_ON || !f->on || !f->was_sent || f->end.is_let)
		return false;
	f->end.is_held = true;
	f->end.event = event;
	snprintf(f->end.cause, sizeof(f->end.cause), "%s", cause ? cause : "");
	f->end.error = error;
	f->end.is_counted = !fleet->orders.count || fleet->orders.count(fleet->orders.data, f->on, f->id, &err) < 0;
	f->end.is_routed = route(fleet, f, f->on, false) < 0;
	f->log_until_mono_ms = clock_mono_ms() + ANSWER_MS;
	fleet_touch(fleet);
	return true;
}

/* It ends now as was held. */
static void let_end(struct fleet *fleet, struct future *f)
{
	char *error = f->end.error, cause[sizeof(f->end.cause)];
	memcpy(cause, f->end.cause, sizeof(cause));
	f->end.error = NULL;
	f->end.is_held = false;
	f->end.is_let = true;
	f->log_until_mono_ms = 0;
	fleet_task_end(fleet, f, f->end.event, cause, error);
}

bool fleet_log_end_held(struct fleet *fleet, struct future *f, const struct judge_end *end)
{
	if (strncmp(end->cause, "oom_", 4) != 0) {
		let_end(fleet, f);
		return true;
	}
	f->end.is_held = false;
	f->log_until_mono_ms = 0;
	free(f->end.error);
	free(f->result);
	f->end.error = f->result = NULL;
	f->result_len = 0;
	return false;
}

/* --- answers, and none --- */

static struct future *asked_of(const struct fleet *fleet, const char *kernel, const char *task)
{
	struct future *f = fleet_live(fleet, task);
	return f && f->on && strcmp(f->on->id, kernel) == 0 && f->log_until_mono_ms ? f : NULL;
}

static void go_on(struct fleet *fleet, struct future *f)
{
	if (f->end.is_held) {
		if (f->end.is_routed && f->end.is_counted)
			let_end(fleet, f);
		return;
	}
	if (f->log != FUTURE_LOG_ASKED)
		return;
	f->log = FUTURE_LOG_ON;
	f->log_until_mono_ms = 0;
	fleet_task_go_on(fleet, f);
}

void fleet_task_routed(struct fleet *fleet, const char *kernel, const char *task)
{
	struct future *f = asked_of(fleet, kernel, task);
	if (!f)
		return;
	f->end.is_routed = true;
	go_on(fleet, f);
}

void fleet_task_counted(struct fleet *fleet, const char *kernel, const char *task, int64_t oom_kills)
{
	struct future *f = asked_of(fleet, kernel, task);
	if (!f || !f->end.is_held)
		return;
	if (oom_kills != 0) { /* not to be read: its process is ending as well */
		f->log_until_mono_ms = clock_mono_ms() + OOM_MS;
		if (oom_kills > 0)
			fleet_kernel_stop(fleet, kernel, "policy", "something in its box was killed for its memory");
		fleet_touch(fleet);
		return;
	}
	f->end.is_counted = true;
	go_on(fleet, f);
}

void fleet_log_look(struct fleet *fleet, struct future *f, int64_t now, int64_t *next)
{
	if (f->log_until_mono_ms && now >= f->log_until_mono_ms) {
		log_warn("task %s: no word in time about its log and its box; going on without", f->id);
		f->end.is_routed = f->end.is_counted = true;
		go_on(fleet, f);
	} else {
		fleet_earlier(next, f->log_until_mono_ms);
	}
}
