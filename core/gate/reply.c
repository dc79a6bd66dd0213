#include "gate/conn.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "base/log.h"
#include "net/json.h"
#include "sys/clock.h"
#include "sys/fds.h"

static const char JSON_TYPE[] = "application/json;charset=utf-8", TEXT_TYPE[] = "text/plain; charset=utf-8";

static struct request *of(struct gate_request *req)
{
	return (struct request *)req;
}

/* --- heads and errors --- */

const char *gate_error_type(int status)
{
	static const struct {
		int status;
		const char *type;
	} known[] = {
		{ 400, "dss.exceptions.IllegalArgumentException" },  { 401, "dss.exceptions.NotAuthenticatedException" },
		{ 403, "dss.exceptions.UnauthorizedException" },     { 404, "dss.exceptions.NotFoundException" },
		{ 405, "dss.exceptions.MethodNotAllowedException" }, { 408, "dss.exceptions.TimeoutException" },
		{ 409, "dss.exceptions.ConflictException" },         { 413, "dss.exceptions.TooLargeException" },
		{ 414, "dss.exceptions.TooLargeException" },         { 421, "dss.exceptions.MisdirectedRequestException" },
		{ 429, "dss.exceptions.TooManyRequestsException" },  { 431, "dss.exceptions.TooLargeException" },
		{ 501, "dss.exceptions.NotImplementedException" },   { 503, "dss.exceptions.UnavailableException" },
		{ 504, "dss.exceptions.TimeoutException" },
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].status == status)
			return known[i].type;
	return status < 500 ? "dss.exceptions.IllegalArgumentException" : "dss.exceptions.InternalException";
}

static void put_error(struct buf *b, int status, const char *type, const char *text)
{
	if (type == NULL)
		type = gate_error_type(status);
	buf_puts(b, "{\"errorType\":");
	json_put_text(b, type, strlen(type));
	buf_puts(b, ",\"message\":");
	json_put_text(b, text, strlen(text));
	buf_putc(b, '}');
}

