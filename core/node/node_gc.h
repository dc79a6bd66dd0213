#ifndef DSS_NODE_NODE_GC_H
#define DSS_NODE_NODE_GC_H
#include "node/node_talk.h"
/*
 * node_gc: JVMs that only collect garbage. Such a one seems frozen: it neither ends nor gets anywhere, and no memory limit is hit.
 * While one has a task its /health is asked every 5 s; where `gcFraction` (of the last ten seconds) is 0.98 or more in all answers
 * of 10 s, it is stopped with the cause oom_heap. 0.98 is the JVM's own GCTimeLimit, which its serial collector does not heed.
 * One timer for all; it runs only while a JVM has a task.
 */
void node_gc_begin(struct talk *t); /* a task begins on t; nothing for other kernels than JVMs */
void node_gc_look(void *kernels);   /* struct node_kernels; the timer's callback */

#endif
