#ifndef DSS_BENCH_H
#define DSS_BENCH_H
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
/*
 * bench: what the measuring programs share. Times are nanoseconds of CLOCK_MONOTONIC, one clock for all processes.
 */

/* What bench/ping.c writes when it runs: below PIPE_BUF, so that records of many processes never mix. */
struct ping {
	int64_t pid, ns;
};

/* What bench/probe.c notes inside the keeper, in a page shared with its children and with bench/drive.c. */
struct probe {
	int64_t reap_ns;    /* waitid told of the dead process */
	int64_t spawned_ns; /* spawn_start has returned */
	int64_t join_ns;    /* time the child spent joining cgroup v1 boxes; 0 elsewhere */
	int64_t exec_ns;    /* the child calls execve */
};

static inline int64_t bench_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

/* Sorts v. */
static inline int64_t bench_median(int64_t *v, size_t n)
{
	qsort(v, n, sizeof(*v), bench_compare);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

#endif
