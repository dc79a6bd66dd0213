/* guest_line: who of the guests waits, for what, and who comes next. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/guest_inner.h"
#include "fleet/jtext.h"
#include "fleet/usage.h"
#include "sys/clock.h"

#define LOOK_MS       20   /* between two looks for which nobody asked: rooms come and go with each task */
#define PLACE_US      1000 /* of one turn, for asking the policy about guests that wait */
#define NOTE_AFTER_MS 100  /* a shorter wait is none worth writing down */

/* --- rules --- */

void guest_place(struct guest *g)
{
	struct slot_place places[SLOTS_OF_TASK];
	struct fleet *fleet = g->in->fleet;
	g->is_unplaced = false;
	slots_ticket_free(&g->ticket);
	if (!slots_count(fleet->slots) || !fleet->policy.place_guest)
		return;
	size_t n = fleet->policy.place_guest(fleet->policy.data, &g->facts, places);
	if (n > SLOTS_OF_TASK)
		n = SLOTS_OF_TASK;
	if (n == 0)
		return;
	g->ticket = slots_ticket(fleet->slots, places, n);
	if (!g->ticket)
		log_error("%s %s is not held by slots: no memory", g->facts.kind, g->facts.id);
}

void guests_place_again(struct guests *guests)
{
	list_each (&guests->placed, l) {
		struct guest *g = list_of(l, struct guest, link);
		guest_place(g);
		slots_enter(g->ticket, g->bytes);
	}
	list_each (&guests->waiting, l) {
		struct guest *g = list_of(l, struct guest, link);
		slots_ticket_free(&g->ticket);
		g->is_unplaced = true;
	}
	guests_touch(guests);
}

/* False: not all of them yet. */
static bool place_waiting(struct guests *guests)
{
	int64_t until = clock_mono_us() + PLACE_US;
	list_each (&guests->waiting, l) {
		struct guest *g = list_of(l, struct guest, link);
		if (!g->is_unplaced)
			continue;
		if (clock_mono_us() >= until)
			return false;
		guest_place(g);
	}
	return true;
}

/* --- the order --- */

