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
#define STARTS_AGAIN_MS  20000 /* a crashed kernel is started again by then, or not at all: Jupyter's restarter looks each 3 s */

struct notebook_look;  /* node_notebook_look.c */
struct notebook_door;  /* node_notebook_door.c */
struct notebook_start; /* below */

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
	int64_t server_started_ms;              /* wall; of that process */
	struct notebook_door *door;             /* NULL: nobody is let in */
	struct notebook_look *look;             /* node_notebook_look.c's own; NULL: none */
};

/* What its server said is about to happen to a kernel; so its end is nobody's crash. */
enum notebook_wish { NOTEBOOK_GOES_ON, NOTEBOOK_RESTARTS, NOTEBOOK_SHUTS_DOWN };

#define NOTEBOOK_HASH_SIZE 17

/* As what it was started: policies see this for as long as the process lives, and its box and its place are of this, wherever its notebook is moved
 * to meanwhile. */
struct notebook_birth {
	char project[128], user[128], spec[128]; /* "" = none */
	char notebook[NOTEBOOK_HASH_SIZE];       /* an id made from its name, which is free text */
	json_t *tags;                            /* owned; of its project; NULL = none */
};

/* What stands behind a struct notebook_kernel, which others see. */
struct notebook_entry {
	struct notebook_kernel k; /* first */
	struct node_notebooks *in;
	struct notebook_birth birth;      /* of its process */
	struct guest *guest;              /* its place; NULL = none */
	char before[JOB_PROCESS_MAX];     /* its process before a restart, whose end was not told yet; "" = none */
	char nonce_hash[DIGEST_HEX_SIZE]; /* its process came with; it may ask once more what became of that. "" = it is over */
	bool is_seen;                     /* in the keeper's list, while taking up */
	bool is_unwanted;                 /* we ended it: the server shall not start it again */
	enum notebook_wish wish;
	int64_t wish_ms;              /* wall; when that was said */
	int64_t ended_ms;             /* wall; 0 = it is alive */
	int64_t limit_bytes;          /* of its own box when it was started; 0 = none */
	int moves;                    /* counted: an answer to an older one is void */
	bool is_moving;               /* its path is new, whose that is was not told yet */
	struct notebook_start *start; /* one that was announced; NULL = none */
};

/* What was announced and is not a process yet. The kernel's row says nothing of it until it is: another process may live under that id. */
struct notebook_start {
	struct notebook_entry *e;
	struct gate_request *req; /* the announcement, until it is answered; NULL */
	struct guest *guest;
	char process[JOB_PROCESS_MAX];
	char *path; /* owned */
	struct notebook_birth birth;
	int64_t limit_bytes;
	char nonce[DIGEST_HEX_SIZE];      /* "" = not yet */
	char nonce_hash[DIGEST_HEX_SIZE]; /* what is kept; "" = not yet */
	int server_pid, pid;              /* pid: whose box is ordered; 0 = nobody has come */
	int64_t until_ms;                 /* wall; who has not come by then does not come */
	struct loop_timer *timer;
	int asked; /* questions under way whose answers hold on to it */
	bool is_over;
};

