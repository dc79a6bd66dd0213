#include "net/direct.h"

#include <arpa/inet.h>
#include <errno.h>
#include <http_parser.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/text.h"
#include "net/http.h"
#include "net/kept.h"
#include "sys/clock.h"

enum { READ_SIZE = 32 * 1024, HEAD_MAX = 64 * 1024, HOST_MAX = 48 };

struct direct_call {
	struct list in_direct;
	struct direct *direct;
	struct kept_link *link; /* NULL: nothing was sent, the loop is to tell that */
	struct loop_timer *timer;
	client_fn *fn;
	void *data;
	char method[16];
	char shown[200]; /* the URL without its query, for error texts */
	int64_t connect_ms, timeout_ms, began_mono_ms;
	struct buf out, answer;
	size_t out_done, head_size;
	bool is_known_only, is_last, was_new, is_connecting;
	http_parser parser;
	char name[16], type[128]; /* of a field; Content-Type */
	size_t name_len, type_len;
	bool in_value, in_body, has_begun, is_complete, is_too_large;
	struct err why; /* of a call without a link; "" = no connection is kept */
};

struct direct {
	struct loop *loop;
	struct kept *kept;
	struct list calls;
	size_t ncalls;
	char scratch[READ_SIZE];
};

/* --- the end of a call --- */

static void call_free(struct direct_call *c)
{
	list_remove(&c->in_direct);
	c->direct->ncalls--;
	kept_close(&c->link);
	loop_timer_free(&c->timer);
	buf_fini(&c->out);
	buf_fini(&c->answer);
	free(c);
}

static void tell(struct direct_call *c, const struct client_answer *answer)
{
	client_fn *fn = c->fn;
	c->fn = NULL; /* whoever is told may cancel all he knows of, this call included */
	fn(c->data, answer);
	call_free(c);
}

