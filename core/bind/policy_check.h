#ifndef DSS_BIND_POLICY_CHECK_H
#define DSS_BIND_POLICY_CHECK_H
#include <stdbool.h>
/* policy_check: `dssd check`: a set of policies, a JSON list of {"name","text"} on standard input, evaluated as the instance in dir would;
 * nothing is taken, no backend is needed. */

/* Mistakes go to standard error, one a line, with file and line; with as_json to standard output as {"ok","errors"}. 0 = good, 1 = not. */
int policy_check_input(const char *dir, bool is_quiet, bool as_json);

#endif
