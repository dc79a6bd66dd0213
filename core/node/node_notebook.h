#ifndef DSS_NODE_NODE_NOTEBOOK_H
#define DSS_NODE_NODE_NOTEBOOK_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "fleet/judge.h"
#include "fleet/store.h"
#include "node/node_inner.h"
/*
 * node_notebook: the kernels of notebooks. The Jupyter server, a service, starts them; a launcher before each kernel's first line registers it at
 * run/notebook.sock (from inside the server's box alone, with a nonce that the server asked for), has it put into a box of its own, and execs.
 * So pid, box and limits are ours, whatever the server says; a kernel outlives the server and the backend.
 *
 * What notebook, which session, whether idle: node_notebook_look.c asks the server and joins its words with what is here.
 */
struct node_notebooks;

struct notebook_kernel {
	char id[64];                             /* the server's: a UUID */
	char process[64];                        /* the keeper's; "" = none */
	char *path;                              /* owned; of the notebook below projects/, free text; "" = unknown */
	char project[128], user[128], spec[128]; /* "" = unknown */
	int pid;
	int64_t started_ms; /* wall */
	bool is_alive;
	char cause[24]; /* of its last end; "" = none */
	char *message;  /* owned; what its owner reads of that end; NULL */
	void *look;     /* node_notebook_look's own */
};

struct node_notebooks *node_notebooks_new(struct node *n, const struct node_config *config, struct err *err); /* after the fleet */
void node_notebooks_stop(struct node_notebooks *t);
void node_notebooks_free(struct node_notebooks **t);

/* What the keeper tells; true: it was a notebook's kernel. fn is called once the end is on disk. */
bool node_notebooks_ended(struct node_notebooks *t, const struct judge_end *end, store_done_fn *fn, void *data);
void node_notebooks_take_row(struct node_notebooks *t, const char *process, int pid, bool is_alive);
void node_notebooks_taken_up(struct node_notebooks *t);

/* The process of the service `jupyter`; 0 = it has none now. */
void node_notebooks_served(struct node_notebooks *t, int pid);

struct notebook_kernel *node_notebooks_find(struct node_notebooks *t, const char *kernel); /* NULL: unknown */
typedef void node_notebooks_fn(void *data, struct notebook_kernel *k);
void node_notebooks_each(struct node_notebooks *t, node_notebooks_fn *fn, void *data);
/* Ends its whole box. cause: "user", "admin" or "policy". */
int node_notebooks_end(struct node_notebooks *t, const char *kernel, const char *cause, const char *text, struct err *err);
/* For the list of processes. */
void node_notebooks_put_row(struct node_notebooks *t, const char *process, struct buf *out);
/* Whose process that is; NULL: none of ours. Borrowed. */
const char *node_notebooks_owner(struct node_notebooks *t, const char *process);

/* --- node_notebook_look.c: sessions --- */
/* The list changed, or somebody asks: looks at the server soon. */
void node_notebooks_look(struct node_notebooks *t);
/* Sessions as an array, borrowed for the call; why: the server cannot be asked. */
typedef void node_notebooks_list_fn(void *data, const struct buf *json, const struct err *why);
void node_notebooks_list(struct node_notebooks *t, node_notebooks_list_fn *fn, void *data);

#endif
