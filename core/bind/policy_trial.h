#ifndef DSS_BIND_POLICY_TRIAL_H
#define DSS_BIND_POLICY_TRIAL_H
#include <stddef.h>
#include "base/err.h"
#include "bind/policy_set.h"
#include "sys/loop.h"
/*
 * policy_trial: texts of policies evaluated as a set of their own, off the loop, of which nothing is taken. Two at once; one that has not
 * ended after POLICY_SET_GIVE_UP_MS is given up, and whoever asked is told so.
 */
struct policy_trials;

/* config is borrowed for their life. NULL: no memory. */
struct policy_trials *policy_trials_new(const struct policy_set_config *config);
void policy_trials_free(struct policy_trials **trials); /* those under way are given up */
int policy_trials_begin(struct policy_trials *trials, const char *texts, size_t len, policy_check_fn *fn, void *data,
			struct err *err);

#endif
