#ifndef DSS_NODE_NODE_CALLBACK_H
#define DSS_NODE_NODE_CALLBACK_H
#include <stdbool.h>
#include <stddef.h>
#include "node/node_inner.h"
/*
 * node_callback: port N+1, where kernels call back: /kernel/v1/ready, /event, /processes. Its router is apart from the page's: nothing
 * else is to be reached there.
 */
/* A gate_handler; data is the node. */
void node_callback_handle(void *data, struct gate_request *req);
/* Is this where a local kernel may listen: http://127.0.0.1:PORT, PORT over 1023. Writes it without a trailing slash. */
bool node_callback_read_url(const char *text, char *url, size_t room);

#endif
