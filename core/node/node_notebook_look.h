#ifndef DSS_NODE_NODE_NOTEBOOK_LOOK_H
#define DSS_NODE_NODE_NOTEBOOK_LOOK_H
#include "net/json.h"
#include "node/node_notebook_inner.h"
#include "node/node_notebook_session.h"
/* node_notebook_look: what the files that ask the server share: sessions as it told them last, and what was seen of each kernel. */
#define LOOK_SESSIONS_MOST 5000
#define LOOK_ANSWER_MAX    ((size_t)8 << 20)
#define LOOK_TIMEOUT_MS    5000

struct look_session {
	char id[64], kernel[64], spec[128];
	char *path; /* owned; below projects/ */
};

/* Of one kernel: k->look, or of one that has no row, in look->others. */
struct look_kernel {
	char id[64];
	struct idle idle;
	int64_t memory_bytes, peak_bytes, cpu_ms; /* -1 = not known */
	int64_t lease_ms;
	char leased_by[128];
	int64_t saved_ms; /* work_ms as it was kept last */
	/* of the round that is under way, or the last */
	int64_t round;
	struct idle_look said;
	char spec[128];
	int nsessions;
};

struct look_asker {
	node_notebooks_list_fn *fn;
	void *data;
	struct look_asker *next;
};

struct notebook_look {
	struct node_notebooks *t;
	struct loop_timer *timer;
	struct client_call *sessions_call, *kernels_call;
	int open; /* answers that are awaited */
	int64_t round, looked_mono_ms;
	bool is_round, is_soon; /* is_soon: one more at once */
	json_t *sessions_said, *kernels_said;
	struct err trouble;     /* of this round */
	char why[ERR_TEXT_MAX]; /* of the last; "" = the server answered well */
	struct look_session *sessions;
	size_t n;
	struct map *others; /* struct look_kernel by id; owned */
	struct look_asker *askers;
	struct look_order *orders; /* node_notebook_unload.c */
};

/* --- node_notebook_look.c --- */
struct look_kernel *look_find(struct notebook_look *l, const char *kernel); /* NULL: never seen */
/* A round is begun, or the one under way is followed by another: `fn` of orders is told at its end. */
void look_now(struct notebook_look *l);
void look_forget_sessions(struct notebook_look *l, const char *kernel);
/* --- node_notebook_json.c --- */
/* What the server said into l->sessions and the kernels' said; -1: it lies, nothing was changed. */
int look_read(struct notebook_look *l, const json_t *sessions, const json_t *kernels, struct err *err);
void look_put_session(const struct notebook_session *s, struct buf *out);
/* --- node_notebook_unload.c --- */
void look_orders_looked(struct notebook_look *l); /* a round is over */
void look_orders_free(struct notebook_look *l);

#endif
