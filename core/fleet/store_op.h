#ifndef DSS_FLEET_STORE_OP_H
#define DSS_FLEET_STORE_OP_H
#include <stdbool.h>
#include "base/list.h"
#include "fleet/store.h"
/* store_op: one operation on its way through the store's threads: all that it needs is its own copy. Inner to the store. */
enum store_op_kind { STORE_OP_INSERT, STORE_OP_UPDATE, STORE_OP_FACT, STORE_OP_META, STORE_OP_GET, STORE_OP_LIST, STORE_OP_JOB };

struct store_op {
	struct list link;
	enum store_op_kind kind;
	bool may_wait;                 /* for a moment: no kernel stands idle until it is on disk */
	bool leads;                    /* told before what was posted before it */
	struct future *f, *also;       /* of writes: copies */
	char *what, *subject, *detail; /* of facts */
	int64_t wall_ms, mono_ms, seq;
	bool was_held; /* written once in vain: those who watch have seen it */
	int64_t value; /* of meta */
	char id[FUTURE_ID_MAX];
	char *owner;
	bool with_result;
	int limit;
	struct store_job *job; /* owned until it is released */
	store_done_fn *fn;
	store_task_fn *task_fn;
	store_tasks_fn *tasks_fn;
	void *data;
	struct store_answer answer;
	struct future **list;
	size_t nlist;
};

struct store_op *store_op_new(enum store_op_kind kind, void *data); /* NULL: no memory */
void store_op_free(struct store_op *op);
/* Copies; NULL stays NULL. false: no memory. */
bool store_op_text(char **to, const char *from);
bool store_op_bytes(char **to, const char *from, size_t len);
/* What is written of a task; an update leaves out what never changes. */
struct future *store_op_task(const struct future *f, bool is_insert);

#endif
