#include "gate/tunnel_pipe.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "sys/clock.h"
#include "sys/fds.h"

static void on_client(void *data, int fd, int events);
static void on_app(void *data, int fd, int events);

/* Brings the counts of held bytes up to date. */
static void charge(struct pipe *p, size_t held)
{
	p->in->stats.memory += held - p->charged; /* modulo arithmetic: also downwards */
	p->charged = held;
	gate_charge(p->req, held);
}

/* --- its end --- */

static void pipe_close(struct pipe *p)
{
	struct tunnel *t = p->in;
	if (p->stage == PIPE_UPGRADED)
		t->stats.upgraded--;
	t->stats.open--;
	charge(p, 0);
	p->stage = PIPE_DONE;
	list_remove(&p->link);
	loop_io_free(&p->client_io);
	loop_io_free(&p->app_io);
	fds_close(&p->app_fd);
	buf_fini(&p->up.kept);
	buf_fini(&p->down.kept);
	buf_fini(&p->head);
	gate_on_gone(p->req, NULL, NULL);
}

void pipe_finish(struct pipe *p, bool keeps)
{
	tunnel_done_fn *fn = p->fn;
	void *data = p->data;
	pipe_close(p);
	gate_finish(p->req, keeps, p->ahead.data, p->ahead.len);
	buf_fini(&p->ahead);
	free(p);
	fn(data, NULL, 0, NULL);
}

void pipe_fail(struct pipe *p, int status, const char *why)
{
	tunnel_done_fn *fn = p->fn;
	void *data = p->data;
	struct gate_request *req = p->req;
	p->in->stats.failed++;
	if (p->is_begun || p->down.kept.len > 0) { /* too late to say so: the client sees an answer that is cut off */
		log_debug("an answer of %s was cut off: %s", p->target.route.prefix, why);
		pipe_finish(p, false);
		return;
	}
	pipe_close(p);
	gate_take_back(req, p->ahead.data, p->ahead.len);
	buf_fini(&p->ahead);
	free(p);
	fn(data, req, status, why);
}

static void on_gone(void *data, struct gate_request *req)
{
	(void)req;
	pipe_finish(data, false);
}

/* --- moving bytes --- */

static void moved(struct pipe *p)
{
	p->moved_ms = clock_mono_ms();
}

/* Bytes taken; -1: nothing is taken there any more. */
static ssize_t send_some(int fd, const char *data, size_t len)
{
	ssize_t n;
	do
		n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : n;
}

/* Sends what is taken now and keeps the rest. */
static void flow_put(struct pipe *p, struct flow *f, int fd, const char *data, size_t len)
{
	ssize_t n = 0;
	if (f->is_lost || len == 0)
		return;
	if (f->kept.len == 0)
		n = send_some(fd, data, len);
	if (n > 0)
		moved(p);
	if (n < 0 || buf_put(&f->kept, data + n, len - (size_t)n) < 0)
		f->is_lost = true;
}

static void flow_flush(struct pipe *p, struct flow *f, int fd)
{
	while (f->kept.len > f->sent && !f->is_lost) {
		ssize_t n = send_some(fd, f->kept.data + f->sent, f->kept.len - f->sent);
		if (n == 0)
			return;
		if (n < 0) {
			f->is_lost = true;
			return;
		}
		moved(p);
		f->sent += (size_t)n;
	}
	size_t max = f->kept.max;
	buf_fini(&f->kept); /* most pipes wait, and hold nothing meanwhile */
	buf_init(&f->kept, max);
	f->sent = 0;
}

/* How many of the bytes belong to the body; sets is_over at its end. -1: why. */
static ssize_t flow_measure(struct pipe *p, struct flow *f, const char *data, size_t len, const char **why)
{
	size_t used = len;
	if (f->is_to_eof)
		return (ssize_t)len;
	if (!f->is_chunked) {
		used = len < f->left ? len : (size_t)f->left;
		f->left -= used;
		f->is_over = f->left == 0;
		return (ssize_t)used;
	}
	buf_clear(&p->in->sink);
	enum http_chunk_step step = http_chunk_feed(&f->chunk, data, len, &used, &p->in->sink, why);
	f->is_over = step == HTTP_CHUNK_DONE;
	if (step == HTTP_CHUNK_FULL)
		*why = "no memory";
	return step == HTTP_CHUNK_BAD || step == HTTP_CHUNK_FULL ? -1 : (ssize_t)used;
}

static void flow_begin(struct flow *f, bool has_body, bool is_chunked, int64_t length)
{
	f->is_chunked = is_chunked;
	f->is_to_eof = has_body && !is_chunked && length < 0;
	f->left = length > 0 ? (uint64_t)length : 0;
	f->is_over = !has_body || (!is_chunked && length == 0);
	if (is_chunked)
		http_chunk_init(&f->chunk);
}

/* --- what the two sides may do now --- */

static void shut(struct flow *f, int fd)
{
	if (f->is_shut)
		return;
	f->is_shut = true;
	shutdown(fd, SHUT_WR);
}

