#ifndef DSS_BIND_POLICY_TASK_H
#define DSS_BIND_POLICY_TASK_H
#include <stdbool.h>
#include <stddef.h>
#include "bind/decide.h"
#include "bind/policy_words.h"
#include "fleet/fleet.h"
/*
 * policy_task: what the set in force says of one task: what it counts for while it is at work (slots, box), and who beside its owner may
 * see or abort it (access). Each answer is noted in the ledger.
 */
struct policy_task { /* all borrowed */
	struct vm *vm;
	struct fleet *fleet;
	struct troubles *troubles;
	const struct policy_words *words;
	const struct future *f;
};

/* Where the keys of a task's places stand. */
struct policy_task_room {
	char keys[SLOTS_OF_TASK][208];
};

/* Its places into `out`, SLOTS_OF_TASK at most; how many. Their keys are good until the room is used again. A function that fails frees the
 * task of its limit alone. */
size_t policy_task_place(const struct policy_task *t, struct policy_task_room *room, struct slot_place *out);
/* As policies_live_may. */
bool policy_task_may(const struct policy_task *t, const char *login, const char *verb);

#endif
