#include "bind/policy_events.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/list.h"
#include "base/log.h"
#include "fleet/alerts.h"
#include "fleet/feed.h"
#include "sys/clock.h"

#define SLICE_US 1000
#define ALERT    "on:"
#define DROPPED  "policy:events"
#define OVER_MS  3600000

struct event {
	struct list link;
	int64_t unix_s;
	char *what, *subject, *detail, *owner; /* into text; detail, owner may be NULL */
	char text[];
};

struct word {
	struct event_spec spec;
	int64_t alert_until_ms; /* monotonic; 0 = none is raised */
};

struct policy_events {
	struct fleet *fleet;
	struct troubles *troubles;
	struct vm *vm;
	struct loop_timer *timer, *over;
	struct word *words;
	size_t n, nwaiting;
	struct list waiting;
	bool is_muted; /* what is told now is our own doing */
	bool is_observe;
	int64_t dropped;
};

/* --- what is told --- */

static bool is_wanted(const struct policy_events *e, const char *what)
{
	for (size_t i = 0; i < e->n; i++)
		if (strcmp(e->words[i].spec.name, what) == 0)
			return true;
	return false;
}

static char *copy(char **at, const char *s)
{
	size_t n = s ? strlen(s) + 1 : 0;
	char *to = s ? memcpy(*at, s, n) : NULL;
	*at += n;
	return to;
}