static int compare(const void *a, const void *b)
{
	const struct guest *x = *(struct guest *const *)a, *y = *(struct guest *const *)b;
	if (x->facts.priority != y->facts.priority)
		return x->facts.priority > y->facts.priority ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

static void put_in_order(struct guests *guests, int64_t now)
{
	size_t n = list_count(&guests->waiting), i = 0;
	struct guest **all = n > 1 ? calloc(n, sizeof(struct guest *)) : NULL;
	if (!all) /* one alone, or no memory: the order of before */
		return;
	list_each (&guests->waiting, l) {
		struct guest *g = list_of(l, struct guest, link);
		struct usage_user *user = g->facts.user && *g->facts.user ? usage_user(guests->fleet->usage, g->facts.user) : NULL;
		g->rank = user ? usage_rank(user, now) : 0;
		all[i++] = g;
	}
	qsort(all, n, sizeof(struct guest *), compare);
	for (i = 0; i < n; i++) {
		list_remove(&all[i]->link);
		list_push(&guests->waiting, &all[i]->link);
	}
	free(all);
}

int guest_position(const struct guest *g)
{
	int position = 1;
	if (g->in->is_numbered)
		return g->position;
	list_each (&g->in->waiting, l) {
		const struct guest *other = list_of(l, struct guest, link);
		if (other == g)
			break;
		position += slots_signature(other->ticket) == slots_signature(g->ticket);
	}
	return position;
}

void guests_number(struct guests *guests)
{
	struct map *counts = map_new(); /* signature → how many, as the pointer's value */
	bool ok = counts != NULL;
	list_each (&guests->waiting, l) {
		struct guest *g = list_of(l, struct guest, link);
		uint64_t key = (uint64_t)(uintptr_t)slots_signature(g->ticket);
		uintptr_t n = ok ? (uintptr_t)map_get_u64(counts, key) + 1 : 0;
		ok = ok && map_set_u64(counts, key, (void *)n) == 0;
		g->position = (int)n;
	}
	map_free(&counts);
	guests->is_numbered = ok; /* without memory each one is counted by itself */
}

/* --- the ledger --- */

static void note(struct guest *g, const char *answer, const char *reason, const char *outcome)
{
	char inputs[256];
	snprintf(inputs, sizeof(inputs), "{\"priority\":%d,\"memoryBytes\":%lld,\"position\":%d,\"waiting\":%zu}",
		 g->facts.priority, (long long)g->bytes, g->state == GUEST_WAITING ? guest_position(g) : 0,
		 list_count(&g->in->waiting));
	struct decision d = {
		.word = "queue",
		.name = g->facts.kind,
		.source = "core",
		.subject_kind = g->facts.kind,
		.subject = g->facts.id,
		.answer = answer,
		.reason = reason,
		.inputs = inputs,
		.outcome = outcome,
		.owner = g->facts.user && *g->facts.user ? g->facts.user : NULL,
	};
	ledger_note(g->in->fleet->ledger, &d);
}

static void note_wait(struct guest *g, int64_t now, int64_t *next)
{
	char why[GUEST_WHY];
	int64_t at = g->asked_mono_ms + NOTE_AFTER_MS;
	if (g->told_block == g->block)
		return;
	if (now < at) {
		fleet_earlier(next, at);
		return;
	}
	g->told_block = g->block;
	guest_why(g, why, sizeof(why), NULL);
	note(g, "wait", why, NULL);
}

/* --- one of them --- */

static void come_to(struct guest *g, enum guest_state state)
{
	if (state == GUEST_PLACED) {
		char reason[128];
		int64_t waited = clock_mono_ms() - g->asked_mono_ms;
		guest_count(g);
		snprintf(reason, sizeof(reason), "its turn came after %lld.%03lld s", (long long)waited / 1000,
			 (long long)waited % 1000);
		if (g->told_block != GUEST_BLOCK_NONE)
			note(g, "assign", reason, "done");
	} else {
		list_remove(&g->link);
		g->state = GUEST_REFUSED;
		note(g, "deny", g->why, "done");
	}
	list_push(&g->in->news, &g->in_news);
}

static bool is_hopeless(struct guest *g)
{
	struct err err = { 0 };
	char what[160];
	if (budget_check_guest(g->in->fleet, g->bytes, guest_title(g, what, sizeof(what)), &err) < 0) {
		snprintf(g->why, sizeof(g->why), "%s", err.text);
		return true;
	}
	return slots_is_hopeless(g->ticket, g->bytes, g->why, sizeof(g->why));
}

static void tell_holder(struct guest *g, const struct guest *other)
{
	size_t i;
	json_t *name;
	const char *what = "";
	const struct guest_facts *f = &other->facts;
	json_array_foreach(g->holds, i, name) if (json_is_string(name) && map_get(g->in->holders, json_string_value(name)) == other)
	{
		what = json_string_value(name);
		break;
	}
	if (f->job)
		snprintf(g->why, sizeof(g->why), "dataset %.200s is being built by job %.200s, activity %.200s", what, f->job,
			 f->activity ? f->activity : "?");
	else
		snprintf(g->why, sizeof(g->why), "%.200s is in use by %.200s", what, f->id);
}

/* What it waits for; guest_why says so. claim: the least that somebody before it waits for; INT64_MAX: nobody does. */
static enum guest_block look_at(struct guest *g, int64_t now, int64_t *claim, int64_t *next)
{
	const struct guest *other = guest_holder(g);
	bool is_patient = now - g->asked_mono_ms >= GUEST_KEEP_MS;
	if (other) {
		tell_holder(g, other);
		return GUEST_BLOCK_HOLD;
	}
	if (!slots_has_room(g->ticket, g->bytes, g->why, sizeof(g->why))) {
		if (is_patient)
			slots_keep(g->ticket, g->bytes);
		else
			fleet_earlier(next, g->asked_mono_ms + GUEST_KEEP_MS);
		return GUEST_BLOCK_SLOTS;
	}
	if (!g->bytes || (g->bytes < *claim && budget_admit_guest(g->in->fleet, g->bytes, is_patient, now)))
		return GUEST_BLOCK_NONE;
	*claim = g->bytes < *claim ? g->bytes : *claim;
	g->why[0] = '\0'; /* guest_why asks the budget: its numbers change, and few read them */
	if (!is_patient)
		fleet_earlier(next, g->asked_mono_ms + GUEST_KEEP_MS);
	return GUEST_BLOCK_MEMORY;
}

/* --- all of them --- */

static uint64_t version_of(const struct guests *guests)
{
	list_each (&guests->waiting, l) {
		const struct guest *g = list_of(l, struct guest, link);
		if (g->ticket)
			return slots_version(g->ticket);
	}
	return 0;
}

/* What the last look found still holds, as far as anybody knows. */
static bool is_quiet(struct guests *guests, int64_t now, int64_t *next)
{
	if (guests->is_dirty)
		return false;
	if (!guests->is_short && version_of(guests) == guests->version)
		return true;
	if (now - guests->looked_mono_ms >= LOOK_MS)
		return false;
	fleet_earlier(next, guests->looked_mono_ms + LOOK_MS);
	return true;
}

void guests_look(struct guests *guests, int64_t now, int64_t *next)
{
	const struct budget *b = &guests->fleet->budget;
	int64_t claim = INT64_MAX, held = b->held_bytes;
	if (!list_is_empty(&guests->waiting) && is_quiet(guests, now, next)) {
		if (guests->is_short)
			budget_hold_guest(guests->fleet, guests->held_bytes);
		list_each (&guests->waiting, l)
			note_wait(list_of(l, struct guest, link), now, next);
		return;
	}
	guests->is_dirty = !place_waiting(guests);
	if (guests->is_dirty)
		fleet_earlier(next, now + 1);
	guests->looked_mono_ms = now;
	put_in_order(guests, now);
	list_each (&guests->waiting, l) {
		struct guest *g = list_of(l, struct guest, link);
		if (g->is_unplaced)
			continue;
		if (is_hopeless(g)) {
			come_to(g, GUEST_REFUSED);
			continue;
		}
		g->block = look_at(g, now, &claim, next);
		if (g->block == GUEST_BLOCK_NONE)
			come_to(g, GUEST_PLACED);
		else
			note_wait(g, now, next);
	}
	guests->version = version_of(guests);
	guests->is_short = claim != INT64_MAX;
	guests->held_bytes = b->held_bytes - held;
}

void guests_tell(struct guests *guests)
{
	for (struct list *l; (l = list_first(&guests->news));) {
		struct guest *g = list_of(l, struct guest, in_news);
		struct err why = { 0 };
		list_remove(l);
		if (g->state == GUEST_REFUSED)
			err_set(&why, "%s", g->why);
		g->fn(g->data, g, g->state == GUEST_REFUSED ? &why : NULL);
	}
}
