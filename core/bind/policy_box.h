#ifndef DSS_BIND_POLICY_BOX_H
#define DSS_BIND_POLICY_BOX_H
#include "bind/decide.h"
#include "fleet/guest.h"
/* policy_box: what the set in force says of where a process is put (place) and of what limits each level (box with `at`). */
struct policy_box { /* all borrowed */
	struct vm *vm;
	struct fleet *fleet;
	struct troubles *troubles;
};

/* As guest_box_find; 1: it could not be asked. What a word `place` said is noted in the ledger, and one that could not be followed is told. */
int policy_box_find(const struct policy_box *b, const struct guest_facts *g, const char *at, struct guest_boxes *out,
		    struct err *err);

#endif
