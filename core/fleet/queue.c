#include "fleet/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/budget.h"
#include "fleet/queue_inner.h"
#include "fleet/slots.h"
#include "fleet/usage.h"
#include "sys/clock.h"

#define SLICE_MOST_MS 60000

/* --- the queue of a pool --- */

static struct queue *queue_of(struct pool *pool)
{
	if (pool->queue)
		return pool->queue;
	struct queue *q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	list_init(&q->aside);
	list_init(&q->news);
	q->heaps[ORDER_AGE].order = ORDER_AGE;
	q->lanes = map_new();
	q->clients = map_new();
	q->sized = map_new();
	if (!q->lanes || !q->clients || !q->sized)
		queue_free(&q);
	return pool->queue = q;
}

void queue_free(struct queue **qp)
{
	struct queue *q = *qp;
	size_t cursor = 0;
	if (!q)
		return;
	for (void *l; q->lanes && (l = map_next(q->lanes, &cursor));)
		free(l);
	cursor = 0;
	for (void *c; q->clients && (c = map_next(q->clients, &cursor));)
		free(c);
	map_free(&q->lanes);
	map_free(&q->clients);
	map_free(&q->sized);
	free(q->heaps[ORDER_FAIR].at);
	free(q->heaps[ORDER_AGE].at);
	free(q->free_at);
	free(q);
	*qp = NULL;
}

static void enter_lane(struct pool *pool, struct future *f)
{
	struct queue *q = queue_of(pool);
	bool is_in = q && !f->is_unplaced && (f->memory_bytes == 0 || map_set(q->sized, f->id, f) == 0) && lane_join(pool, f);
	f->is_loose = !is_in;
	pool->nheld += f->is_loose;
	if (q && f->is_loose && !f->is_unplaced)
		q->nloose++;
}

static void exit_lane(struct pool *pool, struct future *f)
{
	if (f->memory_bytes && pool->queue)
		map_remove(pool->queue->sized, f->id);
	if (f->lane)
		lane_leave(pool, f);
	pool->nheld -= f->is_loose;
	f->is_loose = false;
}

void queue_push(struct pool *pool, struct future *f)
{
	struct list *at = pool->waiting.prev;
	if (!f->seq)
		f->seq = ++pool->last_seq;
	while (at != &pool->waiting && list_of(at, struct future, in_queue)->seq > f->seq)
		at = at->prev;
	list_insert_after(at, &f->in_queue);
	pool->nwaiting++;
	pool->nwaiting_sized += f->memory_bytes > 0;
	f->position = (int)pool->nwaiting;
	enter_lane(pool, f);
	if (pool->queue)
		pool->queue->changes++;
}

void queue_remove(struct future *f)
{
	struct pool *pool = f->in_pool;
	if (list_is_empty(&f->in_queue))
		return;
	exit_lane(pool, f);
	list_remove(&f->in_queue);
	pool->nwaiting--;
	pool->nwaiting_sized -= f->memory_bytes > 0;
	if (pool->queue)
		pool->queue->changes++;
}

void queue_displace(struct future *f)
{
	struct pool *pool = f->in_pool;
	if (list_is_empty(&f->in_queue) || f->is_unplaced)
		return;
	exit_lane(pool, f);
	f->is_unplaced = true;
	enter_lane(pool, f);
	if (pool->queue)
		pool->queue->changes++;
}

void queue_place(struct future *f)
{
	f->is_unplaced = false;
	if (list_is_empty(&f->in_queue) || f->lane)
		return;
	f->in_pool->nheld -= f->is_loose;
	enter_lane(f->in_pool, f);
	if (f->in_pool->queue)
		f->in_pool->queue->changes++;
}

/* There was no memory for their lanes. */
static void gather_loose(struct pool *pool)
{
	if (!pool->queue->nloose)
		return;
	pool->queue->nloose = 0;
	list_each (&pool->waiting, p) {
		struct future *f = list_of(p, struct future, in_queue);
		if (f->is_loose && !f->is_unplaced)
			queue_place(f);
	}
}

int64_t queue_size(const struct future *f)
{
	int64_t of_kernel = f->on ? f->on->memory_bytes : f->in_pool->spec->memory_bytes;
	if (f->memory_bytes && (!of_kernel || f->memory_bytes < of_kernel || !f->on))
		return f->memory_bytes;
	return of_kernel;
}

