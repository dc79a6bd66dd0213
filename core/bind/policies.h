#ifndef DSS_BIND_POLICIES_H
#define DSS_BIND_POLICIES_H
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/err.h"
#include "fleet/pool.h"
/*
 * policies: the files of DIR/policies as one set: evaluated all or nothing in a state of their own. The last good set is kept in
 * DIR/db/policies.last, so that a backend that crashes on a new one can fall back (DSS_SAFE=1).
 */
struct policies {
	struct pool_spec **specs; /* owned array; node_set_pools takes the elements: policies_forget */
	size_t n;
	struct buf text; /* for policies_save */
	struct vm *vm;   /* owned; holds the functions of the set: policies_live_take takes it */
};

/* run_user: "" = one-user mode. from_last: read db/policies.last instead of policies/. -1: errors holds all of them, one a line, each
 * with file and line; out is empty. */
int policies_load(const char *dir, const char *share, const char *run_user, bool from_last, struct policies *out,
		  struct buf *errors);
int policies_save(const char *dir, const struct policies *p, struct err *err);
/* The elements were taken by another. */
void policies_forget(struct policies *p);
void policies_fini(struct policies *p);

#endif
