#ifndef DSS_FLEET_SIZING_H
#define DSS_FLEET_SIZING_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
/*
 * sizing: how many kernels a pool holds warm, from what was measured. Kernels are ordered goods: lead time L until a taken place is filled
 * again, demand λ, and the smallest stock of which a task finds one with the chance c (`warm.ready_for`).
 *
 * Demand is the greater of two decayed rates (10 s and 5 min): up at once, down slowly. Lead times are kept apart by how many kernels
 * started at the same time, in steps of two. The target grows at once. It shrinks only after less was wanted all through its patience
 * (30 s at first), and then to the most that was wanted meanwhile; each time it grows within 5 min after a shrink, patience doubles (30 min
 * at most), and halves for each 10 min without.
 */
#define SIZING_STEPS         6 /* 1, 2, 3-4, 5-8, 9-16, more at once */
#define SIZING_EXPECTED_MOST 64
#define SIZING_PATIENCE_MS   30000

struct sizing_expected {
	int64_t at_mono_ms, count;
};

struct sizing {
	double fast, slow; /* per second, as of rated_ms */
	int64_t rated_ms;
	struct {
		double ms;
		int64_t measured;
	} lead[SIZING_STEPS];
	struct sizing_expected expected[SIZING_EXPECTED_MOST]; /* in the order of their times */
	int nexpected;
	int target;
	int64_t less_since_ms; /* since when less than target is wanted; 0 = it is not */
	int most_since;        /* the most that was wanted since then */
	int64_t patience_ms, shrunk_ms, flapped_ms;
};

struct sizing_bounds {
	double ready_for;
	int min, max;     /* the target is never under, never over */
	int starting_now; /* kernels of the whole node */
};

/* The smallest N with P(Poisson(mean) <= N - 1) >= chance. mean: 0 … 1e6 (more is taken as that), chance under 1. */
int sizing_stock(double mean, double chance);
void sizing_note_demand(struct sizing *s, int64_t now_ms); /* a task came that no kernel of its own user took */
double sizing_demand(const struct sizing *s, int64_t now_ms);
double sizing_use(const struct sizing *s, int64_t now_ms);               /* the slower of its two rates */
void sizing_note_start(struct sizing *s, int starting, int64_t took_ms); /* one is ready; as many started at once with it */
/* Milliseconds until a place is filled, while so many start at once. Not measured yet: 3 s. */
int64_t sizing_lead_ms(const struct sizing *s, int starting);
bool sizing_is_measured(const struct sizing *s);
/* So many tasks will come at that time. They count as soon as it is no more than a lead time away, until they came or 10 s after. Beyond
 * SIZING_EXPECTED_MOST times the nearest ones are put together. */
void sizing_expect(struct sizing *s, int64_t at_mono_ms, int64_t count);
/* The target for now. Returns what it was before. *next: the earlier of it and when to look again (0 = never). */
int sizing_look(struct sizing *s, const struct sizing_bounds *b, int64_t now_ms, int64_t *next);

#endif