static size_t room_of(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

static void on_noted(void *data, int64_t seq, const struct store_fact *f, bool is_kept)
{
	struct policy_events *e = data;
	(void)seq;
	(void)is_kept;
	if (!e->n || e->is_muted || !is_wanted(e, f->what))
		return;
	const char *detail = f->detail && strlen(f->detail) <= FEED_DETAIL_MAX ? f->detail : NULL;
	struct event *ev =
		e->nwaiting < POLICY_EVENTS_MOST
			? malloc(sizeof *ev + room_of(f->what) + room_of(f->subject) + room_of(detail) + room_of(f->owner))
			: NULL;
	if (!ev) {
		e->dropped++;
		return;
	}
	char *at = ev->text;
	ev->unix_s = f->wall_ms / 1000;
	ev->what = copy(&at, f->what);
	ev->subject = copy(&at, f->subject);
	ev->detail = copy(&at, detail);
	ev->owner = copy(&at, f->owner);
	list_push(&e->waiting, &ev->link);
	e->nwaiting++;
	if (!loop_timer_is_running(e->timer))
		loop_timer_start(e->timer, 0);
}

/* --- what is answered --- */

struct question {
	const struct event *ev;
	size_t word;
	struct verdict v;
};

static int push(lua_State *L, void *data)
{
	const struct question *q = data;
	lua_pushinteger(L, (lua_Integer)q->word + 1);
	lua_pushstring(L, q->ev->subject);
	lua_pushstring(L, q->ev->owner);
	lua_pushstring(L, q->ev->detail);
	lua_pushinteger(L, q->ev->unix_s);
	return 5;
}

static void take(lua_State *L, int first, void *data)
{
	verdict_take(L, first, &((struct question *)data)->v);
}

static void raise(struct policy_events *e, struct word *w, const struct event *ev, const struct verdict *v)
{
	char key[DECIDE_SOURCE_MAX + 8];
	snprintf(key, sizeof key, ALERT "%s", w->spec.source);
	alerts_raise(fleet_alerts(e->fleet), key, (enum alert_level)v->level, ev->subject, w->spec.source, v->reason);
	w->alert_until_ms = clock_mono_ms() + OVER_MS;
	if (!loop_timer_is_running(e->over))
		loop_timer_start(e->over, OVER_MS);
}

static const char *settle(struct policy_events *e, struct word *w, const struct event *ev, const struct verdict *v,
			  bool is_simulated)
{
	if (v->state == DECIDE_FAILED) {
		troubles_note(e->troubles, w->spec.source, w->spec.name, v->reason);
		return "failed";
	}
	if (v->state != DECIDE_SKIPPED)
		troubles_over(e->troubles, w->spec.source);
	if (v->state != DECIDE_ACT)
		return v->state == DECIDE_NO && v->reason[0] ? "kept" : "nothing";
	if (is_simulated)
		return "would";
	raise(e, w, ev, v);
	return "done";
}

static void answer(struct policy_events *e, const struct event *ev)
{
	for (size_t i = 0; i < e->n; i++) {
		struct word *w = &e->words[i];
		struct question q = { .ev = ev, .word = i };
		struct err err = { 0 };
		struct decide_question ask = { "event", push, take, VERDICT_RESULTS, &q };
		if (strcmp(w->spec.name, ev->what) != 0)
			continue;
		if (decide(e->vm, &ask, &err) < 0)
			verdict_fail(&q.v, &err);
		bool is_simulated = e->is_observe || w->spec.is_simulated;
		const char *outcome = settle(e, w, ev, &q.v, is_simulated);
		struct decide_about about = {
			"on", w->spec.name, w->spec.source, "event", ev->subject, ev->owner, is_simulated ? "simulate" : "act"
		};
		verdict_note(e->fleet, &about, &q.v, outcome);
	}
}

static void forget_all(struct policy_events *e)
{
	for (struct list *l; (l = list_first(&e->waiting));) {
		list_remove(l);
		free(list_of(l, struct event, link));
	}
	e->nwaiting = 0;
}

static void on_timer(void *data)
{
	struct policy_events *e = data;
	int64_t began_us = clock_mono_us();
	char text[128];
	struct list *l;
	e->is_muted = true;
	while ((l = list_first(&e->waiting)) && clock_mono_us() - began_us < SLICE_US) {
		struct event *ev = list_of(l, struct event, link);
		list_remove(l);
		e->nwaiting--;
		answer(e, ev);
		free(ev);
	}
	if (e->dropped) {
		snprintf(text, sizeof text,
			 "%lld events came faster than the policies' words `on` look at them, and were not looked at",
			 (long long)e->dropped);
		alerts_raise(fleet_alerts(e->fleet), DROPPED, ALERT_WARNING, NULL, NULL, text);
	}
	e->is_muted = false;
	if (l)
		loop_timer_start(e->timer, 0);
}

static void clear(struct policy_events *e, struct word *w)
{
	char key[DECIDE_SOURCE_MAX + 8];
	snprintf(key, sizeof key, ALERT "%s", w->spec.source);
	if (w->alert_until_ms)
		alerts_clear(fleet_alerts(e->fleet), key);
	w->alert_until_ms = 0;
}

static void on_over(void *data)
{
	struct policy_events *e = data;
	int64_t now = clock_mono_ms(), next = 0;
	e->is_muted = true;
	for (size_t i = 0; i < e->n; i++) {
		struct word *w = &e->words[i];
		if (w->alert_until_ms && w->alert_until_ms <= now)
			clear(e, w);
		else if (w->alert_until_ms && (!next || w->alert_until_ms < next))
			next = w->alert_until_ms;
	}
	e->is_muted = false;
	if (next)
		loop_timer_start(e->over, next - now);
}

/* --- life --- */

struct policy_events *policy_events_new(struct loop *loop, struct fleet *fleet, struct troubles *troubles)
{
	struct policy_events *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->fleet = fleet;
	e->troubles = troubles;
	list_init(&e->waiting);
	e->timer = loop_timer_new(loop, on_timer, e);
	e->over = loop_timer_new(loop, on_over, e);
	if (!e->timer || !e->over) {
		loop_timer_free(&e->timer);
		loop_timer_free(&e->over);
		free(e);
		return NULL;
	}
	store_watch_facts(fleet_store(fleet), &(struct store_watch){ e, on_noted, NULL });
	return e;
}

static void drop_words(struct policy_events *e)
{
	for (size_t i = 0; i < e->n; i++) {
		free(e->words[i].spec.name);
		free(e->words[i].spec.source);
	}
	free(e->words);
	e->words = NULL;
	e->n = 0;
}

void policy_events_free(struct policy_events **ep)
{
	struct policy_events *e = *ep;
	if (!e)
		return;
	store_unwatch_facts(fleet_store(e->fleet), e);
	loop_timer_free(&e->timer);
	loop_timer_free(&e->over);
	forget_all(e);
	drop_words(e);
	free(e);
	*ep = NULL;
}

void policy_events_take(struct policy_events *e, struct vm *vm, struct event_spec *specs, size_t n)
{
	struct word *words = calloc(n + 1, sizeof *words);
	e->is_muted = true;
	for (size_t i = 0; i < e->n; i++)
		clear(e, &e->words[i]);
	e->is_muted = false;
	drop_words(e);
	e->vm = vm;
	for (size_t i = 0; i < n; i++) {
		if (words) {
			words[i].spec = specs[i];
		} else {
			free(specs[i].name);
			free(specs[i].source);
		}
	}
	free(specs);
	if (!words)
		log_error("unable to take the policies' words `on`: not enough memory");
	e->words = words;
	e->n = words ? n : 0;
	if (!e->n)
		forget_all(e);
}

void policy_events_observe(struct policy_events *e, bool is_observe)
{
	e->is_observe = is_observe;
}
