#ifndef DSS_NET_HTTP_H
#define DSS_NET_HTTP_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include "base/buf.h"
#include "base/err.h"
/*
 * http: one HTTP/1.x request in, one answer's head out. Header fields are parsed by http-parser after a strict look at
 * the bytes: everything two servers could read differently is refused (see http_parse.c for the list).
 *
 *     struct http_parse *p = http_parse_new(8 << 20);
 *     switch (http_parse_feed(p, data, len, &used, &fault)) {
 *     case HTTP_MORE:     …read more; all bytes were used
 *     case HTTP_CONTINUE: …send "HTTP/1.1 100 Continue", then go on feeding
 *     case HTTP_DONE:     …http_parse_request(p); bytes after `used` belong to the next request
 *     case HTTP_BAD:      …answer fault.status and close
 *     }
 */
enum {
	HTTP_HEAD_MAX = 16 * 1024, /* request line and header fields, bytes */
	HTTP_FIELDS_MAX = 100,
	HTTP_SEGMENTS_MAX = 32,
	HTTP_QUERY_MAX = 64,
};

struct http_pair {
	const char *name, *value;
};

/* Read-only, all owned by the parse it came from. */
struct http_request {
	const char *method;                     /* "GET", upper case */
	const char *target;                     /* as it came, for logs: may hold secrets of the query */
	const char *path;                       /* undecoded, without the query */
	const char *segment[HTTP_SEGMENTS_MAX]; /* decoded once, empty ones dropped: "//a/b%2Fc/" is "a", "b/c" */
	size_t nsegments;
	struct http_pair query[HTTP_QUERY_MAX]; /* decoded, in order */
	size_t nquery;
	struct http_pair field[HTTP_FIELDS_MAX]; /* names in lower case, values trimmed */
	size_t nfields;
	const char *host; /* Host's value; "" on HTTP/1.0 without one */
	struct buf body;  /* whole, decoded from chunks */
	int minor;        /* 0 or 1 */
	bool keeps_alive; /* the client's wish */
	bool is_head;
};

/* The first of that name, NULL: none. Field names are given in lower case. */
const char *http_field(const struct http_request *r, const char *name);
const char *http_query(const struct http_request *r, const char *name);

struct http_fault {
	int status;     /* 400 408 413 414 417 431 501 505 */
	char text[160]; /* a sentence for the client */
};

enum http_step { HTTP_MORE, HTTP_CONTINUE, HTTP_DONE, HTTP_BAD };
enum http_stage { HTTP_IN_HEAD, HTTP_IN_BODY, HTTP_AT_END };

struct http_parse;
/* For one request. body_max in bytes. NULL: no memory. */
struct http_parse *http_parse_new(size_t body_max);
/* For a request whose body somebody else reads, by the fields of the head: DONE comes with the blank line. Its body is not limited. */
struct http_parse *http_parse_new_head(void);
void http_parse_free(struct http_parse **p);
/* *used: how many of the bytes were taken. */
enum http_step http_parse_feed(struct http_parse *p, const void *data, size_t len, size_t *used, struct http_fault *fault);
enum http_stage http_parse_stage(const struct http_parse *p);
/* Complete after HTTP_DONE; method, target and fields also after the head. */
const struct http_request *http_parse_request(const struct http_parse *p);

/* "Not Found"; "Unknown" for a number that HTTP does not know. */
const char *http_reason(int status);

struct http_head {
	int status;
	int minor;        /* of the request: a 1.0 client gets no chunks */
	bool keeps_alive; /* what will be done, after the client's wish and ours */
	bool is_chunked;  /* else content_length is sent, unless it is -1 (ends with the connection) */
	int64_t content_length;
	const char *content_type;      /* NULL: none */
	const struct http_pair *field; /* further fields, borrowed */
	size_t nfields;
};

/* Appends status line, fields and the blank line. -1: a field's name or value would break the head, or no memory. */
int http_put_head(struct buf *out, const struct http_head *head, struct err *err);
/* May c stand in a method or a field's name? */
bool http_is_token_char(char c);
/* Is this a name and value that may stand in a head: a token; no CR, LF, NUL or control byte. */
bool http_is_field(const char *name, const char *value);

/* Percent-decodes in place; with plus, '+' is a blank. Length, or -1: bad escape or a NUL. */
long http_decode(char *s, bool plus);
/* Appends s percent-encoded: all but letters, digits and -._~ */
int http_put_encoded(struct buf *b, const char *s, size_t len);

#endif
