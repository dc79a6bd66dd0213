#ifndef DSS_NODE_NODE_JOB_ORDER_H
#define DSS_NODE_NODE_JOB_ORDER_H
#include "fleet/guest.h"
#include "fleet/job.h"
#include "node/node_inner.h"
/* node_job_order: the order to the keeper about an activity's process. Inner to node_job. */

#define JOB_GRACE_MS 3000 /* a recipe's, from TERM to the end of its box */

/* What policies see of it; borrows from the activity. */
struct guest_facts job_order_facts(const struct node *n, const struct job_activity *a);
/* The process of the activity; fn is told the keeper's answer. -1: err, fn is not called. */
int job_order_spawn(struct node *n, const struct job_activity *a, node_keeper_answer_fn *fn, void *data, struct err *err);
/* The recipe's name for people: its own, else the activity's. */
const char *job_order_recipe(const struct job_activity *a);

#endif
