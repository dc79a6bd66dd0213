#ifndef DSS_GATE_TUNNEL_HEAD_H
#define DSS_GATE_TUNNEL_HEAD_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "net/http.h"
/*
 * tunnel_head: what a tunnel changes in the heads that pass through it. An app beneath a prefix sees paths without it, is told of it
 * (X-Forwarded-Prefix, X-Script-Name), and what it says of paths (Location, a cookie's Path) gets it again. Neither side sees what is
 * between us and the other: hop-by-hop fields, our cookies (any whose name begins with "dss-"), our keys and tickets.
 */
enum {
	TUNNEL_PREFIX_MAX = 400,
	TUNNEL_USER_MAX = 130,
	TUNNEL_HEAD_MAX = 64 * 1024, /* of an app's answer */
};

struct tunnel_route {
	char prefix[TUNNEL_PREFIX_MAX]; /* "/web-apps-backends/P/ID" */
	size_t depth;                   /* its segments */
	char user[TUNNEL_USER_MAX];     /* X-Forwarded-User; "" = none is told */
	char peer[48];                  /* the client's address */
	bool is_proxied;                /* the client is a proxy of ours: what it says of those before it is passed on */
	bool strips_authorization;      /* it was for us */
};

/* What of a request decides how its body and the answer are read. */
struct tunnel_asked {
	bool is_chunked, wants_upgrade, wants_continue;
	uint64_t length;
};
void tunnel_read_request(const struct http_request *r, struct tunnel_asked *out);
/* Appends the head for the app. -1: too long, or no memory. */
int tunnel_put_request(struct buf *out, const struct http_request *r, const struct tunnel_route *route);

struct tunnel_answered {
	int status;
	bool is_chunked, has_body;
	int64_t length; /* -1: unknown, it ends with the connection or the last chunk */
};
/* Length of the head that data begins with, blank line and all; 0: not here yet. */
size_t tunnel_head_length(const char *data, size_t len);
/* data is changed. keeps: the client's connection would go on, if the answer's end can be told (out->length, is_chunked). Appends the head
 * for the client; nothing for 1xx but 101. -1: err says what is wrong with it. */
int tunnel_put_answer(struct buf *out, char *data, size_t len, const struct http_request *r, const struct tunnel_route *route,
		      bool keeps, struct tunnel_answered *answered, struct err *err);

#endif
