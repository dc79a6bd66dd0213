/* slots_group: the rules in force, the count for each key, and the tickets that share their places. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "fleet/slots_inner.h"

#define NAME_MOST ((size_t)4096) /* of a group's own text: keys are short, see GROUP_KEY */

/* --- rules --- */

void slots_rules_release(struct rules *r)
{
	if (!r || --r->refs > 0)
		return;
	for (size_t i = 0; i < r->n; i++) {
		free(r->at[i].word);
		free(r->at[i].name);
		free(r->at[i].source);
		free(r->at[i].each);
	}
	free(r);
}

static bool copy_rule(struct rule *to, const struct slot_rule *from)
{
	list_init(&to->keys);
	to->word = strdup(from->word ? from->word : "slots");
	to->name = strdup(from->name ? from->name : "");
	to->source = strdup(from->source ? from->source : "?");
	bool is_said = from->each && from->each[0];
	to->each = is_said ? strdup(from->each) : NULL;
	to->max = from->max < 0 ? -1 : from->max;
	to->memory_bytes = from->memory_bytes > 0 ? from->memory_bytes : 0;
	return to->word && to->name && to->source && (to->each || !is_said);
}

struct rules *slots_rules_new(struct slots *slots, const struct slot_rule *rules, size_t n)
{
	struct rules *r = calloc(1, sizeof(*r) + n * sizeof(r->at[0]));
	bool is_fine = r;
	if (!r)
		return NULL;
	r->refs = 1;
	r->slots = slots;
	for (; is_fine && r->n < n; r->n++)
		is_fine = copy_rule(&r->at[r->n], &rules[r->n]);
	if (!is_fine)
		slots_rules_release(r);
	return is_fine ? r : NULL;
}

/* --- keys and groups --- */

static void key_name(const struct rules *rules, const struct rule *rule, const char *key, char *out, size_t room)
{
	snprintf(out, room, "%zu:%.*s", (size_t)(rule - rules->at), GROUP_KEY, key);
}

static void release_key(struct slot_key *k)
{
	char name[GROUP_KEY + 32];
	if (--k->refs > 0)
		return;
	key_name(k->rules, k->rule, k->key, name, sizeof(name));
	if (k->rules->slots)
		map_remove(k->rules->slots->keys, name);
	list_remove(&k->in_rule);
	slots_rules_release(k->rules);
	free(k);
}

static struct slot_key *take_key(struct slots *slots, struct rule *rule, const char *key)
{
	char name[GROUP_KEY + 32];
	key_name(slots->rules, rule, key, name, sizeof(name));
	struct slot_key *k = map_get(slots->keys, name);
	if (k) {
		k->refs++;
		return k;
	}
	size_t len = strnlen(key, GROUP_KEY);
	k = calloc(1, sizeof(*k) + len + 1);
	if (!k || map_set(slots->keys, name, k) < 0) {
		free(k);
		return NULL;
	}
	memcpy(k->key, key, len);
	k->refs = 1;
	k->rule = rule;
	k->rules = slots->rules;
	k->rules->refs++;
	list_push(&rule->keys, &k->in_rule);
	return k;
}

void slots_group_release(struct group *g)
{
	if (--g->refs > 0)
		return;
	if (g->rules->slots)
		map_remove(g->rules->slots->groups, g->name);
	for (size_t i = 0; i < g->n; i++)
		release_key(g->places[i].key);
	slots_rules_release(g->rules);
	free(g);
}

static bool has_place(const struct group *g, const struct slot_key *key)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->places[i].key == key)
			return true;
	return false;
}

static struct group *new_group(struct slots *slots, const char *name, const struct slot_place *places, size_t n)
{
	struct group *g = calloc(1, sizeof(*g) + strlen(name) + 1);
	if (!g)
		return NULL;
	memcpy(g->name, name, strlen(name) + 1);
	g->refs = 1;
	g->rules = slots->rules;
	g->rules->refs++;
	for (size_t i = 0; i < n && g->n < SLOTS_OF_TASK; i++) {
		if (places[i].rule < 0 || (size_t)places[i].rule >= g->rules->n)
			continue;
		struct rule *rule = &g->rules->at[places[i].rule];
		struct slot_key *key = take_key(slots, rule, places[i].key ? places[i].key : "");
		if (key && has_place(g, key))
			release_key(key);
		else if (key)
			g->places[g->n++] = (struct place){ key, places[i].max >= 0 ? places[i].max : rule->max };
		else
			goto out;
	}
	if (map_set(slots->groups, name, g) == 0)
		return g;
out:
	g->name[0] = 0; /* it is not in the map: no other's entry goes with it */
	slots_group_release(g);
	return NULL;
}

struct group *slots_group_take(struct slots *slots, const struct slot_place *places, size_t n)
{
	struct buf name;
	struct group *g = NULL;
	buf_init(&name, SLOTS_OF_TASK * NAME_MOST);
	buf_puts(&name, "|");
	for (size_t i = 0; i < n && i < SLOTS_OF_TASK; i++) {
		const char *key = places[i].key ? places[i].key : "";
		/* With its length, so that no key can be written that reads as two. */
		buf_printf(&name, "%d:%lld:%zu:%.*s|", places[i].rule, (long long)places[i].max, strnlen(key, GROUP_KEY), GROUP_KEY,
			   key);
	}
	if (!name.failed) {
		g = map_get(slots->groups, name.data);
		if (g)
			g->refs++;
		else
			g = new_group(slots, name.data, places, n);
	}
	buf_fini(&name);
	return g;
}