/* --- who is next --- */

static bool fits(const struct kernel *k, const struct lane *l)
{
	return k->memory_bytes == 0 || l->memory_bytes <= k->memory_bytes;
}

/* Use only rises: what the heap believes of a lane may be too little, never too much. So a first one whose rank is true is the first. */
static bool is_true(struct heap *h, struct lane *l, int64_t now)
{
	double rank = h->order == ORDER_FAIR ? lane_true_rank(l, now) : l->rank;
	if (rank <= l->rank)
		return true;
	l->rank = rank;
	lane_sift_down(h, (size_t)l->place[h->order]);
	return h->at[0] == l;
}

static struct lane *first_of_all(struct pool *pool, enum queue_order order, const struct kernel *k, int64_t now)
{
	struct queue *q = pool->queue;
	struct heap *h = &q->heaps[order];
	struct list unfit = LIST_INIT(unfit);
	struct lane *found = NULL;
	while (!found && h->n > 0) {
		struct lane *l = h->at[0];
		if (!is_true(h, l, now))
			continue;
		if (!fits(k, l)) { /* for a kernel that is started for it */
			lane_take(q, l);
			list_push(&unfit, &l->in_aside);
		} else if (!lane_has_room(l)) {
			lane_hold_back(pool, l);
		} else {
			found = l;
		}
	}
	list_each (&unfit, p) {
		list_remove(p);
		lane_put(q, list_of(p, struct lane, in_aside));
	}
	return found;
}

static struct lane *first_of_owner(struct pool *pool, enum queue_order order, const struct kernel *k)
{
	struct lane *found = NULL;
	const struct client *c = map_get(pool->queue->clients, k->owner);
	if (!c)
		return NULL;
	list_each (&c->lanes, p) {
		struct lane *l = list_of(p, struct lane, in_client);
		if (lane_is_aside(l) || !fits(k, l))
			continue;
		if (!lane_has_room(l))
			lane_hold_back(pool, l);
		else if (!found || lane_is_before(order, l, found))
			found = l;
	}
	return found;
}

static bool is_helped(const struct pool *pool, const struct lane *l)
{
	if (pool_count_alive(pool) < pool->spec->max && !pool->short_bytes)
		return true; /* another kernel has a place, and the node memory for it */
	list_each (&pool->kernels, p) {
		const struct kernel *k = list_of(p, struct kernel, in_pool);
		if (k->state == KERNEL_STARTING || k->state == KERNEL_STOPPING)
			return true;
		if (k->state == KERNEL_IDLE && !k->owner && !k->reserved_for[0] && fits(k, l))
			return true;
	}
	return false;
}

static bool is_slice_over(const struct kernel *k, int64_t now)
{
	int64_t slice = k->ready_wall_ms > k->started_wall_ms ? QUEUE_SLICE_STARTS * (k->ready_wall_ms - k->started_wall_ms) : 0;
	if (slice < QUEUE_SLICE_MS)
		slice = QUEUE_SLICE_MS;
	return now - k->bound_mono_ms >= (slice < SLICE_MOST_MS ? slice : SLICE_MOST_MS);
}

static bool gives_way(const struct pool *pool, const struct kernel *k, const struct lane *own, const struct lane *first,
		      enum queue_order order, int64_t now)
{
	if (!first || first->client == own->client || !lane_is_before(order, first, own))
		return false;
	bool is_urgent = order == ORDER_FAIR && first->priority > own->priority;
	/* Where nobody could start in its place it would stand idle, and both would wait. */
	return (is_urgent || is_slice_over(k, now)) && !is_helped(pool, first) && budget_is_room_without(queue_head(first), k);
}

static bool is_turn_of_oldest(const struct queue *q)
{
	return q->since_oldest >= QUEUE_OLDEST_EACH - 1;
}

static struct future *promised_to(const struct pool *pool, const struct kernel *k)
{
	struct future *f = map_get(pool->queue->sized, k->reserved_for);
	return f && f->lane && slots_has_room(f->ticket, queue_size(f), NULL, 0) ? f : NULL;
}

void queue_look(struct pool *pool)
{
	if (!pool->queue)
		return;
	pool->queue->is_first_told = false;
	gather_loose(pool);
	lane_look_again(pool);
}