/* 1: p is gone. */
static int pipe_look(struct pipe *p)
{
	bool is_up_flushed = p->up.kept.len == 0, is_down_flushed = p->down.kept.len == 0;
	if (p->down.is_lost) {
		pipe_finish(p, false);
		return 1;
	}
	if (p->stage == PIPE_UPGRADED) {
		if (p->up.is_over && is_up_flushed)
			shut(&p->up, p->app_fd);
		if (p->down.is_over && is_down_flushed)
			shut(&p->down, p->client_fd);
		if (p->up.is_lost || (p->up.is_shut && p->down.is_shut)) {
			pipe_finish(p, false);
			return 1;
		}
	} else if (p->stage == PIPE_ANSWERING && p->down.is_over && is_down_flushed) {
		pipe_finish(p, p->keeps && p->up.is_over && !p->up.is_lost);
		return 1;
	}
	int client = is_down_flushed ? 0 : LOOP_WRITE, app = is_up_flushed ? 0 : LOOP_WRITE;
	bool may_take = p->stage == PIPE_UPGRADED || !p->up.is_over || !p->asked.wants_upgrade;
	if (p->stage != PIPE_CONNECTING && is_up_flushed && !p->up.is_lost && !p->up.is_shut && !p->has_next && may_take)
		client |= LOOP_READ;
	if (p->stage == PIPE_CONNECTING)
		app = LOOP_WRITE;
	else if (is_down_flushed && !p->down.is_over)
		app |= LOOP_READ;
	loop_io_set(p->client_io, client);
	loop_io_set(p->app_io, app);
	charge(p, sizeof(*p) + p->up.kept.cap + p->down.kept.cap + p->head.cap + p->ahead.cap);
	return 0;
}

/* --- up --- */

/* Bytes of the client. -1: p is gone. */
static int take_up(struct pipe *p, const char *data, size_t len)
{
	const char *why = NULL;
	ssize_t n = p->up.is_over ? 0 : flow_measure(p, &p->up, data, len, &why);
	if (n < 0) {
		pipe_fail(p, 400, why);
		return -1;
	}
	flow_put(p, &p->up, p->app_fd, data, (size_t)n);
	if ((size_t)n < len &&
	    buf_put(&p->ahead, data + n, len - (size_t)n) < 0) { /* no memory: a piece of the next request is none */
		pipe_finish(p, false);
		return -1;
	}
	return 0;
}

/* Its request is whole: is there more behind it, or did it shut its side? What is behind stays where it is. */
static void peek_client(struct pipe *p)
{
	char byte;
	ssize_t n = recv(p->client_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n > 0)
		p->has_next = true;
	else if (n == 0)
		shut(&p->up, p->app_fd);
	else if (errno != EAGAIN && errno != EINTR)
		p->down.is_lost = true;
}

static void read_client(struct pipe *p)
{
	if (p->stage != PIPE_UPGRADED && p->up.is_over) {
		peek_client(p);
		(void)pipe_look(p);
		return;
	}
	ssize_t n = recv(p->client_fd, p->in->scratch, TUNNEL_SCRATCH, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		moved(p);
		if (take_up(p, p->in->scratch, (size_t)n) == 0)
			(void)pipe_look(p);
	} else if (n == 0 && p->stage == PIPE_UPGRADED) {
		p->up.is_over = true;
		(void)pipe_look(p);
	} else { /* with half a request: there is nobody to answer */
		pipe_finish(p, false);
	}
}

static void on_client(void *data, int fd, int events)
{
	struct pipe *p = data;
	(void)fd;
	if (events & LOOP_WRITE)
		flow_flush(p, &p->down, p->client_fd);
	/* After a flush the app's turn comes first: reading here may end p. */
	if (pipe_look(p) == 0 && (events & LOOP_READ) && p->up.kept.len == 0)
		read_client(p);
}

/* --- down --- */

static int take_down(struct pipe *p, const char *data, size_t len)
{
	const char *why = NULL;
	if (p->down.is_over)
		return 0;
	ssize_t n = flow_measure(p, &p->down, data, len, &why);
	if (n < 0) {
		pipe_fail(p, 502, why);
		return -1;
	}
	flow_put(p, &p->down, p->client_fd, data, (size_t)n);
	return 0;
}

/* The answer's head is whole. rest: what came behind it. -1: p is gone. */
static int take_answer(struct pipe *p, size_t len)
{
	struct err err = { 0 };
	struct buf out;
	buf_init(&out, 4 * TUNNEL_HEAD_MAX);
	bool keeps = p->up.is_over && !p->up.is_lost && !p->up.is_shut && p->req->http->keeps_alive;
	int rc = tunnel_put_answer(&out, p->head.data, len, p->req->http, &p->target.route, keeps, &p->answered, &err);
	if (rc < 0) {
		buf_fini(&out);
		pipe_fail(p, 502, err.text);
		return -1;
	}
	if (out.len == 0) { /* 1xx: the head that counts comes behind it */
		buf_drop(&p->head, len);
		return 0;
	}
	const struct tunnel_answered *a = &p->answered;
	p->is_begun = true;
	flow_put(p, &p->down, p->client_fd, out.data, out.len);
	buf_fini(&out);
	if (a->status == 101) {
		p->stage = PIPE_UPGRADED;
		p->in->stats.upgraded++;
		p->up.is_to_eof = p->down.is_to_eof = true;
		p->up.is_over = p->down.is_over = false;
	} else {
		p->stage = PIPE_ANSWERING;
		p->keeps = keeps && (!a->has_body || a->is_chunked || a->length >= 0);
		flow_begin(&p->down, a->has_body, a->is_chunked, a->length);
	}
	struct buf rest = p->head;
	buf_init(&p->head, TUNNEL_HEAD_MAX);
	rc = take_down(p, rest.data + len, rest.len - len);
	if (rc == 0 && p->stage == PIPE_UPGRADED && p->ahead.len > 0) {
		struct buf early = p->ahead;
		buf_init(&p->ahead, TUNNEL_SCRATCH);
		rc = take_up(p, early.data, early.len);
		buf_fini(&early);
	}
	buf_fini(&rest);
	return rc;
}

