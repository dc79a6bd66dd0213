#ifndef DSS_KEEPER_READY_H
#define DSS_KEEPER_READY_H
#include "keeper/proc.h"
/*
 * ready: started is not ready. A process is ready by its rule: exec succeeded; a newline on DSS_READY_FD; READY=1 on
 * NOTIFY_SOCKET from its main process; its port or Unix socket accepts; its port answers an HTTP GET with 2xx; or somebody tells.
 */

/* One abstract datagram socket for all; also proves that no other keeper runs this instance: -1 with EADDRINUSE. An fd that
 * an exec in place has kept (t->notify_fd >= 0) is used again. */
int ready_open_notify(struct procs *t, struct err *err);
void ready_name_notify(const char *instance, char *out, size_t room); /* "@dss-ID-notify" */
/* Begins to watch a process that is `up`. */
void ready_watch(struct proc *p);
/* Time for the next probe of a port. */
void ready_probe(struct proc *p);
/* Nothing more to watch for: ready, or ending. */
void ready_end(struct proc *p);

#endif
