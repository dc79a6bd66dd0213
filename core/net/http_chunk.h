#ifndef DSS_NET_HTTP_CHUNK_H
#define DSS_NET_HTTP_CHUNK_H
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
/*
 * http_chunk: reads a chunked body. Stricter than http-parser, which takes bare CRs and LFs between chunks: what two
 * servers may split differently is an error. Extensions and trailers are read over, within limits.
 */
struct http_chunk {
	int state;
	uint64_t left; /* of the present chunk */
	int digits;
	size_t extra; /* bytes of extensions and trailers so far */
};

enum { HTTP_CHUNK_EXTRA_MAX = 16 * 1024 };
enum http_chunk_step { HTTP_CHUNK_MORE, HTTP_CHUNK_DONE, HTTP_CHUNK_BAD, HTTP_CHUNK_FULL };

void http_chunk_init(struct http_chunk *c);
/* Appends decoded bytes to body; FULL: body has no room for what comes, or memory lacks. *why is set with BAD. */
enum http_chunk_step http_chunk_feed(struct http_chunk *c, const char *data, size_t len, size_t *used, struct buf *body,
				     const char **why);

#endif
