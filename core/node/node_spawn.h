#ifndef DSS_NODE_NODE_SPAWN_H
#define DSS_NODE_NODE_SPAWN_H
#include <jansson.h>
#include "fleet/guest.h"
#include "fleet/job.h"
#include "node/node_inner.h"
/*
 * node_spawn: what every spawn order of a project's own code has in common (recipes, webapps): who it runs as, its environment, its limits,
 * and the ticket by which it may use the API while it lives. Each function appends to an order that node_keeper_begin gave.
 */
#define NODE_SPAWN_BOX_MAX       255
#define NODE_SPAWN_VARIABLES_MAX (64 * 1024) /* of one environment variable the kernel takes 128 KB */

/* "PROCESS.HMAC" under the node's key. 0 or more, or -1. */
int node_spawn_ticket(const struct node *n, const char *process, char out[JOB_TICKET_MAX]);
/* The process that the ticket is of; false: it is none of ours. Whether the process lives is the caller's to know. */
bool node_spawn_read_ticket(const struct node *n, const char *ticket, char process[JOB_PROCESS_MAX]);

void node_spawn_put_env(struct buf *b, const char *name, const char *value);
/* Defaults, and what the project says; names of ours (DKU_, DSS_) are left out. env: an object of texts or NULL; home: where it says none. */
void node_spawn_put_own_env(struct buf *b, const json_t *env, const char *home);
/* Ours, to come last: the project, where the API is, the ticket; the ticket is masked in the log. */
void node_spawn_put_api_env(const struct node *n, struct buf *b, const char *project, const char *process);
/* Where its box is made, and what limits the levels above it. -1: its names are no boxes; err says which. */
struct node_spawn_box {
	char path[GUEST_BOX_MAX];
	struct guest_boxes found;
};
int node_spawn_find_box(const struct node *n, const struct guest_facts *facts, struct node_spawn_box *out, struct err *err);
/* The box, its levels, and its own limits: {memory_bytes, swap_bytes, threads, cpu} or NULL. Swap is 0 where memory is limited and swap is not
 * said; no more processor than the levels have. */
void node_spawn_put_box(struct buf *b, const struct node_spawn_box *box, const json_t *limits);
/* The member "limits" of its label: its own, for when those of its levels change (node_boxes.h). */
void node_spawn_label_limits(struct buf *label, const json_t *limits);
/* Its output passes one of ours first, which tells the streams apart, puts the time before each line, and makes the folders of what is built
 * (outputs: a list of names or NULL), and tells why the program, or its script (may be NULL), cannot be run. Before the command's own words. */
void node_spawn_put_stamp(struct buf *b, const char *name, const char *script, const json_t *outputs);
/* The run user, where there is one. */
void node_spawn_put_user(const struct node *n, struct buf *b);

#endif
