#ifndef DSS_BIND_EVENTS_H
#define DSS_BIND_EVENTS_H
#include <stdint.h>
#include "fleet/feed.h"
#include "gate/server.h"
#include "node/node_board.h"
#include "sys/loop.h"
/*
 * bind_events: those who follow the facts as server-sent events: one stream each over the gate, with a heartbeat while there is
 * anybody. Who reads too slowly is let go; coming back with Last-Event-ID it goes on where it was.
 *
 * Who wants the board as well (node/node_board.h) gets in the same stream what runs and waits: whole at first, then each second what changed, as
 * long as it reads; one that is behind gets less often what is new then, and loses nothing. Nobody follows the board: nobody looks at it.
 */
struct events;

#define EVENTS_MOST         200               /* followers at once; then whoever has the most gives one up for who has fewer */
#define EVENTS_UNSENT_MOST  ((size_t)1 << 20) /* a follower further behind is let go */
#define EVENTS_HEARTBEAT_MS 15000
#define EVENTS_BOARD_MS     1000

struct events_order {      /* all borrowed */
	const char *login; /* NULL = an admin: sees all */
	const char *user;  /* whose it is */
	const char *hello; /* further members of hello: ",\"user\":…"; NULL = none */
	bool has_after;    /* of the facts: epoch and seq of the last one seen; else from now on */
	int64_t after[2];
	bool wants_board;
	bool has_rev; /* of the board: epoch and rev of the last one seen */
	int64_t rev[2];
};

/* Borrows the store until events_free, which comes after the store was closed; the board until events_end. NULL: no memory. */
struct events *events_new(struct loop *loop, struct store *store, struct node_board *board);
void events_free(struct events **events);
/* Ends all streams, for a shutdown in order. No new one is taken. */
void events_end(struct events *events);
/* All streams of that user end: a key of theirs was revoked. Who has another comes back by itself. */
void events_let_go(struct events *events, const char *user);
size_t events_count(const struct events *events);
uint64_t events_cut(const struct events *events); /* let go for slowness, since the start */
/* Takes the request and answers it as a stream. -1: too many; the request is still the caller's. */
int events_follow(struct events *events, struct gate_request *req, const struct events_order *order, struct err *err);

#endif
