#ifndef DSS_FLEET_USAGE_H
#define DSS_FLEET_USAGE_H
#include <stddef.h>
#include <stdint.h>
/*
 * usage: what each user used lately, for a queue that is fair between them. A kernel at work uses its memory limit and one core, for as long
 * as it is at work; both are counted as shares of the node and added: 64 GB·s of a node with 64 GB and 4 s of one with 4 cores are 1 each.
 * What was used counts half after each hour. What is at work now counts as it runs. Times are of the monotonic clock.
 */
#define USAGE_HALF_LIFE_MS 3600000
#define USAGE_AT_LEAST_MS  5 /* each task counts as that long at least: many short ones are not free */

struct usage;
struct usage_user; /* lives as long as its usage */

/* Of the node, 0 = ask the machine. NULL: no memory. */
struct usage *usage_new(int64_t memory_bytes, int cores);
void usage_free(struct usage **usage);
struct usage_user *usage_user(struct usage *usage, const char *name); /* makes it; NULL: no memory */
const char *usage_name(const struct usage_user *user);
/* A kernel of that size begins to work for the user, and ends it: once each. memory_bytes 0 = it has no limit. */
void usage_begin(struct usage_user *user, int64_t memory_bytes, int64_t now_mono_ms);
void usage_end(struct usage_user *user, int64_t memory_bytes, int64_t now_mono_ms);
/* Somebody worked for that long and ended ago_ms before now: for what a former backend saw. */
void usage_add(struct usage_user *user, int64_t memory_bytes, int64_t worked_ms, int64_t ago_ms, int64_t now_mono_ms);
/* Who has the lower one used less. Comparable at any time and between any two moments: it never falls, and rises only with use. -INFINITY: nothing. */
double usage_rank(struct usage_user *user, int64_t now_mono_ms);
/* The rank if another kernel of that size had worked for so long. */
double usage_rank_with(struct usage_user *user, int64_t memory_bytes, double worked_ms, int64_t now_mono_ms);
double usage_gb_seconds(struct usage_user *user, int64_t now_mono_ms); /* decayed */
double usage_seconds(struct usage_user *user, int64_t now_mono_ms);    /* of kernels at work, decayed */

#endif
