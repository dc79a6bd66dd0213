#ifndef DSS_NODE_NODE_JOB_ORDER_H
#define DSS_NODE_NODE_JOB_ORDER_H
#include "fleet/job.h"
#include "node/node_inner.h"
/* node_job_order: the orders to the keeper about an activity's process and its job's box. Inner to node_job. */

#define JOB_GRACE_MS 3000 /* a recipe's, from TERM to the end of its box */

/* The process of the activity; fn is told the keeper's answer. -1: err, fn is not called. */
int job_order_spawn(struct node *n, const struct job_activity *a, node_keeper_answer_fn *fn, void *data, struct err *err);
/* Above the activity: what all of the job may take together. The box has to be there. */
void job_order_limit(struct node *n, const struct job_activity *a);
/* The recipe's name for people: its own, else the activity's. */
const char *job_order_recipe(const struct job_activity *a);

#endif
