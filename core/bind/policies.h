#ifndef DSS_BIND_POLICIES_H
#define DSS_BIND_POLICIES_H
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/err.h"
#include "fleet/pool.h"
/*
 * policies: the files of DIR/policies as one set: evaluated all or nothing in a state of their own. The last good set is kept in
 * DIR/db/policies.last, so that a backend that crashes on a new one can fall back (DSS_SAFE=1). Loading may run in any thread; what it
 * makes belongs to whoever holds it, one thread at a time.
 */
struct policies_file {
	char *name;    /* "policies/10-pools.lua" */
	char hash[65]; /* SHA-256 of its text */
};

struct policies {
	struct pool_spec **specs; /* owned array; node_set_pools takes the elements: policies_forget */
	size_t n;
	struct buf text; /* for policies_save */
	struct vm *vm;   /* owned; holds the functions of the set: policies_live_take takes it */
	struct policies_file *files;
	size_t nfiles;
};

/* run_user: "" = one-user mode. from_last: read db/policies.last instead of policies/. -1: errors holds all of them, one a line, each
 * with file and line; out is empty. */
int policies_load(const char *dir, const char *share, const char *run_user, bool from_last, struct policies *out,
		  struct buf *errors);
/* The same from texts that were handed in: a JSON list of {"name","text"}. */
int policies_load_texts(const char *share, const char *run_user, const char *texts, size_t len, struct policies *out,
			struct buf *errors);
/* NULL: no such file in the set. */
const char *policies_hash(const struct policies *p, const char *file);
int policies_save(const char *dir, const struct policies *p, struct err *err);
/* The elements were taken by another. */
void policies_forget(struct policies *p);
void policies_fini(struct policies *p);

#endif
