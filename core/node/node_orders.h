#ifndef DSS_NODE_NODE_ORDERS_H
#define DSS_NODE_NODE_ORDERS_H
#include "fleet/fleet.h"
#include "node/node_inner.h"
/* node_orders: the fleet's orders as messages to the keeper and requests to kernels. */
struct fleet_orders node_orders_for(struct node *n);
/* Stops a process that the fleet does not know. */
int node_orders_stop(struct node *n, const char *id, const char *cause, const char *text, int64_t grace_ms, struct err *err);
/* Asks what one kernel uses. */
void node_orders_usage(struct node *n, const char *id);
/* Stops a kernel that used more than its limit at a sample, where there are no cgroups that would. */
void node_orders_hold_to_limit(struct node *n, const char *id, int64_t memory_bytes);

#endif
