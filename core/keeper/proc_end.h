#ifndef DSS_KEEPER_PROC_END_H
#define DSS_KEEPER_PROC_END_H
#include "keeper/proc.h"
/*
 * proc_end: from the exit of a process to the end of its entry: counters are read, the cause is judged and told, the rest of its
 * box is killed, its output drained, its box removed. The parts of proc.c's table behind `exit`.
 */

/* Action of `exit`: judges, tells `exited`, begins to settle. */
void proc_judge(struct proc *p);
/* One more look at the box of an ended process; may free p. */
void proc_settle(struct proc *p);
/* The logger has written everything (an output_drained_fn); may free p. */
void proc_drained(void *p);
/* Frees the entry. */
void proc_forget(struct proc *p);

/* Lent by proc.c. */
void proc_kill_box(struct proc *p);
void proc_tell(struct proc *p, const char *what);

#endif
