#ifndef DSS_GATE_TUNNEL_H
#define DSS_GATE_TUNNEL_H
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "gate/server.h"
#include "gate/tunnel_head.h"
#include "sys/loop.h"
/*
 * tunnel: passes requests of a gate (with is_head_only) on to another server of this machine, and its answers back, as they come, in both
 * directions at once; after "101 Switching Protocols" bytes alone. Who may, and where to, is the caller's; the heads are tunnel_head's. Each
 * request has a connection of its own to the app: nothing that follows a request there can be taken for another. What one side does not
 * take is held, up to 64 KB; then the other is not read.
 *
 *     static void on_done(void *data, struct gate_request *req, int status, const char *why)
 *     {
 *             if (req)        nothing was answered yet: status is 400, 408, 502, 503 or 504
 *                     gate_reply_error(req, status, NULL, "%s", why);
 *     }
 *     tunnel_pass(t, req, &target, on_done, data);
 */
struct tunnel;

struct tunnel_settings {
	size_t most;        /* 1000 requests at a time; 503 */
	size_t memory_max;  /* 64 MB held for all of them; past it, 503 for the next one */
	int64_t connect_ms; /* 10 s; 504 */
	int64_t body_ms;    /* 60 s without a byte of the body from the client; 408 */
	int64_t answer_ms;  /* 5 min until the head of the answer, or in which the app takes nothing of the body; 504 */
	int64_t write_ms;   /* 60 s in which the client takes nothing of what waits for it; it is cut off */
	int64_t idle_ms;    /* 1 h without a byte of an answer that has begun, or either way after an upgrade; it is ended */
	int64_t tick_ms;    /* 1 s: how often limits are looked at, while there is anything to look at */
};
void tunnel_settings_init(struct tunnel_settings *s);

struct tunnel_target {
	struct tunnel_route route;
	char socket[256]; /* a unix socket's path, of its folder's owner; "" = a port of 127.0.0.1 */
	int port;
};

/* Once. req NULL: it was answered, well or cut off. Else it is still to be answered. why is borrowed. */
typedef void tunnel_done_fn(void *data, struct gate_request *req, int status, const char *why);

struct tunnel_stats {
	uint64_t passed, failed;
	size_t open, upgraded;
	size_t memory; /* bytes held for them; the gate counts them as well */
};

struct tunnel *tunnel_new(struct loop *loop, const struct tunnel_settings *s, struct err *err);
/* Ends all that is open; each fn is called. Before the gates. */
void tunnel_free(struct tunnel **t);
/* Ends what was upgraded: it would not end by itself. */
void tunnel_drain(struct tunnel *t);
/* Takes req; target is copied. fn may be called at once. */
void tunnel_pass(struct tunnel *t, struct gate_request *req, const struct tunnel_target *target, tunnel_done_fn *fn, void *data);
void tunnel_get_stats(const struct tunnel *t, struct tunnel_stats *out);

#endif
