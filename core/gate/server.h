#ifndef DSS_GATE_SERVER_H
#define DSS_GATE_SERVER_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>
#include <jansson.h>
#include "base/err.h"
#include "net/http.h"
#include "sys/loop.h"
/*
 * gate: an HTTP/1.x server on the loop over one listening socket, TCP or unix: bytes and requests, no meaning. One
 * request of a connection at a time; it stops reading while one is answered. Every limit is a setting.
 *
 *     struct gate_settings s;
 *     gate_settings_init(&s);
 *     struct gate *g = gate_new(loop, listen_fd, &s, on_request, data, &err);
 *
 *     static void on_request(void *data, struct gate_request *req)
 *     {
 *             if (req->http->nsegments == 1 && strcmp(req->http->segment[0], "health") == 0)
 *                     gate_reply_json(req, 200, "{}", 2);
 *             else
 *                     gate_reply_error(req, 404, NULL, "%s does not exist", req->http->path);
 *     }
 *
 * A request is answered exactly once, now or later: gate_reply*, or gate_stream_begin … gate_stream_end. It lives until
 * then, also when its client has gone (the answer is then dropped) or the gate was freed, so a pointer kept for a
 * deferred answer is never stale. After the answer the pointer is dead.
 */
struct gate;

struct gate_settings {
	const char *version, *api_version; /* DSS-Version, DSS-API-Version on every answer; copied */
	const char *const *hosts;          /* further names allowed in Host, NULL-terminated ("*": any); copied.
	                                        Always: localhost, 127.0.0.1, [::1], the address that was connected to;
	                                        any port. Not looked at on a unix socket. */
	size_t connections_max;            /* 1024; when full, the longest idle one makes place, else 503 */
	size_t per_peer_max; /* 256; per address (IPv6: /64), on a unix socket per uid; its longest idle one makes place, else 503 */
	/* NULL; of a unix socket: how many connections of its own that process may have; 0: it shares per_peer_max with others of its uid.
	 * data: the handler's. */
	size_t (*own_room)(void *data, uid_t uid, pid_t pid);
	size_t body_max;   /* 8 MB, of one request */
	size_t answer_max; /* 32 MB, of one gate_reply; larger: a file or a stream */
	size_t unsent_max; /* 8 MB: a stream's reader further behind is cut off */
	size_t memory_max; /* 256 MB: bodies and unsent answers of all connections; past it 503 */
	int64_t header_ms; /* 10 s from the first byte to the end of the header */
	int64_t body_ms;   /* 60 s for the whole body */
	int64_t idle_ms;   /* 60 s without a byte between requests */
	int64_t write_ms;  /* 30 s in which a reader takes less than 256 KB of what waits for it */
	bool is_head_only; /* false; true: a request comes once its head is here, the body is read by whoever borrows the
	                        connection (gate_lend); where nobody does, it is closed after the answer */
};
void gate_settings_init(struct gate_settings *s);

struct gate_request {
	const struct http_request *http; /* method, segments, query, fields, body */
	char peer[48];                   /* "127.0.0.1", "::1", "unix" */
	uid_t uid;                       /* of a unix socket's peer; (uid_t)-1 on TCP */
	pid_t pid;                       /* of a unix socket's peer at connect; 0 on TCP */
	void *data;                      /* the handler's own */
};

typedef void gate_handler(void *data, struct gate_request *req);

/* Takes listen_fd (also on failure). */
struct gate *gate_new(struct loop *loop, int listen_fd, const struct gate_settings *s, gate_handler *fn, void *data,
		      struct err *err);
/* Closes all connections; on_gone is called for requests not yet answered. Not from inside a handler. */
void gate_free(struct gate **g);
/* No further connections; idle ones are closed, others after their answer. For a shutdown in order. */
void gate_drain(struct gate *g);

struct gate_stats {
	uint64_t accepted, requests, refused_full, refused_peer, bad, timed_out, cut_slow;
	size_t connections, waiting; /* open now; requests not answered yet */
	size_t memory;               /* bytes held for bodies and unsent answers */
};
void gate_get_stats(const struct gate *g, struct gate_stats *out);

/* Adds a field to the coming answer (Retry-After, Content-Disposition, …). Copied. One that would break the head is
 * logged and left out. */
void gate_set_field(struct gate_request *req, const char *name, const char *value);

/* The whole answer. body is copied; content_type NULL: none. */
void gate_reply(struct gate_request *req, int status, const char *content_type, const void *body, size_t len);
/* text is JSON already: application/json;charset=utf-8. */
void gate_reply_json(struct gate_request *req, int status, const char *text, size_t len);
/* Takes value. */
void gate_reply_value(struct gate_request *req, int status, json_t *value);
/* text/plain; charset=utf-8 */
void gate_reply_text(struct gate_request *req, int status, const char *text, size_t len);
/* {"errorType","message"}; type NULL: the usual class for the status (400 IllegalArgumentException, 401
 * NotAuthenticatedException, 403 UnauthorizedException, 404 NotFoundException, …). */
void gate_reply_error(struct gate_request *req, int status, const char *type, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* len bytes of a regular file from offset on, never all in memory. Takes fd. A file that has become shorter ends the
 * connection in the middle, so that the client sees it. */
void gate_reply_file(struct gate_request *req, int status, const char *content_type, int fd, int64_t offset, int64_t len);

/* Once, when the client has gone before the answer was complete, or was cut off. The request still has to be answered
 * or ended, inside fn or later. With on_gone a client that shuts its sending side counts as gone; without, it still gets its answer. */
typedef void gate_gone_fn(void *data, struct gate_request *req);
void gate_on_gone(struct gate_request *req, gate_gone_fn *fn, void *data);
bool gate_is_gone(const struct gate_request *req);

/* An answer in pieces (chunked; on HTTP/1.0 it ends with the connection). -1: the client has gone or was cut off. */
int gate_stream_begin(struct gate_request *req, int status, const char *content_type);
int gate_stream_write(struct gate_request *req, const void *data, size_t len);
size_t gate_stream_unsent(const struct gate_request *req); /* bytes not taken by the kernel yet */
void gate_stream_end(struct gate_request *req);

/*
 * Of a gate with is_head_only: lends the connection to the caller, who reads the body and writes the answer himself. Returns the
 * descriptor, which stays the gate's; until gate_take_back or gate_finish nothing of the gate reads, writes or watches it. ahead (empty)
 * gets what was read behind the head. -1: the client has gone, the request still has to be answered. Who borrows says gate_on_gone:
 * it is told when the gate is freed; the descriptor is closed by then, and gate_finish is still to be called.
 */
int gate_lend(struct gate_request *req, struct buf *ahead);
/* What who borrows holds in memory for it by now: counts as the gate's. */
void gate_charge(struct gate_request *req, size_t held_bytes);
/* Nothing was written: it is answered as any other. ahead: what was read and is not of its body. */
void gate_take_back(struct gate_request *req, const void *ahead, size_t len);
/* It was answered by the borrower. keeps: the connection goes on with what comes behind it (ahead, which was read); else it is closed. */
void gate_finish(struct gate_request *req, bool keeps, const void *ahead, size_t len);

/* The class name that stands in errorType for a status. */
const char *gate_error_type(int status);

#endif
