#ifndef DSS_NODE_NODE_KEEPER_H
#define DSS_NODE_NODE_KEEPER_H
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "keeper/wire.h"
#include "sys/loop.h"
/*
 * node_keeper: the backend's end of the link to the keeper: hello, heartbeat, orders with their answers, events with their
 * acknowledgements. It knows frames, not what they are about.
 *
 *     struct buf *b = node_keeper_begin(nk, WIRE_stop);
 *     wire_text(b, WF_id, id); …
 *     node_keeper_end(nk, on_answer, data, &err);
 */
struct node_keeper;

/* msg: ok, fail, done, samples, or one of the rows before. After ok, fail, done, samples (and the row of a `usage`) the order is over. */
typedef void node_keeper_answer_fn(void *data, const struct wire_view *msg);

struct node_keeper_hooks {
	void (*welcome)(void *data, const struct wire_view *msg);
	/* Owes node_keeper_ack(seq), now or later. */
	void (*event)(void *data, int64_t seq, const struct wire_view *msg);
	void (*drain)(void *data);
	int64_t (*busy)(void *data);                /* kernels at work, for the heartbeat */
	void (*gone)(void *data, const char *text); /* once; the link cannot be used any more */
	void *data;
};

/* Takes fd. Says hello at once. */
struct node_keeper *node_keeper_new(struct loop *loop, int fd, int64_t epoch, const struct node_keeper_hooks *hooks,
				    struct err *err);
void node_keeper_free(struct node_keeper **nk);

/* An order's frame with its number; put the fields, then end it. fn NULL: a `fail` is only logged. -1: the queue is full or the link
 * is gone; fn is not called. Answers that a lost link leaves open are never called. */
struct buf *node_keeper_begin(struct node_keeper *nk, enum wire_type type);
int node_keeper_end(struct node_keeper *nk, node_keeper_answer_fn *fn, void *data, struct err *err);
/* That event and what follows from it is on disk. The keeper hears it once all before are, too. */
void node_keeper_ack(struct node_keeper *nk, int64_t seq);
void node_keeper_beat(struct node_keeper *nk); /* a heartbeat out of turn: the count has changed while draining */

#endif
