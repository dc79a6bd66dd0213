#ifndef DSS_FLEET_NOTEBOOK_ENDS_H
#define DSS_FLEET_NOTEBOOK_ENDS_H
#include "base/buf.h"
#include "base/err.h"
#include "fleet/store.h"
/*
 * notebook_ends: what the store tells of kernels of a notebook that have ended or were renamed: its facts notebook.ended, notebook.unloaded,
 * notebook.moved, read when somebody asks; so they are there for as long as facts are kept, whatever became of kernel, session and backend.
 */
#define NOTEBOOK_ENDS_MOST 200

struct notebook_ends_query { /* borrowed for the call */
	/* The notebook's path, with .ipynb or without, also an earlier one of a renamed notebook; or the id of a session, a kernel or a process;
	 * of the former two the beginning, of 4 characters or more. */
	const char *word;
	const char *login; /* facts that are this user's or everybody's; NULL = an admin: all */
	int limit;         /* 1 to NOTEBOOK_ENDS_MOST */
};

/* out: a JSON array of facts, newest first: {"at","what","subject","owner","detail":{…}}; borrowed for the call, NULL with why. */
typedef void notebook_ends_fn(void *data, const struct buf *out, const struct err *why);
/* -1: no memory, or the store takes nothing now; fn is not called. */
int notebook_ends_read(struct store *store, const struct notebook_ends_query *q, notebook_ends_fn *fn, void *data);

#endif