struct future *queue_next_for(struct pool *pool, const struct kernel *k, int64_t now)
{
	struct queue *q = pool->queue;
	if (!q || !pool->nwaiting)
		return NULL;
	gather_loose(pool);
	lane_look_again(pool);
	if (k->reserved_for[0])
		return promised_to(pool, k);
	bool is_due = !pool->spec->is_fifo && is_turn_of_oldest(q);
	enum queue_order usual = pool->spec->is_fifo ? ORDER_AGE : ORDER_FAIR, order = is_due ? ORDER_AGE : usual;
	struct lane *first = first_of_all(pool, order, k, now);
	struct lane *own = k->owner ? first_of_owner(pool, order, k) : first;
	if (is_due && own && own != first) /* the turn of the oldest is not its kernel's: it is another's still */
		own = first_of_owner(pool, usual, k);
	q->oldest = is_due && first ? queue_head(first) : NULL;
	if (!own || (k->owner && gives_way(pool, k, own, first, order, now)))
		return NULL;
	return queue_head(own);
}

void queue_started(struct future *f)
{
	struct queue *q = f->in_pool->queue;
	const struct heap *h = q ? &q->heaps[ORDER_AGE] : NULL;
	if (!q || !f->lane)
		return;
	if (!h->n || queue_head(h->at[0]) == f || q->oldest == f)
		q->since_oldest = 0;
	else
		q->since_oldest++;
}

struct kernel *queue_kernel_for(const struct pool *pool, const struct future *f)
{
	struct kernel *fresh = NULL;
	if (!f->lane || !slots_has_room(f->ticket, queue_size(f), NULL, 0))
		return NULL;
	list_each (&pool->kernels, l) {
		struct kernel *k = list_of(l, struct kernel, in_pool);
		if (!kernel_may_run(k, f->owner, f->id, f->memory_bytes))
			continue;
		if (k->owner || k->reserved_for[0]) /* its own first: nobody else can use that one */
			return k;
		if (!fresh)
			fresh = k;
	}
	return fresh;
}

struct future *queue_news(struct pool *pool)
{
	struct queue *q = pool->queue;
	if (!q)
		return NULL;
	struct list *l = list_first(&q->news);
	if (l) {
		list_remove(l);
		return queue_head(list_of(l, struct lane, in_news));
	}
	const struct heap *h = &q->heaps[ORDER_FAIR];
	if (q->is_first_told || h->n == 0)
		return NULL;
	q->is_first_told = true;
	return queue_head(h->at[0]);
}

const char *queue_why_first(const struct future *f, const struct kernel *k, char *out, size_t room)
{
	const struct pool *pool = f->in_pool;
	const struct queue *q = pool->queue;
	const struct lane *l = f->lane;
	const struct heap *h = q ? &q->heaps[ORDER_FAIR] : NULL;
	const struct lane *other = NULL; /* the best of the others, where f's lane is the first */
	size_t n = pool->nwaiting;
	for (size_t i = 1; h && i <= 2 && i < h->n; i++)
		if (!other || lane_is_before(ORDER_FAIR, h->at[i], other))
			other = h->at[i];
	if (n <= 1 || !l)
		snprintf(out, room, "nobody else waits");
	else if (k->reserved_for[0])
		snprintf(out, room, "kernel %s was started for it", k->id);
	else if (pool->spec->is_fifo)
		snprintf(out, room, "first of %zu: it was submitted first", n);
	else if (q && q->oldest == f)
		snprintf(out, room, "first of %zu: it waits longest, and one of %d starts is for that", n, QUEUE_OLDEST_EACH);
	else if (l->place[ORDER_FAIR] != 0)
		snprintf(out, room, "next of %s: kernel %s works for %s", f->owner, k->id, f->owner);
	else if (!other)
		snprintf(out, room, "first of %zu: the others are alike or have no room at their slots", n);
	else if (other->priority < l->priority)
		snprintf(out, room, "first of %zu: priority %d", n, l->priority);
	else if (other->client == l->client)
		snprintf(out, room, "first of %zu: the first that %s submitted", n, f->owner);
	else
		snprintf(out, room, "first of %zu: %s used least lately", n, f->owner);
	return out;
}

bool queue_is_held(const struct future *f)
{
	return !f->lane || lane_is_aside(f->lane);
}

int queue_count_startable(const struct pool *pool)
{
	return (int)(pool->nwaiting - pool->nheld);
}
