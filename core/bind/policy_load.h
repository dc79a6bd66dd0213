#ifndef DSS_BIND_POLICY_LOAD_H
#define DSS_BIND_POLICY_LOAD_H
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "bind/policies.h"
#include "sys/loop.h"
/*
 * policy_load: one evaluation of policies in a thread of its own. Its owner is woken once it is done, takes what it wants out of `out`,
 * and frees it. An owner who does not want to wait gives it up: the thread frees it whenever it ends.
 */
enum policy_from { POLICY_FOLDER, POLICY_LAST, POLICY_TEXTS };

struct policy_load {
	/* the owner's, and the thread's once policy_load_is_done */
	enum policy_from from;
	int status;          /* 0: out is a set; -1: errors says why not */
	struct policies out; /* what the owner does not take out of it is freed with it */
	struct buf errors;
	int64_t started_mono_ms;
	struct policy_load *next; /* the owner's */
	/* policy_load.c's */
	char *dir, *share, *run_user, *texts;
	size_t len;
	struct loop_wake *wake;
	int place; /* of its crumbs */
	bool is_done, is_given_up;
};

/* texts: copied; for POLICY_TEXTS alone. wake is sent when it is done. NULL: err says why. */
struct policy_load *policy_load_start(enum policy_from from, const char *dir, const char *share, const char *run_user,
				      const char *texts, size_t len, struct loop_wake *wake, struct err *err);
bool policy_load_is_done(const struct policy_load *load);
/* Waits at most that long; whether it is done. */
bool policy_load_wait(const struct policy_load *load, int most_ms);
/* Frees it, or gives it up. */
void policy_load_free(struct policy_load **load);

#endif
