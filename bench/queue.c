/*
 * queue: what it costs to put a task into a pool's queue and to pick the next one, with few and with many waiting. No loop, no disk: the
 * structures alone. Prints "NAME WAITING ns-per-push ns-per-pick".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/queue.h"
#include "fleet/slots.h"
#include "fleet/usage.h"
#include "sys/clock.h"

#define PICKS 200000

struct bench {
	struct pool *pool;
	struct kernel *kernel;
	struct usage *usage;
	struct slots *slots;
	struct future **all;
	size_t n;
};

static struct future *new_task(struct bench *b, size_t i, size_t users, bool is_slotted)
{
	char owner[32];
	struct future *f = future_new();
	snprintf(owner, sizeof(owner), "user%zu", i % users);
	snprintf(f->id, sizeof(f->id), "t%zu", i);
	f->owner = strdup(owner);
	f->in_pool = b->pool;
	f->user = usage_user(b->usage, owner);
	if (is_slotted) {
		struct slot_place place = { 0, owner, -1 };
		f->ticket = slots_ticket(b->slots, &place, 1);
	}
	return f;
}

static void run(const char *name, size_t waiting, size_t users, bool is_slotted)
{
	struct bench b = { .usage = usage_new((int64_t)64 << 30, 16), .slots = slots_new(), .n = waiting };
	struct pool_spec *spec = pool_spec_new("fek");
	struct slot_rule rule = { "slots", "tasks of a user", "bench:1", "user", 1, 0 };
	int64_t now = clock_mono_ms();
	spec->max = 4;
	b.pool = pool_new(spec);
	b.kernel = kernel_new("fek-1", b.pool);
	b.kernel->state = KERNEL_IDLE;
	slots_set(b.slots, &rule, 1, NULL);
	b.all = calloc(waiting, sizeof(struct future *));
	for (size_t i = 0; i < waiting; i++)
		b.all[i] = new_task(&b, i, users, is_slotted);
	int64_t from = clock_mono_us();
	for (size_t i = 0; i < waiting; i++)
		queue_push(b.pool, b.all[i]);
	double push = (double)(clock_mono_us() - from) * 1000 / (double)waiting;
	/* As in a busy pool: one starts, one ends, one comes. With slots all users but the one that just ended have no room. */
	struct future *at_work = NULL;
	struct slot_ticket **held = calloc(users, sizeof(struct slot_ticket *));
	for (size_t i = 1; is_slotted && i < users; i++) {
		char owner[32];
		snprintf(owner, sizeof(owner), "user%zu", i);
		struct slot_place place = { 0, owner, -1 };
		held[i] = slots_ticket(b.slots, &place, 1);
		slots_enter(held[i], 0);
	}
	from = clock_mono_us();
	size_t picks = 0;
	for (; picks < PICKS; picks++) {
		if (at_work) {
			slots_leave(at_work->ticket);
			usage_end(at_work->user, (int64_t)1 << 30, now);
			at_work->seq = 0;
			queue_push(b.pool, at_work);
		}
		struct future *f = queue_next_for(b.pool, b.kernel, now);
		if (!f)
			break;
		slots_enter(f->ticket, 0);
		usage_begin(f->user, (int64_t)1 << 30, now);
		queue_started(f);
		queue_remove(f);
		at_work = f;
	}
	if (picks < PICKS)
		fprintf(stderr, "queue: %s stopped after %zu picks\n", name, picks);
	printf("%s %zu %.0f %.0f\n", name, waiting, push, (double)(clock_mono_us() - from) * 1000 / (double)(picks ? picks : 1));
	for (size_t i = 0; i < users; i++)
		slots_ticket_free(&held[i]);
	for (size_t i = 0; i < waiting; i++) {
		queue_remove(b.all[i]);
		future_free(&b.all[i]);
	}
	kernel_free(&b.kernel);
	pool_free(&b.pool);
	slots_free(&b.slots);
	usage_free(&b.usage);
	free(b.all);
	free(held);
}

int main(void)
{
	static const size_t sizes[] = { 10, 1000, 10000 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		run("one-user", sizes[i], 1, false);
		run("ten-users", sizes[i], 10, false);
		run("a-user-each", sizes[i], sizes[i], false);
		run("ten-users-held-by-slots", sizes[i], 10, true);
		run("hundred-users-held-by-slots", sizes[i], sizes[i] < 100 ? sizes[i] : 100, true);
	}
	return 0;
}
