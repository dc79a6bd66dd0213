#ifndef DSS_KEEPER_PROC_H
#define DSS_KEEPER_PROC_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include "base/fsm.h"
#include "base/list.h"
#include "keeper/account.h"
#include "keeper/boxes.h"
#include "keeper/cause.h"
#include "keeper/desc.h"
#include "keeper/journal.h"
#include "keeper/output.h"
#include "sys/cgroup.h"
#include "sys/cgroup_gauge.h"
#include "sys/loop.h"
/*
 * proc: the process table and the life of each process in it: birth in its box, ready, stop, kill, end, and the account of the
 * end. `wanted_up` is what commands change; `state` follows by the table `proc_fsm` (docs/architecture.md, "process").
 *
 * Invariants: a process is in `by_pid` from birth until it is reaped; its box is removed only when it is empty; the entry lives
 * until its end was acknowledged (a service's: until it is quiet).
 */
enum proc_state { PROC_STARTING, PROC_UP, PROC_READY, PROC_STOPPING, PROC_KILLING, PROC_ENDED, PROC_DEAD, PROC_GONE };
enum proc_event {
	PROC_EXEC_OK,
	PROC_EXEC_FAILED,
	PROC_IS_READY,
	PROC_LATE,
	PROC_STOP,
	PROC_KILL,
	PROC_GRACE_OVER,
	PROC_EXIT,
	PROC_QUIET,
	PROC_ACK
};
extern const struct fsm proc_fsm;

struct proc;
/* Who is told about a process beside the journal. Both may be NULL. `ended`: reaped, and nobody lives in its box. */
struct proc_owner {
	void (*ready)(void *data, struct proc *p);
	void (*ended)(void *data, struct proc *p);
	void *data;
};

/* Descriptors a process is given beside its standard ones: `env` names the variable that tells the number. */
struct proc_fd {
	int fd; /* borrowed */
	const char *env;
};

enum proc_due { PROC_DUE_DEADLINE, PROC_DUE_SETTLE, PROC_DUE_PROBE, PROC_DUE_OOM, PROC_DUE_MAX };

struct proc {
	struct list link;
	struct list in_box; /* boxes.c */
	struct box *box;    /* boxes.c; NULL: its box is gone */
	struct procs *procs;
	struct desc desc;
	const struct account *account; /* NULL: the keeper's own user */
	struct proc_owner owner;
	enum proc_state state;
	bool wanted_up, is_frozen;
	unsigned serial; /* numbers the births of one id */
	pid_t pid;       /* 0: never born */
	int pidfd, status_fd, start_fd, ready_fd, probe_fd, oom_fd;
	uint64_t start_ticks;
	struct loop_io *status_io, *start_io, *ready_io, *probe_io, *oom_io;
	struct output_pipe *pipe;  /* NULL: sink null */
	int64_t due[PROC_DUE_MAX]; /* monotonic ms; 0 = not set */
	enum proc_event deadline_event;
	int settle_ms, probe_ms, oom_ms;         /* pauses that double */
	int64_t started_ms, ready_ms, exited_ms; /* wall clock; 0 = not yet */
	struct cgroup_mark mark;                 /* counters at birth or at the last `usage` with on=1 */
	struct cause cause;                      /* who did what to it, and in the end the verdict */
	bool is_reaped, is_box_quiet, is_box_gone, is_drained;
	struct cgroup_gauge gauge;
	int64_t sampled_mono_ms, sampled_rest_mono_ms; /* by the order `sample`; 0 = never */
	int64_t seen_bytes;                            /* in use at the last sample; 0 = there was none */
	uint64_t exit_seq;                             /* number of its `exited` event, 0 = none yet */
};

struct procs {
	struct loop *loop;
	struct cgroup *cg;
	struct output *output;
	struct journal *journal;
	const struct accounts *accounts;
	const char *instance, *dir;
	struct map *by_id, *by_pid;
	struct boxes boxes;
	struct list all;
	size_t count;
	unsigned serial;
	struct loop_signal *sigchld;
	struct loop_timer *alarm;
	int64_t alarm_at;
	int notify_fd;
	struct loop_io *notify_io;
};

/* All pointers are borrowed and outlive the table. The calling process becomes a subreaper. */
int procs_init(struct procs *t, struct err *err);
void procs_fini(struct procs *t);
struct proc *procs_find(const struct procs *t, const char *id); /* the newest of that id */
/* Everything up to seq is committed over there: ended processes may be forgotten. */
void procs_ack(struct procs *t, uint64_t seq);
/* Reaps whoever has ended; called on SIGCHLD and once after a take-over. */
void procs_reap(struct procs *t);
size_t procs_alive(const struct procs *t);

/* Takes desc (also on failure; it is empty after). A start that fails for the process's own reasons (no such program, no
 * right, no memory) still returns an entry, which ends as start_failed. NULL: the table itself could not take it. */
struct proc *proc_start(struct procs *t, struct desc *desc, const struct proc_owner *owner, const struct proc_fd *fds, size_t nfds,
			struct err *err);
/* The stop signal, then after the grace the kill of the box. grace_ms < 0: the description's. Already stopping is fine. */
void proc_stop(struct proc *p, const char *cause, const char *text, const char *by, int grace_ms);
/* The whole box at once. */
void proc_kill(struct proc *p, const char *cause, const char *text, const char *by);
/* A signal to the main process; recorded as its cause if it ends by it. */
int proc_signal(struct proc *p, int signo, const char *cause, const char *text, struct err *err);
int proc_label(struct proc *p, const char *label, struct err *err);
void proc_make_ready(struct proc *p); /* for rule `told`, and from ready.c */
bool proc_is_alive(const struct proc *p);
const char *proc_state_name(const struct proc *p);
/* Usage of its box now. */
int proc_usage(struct proc *p, struct cgroup_usage *out, struct err *err);
/* Puts the fields of a `row` or an event about p. */
void proc_to_wire(struct proc *p, struct buf *out);

/* --- for procs.c, which has all of procs_*, proc_due and proc_enlist --- */
void proc_look_for_kill(struct proc *p);
void proc_reaped(struct proc *p, int status, const struct rusage *ru);

/* --- for birth.c, ready.c, handover.c --- */
void proc_feed(struct proc *p, enum proc_event event);
void proc_due(struct proc *p, enum proc_due what, int64_t in_ms); /* in_ms < 0: off */
void proc_watch(struct proc *p);                                  /* makes the watchers its descriptors and state ask for */
void proc_exec_outcome(struct proc *p, const struct spawn_failure *failure); /* NULL: exec succeeded */
struct proc *proc_enlist(struct procs *t, struct desc *desc, const struct proc_owner *owner, struct err *err);

#endif
