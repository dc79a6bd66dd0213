#ifndef DSS_FLEET_FLEET_INNER_H
#define DSS_FLEET_FLEET_INNER_H
#include "base/map.h"
#include "fleet/alerts.h"
#include "fleet/budget.h"
#include "fleet/fleet.h"
#include "fleet/guest.h"
#include "fleet/ledger.h"
/*
 * fleet_inner: what the files of the facade share: fleet.c (set-up, time), fleet_pools.c (the set of pools), fleet_stock.c (what is
 * started), fleet_kernel.c (processes), fleet_recycle.c (when they have done enough), fleet_submit.c, fleet_task.c (from submit to
 * dispatch), fleet_slots.c (what counts), fleet_end.c (ends and their commits), fleet_recent.c (what ended lately). Nobody else includes
 * it.
 */
#define FLEET_RETRY_SAVE_MS 5000 /* a full disk is tried again that often */

struct fleet {
	struct loop *loop;
	struct store *store;
	struct ledger *ledger;
	struct alerts *alerts;
	struct budget budget;
	int nstarting;        /* kernels, as of the last look */
	char overcommit[900]; /* what was warned of; "" = nothing */
	struct slots *slots;
	struct guests *guests; /* at work beside the kernels, and who waits to be: guest_line.c */
	struct usage *usage;
	struct list unplaced; /* waiting futures whose slots are not known yet */
	struct list unnoted;  /* those whose wait is not in the ledger yet, the oldest first */
	int64_t started_wall_ms;
	struct fleet_orders orders;
	int64_t abort_grace_ms;
	struct list pools, kernels, futures; /* of all open futures, oldest first */
	struct list active;                  /* futures that do not just wait: what has deadlines */
	struct list recent;                  /* futures whose end is on disk, oldest first: fleet_recent.c */
	size_t nrecent, recent_bytes;
	struct map *kernels_by_id, *futures_by_id, *recent_by_id;
	struct loop_timer *due, *sampler, *flusher;
	int64_t sample_at_mono_ms, sample_busy_ms; /* when the sampler wakes, 0 = not running; the period of kernels at work */
	struct loop_prepare *prepare;
	bool is_started, is_dirty, is_draining;
	int64_t no_assign_before_mono_ms; /* the disk is full: nothing can be assigned */
	int64_t no_start_before_mono_ms;  /* kernel numbers are being reserved */
	void (*drained)(void *data);
	void *drained_data;
	struct fleet_counts counts;
	struct fleet_policy policy; /* all NULL: no function stands in a policy */
};

struct fleet_waiter {
	fleet_submit_fn *fn;
	void *data;
};

/* Counts the commits that must be done before a keeper's event is acknowledged. */
struct fleet_debt {
	int open;
	store_done_fn *fn;
	void *data;
};
struct fleet_debt *fleet_debt_new(store_done_fn *fn, void *data); /* open = 1; NULL: no memory */
void fleet_debt_pay(struct fleet_debt *debt);                     /* NULL is fine; the last payment calls fn and frees */

/* --- fleet.c --- */
void fleet_touch(struct fleet *fleet);  /* look over everything before the loop waits */
void fleet_settle(struct fleet *fleet); /* at once */
struct pool *fleet_pool_or_retired(struct fleet *fleet, const char *name);

/* --- fleet_stock.c: what is started --- */
void fleet_stock_size(struct fleet *fleet, struct pool *pool, int64_t now,
		      int64_t *next);                                            /* by demand, where warm.ready_for is said */
void fleet_stock_make_room(struct fleet *fleet, struct pool *pool, int64_t now); /* at max: an idle one of no use goes */
void fleet_stock_start(struct fleet *fleet, int64_t now, int64_t *next);

/* --- fleet_sample.c: what kernels use --- */
void fleet_sample(struct fleet *fleet); /* sees to it that the next sample comes in time */
void fleet_sample_due(void *fleet);     /* the sampler's timer */

/* --- fleet_kernel.c --- */
int fleet_kernel_start(struct fleet *fleet, struct pool *pool, const struct future *reserved_for);
void fleet_kernel_retire(struct fleet *fleet, struct kernel *k, const char *why);  /* idle: stop; busy: after its task */
void fleet_kernel_task_over(struct fleet *fleet, struct kernel *k, bool was_sent); /* offers, recycles or stops it */
void fleet_kernel_label(struct fleet *fleet, struct kernel *k); /* to the keeper, for the next backend, where it is due */
/* The end of its task is saved (fleet_kernel_may_go_on): true = it is idle and has to get the next one now. */
bool fleet_kernel_go_on(struct fleet *fleet, struct kernel *k);
void fleet_kernel_look(struct fleet *fleet, struct kernel *k, int64_t now, int64_t *next); /* deadlines */

