#ifndef DSS_CTL_DOOR_H
#define DSS_CTL_DOOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
/*
 * door: a command's conversation with the keeper over run/keeper.sock. Blocking, one request at a time, each wait with a
 * deadline. Nobody but root, the instance's owner and ourselves is believed to be the keeper.
 */
struct door;

struct door_row {
	char kind[32], name[128], state[32], wanted[32], cause[32], box[256], text[512];
	pid_t pid;                                         /* 0: none */
	int64_t started_ms, ready_ms, next_ms, give_up_ms; /* wall; 0: none */
	int64_t crashes, memory_bytes;                     /* memory -1: not told */
	bool is_running;                                   /* up or ready, as its own table says */
};

struct door_welcome {
	char instance[64], isolation[128], cgroups[32];
	pid_t pid;
};

/* err->code ENOENT or ECONNREFUSED: no keeper there. */
int door_open(struct door **door, const char *dir, struct err *err);
void door_close(struct door **door);
const struct door_welcome *door_keeper(const struct door *door);
/* No keeper lives, as opposed to: it could not be reached. */
bool door_is_closed(const struct err *err);

typedef void door_row_fn(void *data, const struct door_row *row);
typedef void door_note_fn(void *data, const char *text);

enum door_end { DOOR_DONE, DOOR_REFUSED, DOOR_GONE, DOOR_TIMED_OUT, DOOR_BROKEN };

/* One request until its `done`; rows and notes as they come (either may be NULL). timeout_ms: since the last sign of life.
 * Everything but DOOR_DONE sets err; for DOOR_REFUSED err->code is the keeper's. */
enum door_end door_ask(struct door *door, const char *verb, const char *name, bool on, int timeout_ms, door_row_fn *row,
		       door_note_fn *note, void *data, struct err *err);
/* Waits until the keeper's process has ended. 0, or -1: it still lives after timeout_ms. */
int door_wait_gone(struct door *door, int timeout_ms);

#endif
