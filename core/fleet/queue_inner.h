#ifndef DSS_FLEET_QUEUE_INNER_H
#define DSS_FLEET_QUEUE_INNER_H
#include "base/list.h"
#include "base/map.h"
#include "fleet/queue.h"
/* queue_inner: what queue.c (the order), queue_lane.c (its parts) and queue_reason.c (what is told of it) share. Nobody else includes it. */

enum queue_order { ORDER_FAIR, ORDER_AGE };

struct client { /* a user who waits in this pool */
	struct usage_user *user;
	struct list lanes; /* struct lane.in_client */
	double rank;       /* of his use, never falling: what his lanes are put in order by */
};

struct lane {                /* waiting tasks that differ only in when they came; never empty */
	struct list futures; /* struct future.in_lane, by seq */
	struct list in_client, in_aside, in_news;
	struct client *client;
	int priority;
	int64_t memory_bytes; /* limits.memory */
	size_t n;
	double rank;  /* its user's, as the heap knows it: never more than the true one */
	int place[2]; /* in the heaps; -1 = not in them */
	int passed;   /* looks that found no room for the first of them */
};

struct heap {
	enum queue_order order;
	struct lane **at;
	size_t n, room;
};

struct queue {
	struct heap heaps[2];
	struct list aside;           /* lanes that have no room at their slots */
	struct list news;            /* those of them whose first task was not told so */
	bool is_first_told;          /* in this look */
	const struct future *oldest; /* whose turn it is for its age; only compared */
	struct map *lanes, *clients;
	struct map *sized; /* id → waiting future with limits.memory */
	uint64_t version;  /* of the slots when those aside were looked at */
	size_t nloose;     /* at most: those that no memory was found for */
	int since_oldest;  /* starts since the one that waited longest was served */
	uint64_t changes;  /* of what positions depend on */
	/* positions, as of then */
	uint64_t ranked_changes;
	int64_t ranked_mono_ms;
	int64_t *free_at; /* when the kernels there are will be free, sorted */
	size_t nfree_at;
	/* run times: exponentially weighted */
	int runs;
	double run_ms, run_spread_ms, cycle_ms;
};

/* --- queue_lane.c --- */
/* Of one user in the order of submit, whatever is known of their ranks. */
bool lane_is_before(enum queue_order order, const struct lane *a, const struct lane *b);
double lane_true_rank(const struct lane *l, int64_t now_mono_ms);
bool lane_has_room(const struct lane *l);
bool lane_join(struct pool *pool, struct future *f); /* false: no memory */
void lane_leave(struct pool *pool, struct future *f);
void lane_put(struct queue *q, struct lane *l);  /* into both heaps */
void lane_take(struct queue *q, struct lane *l); /* out of both */
void lane_sift_down(struct heap *h, size_t i);
void lane_hold_back(struct pool *pool, struct lane *l); /* it is looked at again when room may have come */
void lane_look_again(struct pool *pool);                /* whoever was held back and has room now is in the order again */

static inline bool lane_is_aside(const struct lane *l)
{
	return !list_is_empty(&l->in_aside);
}

static inline struct future *queue_head(const struct lane *l)
{
	return list_of(l->futures.next, struct future, in_lane);
}

#endif
