#ifndef DSS_BIND_POLICY_WORDS_H
#define DSS_BIND_POLICY_WORDS_H
#include "bind/policy_events.h"
#include "bind/rule_runs.h"
#include "bind/vm.h"
#include "fleet/retention.h"
#include "fleet/slots.h"
/* policy_words: what C has to know of a set beside its pools: which rules, events, slots there are, and how long things are kept. */
#define POLICY_WORDS_MOST 1000 /* of each */

struct policy_words {
	struct rule_spec *rules; /* owned with their texts, as the others */
	struct event_spec *events;
	struct slot_rule *slots;
	size_t nrules, nevents, nslots, naccess, nboxes; /* nboxes: those with `at` */
	struct policy_retention retention;
};

void policy_words_defaults(struct policy_words *w);
/* Of the set in vm. Sets all of w in every case; -1: it is as with policy_words_defaults. */
int policy_words_read(struct vm *vm, struct policy_words *w, struct err *err);
void policy_words_fini(struct policy_words *w);

#endif
