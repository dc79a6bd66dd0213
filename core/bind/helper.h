#ifndef DSS_BIND_HELPER_H
#define DSS_BIND_HELPER_H
#include "base/err.h"
#include "sys/loop.h"
/*
 * helper: a program of ours that the backend runs as itself for what would hold up the loop. It ends with the backend's wish (helper_end), with its
 * time, or by itself; the first line of what it says on standard error is why it failed. All it says is read: it never waits for its reader.
 */
struct helper;

/* why NULL: it ended with status 0. The helper is freed after the call. */
typedef void helper_fn(void *data, const char *why);
/* argv[0]: a name beside our own program. NULL: err; fn is not called. */
struct helper *helper_start(struct loop *loop, char *const *argv, int64_t time_ms, helper_fn *fn, void *data, struct err *err);
/* Kills it; fn is not called. One that does not end at once is waited for by the loop. NULL inside is fine. */
void helper_end(struct helper **helper);

#endif
