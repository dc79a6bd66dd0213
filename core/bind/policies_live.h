#ifndef DSS_BIND_POLICIES_LIVE_H
#define DSS_BIND_POLICIES_LIVE_H
#include "bind/vm.h"
#include "fleet/fleet.h"
#include "sys/loop.h"
/*
 * policies_live: the functions of the set in force. Those of a pool's numbers are asked when something of the fleet changed, at most once
 * a second; once a minute beside that while one of them has read the clock or an age; else never. recycle is asked of a kernel after
 * each task, and with the numbers of all that are idle. Each pool's call is one protected call with a time budget of its own.
 */
struct policies_live;

/* Puts itself into the fleet as its fleet_policy. NULL: no memory. */
struct policies_live *policies_live_new(struct loop *loop, struct fleet *fleet);
void policies_live_free(struct policies_live **live); /* before the fleet is freed */
/* Takes the vm of a set that is in force from now on (*vm is NULL then), frees the one before, and asks at once. */
void policies_live_take(struct policies_live *live, struct vm **vm);

#endif
