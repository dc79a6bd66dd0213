#ifndef DSS_NODE_NODE_BOXES_H
#define DSS_NODE_NODE_BOXES_H
#include "fleet/guest.h"
#include "fleet/judge.h"
#include "node/node_inner.h"
/*
 * node_boxes: the levels of run/ that are in use, and their limits. Nothing of them is kept: the keeper lists who lives where, labels tell
 * whose they are, the set in force says what limits them, and the cgroup files what they are limited to now. A new process brings its levels'
 * limits with its spawn order (node_spawn.h); here they follow when the set changes, and after a restart.
 */
struct node_boxes;

struct node_boxes *node_boxes_new(struct node *n); /* NULL: no memory */
void node_boxes_free(struct node_boxes **boxes);

/* Another set is in force, or we have just taken up: levels in use get the limits that it says, those that it does not name none. One that cannot
 * be had yet (more is in use) is tried again, with an alert until then. */
void node_boxes_look(struct node_boxes *boxes);
/* The same of another set; nwords: how many boxes with `at` it has. */
void node_boxes_take(struct node_boxes *boxes, int64_t nwords);

/* It ran out of memory at a level above its own box: what its owner reads, and true. what: "Recipe \"clean\"". */
bool node_boxes_tell_oom(struct node *n, const char *what, const struct guest_facts *facts, const struct judge_end *end, char *out,
			 size_t room);
/* An end that the keeper told. */
void node_boxes_ended(struct node_boxes *boxes, const struct judge_end *end);

#endif
