/* queue_lane: the parts of a queue: who stands behind whom (two heaps), and who is held back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "fleet/queue_inner.h"
#include "fleet/slots.h"
#include "fleet/usage.h"
#include "sys/clock.h"

#define NAME_MOST  160
#define RANK_NOISE 1e-9

/* --- the two heaps: by fairness and by age --- */

static uint64_t head_seq(const struct lane *l)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a lane is freed with its last task */
	return queue_head(l)->seq;
}

/*
 * The order within a heap knows no users: lanes of one whose ranks are of different times would stand in a circle with another's between
 * them, and he would be passed for ever. Their ranks are equal once each was brought up to now, which is_true does before one is taken.
 */
static bool is_above(enum queue_order order, const struct lane *a, const struct lane *b)
{
	if (order == ORDER_FAIR && a->priority != b->priority)
		return a->priority > b->priority;
	if (order == ORDER_FAIR && a->rank != b->rank)
		return a->rank < b->rank;
	return head_seq(a) < head_seq(b);
}

bool lane_is_before(enum queue_order order, const struct lane *a, const struct lane *b)
{
	if (order == ORDER_FAIR && a->priority != b->priority)
		return a->priority > b->priority;
	if (order == ORDER_FAIR && a->client != b->client && a->rank != b->rank)
		return a->rank < b->rank;
	return head_seq(a) < head_seq(b);
}

static void set_at(struct heap *h, size_t i, struct lane *l)
{
	h->at[i] = l;
	l->place[h->order] = (int)i;
}

static void sift_up(struct heap *h, size_t i)
{
	struct lane *l = h->at[i];
	for (; i > 0 && is_above(h->order, l, h->at[(i - 1) / 2]); i = (i - 1) / 2)
		set_at(h, i, h->at[(i - 1) / 2]);
	set_at(h, i, l);
}

void lane_sift_down(struct heap *h, size_t i)
{
	struct lane *l = h->at[i];
	for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
		if (child + 1 < h->n && is_above(h->order, h->at[child + 1], h->at[child]))
			child++;
		if (!is_above(h->order, h->at[child], l))
			break;
		set_at(h, i, h->at[child]);
	}
	set_at(h, i, l);
}

static void heap_add(struct heap *h, struct lane *l)
{
	set_at(h, h->n++, l); /* room was made when the lane was */
	sift_up(h, h->n - 1);
}

static void heap_remove(struct heap *h, struct lane *l)
{
	size_t i = (size_t)l->place[h->order];
	struct lane *last = h->at[--h->n];
	l->place[h->order] = -1;
	if (last == l)
		return;
	set_at(h, i, last);
	sift_up(h, i);
	lane_sift_down(h, (size_t)last->place[h->order]);
}

static void heap_mend(struct heap *h, struct lane *l)
{
	sift_up(h, (size_t)l->place[h->order]);
	lane_sift_down(h, (size_t)l->place[h->order]);
}

static int make_room_for_lane(struct heap *h, size_t lanes)
{
	if (lanes <= h->room)
		return 0;
	size_t room = h->room ? h->room * 2 : 16;
	struct lane **at = realloc(h->at, room * sizeof(struct lane *));
	if (!at)
		return -1;
	h->at = at;
	h->room = room;
	return 0;
}

/* --- lanes --- */

/* Worked out at two moments, the same use differs in its last digits: that is no difference. */
double lane_true_rank(const struct lane *l, int64_t now)
{
	struct client *c = l->client;
	double rank = usage_rank(c->user, now);
	if (rank > c->rank + RANK_NOISE)
		c->rank = rank;
	return c->rank;
}

void lane_put(struct queue *q, struct lane *l)
{
	l->rank = lane_true_rank(l, clock_mono_ms());
	heap_add(&q->heaps[ORDER_FAIR], l);
	heap_add(&q->heaps[ORDER_AGE], l);
}

void lane_take(struct queue *q, struct lane *l)
{
	heap_remove(&q->heaps[ORDER_FAIR], l);
	heap_remove(&q->heaps[ORDER_AGE], l);
}

static void put_aside(struct pool *pool, struct lane *l)
{
	lane_take(pool->queue, l);
	list_push(&pool->queue->aside, &l->in_aside);
	if (list_is_empty(&l->in_news))
		list_push(&pool->queue->news, &l->in_news);
	pool->nheld += l->n;
	pool->queue->changes++;
}

static void put_back(struct pool *pool, struct lane *l)
{
	list_remove(&l->in_aside);
	pool->nheld -= l->n;
	lane_put(pool->queue, l);
	pool->queue->changes++;
}

bool lane_has_room(const struct lane *l)
{
	const struct future *f = queue_head(l);
	return slots_has_room(f->ticket, queue_size(f), NULL, 0);
}

