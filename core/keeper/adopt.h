#ifndef DSS_KEEPER_ADOPT_H
#define DSS_KEEPER_ADOPT_H
#include "keeper/proc.h"
/*
 * adopt: puts a process that a service started (a notebook kernel of the Jupyter server) into a box of its own and into the
 * table. Its end is seen by its pidfd; when it is not our child its exit status is its parent's, and the cause is judged by the
 * counters and our own record alone.
 */
/* Whether p came to be so: nobody of ours is its parent, its end shows at its pidfd. */
bool adopt_is(const struct proc *p);
/* Watches that end; for adopt.c itself and after an exec in place. */
void adopt_watch(struct proc *p);
/* A `box` order: id, pid, box, kind, limits, label. The process must live in the box of a service already, not in that of keeper, logger or
 * backend, and run as a user that orders may name. 0 or -1. */
int adopt_process(struct procs *t, const struct wire_view *msg, struct err *err);
#endif
