/* queue_reason: where somebody stands in the order, why, and when it will be his turn. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fleet/budget.h"
#include "fleet/queue_inner.h"
#include "fleet/slots.h"
#include "fleet/usage.h"
#include "sys/clock.h"

#define EXACT_UP_TO 500  /* waiting tasks whose positions are always as of now */
#define EACH_MS     100  /* of them for 1 ms: positions of many are worked out at most that often */
#define GUESS_MS    1000 /* a run nobody has seen yet */
#define RUNS_LEAST  3    /* before that many nothing is foretold */
#define WEIGHT      0.125

/* --- positions --- */

struct stand {
	struct future *f;
	double rank;
};

static int by_user(const void *a, const void *b)
{
	const struct future *x = ((const struct stand *)a)->f, *y = ((const struct stand *)b)->f;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (x->user != y->user)
		return (uintptr_t)x->user < (uintptr_t)y->user ? -1 : 1;
	return x->seq < y->seq ? -1 : 1;
}

static int by_turn(const void *a, const void *b)
{
	const struct stand *x = a, *y = b;
	if (x->f->priority != y->f->priority)
		return x->f->priority > y->f->priority ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->f->seq < y->f->seq ? -1 : 1;
}

/* Each task of a user that is started moves his next one back by what it will use. */
static void rank_stands(const struct queue *q, struct stand *s, size_t n, int64_t now)
{
	double each_ms = q->runs ? q->run_ms : GUESS_MS, ms = 0;
	if (each_ms < USAGE_AT_LEAST_MS)
		each_ms = USAGE_AT_LEAST_MS;
	qsort(s, n, sizeof(*s), by_user);
	for (size_t i = 0; i < n; i++) {
		const struct future *f = s[i].f;
		bool is_same = i > 0 && s[i - 1].f->priority == f->priority && s[i - 1].f->user == f->user;
		ms = is_same ? ms + each_ms : 0;
		s[i].rank = f->user ? usage_rank_with(f->user, queue_size(f), ms, now) : 0;
	}
	qsort(s, n, sizeof(*s), by_turn);
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static int64_t free_at(const struct pool *pool, const struct kernel *k, int64_t now)
{
	const struct queue *q = pool->queue;
	if (k->state == KERNEL_IDLE || !k->work_mono_ms)
		return now;
	int64_t at = k->work_mono_ms + (int64_t)q->cycle_ms;
	return at > now ? at : now + (int64_t)q->cycle_ms / 2; /* it takes longer than others did: nobody knows */
}

static void note_places(const struct pool *pool, int64_t now)
{
	struct queue *q = pool->queue;
	size_t n = list_count(&pool->kernels), at = 0;
	int64_t *fresh = realloc(q->free_at, (n + 1) * sizeof(*fresh));
	double start_ms = 0;
	int started = 0;
	q->nfree_at = 0;
	if (!fresh)
		return;
	q->free_at = fresh;
	list_each (&pool->kernels, p) {
		const struct kernel *k = list_of(p, struct kernel, in_pool);
		if (k->ready_wall_ms > k->started_wall_ms) {
			start_ms += (double)(k->ready_wall_ms - k->started_wall_ms);
			started++;
		}
	}
	q->cycle_ms = q->run_ms + (pool->spec->recycle_after_tasks == 1 && started ? start_ms / started : 0);
	list_each (&pool->kernels, p) {
		const struct kernel *k = list_of(p, struct kernel, in_pool);
		if (k->state <= KERNEL_BUSY && at < n)
			fresh[at++] = free_at(pool, k, now);
	}
	qsort(fresh, at, sizeof(*fresh), by_time);
	q->nfree_at = at;
}

/* Nobody reads positions in the path of a task: they are worked out when asked for. */
static void work_out(const struct pool *pool, int64_t now)
{
	struct queue *q = pool->queue;
	size_t n = 0;
	bool is_due = pool->nwaiting <= EXACT_UP_TO || now - q->ranked_mono_ms >= (int64_t)pool->nwaiting / EACH_MS;
	if (!is_due || (q->ranked_changes == q->changes && now == q->ranked_mono_ms))
		return;
	struct stand *all = malloc((pool->nwaiting + 1) * sizeof(*all));
	if (!all)
		return;
	list_each (&pool->waiting, p)
		if (n < pool->nwaiting)
			all[n++].f = list_of(p, struct future, in_queue);
	if (!pool->spec->is_fifo)
		rank_stands(q, all, n, now);
	for (size_t i = 0; i < n; i++)
		all[i].f->position = (int)i + 1;
	free(all);
	note_places(pool, now);
	q->ranked_changes = q->changes;
	q->ranked_mono_ms = now;
}

int queue_position(const struct future *f, int *total)
{
	*total = f->in_pool ? (int)f->in_pool->nwaiting : 0;
	if (!f->in_pool || list_is_empty(&f->in_queue)) /* it waits no more, or for nothing here */
		return 0;
	if (f->in_pool->queue)
		work_out(f->in_pool, clock_mono_ms());
	return f->position < *total ? f->position : *total;
}

/* --- when --- */

void queue_note_run(struct pool *pool, int64_t ms)
{
	struct queue *q = pool->queue;
	if (!q || ms < 0)
		return;
	double off = q->runs ? (double)ms - q->run_ms : 0;
	double weight = q->runs < 8 ? 1.0 / (q->runs + 1) : WEIGHT;
	q->run_ms += (q->runs ? off : (double)ms) * weight;
	q->run_spread_ms += ((off < 0 ? -off : off) - q->run_spread_ms) * weight;
	if (q->runs < 1000000)
		q->runs++;
}

int64_t queue_expected_start(const struct future *f, int64_t now)
{
	int total = 0, position = queue_position(f, &total);
	const struct pool *pool = f->in_pool;
	const struct queue *q = pool ? pool->queue : NULL;
	if (position == 0 || !q || q->runs < RUNS_LEAST || q->run_spread_ms > q->run_ms || !q->nfree_at || pool->failure[0] ||
	    pool->is_retired || pool->short_bytes || !f->lane || !list_is_empty(&f->lane->in_aside))
		return 0;
	size_t ahead = (size_t)position - 1, rounds = ahead / q->nfree_at;
	int64_t at = q->free_at[ahead % q->nfree_at] + (int64_t)((double)rounds * q->cycle_ms);
	return at > now ? at : now;
}

/* --- why --- */

const char *queue_ordinal(int n, char *out, size_t room)
{
	static const char *const ends[] = { "th", "st", "nd", "rd" };
	int tens = n / 10 % 10, ones = n % 10;
	snprintf(out, room, "%d%s", n, tens == 1 || ones > 3 ? "th" : ends[ones]);
	return out;
}

static int count_starting(const struct pool *pool)
{
	int n = 0;
	list_each (&pool->kernels, l)
		n += list_of(l, struct kernel, in_pool)->state == KERNEL_STARTING;
	return n;
}

static bool is_being_started(const struct pool *pool, const struct future *f)
{
	if (!f->memory_bytes)
		return false; /* kernels are started for one task where it asks for memory of its own */
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		if (k->state == KERNEL_STARTING && strcmp(k->reserved_for, f->id) == 0)
			return true;
	}
	return false;
}