/* Held back: it is looked at again when room may have come. */
void lane_hold_back(struct pool *pool, struct lane *l)
{
	struct future *f = queue_head(l);
	put_aside(pool, l);
	if (++l->passed >= QUEUE_PASSED_MOST)
		slots_keep(f->ticket, queue_size(f));
}

/* Whoever was held back and has room now is in the order again. */
void lane_look_again(struct pool *pool)
{
	struct queue *q = pool->queue;
	const struct list *first = list_first(&q->aside);
	if (!first)
		return;
	uint64_t version = slots_version(queue_head(list_of(first, struct lane, in_aside))->ticket);
	if (version == q->version)
		return;
	q->version = version;
	list_each (&q->aside, p) {
		struct lane *l = list_of(p, struct lane, in_aside);
		struct future *f = queue_head(l);
		if (lane_has_room(l))
			put_back(pool, l);
		else if (++l->passed >= QUEUE_PASSED_MOST)
			slots_keep(f->ticket, queue_size(f));
	}
}

static void lane_name(const struct future *f, char *out, size_t room)
{
	snprintf(out, room, "%p %d %p %lld", (const void *)f->user, f->priority, slots_signature(f->ticket),
		 (long long)f->memory_bytes);
}

static struct client *take_client(struct queue *q, struct usage_user *user)
{
	struct client *c = map_get(q->clients, usage_name(user));
	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c || map_set(q->clients, usage_name(user), c) < 0) {
		free(c);
		return NULL;
	}
	c->user = user;
	c->rank = -INFINITY;
	list_init(&c->lanes);
	return c;
}

static void drop_client(struct queue *q, struct client *c)
{
	if (!list_is_empty(&c->lanes))
		return;
	map_remove(q->clients, usage_name(c->user));
	free(c);
}

static struct lane *new_lane(struct queue *q, const struct future *f, const char *name)
{
	struct client *c = f->user ? take_client(q, f->user) : NULL;
	struct lane *l = c ? calloc(1, sizeof(*l)) : NULL;
	size_t lanes = map_count(q->lanes) + 1;
	if (!l || make_room_for_lane(&q->heaps[ORDER_FAIR], lanes) < 0 || make_room_for_lane(&q->heaps[ORDER_AGE], lanes) < 0 ||
	    map_set(q->lanes, name, l) < 0) {
		free(l);
		if (c)
			drop_client(q, c);
		return NULL;
	}
	list_init(&l->futures);
	list_init(&l->in_aside);
	list_init(&l->in_news);
	list_push(&c->lanes, &l->in_client);
	l->client = c;
	l->priority = f->priority;
	l->memory_bytes = f->memory_bytes;
	l->place[ORDER_FAIR] = l->place[ORDER_AGE] = -1;
	return l;
}

static void free_lane(struct pool *pool, struct lane *l, const char *name)
{
	struct queue *q = pool->queue;
	list_remove(&l->in_client);
	list_remove(&l->in_news);
	map_remove(q->lanes, name);
	drop_client(q, l->client);
	free(l);
}

/* Returned ones stand before those that came later; new ones are last at once. */
static void insert_in_lane(struct lane *l, struct future *f)
{
	struct list *at = l->futures.prev;
	while (at != &l->futures && list_of(at, struct future, in_lane)->seq > f->seq)
		at = at->prev;
	list_insert_after(at, &f->in_lane);
}

bool lane_join(struct pool *pool, struct future *f)
{
	char name[NAME_MOST];
	struct queue *q = pool->queue;
	lane_name(f, name, sizeof(name));
	struct lane *l = map_get(q->lanes, name);
	bool is_new = !l;
	if (!l && !(l = new_lane(q, f, name)))
		return false;
	insert_in_lane(l, f);
	f->lane = l;
	l->n++;
	if (is_new) {
		lane_put(q, l);
		if (!lane_has_room(l))
			put_aside(pool, l);
	} else if (lane_is_aside(l)) {
		pool->nheld++;
	} else if (queue_head(l) == f) {
		heap_mend(&q->heaps[ORDER_FAIR], l);
		heap_mend(&q->heaps[ORDER_AGE], l);
	}
	return true;
}

void lane_leave(struct pool *pool, struct future *f)
{
	char name[NAME_MOST];
	struct queue *q = pool->queue;
	struct lane *l = f->lane;
	bool was_head = queue_head(l) == f, was_aside = lane_is_aside(l);
	lane_name(f, name, sizeof(name));
	f->lane = NULL;
	pool->nheld -= was_aside;
	if (l->n == 1 && was_aside)
		list_remove(&l->in_aside);
	else if (l->n == 1)
		lane_take(q, l);
	list_remove(&f->in_lane);
	if (--l->n == 0) {
		free_lane(pool, l, name);
	} else if (was_head && !was_aside) {
		l->passed = 0;
		heap_mend(&q->heaps[ORDER_FAIR], l);
		heap_mend(&q->heaps[ORDER_AGE], l);
		if (!lane_has_room(l))
			put_aside(pool, l);
	}
}
