/*
 * dispatch DIR [TASKS]: tasks through a fleet with two kernels that answer at once, durable, 32 at a time, submit to result: with the ledger
 * and without (every decision is dropped at its door), in turn. Prints "with|without US CPU" for each round: us per task, and us of the
 * processor in all threads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fleet/fleet.h"
#include "fleet/ledger.h"
#include "sys/clock.h"
#include "sys/loop.h"

#define AT_ONCE 32
#define ROUNDS  7
#define KERNELS 2

static bool is_off;
int64_t __real_ledger_note(struct ledger *ledger, const struct decision *d);
int64_t __wrap_ledger_note(struct ledger *ledger, const struct decision *d);
int64_t __wrap_ledger_note(struct ledger *ledger, const struct decision *d)
{
	return is_off ? 0 : __real_ledger_note(ledger, d);
}

struct sent {
	char kernel[KERNEL_ID_MAX], task[FUTURE_ID_MAX];
	int attempt;
};

struct bench {
	struct fleet *fleet;
	struct sent sent[KERNELS * 2];
	char spawned[KERNELS * 2][KERNEL_ID_MAX];
	int nsent, nspawned;
	long open, done;
};

static int spawn(void *data, const struct kernel *k, struct err *err)
{
	struct bench *b = data;
	(void)err;
	if (b->nspawned < KERNELS * 2)
		snprintf(b->spawned[b->nspawned++], KERNEL_ID_MAX, "%s", k->id);
	return 0;
}
static int stop(void *data, const struct kernel *k, const char *cause, const char *text, struct err *err)
{
	(void)data, (void)k, (void)cause, (void)text, (void)err;
	return 0;
}
static int label(void *data, const struct kernel *k, struct err *err)
{
	(void)data, (void)k, (void)err;
	return 0;
}
static int limit(void *data, const struct kernel *k, int64_t memory_bytes, struct err *err)
{
	(void)data, (void)k, (void)memory_bytes, (void)err;
	return 0;
}
static void usage(void *data, const struct kernel *const *k, size_t n)
{
	(void)data, (void)k, (void)n;
}
static int send_task(void *data, const struct kernel *k, const struct future *f, struct err *err)
{
	struct bench *b = data;
	struct sent *s = &b->sent[b->nsent++];
	(void)err;
	snprintf(s->kernel, sizeof(s->kernel), "%s", k->id);
	snprintf(s->task, sizeof(s->task), "%s", f->id);
	s->attempt = f->attempt;
	return 0;
}
static void abort_task(void *data, const struct kernel *k, const char *task)
{
	(void)data, (void)k, (void)task;
}
static void drop(void *data, const char *kernel)
{
	(void)data, (void)kernel;
}
static void on_fatal(void *data, const char *text)
{
	(void)data;
	fprintf(stderr, "dispatch: %s\n", text);
	exit(1);
}

static void submitted(void *data, enum fleet_answer answer, const char *id, bool is_first, const struct err *why)
{
	(void)data, (void)id, (void)is_first;
	if (answer != FLEET_OK)
		on_fatal(NULL, why->text);
}

static void submit(struct bench *b)
{
	struct err err = { 0 };
	struct fleet_request r = { .owner = "ann", .type = "python", .payload = "{}", .payload_len = 2 };
	if (fleet_submit(b->fleet, &r, submitted, b, &err) != FLEET_OK)
		on_fatal(NULL, err.text);
	b->open++;
}

static void answer_sent(struct bench *b)
{
	struct sent sent[KERNELS * 2];
	int n = b->nsent;
	memcpy(sent, b->sent, sizeof(sent));
	b->nsent = 0;
	for (int i = 0; i < n; i++) {
		fleet_task_accepted(b->fleet, sent[i].kernel, sent[i].task, sent[i].attempt);
		fleet_task_done(b->fleet, sent[i].kernel, sent[i].task, sent[i].attempt, "1", 1);
		b->open--;
		b->done++;
	}
}

static double round_of(struct bench *b, struct loop *loop, long tasks)
{
	int64_t from = clock_mono_us();
	long begun = b->open;
	for (b->done = 0; b->done < tasks;) {
		for (; b->open < AT_ONCE && begun < tasks; begun++)
			submit(b);
		loop_run_once(loop, true);
		answer_sent(b);
	}
	return (double)(clock_mono_us() - from) / (double)tasks;
}

static void make_pool(struct bench *b)
{
	struct err err = { 0 };
	struct pool_spec *spec = pool_spec_new("fek");
	spec->kind = strdup("python");
	spec->argv = calloc(2, sizeof(char *));
	spec->argv[0] = strdup("/bin/true");
	spec->memory_bytes = (int64_t)64 << 20;
	spec->warm_min = spec->warm_max = spec->max = KERNELS;
	spec->recycle_after_tasks = 0;
	if (fleet_set_pools(b->fleet, &spec, 1, &err) < 0)
		on_fatal(NULL, err.text);
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	struct err err = { 0 };
	char path[4096];
	long tasks = argc > 2 ? atol(argv[2]) : 10000;
	if (argc < 2)
		return 2;
	snprintf(path, sizeof(path), "%s/dss.sqlite", argv[1]);
	struct loop *loop = loop_new(&err);
	struct fleet_config config = {
		.store_path = path,
		.on_fatal = on_fatal,
		.orders = { &b, spawn, stop, label, limit, usage, send_task, abort_task, abort_task, drop },
	};
	b.fleet = loop ? fleet_new(loop, &config, &err) : NULL;
	if (!b.fleet)
		on_fatal(NULL, err.text);
	make_pool(&b);
	fleet_start(b.fleet);
	for (int i = 0; i < KERNELS;) {
		loop_run_once(loop, false);
		for (; i < b.nspawned; i++)
			fleet_kernel_ready(b.fleet, b.spawned[i], "http://127.0.0.1:1", &err);
	}
	round_of(&b, loop, tasks / 4);
	for (int i = 0; i < ROUNDS * 2; i++) {
		is_off = i % 2;
		clock_t cpu = clock();
		double us = round_of(&b, loop, tasks);
		double cpu_us = (double)(clock() - cpu) * 1e6 / CLOCKS_PER_SEC / (double)tasks;
		printf("%s %.2f %.2f\n", is_off ? "without" : "with", us, cpu_us);
		fflush(stdout);
	}
	fleet_free(&b.fleet);
	loop_free(&loop);
	return 0;
}
