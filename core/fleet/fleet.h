#ifndef DSS_FLEET_FLEET_H
#define DSS_FLEET_FLEET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "fleet/future.h"
#include "fleet/judge.h"
#include "fleet/kernel.h"
#include "fleet/pool.h"
#include "fleet/slots.h"
#include "fleet/store.h"
#include "sys/loop.h"
/*
 * fleet: the backend's bookkeeping: pools, kernels, futures, and the rules between them. It owns no socket: what is to be done it
 * says through `struct fleet_orders`, what was seen it is told through fleet_kernel_* and fleet_task_*.
 *
 * Rules: a submit is committed before it is acknowledged; an assignment before it is sent; an end before its kernel is released,
 * recycled or forgotten. An attempt is sent to one kernel only; attempt n+1 only where `retries` says so.
 */
struct fleet;
struct guest_facts;
struct guest_boxes;
struct guests;

/* --- orders, given by node; each returns 0, or -1 with the reason (the fleet then backs off or judges) --- */
struct fleet_orders {
	void *data;
	int (*spawn)(void *data, const struct kernel *k, struct err *err);
	/* cause: one of the causes of an end. Repeating it is fine. */
	int (*stop)(void *data, const struct kernel *k, const char *cause, const char *text, struct err *err);
	int (*label)(void *data, const struct kernel *k, struct err *err);
	int (*limit)(void *data, const struct kernel *k, int64_t memory_bytes, struct err *err);
	void (*usage)(void *data, const struct kernel *const *kernels,
		      size_t n); /* answered by fleet_kernel_usage, for each that lives */
	/* POST /task and follow it. The future is borrowed until its end is told or `drop`. */
	int (*send)(void *data, const struct kernel *k, const struct future *f, struct err *err);
	void (*abort)(void *data, const struct kernel *k, const char *task); /* DELETE of a running task */
	/* DELETE of an ended task: its end is on disk. May be told of a kernel that is gone. */
	void (*release)(void *data, const struct kernel *k, const char *task);
	void (*drop)(void *data, const char *kernel); /* the kernel is gone: end its conversation */
	/* Output into the task's own log, or back; answered by fleet_task_routed when it is so. NULL: no task has one. */
	int (*route)(void *data, const struct kernel *k, const char *task, bool is_own, struct err *err);
	/* Reads the box's counters; answered by fleet_task_counted. */
	int (*count)(void *data, const struct kernel *k, const char *task, struct err *err);
	/* It has come to its end, which goes to the disk now: processes of its own are to end as well. NULL: none has any. */
	void (*over)(void *data, const struct future *f);
	/* Its end is on disk: from now on everybody who asks is told of it. NULL: nobody wants to know. */
	void (*saved)(void *data, const struct future *f);
};

struct fleet_config {
	const char *store_path; /* DIR/db/dss.sqlite */
	struct fleet_orders orders;
	store_fatal_fn *on_fatal; /* the backend must end; data is orders.data */
	int64_t abort_grace_ms;   /* 0 = 10000 */
	int64_t memory_bytes;     /* of the machine, as far as it is ours; 0 = unknown: starts are not held back for memory */
	int64_t reserve_bytes;    /* of it, for people and the system; 0 = as budget.h says */
};

/* Opens the store and loads the open tasks; nothing is ordered before fleet_start. NULL: err says why. */
struct fleet *fleet_new(struct loop *loop, const struct fleet_config *config, struct err *err);
void fleet_free(struct fleet **fleet);
/* Taking up is over (or there was nothing): starts kernels, assigns, runs deadlines. */
void fleet_start(struct fleet *fleet);
struct store *fleet_store(struct fleet *fleet);
struct ledger *fleet_ledger(struct fleet *fleet); /* what was decided and why; never NULL */
struct guests *fleet_guests(struct fleet *fleet); /* recipes, webapps: fleet/guest.h; never NULL */
struct alerts *fleet_alerts(struct fleet *fleet); /* what an admin should know now; never NULL */
/* No task is assigned and no kernel started any more; fn is called once no task runs. */
void fleet_drain(struct fleet *fleet, void (*fn)(void *data), void *data);
int64_t fleet_count_busy(const struct fleet *fleet); /* kernels with a task */

/* --- pools --- */
/* Replaces the whole set; takes the specs in every case (the array stays the caller's). -1: the old set stays; err names the
 * spec. Idle kernels of pools that are gone or changed retire, busy ones finish their task first. */
