#ifndef DSS_CTL_FOLLOW_H
#define DSS_CTL_FOLLOW_H
#include <stdbool.h>
#include "ctl/rest.h"
/* follow: a command that goes on until Ctrl-C or TERM, and a log of the API that is printed as it grows. */

/* From now on both signals end what follows, and the requests of rest within a second. */
void follow_begin(struct rest *rest);
bool follow_is_over(void); /* one of them came */

/* Prints the log at `path` from its beginning; with is_following on, until it is whole or follow_is_over. CTL_DONE, CTL_INTERRUPTED, or an
 * exit code after telling why. */
int follow_log(struct rest *rest, const char *path, bool is_following);

#endif
