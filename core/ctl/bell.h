#ifndef DSS_CTL_BELL_H
#define DSS_CTL_BELL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
/*
 * bell: a command's conversation with the keeper over run/keeper.sock. Blocking, one request at a time, each wait with a
 * deadline. Nobody but root, the instance's owner and ourselves is believed to be the keeper.
 */
struct bell;

struct bell_row {
	char kind[32], name[128], state[32], wanted[32], cause[32], box[256], cgroup[512], text[512];
	pid_t pid;                                         /* 0: none */
	int64_t started_ms, ready_ms, next_ms, give_up_ms; /* wall; 0: none */
	int64_t crashes;                                   /* ends without health between: the back-off counts them */
	int64_t restarts, memory_bytes;                    /* memory -1: not told */
	bool is_running;                                   /* up or ready, as its own table says */
};

struct bell_welcome {
	char instance[64], isolation[128], cgroups[32];
	pid_t pid;
};

/* err->code ENOENT or ECONNREFUSED: no keeper there. */
int bell_open(struct bell **bell, const char *dir, struct err *err);
void bell_close(struct bell **bell);
const struct bell_welcome *bell_keeper(const struct bell *bell);
/* No keeper lives, as opposed to: it could not be reached. */
bool bell_is_closed(const struct err *err);

typedef void bell_row_fn(void *data, const struct bell_row *row);
typedef void bell_note_fn(void *data, const char *text);

enum bell_end { BELL_DONE, BELL_REFUSED, BELL_GONE, BELL_TIMED_OUT, BELL_BROKEN };

/* One request until its `done`; rows and notes as they come (either may be NULL). timeout_ms: since the last sign of life.
 * Everything but BELL_DONE sets err; for BELL_REFUSED err->code is the keeper's. */
enum bell_end bell_ask(struct bell *bell, const char *verb, const char *name, bool on, int timeout_ms, bell_row_fn *row,
		       bell_note_fn *note, void *data, struct err *err);
/* Waits until the keeper's process has ended. 0, or -1: it still lives after timeout_ms. */
int bell_wait_gone(struct bell *bell, int timeout_ms);

/* Waits until the keeper hangs up (it execs its successor), or the time is over. */
void bell_wait_hangup(struct bell *bell, int timeout_ms);

#endif