int fleet_set_pools(struct fleet *fleet, struct pool_spec **specs, size_t n, struct err *err);
struct pool *fleet_pool(const struct fleet *fleet, const char *name);
/* What policies' functions say. `touched` is told that something changed (once a look, or more often): the time to look at the functions
 * of pools again. `recycle` is asked of an idle kernel of a pool whose spec has_recycle: true: why is a text. Neither calls back. */
struct fleet_policy {
	void *data;
	void (*touched)(void *data);
	bool (*recycle)(void *data, const struct kernel *k, char *why, size_t room);
	/* The slot rules that a task falls under: fills at most SLOTS_OF_TASK, returns how many; keys are borrowed until the next call. Asked
	 * once per task, when it is submitted or loaded, and of all open ones after fleet_set_slots. */
	size_t (*place)(void *data, const struct future *f, struct slot_place *out);
	/* The same of a guest (fleet/guest.h): when it asks, and of all after fleet_set_slots. */
	size_t (*place_guest)(void *data, const struct guest_facts *g, struct slot_place *out);
	/* Where its box is made, and what limits it: guest_box_find. 1: it could not be asked. */
	int (*box_guest)(void *data, const struct guest_facts *g, const char *at, struct guest_boxes *out, struct err *err);
};
void fleet_set_policy(struct fleet *fleet, const struct fleet_policy *policy);
/* New numbers of a pool in force: checked like a spec. -1: nothing changed. */
int fleet_tune_pool(struct fleet *fleet, const char *name, const struct pool_numbers *n, struct err *err);
/* What the numbers of recycle.* of its pool say against an idle kernel; NULL: nothing. Static text. */
const char *fleet_kernel_why_spent(const struct kernel *k, int64_t now_mono_ms);
/* Asks `recycle` of every idle kernel of the pool that ran a task or is older than a second. */
void fleet_ask_recycle(struct fleet *fleet, const char *name);
/* The set's rules of slots and boxes; every open task is placed again, waiting ones over the next turns: none starts before. -1: the old ones stay. */
int fleet_set_slots(struct fleet *fleet, const struct slot_rule *rules, size_t n, struct err *err);
int fleet_slots_json(const struct fleet *fleet, struct buf *out); /* slots_json */
typedef void fleet_pool_fn(void *data, const struct pool *pool);
void fleet_each_pool(const struct fleet *fleet, fleet_pool_fn *fn, void *data);
struct fleet_counts { /* since this backend's start */
	int64_t submitted, ended[4] /* done failed aborted killed */, kernels_started;
	int64_t open[3]; /* now: queued assigned running */
};
void fleet_get_counts(const struct fleet *fleet, struct fleet_counts *out);
int fleet_pools_json(const struct fleet *fleet, struct buf *out); /* an array */
/* What all processes beside the kernels may take: their limits, or their use where they have none. */
void fleet_set_services(struct fleet *fleet, int64_t bytes);
int fleet_budget_json(const struct fleet *fleet, struct buf *out); /* see budget.h */
struct fleet_memory {
	int64_t machine_bytes, reserve_bytes, budget_bytes, promised_bytes; /* machine_bytes 0 = unknown */
};
void fleet_get_memory(const struct fleet *fleet, struct fleet_memory *out);
int fleet_kernels_json(const struct fleet *fleet, struct buf *out);

/* --- futures --- */
/* 200 400 404 403 503 409 */
enum fleet_answer { FLEET_OK, FLEET_BAD, FLEET_NOT_FOUND, FLEET_NOT_ALLOWED, FLEET_UNAVAILABLE, FLEET_CONFLICT };

struct fleet_request { /* all borrowed */
	const char *owner;
	const char *type;
	const char *pool;                         /* NULL = the first pool that takes the type */
	const char *project, *title, *client_key; /* NULL = none */
	const void *payload;                      /* JSON object */
	size_t payload_len;
	int64_t memory_bytes; /* limits.memory; 0 = the pool's */
	int64_t timeout_ms;   /* 0 = none */
	int retries, priority;
	const char *tags;      /* a JSON array of texts, checked by the caller; NULL = none */
	const char *job;       /* the public id of a job of `project`; NULL = no job */
	const char *exclusive; /* refused while an open task of the owner has that name; NULL = none */
};

/* id is NULL unless answer is FLEET_OK; is_first false: an earlier submit with the same client key. */
typedef void fleet_submit_fn(void *data, enum fleet_answer answer, const char *id, bool is_first, const struct err *why);
/* FLEET_OK: fn will be called once, later, when it is on disk (or could not be put there). Else err says why and fn is not called. */
enum fleet_answer fleet_submit(struct fleet *fleet, const struct fleet_request *r, fleet_submit_fn *fn, void *data,
			       struct err *err);