static int take_head(struct pipe *p, const char *data, size_t len)
{
	size_t room = p->head.max - 1 - p->head.len, head, before;
	/* What is read at once may be longer than a head may be; it is its body then. */
	size_t n = len < room ? len : room;
	if (buf_put(&p->head, data, n) < 0) {
		pipe_fail(p, 502, "no memory for its answer's header");
		return -1;
	}
	while (p->stage == PIPE_ASKING && p->head.len > 0 && (head = tunnel_head_length(p->head.data, p->head.len)) > 0) {
		before = p->head.len;
		if (take_answer(p, head) < 0)
			return -1;
		assert(p->stage != PIPE_ASKING || p->head.len < before);
	}
	if (p->stage != PIPE_ASKING)
		return n < len ? take_down(p, data + n, len - n) : 0;
	if (n == len)
		return 0;
	pipe_fail(p, 502, "its answer's header is longer than 64 KB");
	return -1;
}

static void app_ended(struct pipe *p)
{
	if (p->stage == PIPE_UPGRADED || (p->stage == PIPE_ANSWERING && p->down.is_to_eof)) {
		p->down.is_over = true;
		(void)pipe_look(p);
	} else if (p->stage == PIPE_ANSWERING) {
		pipe_fail(p, 502, "it closed the connection within its answer");
	} else {
		pipe_fail(p, 502,
			  p->head.len > 0 ? "it closed the connection within its answer's header"
					  : "it closed the connection without an answer");
	}
}

static void read_app(struct pipe *p)
{
	ssize_t n = recv(p->app_fd, p->in->scratch, TUNNEL_SCRATCH, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 && p->stage == PIPE_ANSWERING) {
		pipe_fail(p, 502, "it broke the connection within its answer");
		return;
	}
	if (n <= 0) {
		app_ended(p);
		return;
	}
	moved(p);
	int rc = p->stage == PIPE_ASKING ? take_head(p, p->in->scratch, (size_t)n) : take_down(p, p->in->scratch, (size_t)n);
	if (rc == 0)
		(void)pipe_look(p);
}

static bool is_connected(struct pipe *p)
{
	int failed = 0;
	socklen_t len = sizeof(failed);
	if (getsockopt(p->app_fd, SOL_SOCKET, SO_ERROR, &failed, &len) == 0 && failed == 0)
		return true;
	char why[200];
	snprintf(why, sizeof(why), "it takes no connection: %s", strerror(failed));
	pipe_fail(p, 502, why);
	return false;
}

static void on_app(void *data, int fd, int events)
{
	struct pipe *p = data;
	(void)fd;
	if (p->stage == PIPE_CONNECTING) {
		if (!is_connected(p))
			return;
		p->stage = PIPE_ASKING;
		moved(p);
	}
	if (events & LOOP_WRITE)
		flow_flush(p, &p->up, p->app_fd);
	if (pipe_look(p) == 0 && (events & LOOP_READ) && p->down.kept.len == 0 && !p->down.is_over)
		read_app(p);
}

/* --- its beginning --- */

void pipe_run(struct pipe *p, const char *ahead, size_t len)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const struct http_request *r = p->req->http;
	tunnel_read_request(r, &p->asked);
	flow_begin(&p->up, p->asked.is_chunked || p->asked.length > 0, p->asked.is_chunked, (int64_t)p->asked.length);
	if (tunnel_put_request(&p->up.kept, r, &p->target.route) < 0) {
		pipe_fail(p, 503, "no memory for the request");
		return;
	}
	p->client_io = loop_io_new(p->in->loop, p->client_fd, 0, on_client, p);
	p->app_io = loop_io_new(p->in->loop, p->app_fd, LOOP_WRITE, on_app, p);
	if (!p->client_io || !p->app_io) {
		pipe_fail(p, 503, "no memory for the request");
		return;
	}
	gate_on_gone(p->req, on_gone, p);
	if (take_up(p, ahead, len) < 0) /* kept, as the head is: it is not connected yet */
		return;
	if (p->asked.wants_continue && len == 0)
		flow_put(p, &p->down, p->client_fd, go_on, sizeof(go_on) - 1);
	moved(p);
	(void)pipe_look(p);
}
