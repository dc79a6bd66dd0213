/*
 * judge DIR SHARE KERNELS ROUNDS: what rules cost. A fleet of so many idle kernels that are nowhere but in its books is judged by the
 * policies in DIR/policies until ROUNDS x KERNELS were decided. Prints: microseconds a decision (with its note in the ledger), the longest
 * slice of the rules by the clock and by the thread's processor time, the longest pause of the loop, and how many decisions there were.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/log.h"
#include "bench.h"
#include "bind/policies.h"
#include "bind/policies_live.h"
#include "bind/rule_runs.h"
#include "sys/clock.h"

#define BEAT_MS 1
#define WARM_MS 500 /* the first turns make the kernels' pages and the set's garbage */
#define WAIT_S  120

struct bench {
	struct loop *loop;
	struct fleet *fleet;
	struct policies_live *live;
	struct loop_timer *beat;
	int64_t beat_us, longest_us, decisions, total_us, slice_us, slice_cpu_us, wanted;
};

/* --- a keeper that has nothing to do --- */

static int spawn(void *data, const struct kernel *k, struct err *err)
{
	(void)data, (void)k;
	return err_set(err, "no kernel is started here");
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
static void usage(void *data, const struct kernel *const *kernels, size_t n)
{
	(void)data, (void)kernels, (void)n;
}
static void drop(void *data, const char *kernel)
{
	(void)data, (void)kernel;
}
static void on_fatal(void *data, const char *text)
{
	(void)data;
	fprintf(stderr, "judge: %s\n", text);
	_exit(1);
}

static int make_kernels(struct bench *b, long n, struct err *err)
{
	char id[64], text[256];
	for (long i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "fek-%ld", i + 1);
		snprintf(text, sizeof(text),
			 "{\"pool\":\"fek\",\"url\":\"http://127.0.0.1:1\",\"owner\":\"user%ld\",\"tasksRun\":%ld}", i % 50,
			 i % 100);
		struct kernel *k = fleet_take_up(b->fleet, id, 1000 + (int)i, true, text, clock_wall_ms() - 100000 * (i % 50), err);
		if (!k)
			return -1;
		fleet_kernel_usage(b->fleet, id, (100 + i % 400) << 20, 500 << 20, 1000);
	}
	return 0;
}

/* --- time --- */

static void on_beat(void *data)
{
	struct bench *b = data;
	struct rule_runs_stats s;
	int64_t now = clock_mono_us();
	if (now - b->beat_us - BEAT_MS * 1000 > b->longest_us)
		b->longest_us = now - b->beat_us - BEAT_MS * 1000;
	rule_runs_get_stats(policies_live_rules(b->live), &s);
	b->decisions += s.decisions;
	b->total_us += s.total_us;
	if (s.longest_us > b->slice_us)
		b->slice_us = s.longest_us;
	if (s.longest_cpu_us > b->slice_cpu_us)
		b->slice_cpu_us = s.longest_cpu_us;
	if (b->decisions >= b->wanted)
		loop_stop(b->loop);
	b->beat_us = clock_mono_us();
	loop_timer_start(b->beat, BEAT_MS);
}

static void on_warm(void *data)
{
	struct bench *b = data;
	struct rule_runs_stats s;
	rule_runs_get_stats(policies_live_rules(b->live), &s);
	b->beat_us = clock_mono_us();
	loop_timer_start(b->beat, BEAT_MS);
}

static int run(struct bench *b, const char *dir, const char *share, long kernels, long rounds, struct err *err)
{
	struct policies set;
	struct buf errors;
	char path[4096];
	snprintf(path, sizeof(path), "%s/judge.sqlite", dir);
	struct fleet_config c = {
		.store_path = path,
		.orders = { .data = b, .spawn = spawn, .stop = stop, .label = label, .usage = usage, .drop = drop },
		.on_fatal = on_fatal
	};
	buf_init(&errors, 64 << 10);
	if (!(b->loop = loop_new(err)) || !(b->fleet = fleet_new(b->loop, &c, err)) ||
	    !(b->live = policies_live_new(b->loop, b->fleet, NULL)))
		return -1;
	if (policies_load(dir, share, "", false, &set, &errors) < 0)
		return err_set(err, "%s", errors.data ? errors.data : "no policies");
	int ok = fleet_set_pools(b->fleet, set.specs, set.n, err);
	policies_forget(&set);
	if (ok < 0 || make_kernels(b, kernels, err) < 0)
		return -1;
	policies_live_take(b->live, &set.vm);
	policies_fini(&set);
	struct loop_timer *warm = loop_timer_new(b->loop, on_warm, b);
	b->beat = loop_timer_new(b->loop, on_beat, b);
	b->wanted = kernels * rounds;
	if (!warm || !b->beat)
		return err_set(err, "not enough memory");
	loop_timer_start(warm, WARM_MS);
	loop_run(b->loop);
	loop_timer_free(&warm);
	loop_timer_free(&b->beat);
	buf_fini(&errors);
	policies_live_free(&b->live);
	fleet_free(&b->fleet);
	loop_free(&b->loop);
	return 0;
}

int main(int argc, char **argv)
{
	struct bench b = { .longest_us = 0 };
	struct err err = { 0 };
	if (argc != 5) {
		fprintf(stderr, "usage: judge DIR SHARE KERNELS ROUNDS\n");
		return 2;
	}
	alarm(WAIT_S);
	if (run(&b, argv[1], argv[2], atol(argv[3]), atol(argv[4]), &err) < 0) {
		fprintf(stderr, "judge: %s\n", err.text);
		return 1;
	}
	printf("%.2f %lld %lld %lld %lld\n", (double)b.total_us / (double)b.decisions, (long long)b.slice_us,
	       (long long)b.slice_cpu_us, (long long)b.longest_us, (long long)b.decisions);
	return 0;
}
