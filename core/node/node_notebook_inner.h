#ifndef DSS_NODE_NODE_NOTEBOOK_INNER_H
#define DSS_NODE_NODE_NOTEBOOK_INNER_H
#include <jansson.h>
#include "fleet/guest.h"
#include "fleet/job.h"
#include "fleet/notebook.h"
#include "net/digest.h"
#include "node/node_notebook.h"
/* node_notebook_inner: what the files of node_notebook share. */
#define NOTEBOOK_DIR_MAX 3000
#define NOTEBOOK_URL_MAX 400
#define DEAD_KEPT_MS     (int64_t)(7 * 24 * 3600 * 1000) /* how long an owner can read why a kernel has ended */

struct notebook_look;  /* node_notebook_look.c */
struct notebook_door;  /* node_notebook_door.c */
struct notebook_start; /* node_notebook_door.c */

struct node_notebooks {
	struct node *node;
	char dir[NOTEBOOK_DIR_MAX];
	struct map *by_id; /* struct notebook_entry by the kernel's id; owned */
	int64_t last;      /* counts processes of this backend */
	bool is_stopped;
	char url[NOTEBOOK_URL_MAX];             /* of the server: "http://127.0.0.1:11202"; "" = there is none */
	char token_file[NOTEBOOK_DIR_MAX + 64]; /* where its token stands; read anew for each round of questions */
	bool is_ours;                           /* the keeper runs it */
	bool is_attached;                       /* a server that we did not start: its kernels have no rows here */
	int server_pid;                         /* of ours; 0 = it does not run, or nobody has told yet */
	struct notebook_door *door;             /* NULL: nobody is let in */
	struct notebook_look *look;             /* node_notebook_look.c's own; NULL: none */
};

/* What its server said is about to happen to a kernel; so its end is nobody's crash. */
enum notebook_wish { NOTEBOOK_GOES_ON, NOTEBOOK_RESTARTS, NOTEBOOK_SHUTS_DOWN };

/* What stands behind a struct notebook_kernel, which others see. */
struct notebook_entry {
	struct notebook_kernel k; /* first */
	struct node_notebooks *in;
	struct guest *guest;          /* its place; NULL = none */
	char before[JOB_PROCESS_MAX]; /* its process before a restart, whose end was not told yet; "" = none */
	bool is_seen;                 /* in the keeper's list, while taking up */
	bool is_unwanted;             /* we ended it: the server shall not start it again */
	enum notebook_wish wish;
	int64_t ended_ms;             /* wall; 0 = it is alive */
	int64_t limit_bytes;          /* of its own box when it was started; 0 = none */
	json_t *tags;                 /* owned; of its project; NULL = none */
	struct notebook_start *start; /* one that was announced; NULL = none */
};

/* What was announced and is not a process yet. */
struct notebook_start {
	struct notebook_entry *e;
	struct gate_request *req; /* the announcement, until it is answered; NULL */
	struct guest *guest;
	char process[JOB_PROCESS_MAX];
	char nonce[DIGEST_HEX_SIZE];      /* "" = not yet */
	char nonce_hash[DIGEST_HEX_SIZE]; /* what is kept; "" = not yet, or used */
	int server_pid;
	int64_t until_ms; /* wall; who has not come by then does not come */
	struct loop_timer *timer;
	int asked; /* questions under way whose answers hold on to it */
	bool is_over;
};

/* --- node_notebook.c --- */
/* Makes it where it is not known. NULL: no memory, or the id is too long. */
struct notebook_entry *notebook_get(struct node_notebooks *t, const char *kernel);
struct notebook_entry *notebook_by_process(struct node_notebooks *t, const char *process);
/* Saves its row, with what notebook_look_put says of it. fn may be NULL. -1: the store takes nothing now, which was logged. */
int notebook_keep(const struct notebook_entry *e, store_done_fn *fn, void *data);
void notebook_forget(struct notebook_entry *e); /* row and all */
/* One that ended so long ago that nobody asks why any more; true: it is freed. Not before the keeper's processes were taken up. */
bool notebook_forget_old(struct notebook_entry *e, int64_t now);
void notebook_set_text(char **to, const char *text);

/* --- node_notebook_door.c --- */
int notebook_door_new(struct node_notebooks *t,
		      struct err *err); /* sets t->door; where there is no folder for it, it is left NULL */
void notebook_door_stop(struct node_notebooks *t);
void notebook_start_free(struct notebook_start **start); /* whoever waits for it is answered */
/* One that an earlier backend had agreed to. NULL: it is over by now. */
struct notebook_start *notebook_start_again(struct notebook_entry *e, const json_t *saved);
void notebook_start_put(const struct notebook_start *s, struct buf *out); /* an object */

/* --- node_notebook_order.c --- */
struct guest_facts notebook_facts(const struct notebook_entry *e, const char *process, char hash[DIGEST_HEX_SIZE]);
/* The limit of its own box, if policies give it one; 0 = none. -1: it cannot be put anywhere. */
int64_t notebook_find_limit(const struct notebook_entry *e, const char *process, struct err *err);
/* Has the keeper put pid into its box. */
int notebook_order_box(const struct notebook_entry *e, const char *process, int pid, node_keeper_answer_fn *fn, void *data,
		       struct err *err);
/* What its owner reads of an end. */
void notebook_tell_end(const struct notebook_entry *e, const struct judge_end *end, char *out, size_t room);

/* --- node_notebook_look.c --- */
int notebook_look_new(struct node_notebooks *t, struct err *err); /* sets t->look, or leaves it NULL */
void notebook_look_stop(struct node_notebooks *t);                /* the client still is: cancels its calls */
void notebook_look_free(struct node_notebooks *t);
/* Of one kernel: members of an object that is kept with its row, and read again by the next backend; the last moment of k->look. */
void notebook_look_put(const struct notebook_kernel *k, struct buf *out);
void notebook_look_take(struct notebook_kernel *k, const json_t *saved);
void notebook_look_drop(struct notebook_kernel *k);

#endif
