#ifndef DSS_LOGGER_RELAY_H
#define DSS_LOGGER_RELAY_H
#include "base/err.h"
#include "logger/disk.h"
#include "sys/loop.h"
/*
 * relay: the logger as a whole: the keeper's orders, the sources they bring, and the writer. Everything but the files
 * lives on the loop's thread.
 */
struct relay;

/* Takes keeper_fd, a non-blocking stream socket. dir is the instance's folder. */
struct relay *relay_new(struct loop *loop, int keeper_fd, const char *dir, const struct disk_limits *limits, struct err *err);
/* All log files again by name. */
void relay_reopen(struct relay *r);
/* Reads what is in the pipes, writes it, then stops the loop. Also happens by itself when the keeper is gone. */
void relay_close(struct relay *r);
/* The same, after the orders that have arrived: a pipe that the keeper has sent is still read. */
void relay_close_soon(struct relay *r);
void relay_free(struct relay **r);

#endif