static enum queue_why say(enum queue_why why, char *out, size_t room, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static enum queue_why say(enum queue_why why, char *out, size_t room, const char *fmt, ...)
{
	va_list args;
	if (!room)
		return why;
	va_start(args, fmt);
	vsnprintf(out, room, fmt, args);
	va_end(args);
	return why;
}

static enum queue_why why_no_kernel(const struct pool *p, char *out, size_t room)
{
	int busy = pool_count_busy(p), alive = pool_count_alive(p);
	if (alive >= p->spec->max && busy == 1 && alive == 1)
		return say(QUEUE_WHY_BUSY, out, room, "the only kernel of pool \"%s\" is busy", p->spec->name);
	if (alive >= p->spec->max && busy > 0)
		return say(QUEUE_WHY_BUSY, out, room, "all %d kernels of pool \"%s\" are busy", alive, p->spec->name);
	if (count_starting(p))
		return say(QUEUE_WHY_STARTING, out, room, "a kernel of pool \"%s\" is starting", p->spec->name);
	if (p->is_retired)
		return say(QUEUE_WHY_RETIRED, out, room, "no policy names pool \"%s\" any more", p->spec->name);
	return say(QUEUE_WHY_NO_KERNEL, out, room, "pool \"%s\" has no free kernel yet", p->spec->name);
}

enum queue_why queue_why(const struct future *f, int64_t now_mono_ms, char *out, size_t room)
{
	const struct pool *p = f->in_pool;
	char text[32];
	if (list_is_empty(&f->in_queue))
		return say(QUEUE_WHY_NONE, out, room, "%s", "");
	if (f->is_unplaced)
		return say(QUEUE_WHY_UNPLACED, out, room, "the policies changed, its slots are being looked up");
	if (!slots_has_room(f->ticket, queue_size(f), out, room))
		return QUEUE_WHY_SLOTS;
	if (p->failure[0]) {
		int64_t ms = p->next_start_mono_ms - now_mono_ms;
		return say(QUEUE_WHY_FAILURE, out, room, "kernels of pool \"%s\" do not start: %.300s; next try %s%s",
			   p->spec->name, p->failure, ms > 0 ? "in " : "now",
			   ms > 0 ? text_print_duration(ms, text, sizeof(text)) : "");
	}
	if (room ? budget_why(f, out, room) : budget_why(f, text, sizeof(text)))
		return QUEUE_WHY_BUDGET;
	if (is_being_started(p, f))
		return say(QUEUE_WHY_PROMISED, out, room, "no warm kernel of pool \"%s\" has %s, one is started for it",
			   p->spec->name, text_print_size(f->memory_bytes, text, sizeof(text)));
	return why_no_kernel(p, out, room);
}

const char *queue_reason(const struct future *f, int64_t now_mono_ms, char *out, size_t room)
{
	int total = 0, position = queue_position(f, &total);
	char ordinal[16], why[512];
	out[0] = 0;
	if (position == 0)
		return out;
	queue_why(f, now_mono_ms, why, sizeof(why));
	snprintf(out, room, "Waiting, %s of %d: %s", queue_ordinal(position, ordinal, sizeof(ordinal)), total, why);
	return out;
}