/* --- fleet_recycle.c --- */
/* NULL: it stays. The text is good until the next call. */
const char *fleet_recycle_why(const struct fleet *fleet, const struct kernel *k);
/* May it get its next task before the end of the present one is saved? */
bool fleet_kernel_may_go_on(const struct kernel *k, int64_t now);
void fleet_recycle(struct fleet *fleet, struct kernel *k, const char *why);
void fleet_recycle_look(struct fleet *fleet, struct kernel *k, int64_t now, int64_t *next); /* k is idle: its age */

/* --- fleet_slots.c: what tasks count for while they are at work, and what is noted of the queue --- */
void fleet_slots_place(struct fleet *fleet, struct future *f); /* asks the policy; it must not stand in a lane */
/* Goes on placing those that wait anew after a new set, for a moment: false = not all yet. */
bool fleet_slots_go_on(struct fleet *fleet);
void fleet_task_enter(struct future *f,
		      const struct kernel *k); /* at work: its slots and its user's use; k NULL: the kernel is not known yet */
void fleet_task_leave(struct future *f);       /* fine when it is not */
void fleet_usage_recall(struct fleet *fleet);  /* what users used before this backend started, roughly */
void fleet_note_later(struct fleet *fleet, struct future *f); /* it waits: worth a decision only if it still does in a moment */
void fleet_note_due(struct fleet *fleet, int64_t now, int64_t *next);
void fleet_note_waits(struct fleet *fleet, struct pool *pool); /* those first in line, where their reason is another now */
void fleet_note_assign(struct fleet *fleet, const struct future *f, const struct kernel *k);

/* --- fleet_task.c --- */
bool fleet_task_pair(struct fleet *fleet, struct future *f, struct kernel *k); /* steps both tables; nothing is saved or sent yet */
void fleet_task_take_back(struct fleet *fleet, struct future *f);
void fleet_task_assign(struct fleet *fleet, struct future *f, struct kernel *k);       /* and commits */
void fleet_task_requeue(struct fleet *fleet, struct future *f, enum future_event why); /* UNPLACED or RETRY; and commits */
int fleet_task_adopt(struct fleet *fleet, struct future *f);                           /* loaded at start */
void fleet_task_look(struct fleet *fleet, struct future *f, int64_t now, int64_t *next);

void fleet_task_go_on(struct fleet *fleet, struct future *f); /* dispatch, if nothing is waited for */
void fleet_task_leave_queue(struct future *f);
/*
 * A kernel that goes on after f gets its next task in the transaction that saves f's end: one commit for each task, not two. `choose`
 * assigns it (the caller counts the commit), `unchoose` where that transaction failed, `take` where it is on disk: k is idle again, or
 * NULL where it ended meanwhile.
 */
struct future *fleet_task_choose_next(struct fleet *fleet, struct future *f);
void fleet_task_unchoose(struct fleet *fleet, struct future *next);
void fleet_task_take_next(struct fleet *fleet, struct future *next, struct kernel *k);

/* --- fleet_recent.c: what ended lately is read from memory --- */
void fleet_recent_take(struct fleet *fleet, struct future *f); /* takes f, whose end is on disk */
struct future *fleet_recent(const struct fleet *fleet, const char *id);
void fleet_recent_free(struct fleet *fleet);

/* --- fleet_log.c: tasks whose output goes to a log of their own --- */
bool fleet_log_is_own(const struct future *f);
bool fleet_log_is_awaited(struct fleet *fleet, struct future *f);                  /* not to be sent yet; asks for it first */
void fleet_log_adopt(struct fleet *fleet, struct future *f);                       /* of a kernel that is taken up */
void fleet_log_give_back(struct fleet *fleet, struct future *f, struct kernel *k); /* k NULL: it is gone */
/* Before it ends: true = later, by fleet_task_end again. Takes error then. */
bool fleet_log_hold_end(struct fleet *fleet, struct future *f, enum future_event event, const char *cause, char *error);
/* Its kernel has ended meanwhile. True: it ended as was held; false: it is to be judged (its box ran out of memory). */
bool fleet_log_end_held(struct fleet *fleet, struct future *f, const struct judge_end *end);
void fleet_log_look(struct fleet *fleet, struct future *f, int64_t now, int64_t *next);

/* --- fleet_end.c --- */
/* error: JSON, taken (may be NULL). */
void fleet_task_end(struct fleet *fleet, struct future *f, enum future_event event, const char *cause, char *error);
void fleet_task_save_end(struct fleet *fleet, struct future *f);
void fleet_task_judge(struct fleet *fleet, struct future *f, struct kernel *k, const struct judge_end *end,
		      struct fleet_debt *debt);
void fleet_task_free(struct fleet *fleet, struct future *f);
char *fleet_task_error(const char *type, const char *cause, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The earlier of two times of which 0 means never. */
static inline void fleet_earlier(int64_t *next, int64_t at)
{
	if (at && (!*next || at < *next))
		*next = at;
}

#endif
