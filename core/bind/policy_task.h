#ifndef DSS_BIND_POLICY_TASK_H
#define DSS_BIND_POLICY_TASK_H
#include <stdbool.h>
#include <stddef.h>
#include "bind/decide.h"
#include "bind/policy_words.h"
#include "fleet/fleet.h"
#include "fleet/guest.h"
/*
 * policy_task: what the set in force says of one task, or of one guest (fleet/guest.h): what it counts for while it is at work (slots, box), and
 * who beside its owner may see or abort a task (access). Each answer is noted in the ledger.
 */
struct policy_task { /* all borrowed */
	struct vm *vm;
	struct fleet *fleet;
	struct troubles *troubles;
	const struct policy_words *words;
	const struct future *f;
	const struct guest_facts *g; /* instead of f */
};

/* Where the keys of a task's places stand. */
struct policy_task_room {
	char keys[SLOTS_OF_TASK][208];
};

/* Pushes a table of what a guest has when it asks: kind id user project job activity recipe recipe_type webapp tags resources memory priority. */
void policy_task_push_guest(lua_State *L, const struct guest_facts *g);
/* Its places into `out`, SLOTS_OF_TASK at most; how many. Their keys are good until the room is used again. A function that fails frees the
 * task of its limit alone. */
size_t policy_task_place(const struct policy_task *t, struct policy_task_room *room, struct slot_place *out);
/* As policies_live_may. */
bool policy_task_may(const struct policy_task *t, const char *login, const char *verb);

#endif
