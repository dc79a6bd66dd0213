#ifndef DSS_FLEET_NOTEBOOK_H
#define DSS_FLEET_NOTEBOOK_H
#include "base/err.h"
#include "fleet/store.h"
/* notebook: what the store keeps of kernels of notebooks: one row each, from before its process is boxed until it was shut down. */
struct notebook_row {                 /* borrowed */
	const char *kernel, *process; /* process: NOTEBOOK_ATTACHED: a server has it that we only attach to */
	const char *detail;           /* JSON, see node/node_notebook_row.c, node_notebook_lease.c */
};

#define NOTEBOOK_ATTACHED "attached"

/* Calls fn with every row of our own kernels, or of those that are not ours. Only before the loop runs. */
typedef void notebook_row_fn(void *data, const struct notebook_row *row);
int notebook_load(struct store *store, notebook_row_fn *fn, void *data, struct err *err);
int notebook_load_attached(struct store *store, notebook_row_fn *fn, void *data, struct err *err);
/* Copies the row. fn may be NULL. -1: the store takes nothing now; fn is not called. */
int notebook_save(struct store *store, const struct notebook_row *row, store_done_fn *fn, void *data);
int notebook_remove(struct store *store, const char *kernel, store_done_fn *fn, void *data);

#endif
