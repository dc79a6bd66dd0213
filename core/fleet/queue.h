#ifndef DSS_FLEET_QUEUE_H
#define DSS_FLEET_QUEUE_H
#include <stdint.h>
#include "fleet/future.h"
#include "fleet/kernel.h"
#include "fleet/pool.h"
/*
 * queue: who is next for which kernel of a pool, and why somebody waits, in words.
 *
 * The order: higher priority first; within a priority the user who used least lately (usage.h), so that one with a single task does not wait
 * behind another's thousand; of one user in the order of submit. A pool with is_fifo: in the order of submit alone. Who has no room at
 * his slot rules is passed over until room comes.
 *
 * Nobody starves: of QUEUE_OLDEST_EACH starts of a pool at least one is of the task that waits longest and has room. So a task that n
 * older ones wait before is started after at most QUEUE_OLDEST_EACH * (n + 1) starts, whatever is submitted after it. One that memory of a slot rule
 * is short for keeps that memory free for itself once QUEUE_PASSED_MOST looks found it too little (slots_keep).
 *
 * Kernels are bound to users. One whose user has more to do goes on with it, but where somebody else is before that in the order, and the
 * pool has no place for another kernel, it gives way: at once to a higher priority, else once it worked for its user for a slice: at
 * least QUEUE_SLICE_MS, and QUEUE_SLICE_STARTS times what its start took.
 *
 * Cost: waiting tasks of one user, priority, size and set of slots are one lane; push and pick cost the logarithm of the lanes, however many
 * tasks wait in them. When room comes each lane that is held back is looked at once.
 */
#define QUEUE_OLDEST_EACH  16
#define QUEUE_PASSED_MOST  16
#define QUEUE_SLICE_MS     1000
#define QUEUE_SLICE_STARTS 8

struct queue; /* of a pool; made when first used */
void queue_free(struct queue **queue);

/* Where it belongs in the order, also when it comes back. One that is_unplaced is passed over until queue_place. */
void queue_push(struct pool *pool, struct future *f);
void queue_remove(struct future *f);   /* fine when it does not wait */
void queue_place(struct future *f);    /* its slots are known now */
void queue_displace(struct future *f); /* they are not any more: it keeps its place, and is passed over until queue_place */
/* 1 = next; 0 = not waiting. *total: how many wait. Beyond a few hundred waiting it may be as of some ms ago. */
int queue_position(const struct future *f, int *total);
/* The first waiting future that kernel k, idle or about to be, should run now, or NULL: none, or k should give way. */
struct future *queue_next_for(struct pool *pool, const struct kernel *k, int64_t now_mono_ms);
/* Room may have come to those that are held back: before what follows is asked. */
void queue_look(struct pool *pool);
/* One that was to be started gets its kernel: counts the starts. It still waits. */
void queue_started(struct future *f);
/* The first idle kernel that may run f now, or NULL: none, or its slots have no room. */
struct kernel *queue_kernel_for(const struct pool *pool, const struct future *f);
/* It waits for room at its slots: no kernel would help. */
bool queue_is_held(const struct future *f);
/* Waiting ones that a kernel would help: not those that wait for room at their slots. */
int queue_count_startable(const struct pool *pool);
/* The memory that counts for its slots and its user: the limit of the kernel that runs it or will run it; 0 = none. */
int64_t queue_size(const struct future *f);
/* One of the pool's tasks had a kernel for that long. */
void queue_note_run(struct pool *pool, int64_t ms);
/* When it will start, by recent run times and the kernels there are: monotonic, or 0 where that cannot be said honestly. */
int64_t queue_expected_start(const struct future *f, int64_t now_mono_ms);

/* --- queue_reason.c --- */
enum queue_why {
	QUEUE_WHY_NONE, /* does not wait */
	QUEUE_WHY_UNPLACED,
	QUEUE_WHY_SLOTS,
	QUEUE_WHY_FAILURE,
	QUEUE_WHY_PROMISED,
	QUEUE_WHY_BUSY,
	QUEUE_WHY_STARTING,
	QUEUE_WHY_RETIRED,
	QUEUE_WHY_BUDGET,
	QUEUE_WHY_NO_KERNEL,
};
/* The text alone: "all 2 kernels of pool "fek" are busy". room 0: none is made. */
enum queue_why queue_why(const struct future *f, int64_t now_mono_ms, char *out, size_t room);
/* "Waiting, 3rd of 7: all 2 kernels of pool "fek" are busy". Returns out; "" = does not wait. */
const char *queue_reason(const struct future *f, int64_t now_mono_ms, char *out, size_t room);
/* Why the one that gets k now is the first of those that wait: "first of 3: alice used least lately". It still waits. */
const char *queue_why_first(const struct future *f, const struct kernel *k, char *out, size_t room);
/* Next of those whose reason may be another now: the first in the order (again and again only as that changes), and who is first of those held
 * back lately. NULL: no more. */
struct future *queue_news(struct pool *pool);
const char *queue_ordinal(int n, char *out, size_t room); /* "1st", "2nd", "3rd", "11th" */

#endif
