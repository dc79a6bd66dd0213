#ifndef DSS_KEEPER_ORDERS_H
#define DSS_KEEPER_ORDERS_H
#include "keeper/keeper.h"
/*
 * orders: what the backend may ask of the keeper, each checked against what was fixed at the keeper's start: allowed users, boxes
 * below warm/ and run/, sinks by kind and id, built environments, no_new_privs. An order is answered with ok, fail or rows.
 */
/* A wire_link_fn's body for the backend's link. */
void orders_message(struct keeper *k, const struct wire_view *msg);
/* An output_routed_fn: the answer to an order `route` of this backend. */
void orders_routed(void *keeper, const char *id, int64_t req, int64_t epoch);

/* --- shared with the door --- */
/* `welcome` for any peer. */
void orders_welcome(struct keeper *k, struct wire_link *link);
void orders_ok(struct wire_link *link, int64_t req, const char *id);
void orders_fail(struct wire_link *link, int64_t req, int code, const char *text);
void orders_done(struct wire_link *link, int64_t req, int64_t count, int64_t code);
/* Says how many refusals were not logged since the last time; called where the backend's connection ends, too. */
void orders_tell_refusals(struct keeper *k);

#endif
