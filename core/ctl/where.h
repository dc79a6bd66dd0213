#ifndef DSS_CTL_WHERE_H
#define DSS_CTL_WHERE_H
#include <stddef.h>
#include "ctl/opt.h"
#include "ctl/rest.h"
/* where: filters (docs/filters.md) on the lists of the API. The backend reads and applies them; here they are passed on, and the place of a
 * mistake is shown. */
enum {
	WHERE_MAX = 4096,                      /* characters of a filter */
	WHERE_PATH_ROOM = 3 * WHERE_MAX + 200, /* of a path with one */
};

/* GET path?where=FILTER. filter NULL: without. As rest_ask; a filter that is wrong is shown with a caret, CTL_USAGE; a backend that does not
 * know filters is refused, CTL_FAILED: its list would be that of everything. */
int where_ask(struct rest *rest, const char *path, const char *filter, struct rest_answer *out);
/* Words of the command line as one filter, with blanks between, into out. CTL_DONE, or CTL_USAGE after telling that it is too long. */
int where_join(const struct opt_words *words, char *out, size_t room);

#endif
