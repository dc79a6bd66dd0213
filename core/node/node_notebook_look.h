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
	char *path;   /* owned; below projects/ */
	bool is_gone; /* there is no such file */
};

struct look_member; /* node_notebook_find.c */

/* The process of a kernel that we did not start, as it was found on this machine. */
struct look_process {
	int pid; /* 0 = not known */
	uint64_t start_ticks;
	int64_t started_ms; /* wall */
	char user[64];      /* the login it runs as */
	bool is_dead;       /* it was there, and is gone for good */
	/* node_notebook_find.c's own */
	int64_t missed_mono_ms, sought_mono_ms; /* 0 = not */
	int nclaims;                            /* processes that name it, in the scan that is under way */
	int claim_pid;
	uint64_t claim_ticks;
	struct look_member *members; /* owned; its session and what it started, as of the last scan */
	size_t nmembers;
	int64_t total_ms; /* what they used, with what those had that they waited for; -1 = not measured */
};

/* Of one kernel: k->look, or of one that has no row, in look->others. */
struct look_kernel {
	char id[64];
	struct idle idle;
	int64_t memory_bytes, peak_bytes, cpu_ms; /* -1 = not known */
	int64_t lease_ms;
	char leased_by[128];
	int64_t saved_ms;            /* work_ms as it was kept last */
	bool is_saved;               /* of others: it has a row in the store */
	struct look_process process; /* of others */
	/* of the round that is under way, or the last */
	int64_t round;
	struct idle_look said;
	char spec[128];
	int nsessions;
	bool is_unheard; /* its server was started after it, and has not heard what it does */
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
	struct notebook_quota quota;
	bool is_trusted; /* where a kernel cannot be measured, an attached server's own word counts */
	int open;        /* answers that are awaited */
	int64_t round, looked_mono_ms;
	bool is_round, is_soon; /* is_soon: one more at once */
	bool is_due;            /* the timer runs for a look that somebody wants soon */
	json_t *sessions_said, *kernels_said;
	struct err trouble;     /* of this round */
	char why[ERR_TEXT_MAX]; /* of the last; "" = the server answered well */
	int64_t began_mono_ms;  /* of the round that is under way, or the last */
	int64_t failing_ms;     /* wall; the first of those that failed in a row began; 0 = the last one did not */
	int64_t failing_mono_ms;
	bool is_alerted;
	struct look_session *sessions;
	size_t n;
	struct map *by_id, *by_kernel; /* struct look_session by its id; the first one of a kernel; borrowed */
	struct map *others;            /* struct look_kernel by id; owned */
	struct look_find *find;        /* node_notebook_find.c; NULL: their processes are not on this machine */
	struct look_asker *askers;
	struct look_order *orders; /* node_notebook_unload.c */
};

/* --- node_notebook_look.c --- */
struct look_kernel *look_find(struct notebook_look *l, const char *kernel); /* NULL: never seen */
struct look_kernel *look_of_row(struct notebook_kernel *k);                 /* made where there is none; NULL: no memory */
struct look_kernel *look_new_kernel(const char *id);                        /* owned by who asks; NULL: no memory */
void look_free_kernel(struct look_kernel *k);
void look_forget_other(struct notebook_look *l, const char *kernel); /* it was ended */
/* A round is begun, or the one under way is followed by another: `fn` of orders is told at its end. */
void look_now(struct notebook_look *l);
/* Whoever asks for the list is told at its end, at once where the last one is fresh. Takes the asker. */
void look_for(struct notebook_look *l, struct look_asker *a);
/* What look_find_begin was asked for has been done. */
void look_found(struct notebook_look *l);
/* For people: why the server cannot be asked, since when, and what an admin does about it: "no whole answer within 5 s, since 11:02:10 CET; …". */
void look_say_why(const struct notebook_look *l, char *out, size_t room);
/* --- node_notebook_find.c --- */
/* Sets l->find where that server's kernels can be on this machine. */
int look_find_new(struct notebook_look *l, struct err *err);
void look_find_stop(struct notebook_look *l);
void look_find_free(struct notebook_look *l);
/* Looks for processes of others and measures them, a few at a time; true: look_found is called later, else there is nothing to be done. */
bool look_find_begin(struct notebook_look *l);
/* --- node_notebook_json.c --- */
/* What the server said into l->sessions and the kernels' said; -1: it lies, nothing was changed. */
int look_read(struct notebook_look *l, const json_t *sessions, const json_t *kernels, struct err *err);
void look_put_session(const struct notebook_session *s, struct buf *out);
/* --- node_notebook_session.c --- */
/* Of one without a process. */
enum idle_state look_gone(const struct notebook_look *l, const struct notebook_entry *e, int64_t now);
/* Takes the sessions; -1: no memory, nothing was changed. */
int look_set_sessions(struct notebook_look *l, struct look_session *sessions, size_t n, struct err *err);
void look_forget_sessions(struct notebook_look *l, const char *kernel);
void look_free_sessions(struct look_session *s, size_t n);
void look_answer_askers(struct notebook_look *l);
/* --- node_notebook_lease.c --- */
int look_load_others(struct notebook_look *l, struct err *err); /* only before the loop runs */
/* What has to be known by the next backend; k is one of others. */
void look_save_other(struct notebook_look *l, struct look_kernel *k);
void look_unsave_other(struct notebook_look *l, struct look_kernel *k); /* it is not there any more */
/* --- node_notebook_unload.c --- */
void look_orders_looked(struct notebook_look *l); /* a round is over */
void look_orders_free(struct notebook_look *l);

#endif
