#ifndef DSS_NET_CLIENT_CURL_H
#define DSS_NET_CLIENT_CURL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <curl/curl.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "net/client.h"
/* client_curl: an order in libcurl's words. Inner to client.c, which owns the calls and runs them. */

enum { CLIENT_HEAD_MAX = 64 * 1024 }; /* of an answer */

struct direct_call;

struct client_call {
	struct list link;
	struct direct_call *direct; /* the call, if libcurl has no part in it; then only client, fn and data count */
	struct client *client;
	CURL *easy;
	struct curl_slist *fields, *connect_to;
	struct buf answer;
	size_t head_size;
	client_fn *fn;
	void *data;
	char method[16];
	char shown[200]; /* the URL without its query, for error texts */
	char *unix_path; /* NULL: a TCP connection */
	int unix_fd;     /* of a new connection; libcurl's */
	int64_t timeout_ms;
	bool is_known_only, was_new, is_refused, is_other, is_too_large, is_head_too_large;
};

/* Makes the call's easy handle ready for curl_multi_add_handle; its fields, connect_to and answer are filled as it goes on. -1: err. */
int client_curl_set_up(struct client_call *call, const struct client_order *o, struct err *err);

#endif
