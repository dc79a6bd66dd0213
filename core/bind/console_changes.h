#ifndef DSS_BIND_CONSOLE_CHANGES_H
#define DSS_BIND_CONSOLE_CHANGES_H
#include "bind/console.h"
/* console_changes: what was changed by hand since this backend's start: a ring of the newest, each told to the log and as a fact. Zeroed = empty. */
struct changes {
	struct console_change *ring; /* CONSOLE_CHANGES of them, NULL until the first */
	size_t first, n, forgotten;
};

void changes_note(struct changes *c, struct app *app, const char *who, const char *what, const char *subject, const char *before,
		  const char *after);
const struct console_change *changes_at(const struct changes *c, size_t i); /* 0 = the oldest */
void changes_fini(struct changes *c);

#endif