/* Whose a notebook is, by its path. user "" and refusal: nobody knows, and why. */
struct notebook_whose {
	const char *project, *user;
	const json_t *tags;
	const char *refusal;
	int status; /* of a refusal: 503 = later */
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
/* Its process is gone, and nothing takes its place: the server starts a kernel that has crashed again, some times, each within seconds. */
bool notebook_is_dead(const struct notebook_entry *e, int64_t now);
void notebook_set_text(char **to, const char *text);
/* Whose its box and its place are, where its notebook was moved to another project since; else "". Borrowed. */
void notebook_born(const struct notebook_entry *e, const char **project, const char **user);

/* What its server said lately. */
enum notebook_wish notebook_wish_of(const struct notebook_entry *e);

/* --- node_notebook_birth.c --- */
struct guest_facts notebook_facts(const struct notebook_birth *b, const char *process, int64_t limit_bytes); /* borrow */
void notebook_birth_name(struct notebook_birth *b, const char *path);
void notebook_birth_take(struct notebook_birth *to, struct notebook_birth *from); /* moves it; what `to` held is freed */
void notebook_birth_free(struct notebook_birth *b);
void notebook_birth_put(const struct notebook_birth *b, struct buf *out); /* an object */
void notebook_birth_read(struct notebook_birth *b, const json_t *saved);

/* --- node_notebook_whose.c --- */
/* cwd: where its kernel works, of a notebook without a folder; "" = unknown. At once or later. */
typedef void notebook_whose_fn(void *data, const struct notebook_whose *w);
void notebook_ask_whose(struct node_notebooks *t, const char *path, const char *cwd, notebook_whose_fn *fn, void *data);

/* --- node_notebook_door.c --- */
int notebook_door_new(struct node_notebooks *t,
		      struct err *err); /* sets t->door; where there is no folder for it, it is left NULL */
void notebook_door_stop(struct node_notebooks *t);
/* Its notebook has another path now (NULL: that of its row): name at once, project and user as soon as they are known; box and place stay. */
void notebook_move(struct notebook_entry *e, const char *path);
void notebook_refuse(struct gate_request *req, int status, const char *text);

/* --- node_notebook_start.c --- */
void notebook_announce(struct node_notebooks *t, struct gate_request *req, const json_t *body);
void notebook_start_free(struct notebook_start **start); /* whoever waits for it is answered */
/* The announcement, if it still waits, is refused, the start given up; its entry may be freed. */
void notebook_start_fail(struct notebook_start *s, int status, const char *text);
void notebook_start_answer(struct notebook_start *s, int status, const char *text); /* refuses, and goes on */
/* The server has ended, or another is there: starts that nobody can come for any more give their places back. */
void notebook_starts_look(struct node_notebooks *t);
/* To the end of a callback that asked++ was for: true: nobody waits for it any more, s is freed or soon will be. */
bool notebook_start_is_over(struct notebook_start *s);
/* One that an earlier backend had agreed to. NULL: it is over by now. */
struct notebook_start *notebook_start_again(struct notebook_entry *e, const json_t *saved);
void notebook_start_put(const struct notebook_start *s, struct buf *out); /* an object */

/* --- node_notebook_register.c --- */
void notebook_register(struct node_notebooks *t, struct gate_request *req, const json_t *body);
/* It lives in its box: its entry is about it from now on. s is freed. */
void notebook_start_become(struct notebook_start *s, int pid);

/* --- node_notebook_order.c --- */
/* The limit of its own box, if policies give it one; 0 = none. -1: it cannot be put anywhere. */
int64_t notebook_find_limit(struct node *n, const struct guest_facts *facts, struct err *err);
/* Has the keeper put pid into its box. */
int notebook_order_box(const struct notebook_start *s, int pid, node_keeper_answer_fn *fn, void *data, struct err *err);
/* What its owner reads of an end. */
void notebook_tell_end(const struct notebook_entry *e, const struct judge_end *end, char *out, size_t room);

/* --- node_notebook_find.c --- */
int64_t notebook_started_at(uint64_t ticks); /* wall, of a process that was started that long after the machine */

/* --- node_notebook_session.c --- */
/* The first session on that kernel, as of the last look; NULL: none is known. Borrowed until the next one. */
const char *notebook_session_of(const struct node_notebooks *t, const char *kernel);

/* --- node_notebook_look.c --- */
int notebook_look_new(struct node_notebooks *t, struct err *err); /* sets t->look, or leaves it NULL */
void notebook_look_stop(struct node_notebooks *t);                /* the client still is: cancels its calls */
void notebook_look_free(struct node_notebooks *t);
/* Of one kernel: members of an object that is kept with its row, and read again by the next backend; the last moment of k->look. */
void notebook_look_put(const struct notebook_kernel *k, struct buf *out);
void notebook_look_take(struct notebook_kernel *k, const json_t *saved);
void notebook_look_drop(struct notebook_kernel *k);

#endif
