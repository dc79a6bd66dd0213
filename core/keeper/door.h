#ifndef DSS_KEEPER_DOOR_H
#define DSS_KEEPER_DOOR_H
#include "keeper/keeper.h"
/*
 * door: run/keeper.sock, where `bin/dss` knocks: status, start, stop, drain, restart, reopen, reload. Open to root and to the
 * keeper's own user only, by the peer's identity, whatever the file's mode says. Works without a backend.
 */
int door_open(struct keeper *k, int inherited_fd, struct err *err); /* inherited_fd -1: make the socket */
void door_close(struct keeper *k);
int door_fd(const struct keeper *k);
/* A line of progress to whoever asked for a stop or a drain. */
void door_note(struct keeper *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Answers everybody who waits for the end; called last. */
void door_finish(struct keeper *k);
#endif
