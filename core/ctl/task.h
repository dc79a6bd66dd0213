#ifndef DSS_CTL_TASK_H
#define DSS_CTL_TASK_H
#include <stdint.h>
#include "ctl/ctl.h"
#include "ctl/rest.h"
/* task: waiting for a task and telling what became of it. */

/* Follows the task, with a progress line where standard error is a terminal; then prints its result to standard output, or why
 * there is none to standard error. most_ms: < 0 = for ever. Ctrl-C stops the waiting only. Returns the exit code. */
int task_wait(struct ctl *ctl, struct rest *rest, const char *id, int64_t most_ms);

/* The task's path in the API with a query ("?peek=True" or ""). CTL_DONE, or CTL_USAGE after telling that id is none. */
int task_path(const char *id, const char *query, char *out, size_t room);
/* Of an answer with status 422: tells why it ended without a result, on standard error. The exit code. */
int task_tell_end(struct ctl *ctl, const struct rest_answer *a);

/* One line about how it goes, on standard error where that is a terminal. */
struct task_line {
	bool is_shown, is_terminal;
};
void task_line_show(struct task_line *l, const json_t *state);
void task_line_clear(struct task_line *l);

#endif
