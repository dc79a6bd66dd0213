#ifndef DSS_KEEPER_KEEPER_H
#define DSS_KEEPER_KEEPER_H
#include "keeper/account.h"
#include "keeper/journal.h"
#include "keeper/output.h"
#include "keeper/plan.h"
#include "keeper/proc.h"
#include "keeper/service.h"
/*
 * keeper: all parts of one running keeper, and the order in which it stops. The file dss-keeper.c makes one.
 */
enum keeper_phase {
	KEEPER_RUNNING,
	KEEPER_DRAINING, /* the backend takes no new work; busy kernels go on */
	KEEPER_STOPPING, /* all but backend and logger have been told to stop */
	KEEPER_STOPPING_BACKEND,
	KEEPER_STOPPING_LOGGER,
	KEEPER_STOPPED
};

struct keeper_listen {
	struct list link;
	char name[32];
	int fd;
};

struct keeper {
	struct loop *loop;
	struct plan *plan;
	struct accounts *accounts;
	struct cgroup *cg;
	char cgroup_note[300]; /* why there are no cgroups, or "" */
	struct journal *journal;
	struct output *output;
	struct procs procs;
	struct services services;
	struct list listens;                /* keeper_listen */
	struct wire_link *backend, *logger; /* NULL while there is none */
	bool backend_said_hello;
	int64_t refusals, refusals_since_ms; /* orders refused in this window, from monotonic time on; orders.c */
	int64_t epoch;                       /* as the backend said */
	int64_t busy;                        /* kernels at work, as the backend last said; for draining */
	bool beat;                           /* heard since the last tick */
	int missed_beats;
	int tick_ms; /* 5000; specs ask for less by --tick-ms */
	struct loop_timer *tick;
	struct loop_timer *deaf; /* runs after a link broke: whoever lives on without one is ended */
	char cut_text[200];      /* why the last link broke */
	struct loop_prepare *prepare;
	struct loop_signal *on_term, *on_int, *on_hup;
	struct door *door;
	enum keeper_phase phase;
	bool stop_now;
	char stop_by[64];
	int64_t started_ms; /* wall clock, of the first keeper in a row of execs */
	int lock_fd, log_read_fd, log_write_fd;
	int crumb_fd;                 /* -1: could not be made, backends go without */
	struct output_pipe *log_pipe; /* the keeper's own log */
	bool is_foreground, is_told_ready;
	char dir[4096];
};

/* Begins to stop everything; idempotent. now: kill the boxes. by: who asked, for the causes. */
void keeper_stop(struct keeper *k, bool now, const char *by);
/* Lets the backend finish what runs, then stops. */
void keeper_drain(struct keeper *k, const char *by);
/* While draining: tells the backend, also each next one. */
void keeper_tell_drain(struct keeper *k);
/* One look at whether the next phase of a stop can begin; called each turn. */
void keeper_advance(struct keeper *k);
const char *keeper_isolation(const struct keeper *k); /* "users", "none" */
/* Gives service `backend` and `logger` their links, every service the sockets it inherits (hooks of struct services). */
int keeper_give(void *keeper, struct service *s, struct proc_fd *fds, size_t *nfds, struct err *err);
void keeper_given(void *keeper, struct service *s, struct proc_fd *fds, size_t nfds, bool is_started);
/* Wraps an fd that leads to a backend or logger which is there already (exec in place). */
int keeper_take_link(struct keeper *k, const char *service, int fd, const void *pending, size_t len);
/* Watches the heartbeat. Every tick_ms while a backend lives. */
void keeper_tick(void *keeper);
/* Ends a backend or logger that lives on without its link. */
void keeper_end_deaf(void *keeper);

#endif