static const char *date_now(struct gate *g)
{
	time_t now = (time_t)(clock_wall_ms() / 1000);
	if (now != g->date_s) {
		struct tm tm;
		gmtime_r(&now, &tm);
		strftime(g->date, sizeof(g->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		g->date_s = now;
	}
	return g->date;
}

static bool has_field(const struct http_pair *field, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(field[i].name, name) == 0)
			return true;
	return false;
}

int reply_put_head(struct gate *g, struct http_head *head, const struct http_pair *field, size_t nfields)
{
	const struct http_pair ours[] = {
		{ "DSS-Version", g->version },           { "DSS-API-Version", g->api_version }, { "Date", date_now(g) },
		{ "X-Content-Type-Options", "nosniff" }, { "Cache-Control", "no-store" },
	};
	struct http_pair all[sizeof(ours) / sizeof(ours[0]) + HTTP_FIELDS_MAX];
	struct err err;
	size_t n = 0;
	assert(nfields <= HTTP_FIELDS_MAX);
	for (size_t i = 0; i < nfields; i++)
		all[n++] = field[i];
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (!has_field(field, nfields, ours[i].name))
			all[n++] = ours[i];
	head->field = all;
	head->nfields = n;
	buf_clear(&g->head);
	if (http_put_head(&g->head, head, &err) == 0)
		return 0;
	log_error("%s", err.text);
	return -1;
}

int reply_put_fault(struct gate *g, int status, const char *text, bool is_head)
{
	static const struct http_pair again = { "Retry-After", "1" };
	struct buf body;
	buf_init(&body, 4096);
	put_error(&body, status, NULL, text);
	struct http_head head = { .status = status, .minor = 1, .content_length = (int64_t)body.len, .content_type = JSON_TYPE };
	int rc = body.failed ? -1 : reply_put_head(g, &head, &again, status == 503);
	if (rc == 0 && !is_head)
		rc = buf_put(&g->head, body.data, body.len);
	buf_fini(&body);
	return rc;
}

/* --- the life of a request --- */

static void free_request(struct request *r)
{
	list_remove(&r->link);
	if (r->gate != NULL) {
		r->gate->stats.memory -= r->charged;
		r->gate->stats.waiting--;
	}
	if (r->conn != NULL)
		r->conn->request = NULL;
	for (size_t i = 0; i < r->nfields; i++)
		free((char *)r->field[i].name); /* name and value are one block */
	free(r->field);
	http_parse_free(&r->parse);
	free(r);
}

/* An HTTP/1.0 request may come without Host; no browser sends one, so no other site can. */
static bool is_for_us(const struct conn *c, const struct http_request *http)
{
	if (c->gate->is_unix || (http->minor == 0 && http->host[0] == '\0'))
		return true;
	return host_is_allowed(c->gate->hosts, http->host, c->fd);
}

void reply_dispatch(struct conn *c)
{
	struct gate *g = c->gate;
	const struct http_request *http = http_parse_request(c->parse);
	if (!is_for_us(c, http)) {
		char text[200];
		snprintf(text, sizeof(text),
			 "Host \"%.80s\" is not one of this server's names; an admin can add it to node.hosts in config/dss.lua",
			 http->host);
		conn_fault(c, 421, text);
		return;
	}
	struct request *r = calloc(1, sizeof(*r));
	if (r == NULL) {
		conn_close(c);
		return;
	}
	*r = (struct request){ .gate = g, .conn = c, .parse = c->parse, .charged = http->body.cap };
	r->pub = (struct gate_request){ .http = http, .uid = c->uid, .pid = c->pid };
	memcpy(r->pub.peer, c->peer_text, sizeof(r->pub.peer));
	list_push(&g->requests, &r->link);
	/* The body's bytes now count for the request, which may outlive its connection. */
	g->stats.memory += r->charged - c->charged;
	c->charged = 0;
	c->parse = NULL;
	c->request = r;
	g->stats.requests++;
	g->stats.waiting++;
	conn_set_phase(c, PHASE_BUSY);
	g->fn(g->data, &r->pub);
}

static void queue_gone(struct request *r)
{
	if (r->gate == NULL || r->gone == NULL)
		return;
	list_remove(&r->link);
	list_push(&r->gate->gone, &r->link);
	gate_do_later(r->gate);
}

void reply_detach(struct conn *c)
{
	struct request *r = c->request;
	c->request = NULL;
	r->conn = NULL;
	queue_gone(r);
}

void reply_deliver_gone(struct gate *g)
{
	struct list *first;
	while ((first = list_first(&g->gone)) != NULL) {
		struct request *r = list_of(first, struct request, link);
		gate_gone_fn *fn = r->gone;
		list_remove(first);
		list_push(&g->requests, first);
		r->gone = NULL;
		if (fn != NULL) /* who asked may have changed his mind since it was queued */
			fn(r->gone_data, &r->pub);
	}
}

void gate_on_gone(struct gate_request *req, gate_gone_fn *fn, void *data)
{
	struct request *r = of(req);
	r->gone = fn;
	r->gone_data = data;
	/* Gone before anybody asked: told all the same. Who has borrowed the connection sees for himself that its client sends no more. */
	if (r->conn == NULL || (r->conn->is_at_eof && !r->conn->is_lent))
		queue_gone(r);
}

bool gate_is_gone(const struct gate_request *req)
{
	return ((const struct request *)req)->conn == NULL;
}

void gate_set_field(struct gate_request *req, const char *name, const char *value)
{
	struct request *r = of(req);
	size_t name_size = strlen(name) + 1, value_size = strlen(value) + 1;
	if (!http_is_field(name, value) || r->nfields == HTTP_FIELDS_MAX) {
		log_error("unable to add header field \"%.40s\" to an answer: not a valid field, or too many", name);
		return;
	}
	struct http_pair *field = realloc(r->field, (r->nfields + 1) * sizeof(*field));
	if (field != NULL)
		r->field = field;
	char *text = malloc(name_size + value_size);
	if (field == NULL || text == NULL) {
		free(text);
		return;
	}
	memcpy(text, name, name_size);
	memcpy(text + name_size, value, value_size);
	r->field[r->nfields++] = (struct http_pair){ text, text + name_size };
}

/* --- answers --- */

/* Its bytes would be taken for the next request. */
static bool has_unread_body(const struct request *r)
{
	const char *length = http_field(r->pub.http, "content-length");
	return r->gate->s.is_head_only &&
	       (http_field(r->pub.http, "transfer-encoding") != NULL || (length != NULL && strspn(length, "0") != strlen(length)));
}

/* What all answers share. False: this answer cannot be said; the connection is then closed. */
static bool begin(struct request *r, struct conn *c, int status, const char *content_type, int64_t length, bool is_chunked)
{
	struct http_head head = {
		.status = status,
		.minor = r->pub.http->minor,
		.content_type = content_type,
		.content_length = length,
		.is_chunked = is_chunked,
	};
	bool has_end = length >= 0 || (is_chunked && head.minor > 0);
	if (has_unread_body(r))
		c->closes = c->lingers = true;
	c->closes = c->closes || !r->pub.http->keeps_alive || r->gate->drains || !has_end;
	head.keeps_alive = !c->closes;
	if (reply_put_head(r->gate, &head, r->field, r->nfields) == 0)
		return true;
	conn_close(c);
	return false;
}

static bool has_body(const struct request *r, int status)
{
	return !r->pub.http->is_head && status != 204 && status != 304;
}

void gate_reply(struct gate_request *req, int status, const char *content_type, const void *body, size_t len)
{
	struct request *r = of(req);
	struct gate *g = r->gate;
	struct conn *c = r->conn;
	assert(c == NULL || g != NULL); /* a gate closes its connections before it goes */
	if (c != NULL && len > g->s.answer_max) {
		gate_reply_error(req, 500, NULL, "the answer has %zu bytes, the limit is %zu", len, g->s.answer_max);
		return;
	}
	if (c == NULL || !begin(r, c, status, content_type, status == 304 ? -1 : (int64_t)len, false)) {
		free_request(r);
		return;
	}
	struct iovec iov[2] = { { g->head.data, g->head.len }, { (void *)body, has_body(r, status) ? len : 0 } };
	bool is_open = conn_send(c, iov, 2) == 0;
	free_request(r);
	if (is_open)
		conn_after_send(c);
}

void gate_reply_json(struct gate_request *req, int status, const char *text, size_t len)
{
	gate_reply(req, status, JSON_TYPE, text, len);
}

void gate_reply_text(struct gate_request *req, int status, const char *text, size_t len)
{
	gate_reply(req, status, TEXT_TYPE, text, len);
}

void gate_reply_value(struct gate_request *req, int status, json_t *value)
{
	struct request *r = of(req);
	struct buf b;
	/* Stops while it is made, not after. */
	buf_init(&b, r->gate != NULL ? r->gate->s.answer_max : 0);
	if (json_put(&b, value) == 0)
		gate_reply_json(req, status, b.data, b.len);
	else
		gate_reply_error(req, 500, NULL, "the answer is larger than the limit of %zu bytes", b.max);
	buf_fini(&b);
	json_decref(value);
}

void gate_reply_error(struct gate_request *req, int status, const char *type, const char *fmt, ...)
{
	char text[2048];
	struct buf b;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_init(&b, 32 * 1024);
	put_error(&b, status, type, text);
	gate_reply_json(req, status, b.data != NULL ? b.data : "{}", b.data != NULL ? b.len : 2);
	buf_fini(&b);
}

void gate_reply_file(struct gate_request *req, int status, const char *content_type, int fd, int64_t offset, int64_t len)
{
	struct request *r = of(req);
	struct conn *c = r->conn;
	if (c == NULL || !begin(r, c, status, content_type, len, false)) {
		fds_close(&fd);
		free_request(r);
		return;
	}
	struct iovec iov = { r->gate->head.data, r->gate->head.len };
	bool sends_file = has_body(r, status) && len > 0;
	bool is_open = conn_send(c, &iov, 1) == 0;
	free_request(r);
	if (is_open && sends_file) {
		c->file_fd = fd;
		c->file_offset = offset;
		c->file_left = len;
	} else {
		fds_close(&fd);
	}
	if (is_open)
		conn_after_send(c);
}

/* --- streams --- */

int gate_stream_begin(struct gate_request *req, int status, const char *content_type)
{
	struct request *r = of(req);
	struct conn *c = r->conn;
	r->is_streaming = true;
	r->is_chunked = r->pub.http->minor > 0;
	if (c == NULL || !begin(r, c, status, content_type, -1, r->is_chunked))
		return -1;
	struct iovec iov = { r->gate->head.data, r->gate->head.len };
	int sent = conn_send(c, &iov, 1);
	if (sent == 0)
		conn_after_send(c);
	return sent;
}

int gate_stream_write(struct gate_request *req, const void *data, size_t len)
{
	struct request *r = of(req);
	struct conn *c = r->conn;
	char size[24];
	assert(r->is_streaming);
	if (c == NULL)
		return -1;
	if (len == 0 || r->pub.http->is_head) /* an empty chunk would be the end */
		return 0;
	if (conn_unsent(c) + len > r->gate->s.unsent_max) {
		r->gate->stats.cut_slow++;
		conn_close(c);
		return -1;
	}
	struct iovec iov[3] = { { size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", len) },
				{ (void *)data, len },
				{ (void *)"\r\n", 2 } };
	int sent = r->is_chunked ? conn_send(c, iov, 3) : conn_send(c, iov + 1, 1);
	if (sent == 0)
		conn_after_send(c);
	return sent;
}

size_t gate_stream_unsent(const struct gate_request *req)
{
	const struct request *r = (const struct request *)req;
	return r->conn == NULL ? 0 : conn_unsent(r->conn);
}

void gate_stream_end(struct gate_request *req)
{
	struct request *r = of(req);
	struct conn *c = r->conn;
	assert(r->is_streaming);
	if (c == NULL) {
		free_request(r);
		return;
	}
	struct iovec iov = { (void *)"0\r\n\r\n", 5 };
	bool has_end = r->is_chunked && !r->pub.http->is_head;
	bool is_open = !has_end || conn_send(c, &iov, 1) == 0;
	free_request(r);
	if (is_open)
		conn_after_send(c);
}

/* --- lending --- */

int gate_lend(struct gate_request *req, struct buf *ahead)
{
	struct request *r = of(req);
	struct conn *c = r->conn;
	if (c == NULL)
		return -1;
	assert(r->gate->s.is_head_only && !c->is_lent);
	*ahead = c->ahead;
	buf_init(&c->ahead, ahead->max);
	r->gate->stats.memory -= c->charged; /* from here on it is the borrower's */
	c->charged = 0;
	c->is_lent = true;
	conn_watch(c);
	return c->fd;
}

void gate_charge(struct gate_request *req, size_t held_bytes)
{
	struct request *r = of(req);
	size_t held = req->http->body.cap + held_bytes;
	if (r->gate == NULL)
		return;
	r->gate->stats.memory += held - r->charged; /* modulo arithmetic: also downwards */
	r->charged = held;
}

void gate_take_back(struct gate_request *req, const void *ahead, size_t len)
{
	struct request *r = of(req);
	if (r->conn == NULL)
		return;
	r->conn->is_lent = false;
	if (buf_put(&r->conn->ahead, ahead, len) < 0)
		r->conn->closes = r->conn->lingers = true;
	conn_watch(r->conn);
}

void gate_finish(struct gate_request *req, bool keeps, const void *ahead, size_t len)
{
	struct request *r = of(req);
	struct conn *c = r->conn;
	if (c == NULL) {
		free_request(r);
		return;
	}
	c->is_lent = false;
	if (!keeps || !r->pub.http->keeps_alive || r->gate->drains || buf_put(&c->ahead, ahead, len) < 0)
		c->closes = c->lingers = true;
	free_request(r);
	conn_after_send(c);
}
