#ifndef DSS_NODE_NODE_KERNEL_H
#define DSS_NODE_NODE_KERNEL_H
#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include "base/err.h"
#include "fleet/fleet.h"
#include "net/client.h"
#include "sys/loop.h"
/*
 * node_kernel: conversations with kernels, one each, over the kernel protocol (task, follow, result, abort, forget). What a
 * conversation learns is told to the fleet. Every new connection first proves that the kernel is behind it.
 *
 * A kernel that breaks the protocol (wrong proof, 401, garbage, a task forgotten) is stopped with cause `policy` and a text that
 * says what it did; its task is judged when it has ended. A kernel that is only silent is asked again and again: silence is no death.
 */
struct node_kernels;

/* All pointers are borrowed. */
struct node_kernels *node_kernels_new(struct loop *loop, struct client *client, const void *key, size_t key_len, struct err *err);
void node_kernels_free(struct node_kernels **t);
void node_kernels_set_fleet(struct node_kernels *t, struct fleet *fleet);

/* fn hears each state that a job kernel tells: one with "activities". */
void node_kernels_on_told(struct node_kernels *t, void (*fn)(void *data, const char *task, const json_t *state), void *data);

/* POST the task and follow it to its end. The payload is copied. */
int node_kernel_send(struct node_kernels *t, const struct kernel *k, const struct future *f, struct err *err);
/* Asks for a task that a former backend may have sent: 404 there means that it never arrived, and it is sent now. */
int node_kernel_follow(struct node_kernels *t, const struct kernel *k, const struct future *f, struct err *err);
void node_kernel_abort(struct node_kernels *t, const struct kernel *k, const char *task);
/* Lets the kernel forget an ended task; nobody waits for the answer. */
void node_kernel_release(struct node_kernels *t, const struct kernel *k, const char *task);
void node_kernel_drop(struct node_kernels *t, const char *id);
/* Where the kernel's box is (a path, "" = none). From then on no end of a task is believed once the box had an OOM kill. */
void node_kernel_set_box(struct node_kernels *t, const char *id, const char *where);

/* Its box was looked at a moment ago and had no OOM kill: there is nothing to mark. */
bool node_kernel_is_unhurt(const struct node_kernels *t, const char *id);

/* Its process has ended: reads what is still under way to the end, 1 s at most, then calls fn (also at once). */
typedef void node_kernel_read_fn(void *data);
void node_kernel_finish(struct node_kernels *t, const char *id, node_kernel_read_fn *fn, void *data);

/* The raw bytes of a member of a JSON object that is known to be valid; false: not there. */
bool node_kernel_raw_member(const char *json, size_t len, const char *name, const char **at, size_t *n);

#endif
