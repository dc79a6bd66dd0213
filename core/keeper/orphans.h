#ifndef DSS_KEEPER_ORPHANS_H
#define DSS_KEEPER_ORPHANS_H
#include "keeper/proc.h"
/*
 * orphans: processes of this instance that no box holds: without cgroups those that left their session, and whatever a dead
 * keeper left running. They are known by the marks DSS_INSTANCE and DSS_PROCESS in the environment they were born with.
 */

/* Kills the keeper's own adopted children that carry this process's mark; how many it found. */
int orphans_kill(struct procs *t, const char *id);
/* How many children the keeper has that it did not start itself; -1: not known. Reads one small file. */
int orphans_count(struct procs *t);
/* Ends what a dead keeper of this instance left (TERM, then KILL after grace_ms) and removes its boxes; says so in the log.
 * Blocks; called before the loop runs. How many processes it ended, -1 on failure. */
int orphans_clean(struct cgroup *cg, const char *instance, int grace_ms, struct err *err);

#endif
