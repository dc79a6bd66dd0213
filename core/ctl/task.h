#ifndef DSS_CTL_TASK_H
#define DSS_CTL_TASK_H
#include <stdint.h>
#include "ctl/ctl.h"
#include "ctl/rest.h"
/* task: waiting for a task and telling what became of it. */

/* Follows the task, with a progress line where standard error is a terminal; then prints its result to standard output, or why
 * there is none to standard error. most_ms: < 0 = for ever. Ctrl-C stops the waiting only. Returns the exit code. */
int task_wait(struct ctl *ctl, struct rest *rest, const char *id, int64_t most_ms);

#endif
