#ifndef DSS_NET_DIRECT_H
#define DSS_NET_DIRECT_H
#include <stdbool.h>
#include <stddef.h>
#include "net/client.h"
/*
 * direct: HTTP/1.1 to a peer at a numeric address, the common case of client.h, without libcurl: a kept connection stays in the loop's
 * watch, a request is one send, an answer mostly one recv. Inner to client.c; its promises are those of client.h.
 */
struct direct;
struct direct_call;

enum { CLIENT_CONNECT_MS = 5000, CLIENT_TIMEOUT_MS = 30000, CLIENT_ANSWER_MAX = 16 << 20 }; /* where an order says 0 */

struct direct *direct_new(struct loop *loop, size_t kept_connections_max); /* NULL: no memory */
void direct_free(struct direct **d);                                       /* calls under way are cancelled */

/* Is this order one for direct_request: http:// to a numeric address and port. */
bool direct_takes(const struct client_order *order);
struct direct_call *direct_request(struct direct *d, const struct client_order *order, client_fn *fn, void *data, struct err *err);
void direct_cancel(struct direct_call **call); /* not after fn was called; accepts NULL */
size_t direct_count(const struct direct *d);

#endif
