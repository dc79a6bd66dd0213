#include "fleet/slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fleet/jtext.h"
#include "fleet/slots_inner.h"

struct slots *slots_new(void)
{
	struct slots *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->version = 1;
	s->rules = slots_rules_new(s, NULL, 0);
	s->keys = map_new();
	s->groups = map_new();
	if (!s->rules || !s->keys || !s->groups)
		slots_free(&s);
	return s;
}

void slots_free(struct slots **slots)
{
	struct slots *s = *slots;
	if (!s)
		return;
	if (s->rules)
		s->rules->slots = NULL;
	slots_rules_release(s->rules);
	map_free(&s->keys);
	map_free(&s->groups);
	free(s);
	*slots = NULL;
}

int slots_set(struct slots *slots, const struct slot_rule *rules, size_t n, struct err *err)
{
	struct rules *fresh = slots_rules_new(slots, rules, n);
	struct map *keys = map_new(), *groups = map_new();
	if (!fresh || !keys || !groups) {
		slots_rules_release(fresh);
		map_free(&keys);
		map_free(&groups);
		return err_set(err, "unable to take the rules of slots: no memory");
	}
	slots->rules->slots = NULL;
	slots_rules_release(slots->rules);
	map_free(&slots->keys);
	map_free(&slots->groups);
	slots->rules = fresh;
	slots->keys = keys;
	slots->groups = groups;
	slots->version++;
	return 0;
}

size_t slots_count(const struct slots *slots)
{
	return slots->rules->n;
}

/* --- tickets --- */

struct slot_ticket *slots_ticket(struct slots *slots, const struct slot_place *places, size_t n)
{
	struct slot_ticket *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->group = slots_group_take(slots, places, n);
	if (!t->group) {
		free(t);
		return NULL;
	}
	return t;
}

static void touch(const struct slot_ticket *t)
{
	if (t->group->rules->slots)
		t->group->rules->slots->version++;
}

static void stop_keeping(struct slot_ticket *t)
{
	if (!t->keeps)
		return;
	for (size_t i = 0; i < t->group->n; i++)
		if (t->group->places[i].key->kept_for == t)
			t->group->places[i].key->kept_for = NULL;
	t->keeps = false;
	touch(t);
}

void slots_ticket_free(struct slot_ticket **ticket)
{
	struct slot_ticket *t = *ticket;
	if (!t)
		return;
	slots_leave(t);
	stop_keeping(t);
	slots_group_release(t->group);
	free(t);
	*ticket = NULL;
}

const void *slots_signature(const struct slot_ticket *ticket)
{
	return ticket ? ticket->group : NULL;
}

uint64_t slots_version(const struct slot_ticket *ticket)
{
	return ticket && ticket->group->rules->slots ? ticket->group->rules->slots->version : 0;
}

/* --- room --- */

/* `project SALES`, `"nightly"`; "" for the one key of all */
static const char *whose(const struct slot_key *k, char *out, size_t room)
{
	if (!k->key[0])
		snprintf(out, room, "%s", "");
	else if (k->rule->each)
		snprintf(out, room, "%s %s", k->rule->each, k->key);
	else
		snprintf(out, room, "\"%s\"", k->key);
	return out;
}

static bool is_full(const struct place *p)
{
	return p->max >= 0 && p->key->used >= p->max;
}

static bool is_short(const struct place *p, int64_t memory_bytes)
{
	int64_t most = p->key->rule->memory_bytes;
	return most && (memory_bytes > most || p->key->memory_bytes > most - memory_bytes);
}

static bool is_kept(const struct place *p, const struct slot_ticket *t)
{
	return p->key->kept_for && p->key->kept_for != t;
}

static void tell_full(const struct place *p, char *why, size_t room)
{
	const struct rule *r = p->key->rule;
	char who[GROUP_KEY + 64];
	whose(p->key, who, sizeof(who));
	snprintf(why, room, "%s \"%s\" (%s): %lld of %lld%s%s are at work", r->word, r->name, r->source, (long long)p->key->used,
		 (long long)p->max, who[0] ? " of " : "", who);
}

static void tell_short(const struct place *p, int64_t memory_bytes, char *why, size_t room)
{
	const struct rule *r = p->key->rule;
	char who[GROUP_KEY + 64], used[32], most[32], size[32];
	whose(p->key, who, sizeof(who));
	snprintf(why, room, "%s \"%s\" (%s): %s of %s%s%s are in use, this one needs %s", r->word, r->name, r->source,
		 text_print_size(p->key->memory_bytes, used, sizeof(used)), text_print_size(r->memory_bytes, most, sizeof(most)),
		 who[0] ? " of " : "", who, text_print_size(memory_bytes, size, sizeof(size)));
}

