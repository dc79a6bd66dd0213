#ifndef DSS_FLEET_STORE_INNER_H
#define DSS_FLEET_STORE_INNER_H
#include <pthread.h>
#include "base/list.h"
#include "fleet/store.h"
#include "fleet/store_op.h"
/* store_inner: what store.c (the loop's side) and store_thread.c (the two threads) share. Nobody else includes it. */

struct store_line { /* a thread and the operations that wait for it */
	struct store *store;
	pthread_t thread;
	pthread_cond_t news;
	struct list todo;
	struct store_sql *sql;
	bool runs;
	/* the writer's, under lock: what may wait a moment does so for company, see store_thread.c */
	size_t nurgent; /* of todo, those that may not */
	int64_t urgent_mono_us, hold_until_mono_us;
	bool holds;
};

struct store {
	struct loop *loop;
	struct loop_wake *wake;
	pthread_mutex_t lock;
	struct store_line writer, reader;
	struct list done; /* under lock: for the loop, in order */
	struct list held; /* loop's thread: facts that wait for room on the disk */
	size_t nheld;
	struct loop_timer *again; /* runs while any is held */
	size_t waiting;           /* loop's thread */
	bool is_closing, is_broken, was_told;
	char broken[ERR_TEXT_MAX];
	int64_t epoch, fact_seq;
	int64_t next_kernel, kernels_reserved; /* loop's thread: numbers below reserved are ours */
	bool is_reserving;
	store_fatal_fn *on_fatal;
	void *data;
	struct store_watch watch[STORE_WATCHES];
	struct store_stats stats; /* under lock */
};

/* --- store_thread.c --- */
void *store_thread_write(void *store); /* until the store closes and nothing waits */
void *store_thread_read(void *store);
/* Moves up to `most` operations; how many. The lock is the caller's affair. */
size_t store_thread_take(struct list *from, struct list *to, size_t most);

#endif
