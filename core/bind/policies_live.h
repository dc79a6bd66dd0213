#ifndef DSS_BIND_POLICIES_LIVE_H
#define DSS_BIND_POLICIES_LIVE_H
#include <stdbool.h>
#include "bind/vm.h"
#include "fleet/fleet.h"
#include "fleet/retention.h"
#include "sys/loop.h"
/*
 * policies_live: the set in force, and when it is asked.
 *
 * Functions of a pool's numbers: when something of the fleet changed, at most once a second; once a minute beside that while one of them
 * has read the clock or an age; else never. recycle: of a kernel after each task, and with the numbers of all that are idle. slots and
 * box: of each task once. Rules and events: rule_runs.h, policy_events.h. access: when somebody wants to see or abort another's task.
 * Each is a protected call with a time budget, and each answer is noted in the ledger.
 */
struct policies_live;

struct node;
/* Puts itself into the fleet as its fleet_policy. node NULL: rules see what the fleet knows alone (bench). NULL: no memory. */
struct policies_live *policies_live_new(struct loop *loop, struct fleet *fleet, struct node *node);
void policies_live_free(struct policies_live **live); /* before the fleet is freed */
/* Takes the vm of a set that is in force from now on (*vm is NULL then), frees the one before, and asks at once. Its pools are there. */
void policies_live_take(struct policies_live *live, struct vm **vm);
/* Every rule and function of recycle only says what it would do: `node { observe = true }`. */
void policies_live_observe(struct policies_live *live, bool is_observe);

/* May login, who is no admin, do that ("see", "abort") with f, somebody else's task, by a word `access`? f needs id, owner, kind, type, pool,
 * project, tags, title, priority, memory_bytes. Without such words it is false at once; what fails is false. */
bool policies_live_has_access(const struct policies_live *live);
bool policies_live_may(struct policies_live *live, const char *login, const char *verb, const struct future *f);

/* In force now; fn is called with each set that is taken. */
const struct policy_retention *policies_live_retention(const struct policies_live *live);
typedef void policies_live_fn(void *data, const struct policy_retention *retention);
void policies_live_on_retention(struct policies_live *live, policies_live_fn *fn, void *data);

int64_t policies_live_count_boxes(const struct policies_live *live); /* with `at` */

struct vm *policies_live_vm(struct policies_live *live); /* of the set in force, borrowed until the next one; NULL: none yet */

struct rule_runs;
struct rule_runs *policies_live_rules(struct policies_live *live); /* for the bench */

#endif
