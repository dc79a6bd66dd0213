#ifndef DSS_FLEET_FLEET_VERBS_H
#define DSS_FLEET_FLEET_VERBS_H
#include "base/err.h"
#include "fleet/fleet.h"
/*
 * fleet_verbs: what a policy may order. Subjects are named by id: between a decision and its act they may have gone. Each returns 0, or -1 with
 * the reason why there was nothing to do. why: who decides and why, as the owner of a task reads it.
 */
/* What `why` begins with where a rule decided: the keeper keeps it, so that the next backend, too, can tell that from a kernel that was ended
 * for breaking the protocol. */
#define FLEET_BY_RULE "rule "

/* An idle or starting kernel goes now, a busy one after its task. */
int fleet_order_retire(struct fleet *fleet, const char *kernel, const char *why, struct err *err);
/* It goes where nobody misses it: it is idle, waits for no task, and its pool would start no other in its place. */
int fleet_order_free(struct fleet *fleet, const char *kernel, const char *why, struct err *err);
/* It goes now; a task on it ends as killed, cause policy. */
int fleet_order_kill(struct fleet *fleet, const char *kernel, const char *why, struct err *err);
/* A waiting task ends, one at work is asked to stop and ends with its kernel after the grace: aborted, cause policy. */
int fleet_order_abort(struct fleet *fleet, const char *task, const char *why, struct err *err);

/* fleet_abort with any cause of an end. */
enum fleet_answer fleet_abort_as(struct fleet *fleet, const char *task, const char *cause, const char *by, struct err *err);

#endif
