#ifndef DSS_NET_CLIENT_H
#define DSS_NET_CLIENT_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include "base/err.h"
#include "sys/loop.h"
/*
 * client: outbound HTTP/1.1 on the loop: direct.c to numeric addresses, libcurl else. No proxy, no redirect, no decompression, plain http only.
 * Connections are kept and used again. Error texts never hold a header or the query of a URL.
 *
 *     client_request(c, &(struct client_order){ .method = "POST", .url = url, .bearer = token, .body = json,
 *                    .body_len = len, .peer = "fek-12", .is_known_only = true, .timeout_ms = 40000 }, on_answer, k, &err);
 */
struct client;
struct client_call;

enum client_outcome {
	CLIENT_OK,            /* an answer came, whatever its status */
	CLIENT_NOT_CONNECTED, /* nothing listens, or the connect timed out: nothing was sent */
	CLIENT_UNKNOWN,       /* is_known_only, and no kept connection was left: nothing was sent on a new one */
	CLIENT_TIMED_OUT,
	CLIENT_BROKEN,    /* closed or garbage in the middle of the answer, or before it */
	CLIENT_TOO_LARGE, /* the answer passed answer_max */
};

struct client_order {
	const char *method;        /* "GET" where NULL */
	const char *url;           /* http://host:port/path */
	const char *unix_path;     /* NULL, or connect to this socket, of its folder's owner; the url then gives Host and path */
	const char *const *fields; /* NULL, or "Name: value" lines ending with NULL */
	const char *bearer;        /* NULL, or the token of Authorization: Bearer */
	const char *content_type;  /* of the body; NULL: application/json */
	const void *body;          /* copied */
	size_t body_len;
	/* Connections are only shared between orders with the same peer (NULL is one too), [A-Za-z0-9.-]: a kernel's id
	 * keeps a connection to whoever had the port before from ever being used for the next. */
	const char *peer;
	bool is_known_only;             /* only over a kept connection: else CLIENT_UNKNOWN, and prove the peer first */
	bool is_last;                   /* close the connection after the answer */
	int64_t connect_ms, timeout_ms; /* 0: 5 s, 30 s; timeout is for the whole call */
	size_t answer_max;              /* 0: 16 MB */
};

/* Borrowed; gone after the callback. */
struct client_answer {
	enum client_outcome outcome;
	int status;       /* 0 without an answer */
	const char *body; /* NUL-terminated, never NULL */
	size_t len;
	const char *content_type; /* "" if none */
	bool was_new;             /* went over a connection made for this call */
	const char *error;        /* NULL with CLIENT_OK; "unable to POST http://127.0.0.1:4711/task: …" */
};

typedef void client_fn(void *data, const struct client_answer *answer);

struct client *client_new(struct loop *loop, size_t kept_connections_max, struct err *err);
/* Running calls are cancelled: their callbacks are not called. Not from inside a callback. */
void client_free(struct client **c);

/* Copies the order. fn is called exactly once from the loop, never from inside client_request, unless the call is
 * cancelled; then the call is gone. NULL: err says why (bad order, no memory) and fn is not called. */
struct client_call *client_request(struct client *c, const struct client_order *order, client_fn *fn, void *data, struct err *err);
/* fn will not be called; its connection is closed. Not after fn was called. Clears the pointer; accepts NULL. */
void client_cancel(struct client_call **call);
size_t client_count(const struct client *c); /* calls under way */

#endif
