#ifndef DSS_FLEET_SLOTS_H
#define DSS_FLEET_SLOTS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
/*
 * slots: how many tasks, and how much memory, may be at work at once for one user, project, tag or other key. A policy word `slots` (or `box`,
 * for kernels that are never moved into it) makes a rule; the policy says at submit which rules a task falls under and with which
 * key; from then on the core counts, and a task starts only when all its rules have room.
 */
struct slots;

#define SLOTS_OF_TASK 16 /* rules that one task can fall under */

struct slot_rule {            /* as the policy set says; all borrowed during slots_set */
	const char *word;     /* slots | box */
	const char *name;     /* "jobs of a project" */
	const char *source;   /* file:line */
	const char *each;     /* what the keys are, for texts: "project"; NULL or "" = not said */
	int64_t max;          /* tasks at work for each key; -1 = any number */
	int64_t memory_bytes; /* sum of their kernels' limits for each key; 0 = any */
};

struct slot_place {      /* one rule that a task falls under */
	int rule;        /* index in the set */
	const char *key; /* "alice"; "" = one for all */
	int64_t max;     /* >= 0: instead of the rule's (a function said so); -1 = the rule's */
};

struct slots *slots_new(void);
void slots_free(struct slots **slots);
/* A new set of rules: all counts begin at 0 and all places are void (a ticket of before has room, and counts nowhere); the caller
 * places every open task again. -1: the old set stays. */
int slots_set(struct slots *slots, const struct slot_rule *rules, size_t n, struct err *err);
size_t slots_count(const struct slots *slots);

/* The places of one task, owned by it. A place that no rule has is left out. */
struct slot_ticket;
struct slot_ticket *slots_ticket(struct slots *slots, const struct slot_place *places, size_t n); /* NULL: no memory */
void slots_ticket_free(struct slot_ticket **ticket);                                              /* leaves first */
/* The same for all tickets with the same places: what holds back one of them holds back the others of its size. NULL: a NULL ticket. */
const void *slots_signature(const struct slot_ticket *ticket);
/* Is there room for one of that size at all its places? false: why says which rule, the key, how many of how many. A NULL ticket has room. */
bool slots_has_room(const struct slot_ticket *ticket, int64_t memory_bytes, char *why, size_t room);
/* One of that size will never have room, even when nothing is at work: why says by which rule. */
bool slots_is_hopeless(const struct slot_ticket *ticket, int64_t memory_bytes, char *why, size_t room);
/* Keeps its places free for it where memory is short: nobody else starts there before it did, so that small ones do not pass a large one for
 * ever. Ends when it enters or is freed. */
void slots_keep(struct slot_ticket *ticket, int64_t memory_bytes);
void slots_enter(struct slot_ticket *ticket, int64_t memory_bytes); /* counts it as at work; once */
void slots_leave(struct slot_ticket *ticket);                       /* fine when it has not entered */
/* Counts up whenever room may have come: what was held back is worth another look. 0: a NULL ticket. */
uint64_t slots_version(const struct slot_ticket *ticket);
/* [{"name","word","source","each","max","memoryMaxBytes","keys":[{"key","used","memoryBytes"}]}]; max null = any number; a key is there
 * while a task that waits or works falls under it. */
int slots_json(const struct slots *slots, struct buf *out);

#endif