static void tell_kept(const struct place *p, char *why, size_t room)
{
	const struct rule *r = p->key->rule;
	snprintf(why, room, "%s \"%s\" (%s): memory is being kept free for a larger one that came before", r->word, r->name,
		 r->source);
}

bool slots_has_room(const struct slot_ticket *t, int64_t memory_bytes, char *why, size_t room)
{
	if (room)
		why[0] = 0;
	for (size_t i = 0; t && t->group->rules->slots && i < t->group->n; i++) {
		const struct place *p = &t->group->places[i];
		if (!is_full(p) && !is_short(p, memory_bytes) && !is_kept(p, t))
			continue;
		if (room && is_full(p))
			tell_full(p, why, room);
		else if (room && is_short(p, memory_bytes))
			tell_short(p, memory_bytes, why, room);
		else if (room)
			tell_kept(p, why, room);
		return false;
	}
	return true;
}

bool slots_is_hopeless(const struct slot_ticket *t, int64_t memory_bytes, char *why, size_t room)
{
	char size[32], most_text[32], who[GROUP_KEY + 64];
	for (size_t i = 0; t && t->group->rules->slots && i < t->group->n; i++) {
		const struct slot_key *k = t->group->places[i].key;
		const struct rule *r = k->rule;
		if (!r->memory_bytes || memory_bytes <= r->memory_bytes)
			continue;
		whose(k, who, sizeof(who));
		snprintf(why, room, "limits.memory of %s is over %s, which is all that %s \"%s\" (%s) has%s%s",
			 text_print_size(memory_bytes, size, sizeof(size)),
			 text_print_size(r->memory_bytes, most_text, sizeof(most_text)), r->word, r->name, r->source,
			 who[0] ? " for " : "", who);
		return true;
	}
	return false;
}

void slots_keep(struct slot_ticket *t, int64_t memory_bytes)
{
	char why[8];
	if (!t || t->keeps || slots_is_hopeless(t, memory_bytes, why, sizeof(why)))
		return;
	/* Two that keep what the other one needs too would wait for each other for ever: who comes second keeps nothing. */
	for (size_t i = 0; i < t->group->n; i++)
		if (is_kept(&t->group->places[i], t))
			return;
	for (size_t i = 0; i < t->group->n; i++) {
		struct slot_key *k = t->group->places[i].key;
		if (is_short(&t->group->places[i], memory_bytes) && !k->kept_for) {
			k->kept_for = t;
			t->keeps = true;
		}
	}
}

void slots_enter(struct slot_ticket *t, int64_t memory_bytes)
{
	if (!t || t->has_entered)
		return;
	stop_keeping(t);
	t->has_entered = true;
	t->memory_bytes = memory_bytes > 0 ? memory_bytes : 0;
	for (size_t i = 0; i < t->group->n; i++) {
		t->group->places[i].key->used++;
		t->group->places[i].key->memory_bytes += t->memory_bytes;
	}
}

void slots_leave(struct slot_ticket *t)
{
	if (!t || !t->has_entered)
		return;
	t->has_entered = false;
	for (size_t i = 0; i < t->group->n; i++) {
		t->group->places[i].key->used--;
		t->group->places[i].key->memory_bytes -= t->memory_bytes;
	}
	touch(t);
}

/* --- what people see --- */

static void put_max(struct buf *out, int64_t max)
{
	if (max >= 0)
		jtext_int(out, "max", max);
	else
		jtext_raw(out, "max", "null", 4);
}

int slots_json(const struct slots *slots, struct buf *out)
{
	buf_putc(out, '[');
	for (size_t i = 0; i < slots->rules->n; i++) {
		const struct rule *r = &slots->rules->at[i];
		jtext_next(out);
		buf_putc(out, '{');
		jtext_text(out, "name", r->name);
		jtext_text(out, "word", r->word);
		jtext_text(out, "source", r->source);
		jtext_some_text(out, "each", r->each);
		put_max(out, r->max);
		jtext_some_int(out, "memoryMaxBytes", r->memory_bytes ? r->memory_bytes : -1);
		jtext_member(out, "keys");
		buf_putc(out, '[');
		list_each (&r->keys, l) {
			const struct slot_key *k = list_of(l, struct slot_key, in_rule);
			jtext_next(out);
			buf_putc(out, '{');
			jtext_text(out, "key", k->key);
			jtext_int(out, "used", k->used);
			jtext_int(out, "memoryBytes", k->memory_bytes);
			buf_putc(out, '}');
		}
		buf_puts(out, "]}");
	}
	buf_putc(out, ']');
	return out->failed ? -1 : 0;
}
