#ifndef DSS_NODE_NODE_TAKEUP_H
#define DSS_NODE_NODE_TAKEUP_H
#include "node/node_inner.h"
/*
 * node_takeup: what the keeper tells: the list at the start, joined with the store, and events ever after. Events that come before
 * the join wait for it.
 */
/* Asks for the list, once welcome came and the pools are known; calls fleet_taken_up and fleet_start when it is through. */
void node_takeup_begin(struct node *n);
void node_takeup_event(void *node, int64_t seq, const struct wire_view *msg);
void node_takeup_free(struct node *n);
/* Whose process that is: others do not read of it. NULL: it is nobody's. Borrowed. */
const char *node_takeup_owner(struct node *n, const char *process);

#endif