static void fail(struct direct_call *c, enum client_outcome outcome, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void fail(struct direct_call *c, enum client_outcome outcome, const char *fmt, ...)
{
	struct err err;
	char text[256];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	err_set(&err, "unable to %s %s: %s", c->method, c->shown, text);
	kept_close(&c->link);
	tell(c, &(struct client_answer){
			.outcome = outcome, .body = "", .content_type = "", .was_new = c->was_new, .error = err.text });
}

static void finish(struct direct_call *c, bool may_keep)
{
	struct client_answer answer = {
		.outcome = CLIENT_OK,
		.status = c->parser.status_code,
		.body = c->answer.data ? c->answer.data : "",
		.len = c->answer.len,
		.content_type = c->type,
		.was_new = c->was_new,
	};
	loop_timer_stop(c->timer);
	/* Before it is told: who hears it may make the next call at once. */
	if (may_keep && !c->is_last)
		kept_put(&c->link);
	else
		kept_close(&c->link);
	tell(c, &answer);
}

static void on_time(void *data)
{
	struct direct_call *c = data;
	char amount[40];
	if (!c->link && c->why.text[0])
		fail(c, CLIENT_NOT_CONNECTED, "%s", c->why.text);
	else if (!c->link)
		fail(c, CLIENT_UNKNOWN, "no connection to it is kept");
	else if (c->is_connecting)
		fail(c, CLIENT_NOT_CONNECTED, "no connection in time");
	else
		fail(c, CLIENT_TIMED_OUT, "no whole answer within %s", text_print_duration(c->timeout_ms, amount, sizeof(amount)));
}

/* --- an answer --- */

static int on_name(http_parser *hp, const char *at, size_t len)
{
	struct direct_call *c = hp->data;
	if (c->in_value)
		c->name_len = 0;
	c->in_value = false;
	for (size_t i = 0; i < len && c->name_len < sizeof(c->name); i++)
		c->name[c->name_len++] = at[i];
	return 0;
}

static int on_value(http_parser *hp, const char *at, size_t len)
{
	static const char wanted[] = "content-type";
	struct direct_call *c = hp->data;
	c->in_value = true;
	if (c->name_len == sizeof(wanted) - 1 && strncasecmp(c->name, wanted, c->name_len) == 0 &&
	    c->type_len + len < sizeof(c->type)) {
		memcpy(c->type + c->type_len, at, len);
		c->type_len += len;
	}
	return 0;
}

static int on_head_end(http_parser *hp)
{
	struct direct_call *c = hp->data;
	bool has_length = hp->content_length != UINT64_MAX && !(hp->flags & F_CHUNKED);
	hp->upgrade = 0;
	c->in_body = hp->status_code / 100 != 1;
	c->is_too_large = c->in_body && has_length && hp->content_length > c->answer.max;
	bool is_head = strcmp(c->method, "HEAD") == 0;
	return is_head ? 1 : c->is_too_large ? -1 : 0;
}

static int on_body(http_parser *hp, const char *at, size_t len)
{
	struct direct_call *c = hp->data;
	c->is_too_large = buf_put(&c->answer, at, len) < 0;
	return c->is_too_large;
}

static int on_end(http_parser *hp)
{
	struct direct_call *c = hp->data;
	c->is_complete = c->in_body; /* after 100 Continue the answer comes */
	if (c->is_complete)
		http_parser_pause(hp, 1);
	return 0;
}

/* len 0: the peer has closed. */
static void take(struct direct_call *c, const char *data, size_t len)
{
	static const http_parser_settings settings = {
		.on_header_field = on_name,
		.on_header_value = on_value,
		.on_headers_complete = on_head_end,
		.on_body = on_body,
		.on_message_complete = on_end,
	};
	char amount[40];
	c->has_begun = true;
	c->head_size += c->in_body ? 0 : len;
	size_t used = http_parser_execute(&c->parser, &settings, data, len);
	enum http_errno why = HTTP_PARSER_ERRNO(&c->parser);
	if (c->is_too_large)
		fail(c, CLIENT_TOO_LARGE, "the answer is larger than the limit of %s",
		     text_print_size((int64_t)c->answer.max, amount, sizeof(amount)));
	else if (c->is_complete)
		finish(c, len > 0 && used == len && http_should_keep_alive(&c->parser));
	else if ((!c->in_body && c->head_size > HEAD_MAX) || why == HPE_HEADER_OVERFLOW)
		fail(c, CLIENT_BROKEN, "the answer's header is larger than the limit of %d bytes", HEAD_MAX);
	else if (why != HPE_OK && len > 0)
		fail(c, CLIENT_BROKEN, "the answer is no HTTP: %s", http_errno_description(why));
	else if (len == 0)
		fail(c, CLIENT_BROKEN, "the connection was closed before the end of the answer");
}

/* A kept connection that closed just as the request was on its way: the peer has most likely not seen it. */
static void once_more(struct direct_call *c)
{
	struct err err = { 0 };
	if (c->is_known_only) {
		fail(c, CLIENT_UNKNOWN, "no connection to it is kept");
		return;
	}
	c->link = kept_open_again(c->link, &err);
	if (!c->link) {
		fail(c, CLIENT_NOT_CONNECTED, "%s", err.text);
		return;
	}
	c->was_new = c->is_connecting = true;
	c->out_done = 0;
	loop_timer_start(c->timer, c->connect_ms < c->timeout_ms ? c->connect_ms : c->timeout_ms);
}

static void lost(struct direct_call *c)
{
	if (!c->was_new && !c->has_begun)
		once_more(c);
	else
		take(c, "", 0);
}

/* --- the loop's calls --- */

static void send_rest(struct direct_call *c)
{
	while (c->out_done < c->out.len) {
		ssize_t n = send(c->link->fd, c->out.data + c->out_done, c->out.len - c->out_done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) /* gone: reading tells it, with an answer that may have come before */
			break;
		c->out_done += (size_t)n;
	}
	bool waits = c->out_done < c->out.len && (errno == EAGAIN || errno == EWOULDBLOCK);
	loop_io_set(c->link->io, LOOP_READ | (waits ? LOOP_WRITE : 0));
}

static bool has_connected(struct direct_call *c)
{
	int error = 0;
	socklen_t len = sizeof(error);
	struct err err;
	if (getsockopt(c->link->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		err_sys(&err, error, "no connection");
		fail(c, CLIENT_NOT_CONNECTED, "%s", err.text);
		return false;
	}
	int64_t left_ms = c->began_mono_ms + c->timeout_ms - clock_mono_ms();
	c->is_connecting = false;
	loop_timer_start(c->timer, left_ms);
	return true;
}

static void on_link(struct kept_link *link, int events)
{
	struct direct_call *c = link->user;
	struct direct *d = c->direct;
	if (c->is_connecting && !has_connected(c))
		return;
	if (events & LOOP_WRITE)
		send_rest(c);
	if (!(events & LOOP_READ))
		return;
	ssize_t n = recv(link->fd, d->scratch, sizeof(d->scratch), MSG_DONTWAIT);
	if (n > 0)
		take(c, d->scratch, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		lost(c);
}

/* --- making a call --- */

struct address {
	char host[HOST_MAX], shown[HOST_MAX + 16]; /* shown: as in the URL */
	int port;
	const char *path; /* with the query; "" = none */
};

static bool parse_url(const char *url, struct address *a)
{
	struct in6_addr number;
	if (strncasecmp(url, "http://", 7) != 0)
		return false;
	const char *authority = url + 7;
	size_t len = strcspn(authority, "/?#");
	a->path = authority + len;
	if (len >= sizeof(a->shown) || strchr(url, '#'))
		return false;
	for (const char *c = url; *c; c++)
		if ((unsigned char)*c <= 0x20 || *c == 0x7f)
			return false;
	memcpy(a->shown, authority, len);
	a->shown[len] = 0;
	const char *colon = strrchr(a->shown, ':');
	bool is_v6 = a->shown[0] == '[';
	size_t host_len = colon ? (size_t)(colon - a->shown) - (is_v6 ? 2 : 0) : 0;
	if (!colon || strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5 ||
	    host_len >= sizeof(a->host) || (is_v6 && colon[-1] != ']'))
		return false;
	memcpy(a->host, a->shown + is_v6, host_len);
	a->host[host_len] = 0;
	a->port = atoi(colon + 1);
	return a->port > 0 && a->port < 65536 && inet_pton(is_v6 ? AF_INET6 : AF_INET, a->host, &number) == 1;
}

bool direct_takes(const struct client_order *o)
{
	struct address a;
	bool is_fine = !o->unix_path && parse_url(o->url, &a) && (!o->bearer || http_is_field("Authorization", o->bearer)) &&
		       (!o->content_type || http_is_field("Content-Type", o->content_type));
	for (const char *const *f = o->fields; is_fine && f && *f; f++)
		is_fine = strpbrk(*f, "\r\n") == NULL && strchr(*f, ':') != NULL;
	return is_fine;
}

static void put_request(struct buf *out, const struct client_order *o, const char *method, const struct address *a)
{
	bool has_length = o->body_len > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
	const char *words[] = {
		method,      " ",   *a->path == '/' ? "" : "/", a->path, " HTTP/1.1\r\nHost: ", a->shown, "\r\nUser-Agent: dssd/",
		DSS_VERSION, "\r\n"
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		buf_puts(out, words[i]);
	if (o->bearer) {
		buf_puts(out, "Authorization: Bearer ");
		buf_puts(out, o->bearer);
		buf_puts(out, "\r\n");
	}
	if (o->body_len > 0) {
		buf_puts(out, "Content-Type: ");
		buf_puts(out, o->content_type ? o->content_type : "application/json");
		buf_puts(out, "\r\n");
	}
	for (const char *const *f = o->fields; f && *f; f++) {
		buf_puts(out, *f);
		buf_puts(out, "\r\n");
	}
	if (has_length)
		buf_printf(out, "Content-Length: %zu\r\n", o->body_len);
	buf_puts(out, "\r\n");
	if (o->body_len > 0)
		buf_put(out, o->body, o->body_len);
}

static struct direct_call *call_new(struct direct *d, const struct client_order *o, const struct address *a, client_fn *fn,
				    void *data)
{
	struct direct_call *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->direct = d;
	c->fn = fn;
	c->data = data;
	c->is_known_only = o->is_known_only;
	c->is_last = o->is_last;
	c->connect_ms = o->connect_ms > 0 ? o->connect_ms : CLIENT_CONNECT_MS;
	c->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : CLIENT_TIMEOUT_MS;
	c->began_mono_ms = clock_mono_ms();
	snprintf(c->method, sizeof(c->method), "%s", o->method ? o->method : "GET");
	text_escape(c->shown, sizeof(c->shown), o->url, strcspn(o->url, "?"));
	buf_init(&c->answer, o->answer_max > 0 ? o->answer_max : CLIENT_ANSWER_MAX);
	buf_init(&c->out, SIZE_MAX / 2);
	put_request(&c->out, o, c->method, a);
	http_parser_init(&c->parser, HTTP_RESPONSE);
	c->parser.data = c;
	c->timer = loop_timer_new(d->loop, on_time, c);
	list_init(&c->in_direct);
	list_push(&d->calls, &c->in_direct);
	d->ncalls++;
	if (c->timer && !c->out.failed)
		return c;
	call_free(c);
	return NULL;
}

struct direct_call *direct_request(struct direct *d, const struct client_order *o, client_fn *fn, void *data, struct err *err)
{
	struct address a;
	struct direct_call *c = parse_url(o->url, &a) ? call_new(d, o, &a, fn, data) : NULL;
	if (!c) {
		err_sys(err, ENOMEM, "unable to call %.100s", o->url);
		return NULL;
	}
	c->link = kept_take(d->kept, o->peer, a.host, a.port, c);
	if (!c->link && !c->is_known_only) {
		c->link = kept_open(d->kept, o->peer, a.host, a.port, c, &c->why);
		c->was_new = c->is_connecting = true;
	}
	if (c->link && !c->is_connecting)
		send_rest(c);
	/* Without a link the loop tells it at once. */
	loop_timer_start(c->timer, !c->link                                            ? 0
				   : c->is_connecting && c->connect_ms < c->timeout_ms ? c->connect_ms
										       : c->timeout_ms);
	return c;
}

void direct_cancel(struct direct_call **call)
{
	if (*call && (*call)->fn)
		call_free(*call);
	*call = NULL;
}

size_t direct_count(const struct direct *d)
{
	return d->ncalls;
}

/* --- life --- */

struct direct *direct_new(struct loop *loop, size_t kept_connections_max)
{
	struct direct *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->loop = loop;
	list_init(&d->calls);
	d->kept = kept_new(loop, kept_connections_max, on_link);
	if (!d->kept)
		direct_free(&d);
	return d;
}

void direct_free(struct direct **dp)
{
	struct direct *d = *dp;
	if (!d)
		return;
	list_each (&d->calls, p)
		call_free(list_of(p, struct direct_call, in_direct));
	kept_free(&d->kept);
	free(d);
	*dp = NULL;
}
