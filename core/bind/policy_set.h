#ifndef DSS_BIND_POLICY_SET_H
#define DSS_BIND_POLICY_SET_H
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/err.h"
#include "bind/app.h"
#include "bind/policies_live.h"
#include "node/node.h"
#include "sys/loop.h"
/*
 * policy_set: which set of policies is in force, and how another one comes.
 *
 * A change of policies/ is read and evaluated by a thread of its own while the loop goes on; the loop then takes the result by swapping
 * pointers, or keeps what it has and says what is wrong. What changes while a load runs is looked at by another load, and the first one's
 * result is not taken: it may have seen half of a save. A load has POLICY_SET_LOAD_MS and POLICY_SET_LOAD_BYTES (policies.c, vm.h); one
 * that has not answered after POLICY_SET_GIVE_UP_MS is given up, its thread left alone.
 *
 * The first set is waited for: taking up needs one, if only an empty one. A set whose evaluation ended the backend before us is refused
 * (quarantine.h), and the last good one is taken in its place.
 */
#define POLICY_SET_GIVE_UP_MS 10000

struct policy_set;
struct policies;

struct policy_set_config { /* all borrowed for the set's life */
	struct loop *loop;
	struct node *node;
	struct policies_live *live;
	struct app *app; /* is_safe and policies are told here */
	const char *dir, *share, *run_user;
};

struct policy_set *policy_set_new(const struct policy_set_config *config, struct err *err);
/* The first set, and the watch on policies/. is_safe: the last good one, not policies/. -1: not even an empty one could be taken. */
int policy_set_start(struct policy_set *set, bool is_safe, struct err *err);
/* A load that runs is waited for, but not long. */
void policy_set_free(struct policy_set **set);

/* Looks at policies/ now, whether it has changed or not. What comes of it is told to the listener. */
void policy_set_reload(struct policy_set *set);
/* Files were being written (policy_put_holds) and are not any more: loads go on. is_changed: one comes by the watch, or soon. */
void policy_set_go_on(struct policy_set *set, bool is_changed);
bool policy_set_is_writable(const struct policy_set *set); /* may we write in policies/? */
struct policy_put *policy_set_put(struct policy_set *set);
/* The texts of the set in force: a JSON list of {"name","text"}; "" = none. Borrowed until the next one is taken. */
const struct buf *policy_set_text(const struct policy_set *set);
bool policy_set_is_last(const struct policy_set *set); /* in force is db/policies.last, not policies/ */
/* What is wrong with policies/: a list of {"file","line","text"}; [] = it is in force. */
void policy_set_errors_json(const struct policy_set *set, struct buf *out);
/* Errors of a load, one a line, as that list. */
void policy_set_put_errors(struct buf *out, const struct buf *errors);

/* Called on the loop, after the fact. taken: p is borrowed; its specs and vm are gone already, text and files are there. */
struct policy_set_listener {
	void *data;
	void (*taken)(void *data, const struct policies *p);
	void (*refused)(void *data);
};
void policy_set_listen(struct policy_set *set, const struct policy_set_listener *listener);

/* Evaluates texts (a JSON list of {"name","text"}) as a set of their own, off the loop, and takes nothing. fn is called once, later, with
 * {"ok":true,"files":N,"pools":["fek", …]} or {"ok":false,"errors":[{"file","line","text"}, …]}. -1: too many at once. */
typedef void policy_check_fn(void *data, const struct buf *json);
int policy_set_check(struct policy_set *set, const char *texts, size_t len, policy_check_fn *fn, void *data, struct err *err);

#endif
