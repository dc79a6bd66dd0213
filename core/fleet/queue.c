#include "fleet/queue.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

static void enter(struct pool *pool, const struct future *f)
{
	pool->nwaiting++;
	pool->nwaiting_sized += f->memory_bytes > 0;
}

void queue_push(struct pool *pool, struct future *f)
{
	list_push(&pool->waiting, &f->in_queue);
	enter(pool, f);
}
void queue_push_first(struct pool *pool, struct future *f)
{
	list_insert_after(&pool->waiting, &f->in_queue);
	enter(pool, f);
}
void queue_remove(struct future *f)
{
	if (list_is_empty(&f->in_queue))
		return;
	list_remove(&f->in_queue);
	f->in_pool->nwaiting--;
	f->in_pool->nwaiting_sized -= f->memory_bytes > 0;
}

int queue_position(const struct future *f, int *total)
{
	int position = 0;
	*total = f->in_pool ? (int)f->in_pool->nwaiting : 0;
	if (list_is_empty(&f->in_queue)) /* it waits no more, or for nothing here */
		return 0;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): one that is in a queue has its pool */
	list_each (&f->in_pool->waiting, l) {
		position++;
		if (list_of(l, struct future, in_queue) == f)
			break;
	}
	return position;
}

struct future *queue_next_for(const struct pool *pool, const struct kernel *k)
{
	list_each (&pool->waiting, l) {
		struct future *f = list_of(l, struct future, in_queue);
		if (kernel_may_run(k, f->owner, f->id, f->memory_bytes))
			return f;
	}
	return NULL;
}

struct kernel *queue_kernel_for(const struct pool *pool, const struct future *f)
{
	struct kernel *fresh = NULL;
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
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		if (k->state == KERNEL_STARTING && strcmp(k->reserved_for, f->id) == 0)
			return true;
	}
	return false;
}

static void why_waiting(const struct future *f, int64_t now_mono_ms, char *out, size_t room)
{
	const struct pool *p = f->in_pool;
	int busy = pool_count_busy(p), alive = pool_count_alive(p);
	char size[32], pause[32];
	if (p->failure[0]) {
		int64_t ms = p->next_start_mono_ms - now_mono_ms;
		snprintf(out, room, "kernels of pool \"%s\" do not start: %.300s; next try %s%s", p->spec->name, p->failure,
			 ms > 0 ? "in " : "now", ms > 0 ? text_print_duration(ms, pause, sizeof(pause)) : "");
	} else if (budget_why(f, out, room)) {
		return;
	} else if (is_being_started(p, f)) {
		snprintf(out, room, "no warm kernel of pool \"%s\" has %s, one is started for it", p->spec->name,
			 text_print_size(f->memory_bytes, size, sizeof(size)));
	} else if (alive >= p->spec->max && busy > 0) {
		snprintf(out, room,
			 busy == 1 && alive == 1 ? "the only kernel of pool \"%s\" is busy"
						 : "all %2$d kernels of pool \"%1$s\" are busy",
			 p->spec->name, alive);
	} else if (count_starting(p)) {
		snprintf(out, room, "a kernel of pool \"%s\" is starting", p->spec->name);
	} else if (p->is_retired) {
		snprintf(out, room, "no policy names pool \"%s\" any more", p->spec->name);
	} else {
		snprintf(out, room, "pool \"%s\" has no free kernel yet", p->spec->name);
	}
}

const char *queue_reason(const struct future *f, int64_t now_mono_ms, char *out, size_t room)
{
	int total = 0, position = queue_position(f, &total);
	char ordinal[16], why[512];
	out[0] = 0;
	if (position == 0)
		return out;
	why_waiting(f, now_mono_ms, why, sizeof(why));
	snprintf(out, room, "Waiting, %s of %d: %s", queue_ordinal(position, ordinal, sizeof(ordinal)), total, why);
	return out;
}
