#ifndef DSS_SYS_SPAWN_CHILD_H
#define DSS_SYS_SPAWN_CHILD_H
#include "sys/spawn.h"
/*
 * spawn_child: what a newborn does between birth and exec. Only async-signal-safe calls, no memory is asked for, and
 * nothing of libc that keeps state: the child may still share its parent's memory (CLONE_VM) while the parent stands.
 * Not for others than spawn.c.
 */
struct spawn_child {
	const struct spawn *spec;
	volatile struct spawn_failure *failure; /* shared with the parent under CLONE_VM, else the child's own copy */
	int status_fd;                          /* where a failure is written to as well, or -1 */
	int first_free_fd;                      /* above 2 and every fds[].to */
	bool joins_into_fd;                     /* into_fd was not honoured at birth: join through its cgroup.procs */
};

/* Takes the child to exec, or ends it with status 127 after telling which step failed. All signals are blocked. */
_Noreturn void spawn_child_run(void *spawn_child);

#endif
