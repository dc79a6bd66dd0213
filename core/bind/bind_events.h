#ifndef DSS_BIND_EVENTS_H
#define DSS_BIND_EVENTS_H
#include <stdint.h>
#include "fleet/feed.h"
#include "gate/server.h"
#include "sys/loop.h"
/*
 * bind_events: those who follow the facts as server-sent events: one stream each over the gate, with a heartbeat while there is
 * anybody. Who reads too slowly is let go; coming back with Last-Event-ID it goes on where it was.
 */
struct events;

#define EVENTS_MOST         200               /* followers at once */
#define EVENTS_UNSENT_MOST  ((size_t)1 << 20) /* a follower further behind is let go */
#define EVENTS_HEARTBEAT_MS 15000

/* Borrows the store until events_free, which comes after the store was closed. NULL: no memory. */
struct events *events_new(struct loop *loop, struct store *store);
void events_free(struct events **events);
/* Ends all streams, for a shutdown in order. No new one is taken. */
void events_end(struct events *events);
size_t events_count(const struct events *events);
uint64_t events_cut(const struct events *events); /* let go for slowness, since the start */
/* Takes the request and answers it as a stream. login NULL = an admin. after: epoch and seq of the last one seen, or NULL = from now
 * on. -1: too many; the request is still the caller's. */
int events_follow(struct events *events, struct gate_request *req, const char *login, const int64_t *after, struct err *err);

#endif
