#ifndef DSS_CTL_CHILD_H
#define DSS_CTL_CHILD_H
#include <sys/types.h>
#include "base/err.h"
/* child: programs that a command runs: by argv, never through a shell. */

/* Runs argv (argv[0] absolute) with our standard streams and environment until it ends. Its exit status, 128 + the signal
 * that ended it, or -1: it could not be started. */
int child_run(char *const *argv, struct err *err);

/* The same as that user, where we are root and it is another. */
int child_run_as(char *const *argv, uid_t uid, gid_t gid, struct err *err);

/* Starts argv as a daemon: a session of its own, no terminal, working directory "/"; not our child any more. Its standard
 * output and error go to a pipe: *out_fd (owned by the caller, non-blocking) reads it. 0, or -1: it was not executed. */
int child_detach(char *const *argv, int *out_fd, pid_t *daemon_pid, struct err *err);

#endif
