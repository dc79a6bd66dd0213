#ifndef DSS_FLEET_WEBAPP_H
#define DSS_FLEET_WEBAPP_H
#include <stdbool.h>
#include "base/err.h"
#include "fleet/store.h"
/* webapp: what the store keeps of webapps: one row each, from the first time that somebody wanted it to run or to stop. */
struct webapp_row {                                   /* borrowed */
	const char *project, *name, *state, *process; /* process "": has none */
	bool is_wanted;
	int port;           /* 0 = none */
	const char *detail; /* JSON: what its owner reads, see node/node_webapp.c */
};

/* Calls fn with every row. Only before the loop runs. */
typedef void webapp_row_fn(void *data, const struct webapp_row *row);
int webapp_load(struct store *store, webapp_row_fn *fn, void *data, struct err *err);
/* Copies the row. fn may be NULL. -1: the store takes nothing now; fn is not called. */
int webapp_save(struct store *store, const struct webapp_row *row, store_done_fn *fn, void *data);

#endif