/* f is borrowed for the call; NULL with FLEET_NOT_FOUND or FLEET_UNAVAILABLE. Who may see it is the caller's to check (f->owner).
 * Live ones are answered before fleet_get returns, ended ones later. */
typedef void fleet_get_fn(void *data, enum fleet_answer answer, const struct future *f, const struct err *why);
void fleet_get(struct fleet *fleet, const char *id, bool with_result, fleet_get_fn *fn, void *data);
/* Open or ended lately; NULL: ask with fleet_get. */
const struct future *fleet_at_hand(const struct fleet *fleet, const char *id);
uint64_t fleet_count_ends(const struct fleet *fleet); /* that are on disk, since the start */
/* future_json with the position and reason of a waiting one. */
int fleet_future_json(const struct fleet *fleet, const struct future *f, bool with_result, struct buf *out);

/* Open ones, oldest first, then up to `ended` ended ones, newest first. owner NULL = everybody's. Borrowed for the call. */
typedef void fleet_list_fn(void *data, const struct future *const *f, size_t n, const struct err *why);
void fleet_list(struct fleet *fleet, const char *owner, int ended, fleet_list_fn *fn, void *data);

/* by: login, for the text; is_admin_act: somebody else's task. FLEET_OK: asked, or ended already (found == live ones only:
 * FLEET_NOT_FOUND where no open future has that id; ask fleet_get whether it ended). */
enum fleet_answer fleet_abort(struct fleet *fleet, const char *id, const char *by, bool is_admin_act, struct err *err);

/* --- told by node --- */
/* A kernel that the keeper lists. Returns it: busy = its task (fleet_live(k->task)) is to be asked for, idle or starting = nothing to
 * do, stopping = it is dead (is_alive false) and its event comes. A pool that no policy names is made, retired. NULL: no label or no
 * memory; node stops the process. */
struct kernel *fleet_take_up(struct fleet *fleet, const char *id, int pid, bool is_alive, const char *label,
			     int64_t started_wall_ms, struct err *err);
/* After all of the list: tasks assigned to kernels that nobody knows are lost: killed or sent again as a new attempt. */
void fleet_taken_up(struct fleet *fleet);
struct kernel *fleet_kernel(const struct fleet *fleet, const char *id); /* NULL: unknown */
struct future *fleet_live(const struct fleet *fleet, const char *id);   /* NULL: not open */
void fleet_kernel_up(struct fleet *fleet, const char *id, int pid);
/* 0, or -1: not a kernel that may become ready now. Also told again by one that is ready: fine. */
int fleet_kernel_ready(struct fleet *fleet, const char *id, const char *url, struct err *err);
/* The spawn order failed: there is no such process. */
void fleet_kernel_failed(struct fleet *fleet, const char *id, const char *why);
void fleet_kernel_stop(struct fleet *fleet, const char *id, const char *cause, const char *text);
/* -1: not known this time; an earlier peak and CPU time stay. */
void fleet_kernel_usage(struct fleet *fleet, const char *id, int64_t memory_bytes, int64_t peak_bytes, int64_t cpu_ms);
/* The process is dead and its conversation was read to its end. fn is called when all that follows is on disk: then the
 * keeper's event may be acknowledged. */
void fleet_kernel_ended(struct fleet *fleet, const struct judge_end *end, store_done_fn *fn, void *data);

void fleet_task_accepted(struct fleet *fleet, const char *kernel, const char *task, int attempt);
void fleet_task_progress(struct fleet *fleet, const char *kernel, const char *task, double progress, const char *message);
/* result, error: raw JSON, copied; error is the kernel's {"clazz","message","stack","cause"?}. */
void fleet_task_done(struct fleet *fleet, const char *kernel, const char *task, int attempt, const void *result, size_t len);
void fleet_task_failed(struct fleet *fleet, const char *kernel, const char *task, int attempt, const void *error, size_t len);
void fleet_task_aborted(struct fleet *fleet, const char *kernel, const char *task, int attempt, const void *error, size_t len);
/* Answers to the orders `route` and `count`. oom_kills: of its box, ever; -1: not to be read. */
void fleet_task_routed(struct fleet *fleet, const char *kernel, const char *task);
void fleet_task_counted(struct fleet *fleet, const char *kernel, const char *task, int64_t oom_kills);
/* The kernel says that it never had it and did not take it: back in the queue. */
void fleet_task_unplaced(struct fleet *fleet, const char *kernel, const char *task, int attempt, const char *why);

#endif
