#ifndef DSS_KEEPER_LISTEN_H
#define DSS_KEEPER_LISTEN_H
#include "keeper/keeper.h"
/*
 * listen: the sockets that services inherit. The keeper holds them, so that a service's restart is latency, not refusal.
 */
/* What the plan names and is not there yet. -1: err, and whoever holds the port. */
int listen_all(struct keeper *k, struct err *err);
/* By a new plan, with processes running: a socket whose address another name has now is taken over under that name, the others go; a taken
 * port is logged. */
void listen_again(struct keeper *k);
struct keeper_listen *listen_find(const struct keeper *k, const char *name); /* NULL: not there */
void listen_close(struct keeper *k);

#endif
