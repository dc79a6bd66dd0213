#ifndef DSS_FLEET_SLOTS_INNER_H
#define DSS_FLEET_SLOTS_INNER_H
#include "base/list.h"
#include "base/map.h"
#include "fleet/slots.h"
/* slots_inner: what slots.c (tickets, room) and slots_group.c (rules, keys, who shares places) share. Nobody else includes it. */

#define GROUP_KEY 200 /* bytes of a key that tell it from others */

struct rule {
	char *word, *name, *source, *each; /* each: NULL = not said */
	int64_t max, memory_bytes;
	struct list keys; /* struct slot_key.in_rule, oldest first */
};

/* The rules that are in force, or were: tickets outlive a change of policies by a moment. */
struct rules {
	int refs;
	struct slots *slots; /* NULL: not in force any more */
	size_t n;
	struct rule at[];
};

/* One rule's count for one key. Lives as long as a ticket has a place there. */
struct slot_key {
	struct list in_rule;
	struct rules *rules;
	struct rule *rule;
	int refs;
	int64_t used, memory_bytes;
	const struct slot_ticket *kept_for; /* NULL = for nobody */
	char key[];
};

struct place {
	struct slot_key *key;
	int64_t max; /* -1 = any number */
};

/* Tickets with the same places share one group, so that who is held back is known without looking at each. */
struct group {
	int refs;
	struct rules *rules;
	size_t n;
	struct place places[SLOTS_OF_TASK];
	char name[];
};

struct slot_ticket {
	struct group *group;
	bool has_entered, keeps;
	int64_t memory_bytes;
};

struct slots {
	struct rules *rules;
	struct map *keys;   /* "RULE:KEY" → struct slot_key */
	struct map *groups; /* its places as text → struct group */
	uint64_t version;
};

/* --- slots_group.c --- */
struct rules *slots_rules_new(struct slots *slots, const struct slot_rule *rules, size_t n);    /* NULL: no memory */
void slots_rules_release(struct rules *r);                                                      /* NULL is fine */
struct group *slots_group_take(struct slots *slots, const struct slot_place *places, size_t n); /* NULL: no memory */
void slots_group_release(struct group *g);

#endif
