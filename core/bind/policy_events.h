#ifndef DSS_BIND_POLICY_EVENTS_H
#define DSS_BIND_POLICY_EVENTS_H
#include <stdbool.h>
#include "bind/decide.h"
#include "fleet/fleet.h"
#include "sys/loop.h"
/*
 * policy_events: the words `on "EVENT"` of the set in force. Facts of those names are queued as they are noted and looked at in slices
 * from the loop, never inside of what told them. What an answer itself tells starts no further answers. An alert of an event is over
 * an hour after the last one.
 */
#define POLICY_EVENTS_MOST 10000 /* that wait; more are dropped, and that is an alert */

struct event_spec {
	char *name, *source; /* owned */
	bool is_simulated;
};

struct policy_events;

struct policy_events *policy_events_new(struct loop *loop, struct fleet *fleet, struct troubles *troubles); /* NULL: no memory */
void policy_events_free(struct policy_events **e);                                                          /* before the fleet */
/* As rule_runs_take. */
void policy_events_take(struct policy_events *e, struct vm *vm, struct event_spec *specs, size_t n);
void policy_events_observe(struct policy_events *e, bool is_observe);

#endif
