#ifndef DSS_BIND_RULE_RUNS_H
#define DSS_BIND_RULE_RUNS_H
#include <stdbool.h>
#include <stdint.h>
#include "bind/decide.h"
#include "bind/subject.h"
#include "fleet/fleet.h"
#include "sys/loop.h"
/*
 * rule_runs: the rules of the set in force, each run as often as it says over all subjects of its kind. One timer for all, none without
 * rules. A run goes on in slices of RULE_SLICE_US, so that ten thousand subjects hold nobody up; a subject that went meanwhile is passed
 * over. What a rule answers is noted in the ledger, and carried out where its mode says so: after the warning time, and at most
 * RULE_ACTS_MOST times a run.
 */
#define RULE_SLICE_US  500
#define RULE_ACTS_MOST 20

enum rule_mode { RULE_SIMULATE, RULE_NOTIFY, RULE_ACT };

struct rule_spec {
	char *name, *source; /* owned */
	enum subject_kind kind;
	enum rule_mode mode;
	int64_t every_ms, warn_ms; /* warn 0 = acts at once */
};

struct rule_runs;

/* NULL: no memory. */
struct rule_runs *rule_runs_new(struct loop *loop, const struct subject_world *world, struct troubles *troubles);
void rule_runs_free(struct rule_runs **r);
/* The rules of the set in vm (borrowed until the next take; NULL with n 0), in its order. Takes the array and its texts; -1: no memory,
 * there are no rules then. Each runs for the first time after a second. */
int rule_runs_take(struct rule_runs *r, struct vm *vm, struct rule_spec *specs, size_t n);
/* How `macro` is carried out: what is "NAME {params}". 0: it begins; -1: err. A simulated rule begins none. */
typedef int rule_macro_fn(void *data, const char *rule, const char *what, struct err *err);
void rule_runs_on_macro(struct rule_runs *r, rule_macro_fn *fn, void *data);
void rule_runs_observe(struct rule_runs *r, bool is_observe); /* every rule is simulated */
/* For the bench: the longest slice so far, in microseconds of the clock and of this thread's processor time, and how many decisions;
 * counts anew. */
struct rule_runs_stats {
	int64_t decisions, slices, longest_us, longest_cpu_us, total_us;
	bool is_running;
};
void rule_runs_get_stats(struct rule_runs *r, struct rule_runs_stats *out);

#endif
