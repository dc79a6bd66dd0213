#ifndef DSS_NODE_NODE_NOTEBOOK_INNER_H
#define DSS_NODE_NODE_NOTEBOOK_INNER_H
#include "fleet/guest.h"
#include "fleet/job.h"
#include "node/node_notebook.h"
/* node_notebook_inner: what the files of node_notebook share. */
#define NOTEBOOK_DIR_MAX 3000
#define NOTEBOOK_URL_MAX 300

struct notebook_look; /* node_notebook_look.c */

struct node_notebooks {
	struct node *node;
	char dir[NOTEBOOK_DIR_MAX];
	struct map *by_id; /* struct notebook_entry by the kernel's id; owned */
	int64_t last;      /* counts processes of this backend */
	bool is_stopped;
	char url[NOTEBOOK_URL_MAX];         /* of the server: "http://127.0.0.1:11202"; "" = there is none */
	char token_file[NOTEBOOK_DIR_MAX];  /* where its token stands; read anew for each round of questions */
	bool is_attached;                   /* a server that we did not start: its kernels have no rows here */
	struct notebook_door *door;         /* node_notebook_door.c; NULL: nobody is let in */
	struct notebook_look *look;         /* node_notebook_look.c's own; NULL: none */
};

/* What stands behind a struct notebook_kernel, which others see. */
struct notebook_entry {
	struct notebook_kernel k; /* first */
	struct node_notebooks *in;
	struct guest *guest; /* its place; NULL = none */
	bool is_seen;        /* in the keeper's list, while taking up */
	int64_t limit_bytes; /* of its box when it was started; 0 = none */
};

/* --- node_notebook.c --- */
/* Makes it where it is not known. NULL: no memory, or the id is too long. */
struct notebook_entry *notebook_get(struct node_notebooks *t, const char *kernel);
struct notebook_entry *notebook_by_process(struct node_notebooks *t, const char *process);
/* Saves its row, with what notebook_look_put says of it. fn may be NULL. -1: the store takes nothing now, which was logged. */
int notebook_keep(const struct notebook_entry *e, store_done_fn *fn, void *data);
void notebook_forget(struct notebook_entry *e); /* row and all */

/* --- node_notebook_look.c --- */
int notebook_look_new(struct node_notebooks *t, struct err *err); /* sets t->look, or leaves it NULL */
void notebook_look_stop(struct node_notebooks *t);                /* the client still is: cancels its calls */
void notebook_look_free(struct node_notebooks *t);
/* Of one kernel: members of an object that is kept with its row, and read again by the next backend; the last moment of k->look. */
void notebook_look_put(const struct notebook_kernel *k, struct buf *out);
void notebook_look_take(struct notebook_kernel *k, const json_t *saved);
void notebook_look_drop(struct notebook_kernel *k);

#endif
