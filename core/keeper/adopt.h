#ifndef DSS_KEEPER_ADOPT_H
#define DSS_KEEPER_ADOPT_H
#include "keeper/proc.h"
/*
 * adopt: puts a process that a service started (a notebook kernel of the Jupyter server) into a box of its own and into the
 * table. Its end is seen by its pidfd; when it is not our child its exit status is its parent's, and the cause is judged by the
 * counters and our own record alone.
 */
/* A `box` order: id, pid, box, kind, limits, label. The process must live in one of this instance's boxes already (its pid is
 * checked against the members of core/), 0 or -1. */
/* Whether p came to be so: nobody of ours is its parent, its end shows at its pidfd. */
bool adopt_is(const struct proc *p);
/* Watches that end; for adopt.c itself and after an exec in place. */
void adopt_watch(struct proc *p);
int adopt_process(struct procs *t, const struct wire_view *msg, struct err *err);
#endif
