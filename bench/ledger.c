/*
 * ledger DIR SUBJECTS ROUNDS: notes decisions of a rule over so many kernels, a round each second's worth, and prints what it took:
 * ns of a note on the loop's thread, µs of processor time of a decision with all threads, bytes of one in a segment, bytes of a row.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "fleet/ledger.h"
#include "sys/clock.h"

static int64_t cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void on_read(void *data, const struct buf *out, const struct err *why)
{
	if (!out)
		fprintf(stderr, "ledger: %s\n", why->text);
	*(bool *)data = true;
}

static void settle(struct loop *loop, struct ledger *l)
{
	bool is_done = false;
	struct ledger_query q = { .limit = 1 };
	if (ledger_read(l, &q, on_read, &is_done) < 0)
		exit(1);
	while (!is_done)
		loop_run_once(loop, true);
}

static int64_t note_all(struct ledger *l, int subjects, int round)
{
	char subject[32], inputs[160];
	struct decision d = { .word = "rule",
			      .name = "idle kernels",
			      .source = "policies/30-rules.lua:4",
			      .subject_kind = "kernel",
			      .subject = subject,
			      .answer = "keep",
			      .inputs = inputs,
			      .threshold = "idle > 2h" };
	int64_t spent = 0;
	for (int i = 0; i < subjects; i++) {
		snprintf(subject, sizeof(subject), "fek-%d", i);
		snprintf(inputs, sizeof(inputs), "{\"state\":\"idle\",\"idle\":%d.5,\"memory\":734003200}", round * 10);
		int64_t from = clock_mono_us();
		for (int k = 0; k < 16; k++) /* the clock's own time, spread out */
			ledger_note(l, &d);
		spent += clock_mono_us() - from;
	}
	return spent;
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	char path[4096], dir[4096];
	if (argc != 4)
		return fprintf(stderr, "usage: ledger DIR SUBJECTS ROUNDS\n"), 2;
	int subjects = atoi(argv[2]), rounds = atoi(argv[3]);
	snprintf(path, sizeof(path), "%.4000s/bench.sqlite", argv[1]);
	snprintf(dir, sizeof(dir), "%.4000s/ledger", argv[1]);
	struct loop *loop = loop_new(&err);
	struct store *store = loop ? store_open(loop, path, NULL, NULL, &err) : NULL;
	struct ledger_config config = { .store = store, .dir = dir, .window_most_bytes = (int64_t)4 << 30 };
	struct ledger *l = store ? ledger_new(&config, &err) : NULL;
	if (!l)
		return fprintf(stderr, "ledger: %s\n", err.text), 1;
	struct stat empty, full;
	stat(path, &empty);
	int64_t spent_us = 0, from = cpu_us();
	for (int r = 0; r < rounds; r++) {
		spent_us += note_all(l, subjects, r);
		settle(loop, l);
	}
	int64_t cpu = cpu_us() - from;
	struct ledger_stats s;
	ledger_get_stats(l, &s);
	store_close(&store);
	ledger_free(&l);
	loop_free(&loop);
	stat(path, &full);
	printf("%.0f %.2f %.0f %.0f %lld\n", (double)spent_us * 1000 / (double)s.noted, (double)cpu / (double)s.noted,
	       (double)s.segment_bytes / (double)s.noted, (double)(full.st_size - empty.st_size) / (double)s.rows,
	       (long long)s.lost);
	return s.lost ? 1 : 0;
}
