#include "gate/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/log.h"
#include "sys/clock.h"
#include "sys/fds.h"

/* One read; the gate's scratch has this size. */
static const size_t READ_SIZE = 64 * 1024;
/* Pipelined bytes kept while a request is answered; past it we stop reading. */
static const size_t AHEAD_MAX = 64 * 1024;
/* What a lingering client may still send before we no longer care whether it sees the answer. */
static const size_t LINGER_BYTES_MAX = 1024 * 1024;
/* A reader has to take this much to get another write_ms. */
static const size_t PROGRESS_BYTES = 256 * 1024;
static const size_t SENDFILE_SIZE = 1024 * 1024;

static void on_io(void *data, int fd, int events);

/* --- life --- */

struct conn *conn_open(struct gate *g, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	if (c != NULL) {
		*c = (struct conn){ .gate = g, .fd = fd, .file_fd = -1, .uid = (uid_t)-1 };
		c->io = loop_io_new(g->loop, fd, LOOP_READ, on_io, c);
	}
	if (c == NULL || c->io == NULL) {
		free(c);
		fds_close(&fd);
		return NULL;
	}
	list_init(&c->link);
	list_init(&c->kick);
	buf_init(&c->ahead, AHEAD_MAX);
	buf_init(&c->out, SIZE_MAX / 2);
	conn_set_phase(c, PHASE_IDLE);
	return c;
}

/* Brings the gate's count of held bytes up to date. */
static void charge(struct conn *c)
{
	size_t held = c->ahead.cap + c->out.cap + (c->parse != NULL ? http_parse_request(c->parse)->body.cap : 0);
	c->gate->stats.memory += held - c->charged; /* modulo arithmetic: also downwards */
	c->charged = held;
}

void conn_close(struct conn *c)
{
	struct gate *g = c->gate;
	if (c->is_closed)
		return;
	c->is_closed = true;
	loop_io_free(&c->io);
	fds_close(&c->fd);
	fds_close(&c->file_fd);
	list_remove(&c->link);
	list_push(&g->closed, &c->link);
	list_remove(&c->kick);
	if (c->request != NULL)
		reply_detach(c);
	http_parse_free(&c->parse);
	buf_fini(&c->ahead);
	buf_fini(&c->out);
	charge(c);
	gate_left(g, c);
	gate_do_later(g);
}

void conn_free_closed(struct gate *g)
{
	list_each (&g->closed, p)
		free(list_of(p, struct conn, link));
	list_init(&g->closed);
}

void conn_set_phase(struct conn *c, enum phase phase)
{
	assert(!c->is_closed);
	c->phase = phase;
	c->since_ms = clock_mono_ms();
	c->taken = 0;
	list_remove(&c->link);
	list_push(&c->gate->phase[phase], &c->link);
	gate_watch_phase(c->gate, phase, c->since_ms);
}

size_t conn_unsent(const struct conn *c)
{
	return c->out.len - c->out_done;
}

static bool is_sending(const struct conn *c)
{
	return conn_unsent(c) > 0 || c->file_fd >= 0;
}

void conn_watch(struct conn *c)
{
	int events = is_sending(c) ? LOOP_WRITE : 0;
	if (!c->is_at_eof && (c->phase == PHASE_LINGER || c->ahead.len < AHEAD_MAX))
		events |= LOOP_READ;
	loop_io_set(c->io, c->is_lent ? 0 : events);
}

static void linger(struct conn *c)
{
	shutdown(c->fd, SHUT_WR);
	buf_fini(&c->ahead);
	charge(c);
	conn_set_phase(c, PHASE_LINGER);
	conn_watch(c);
}

/* --- writing --- */

/* Bytes taken by the kernel; 0: it takes none now; -1: the client has gone. */
static ssize_t send_some(struct conn *c, struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };
	ssize_t sent;
	do
		sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	return sent;
}

/* Appends what is left of iov after `sent` bytes. */
static int keep_rest(struct conn *c, const struct iovec *iov, int n, size_t sent)
{
	size_t total = 0;
	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (c->gate->stats.memory + (total - sent) > c->gate->s.memory_max)
		return -1;
	for (int i = 0; i < n; i++) {
		size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;
		buf_put(&c->out, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
		sent -= skip;
	}
	charge(c);
	return c->out.failed ? -1 : 0;
}

int conn_send(struct conn *c, struct iovec *iov, int n)
{
	size_t total = 0;
	ssize_t sent = 0;
	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (!is_sending(c))
		sent = send_some(c, iov, n);
	if (sent < 0) {
		conn_close(c);
		return -1;
	}
	if ((size_t)sent == total)
		return 0;
	if (keep_rest(c, iov, n, (size_t)sent) < 0) {
		c->gate->stats.cut_slow++;
		conn_close(c);
		return -1;
	}
	return 0;
}

static void note_progress(struct conn *c, size_t bytes)
{
	c->taken += bytes;
	if (c->taken >= PROGRESS_BYTES && c->phase == PHASE_WRITING)
		conn_set_phase(c, PHASE_WRITING);
}

/* 1: all of `out` is sent; 0: later; -1: closed. */
static int flush_out(struct conn *c)
{
	while (conn_unsent(c) > 0) {
		struct iovec iov = { c->out.data + c->out_done, conn_unsent(c) };
		ssize_t sent = send_some(c, &iov, 1);
		if (sent <= 0) {
			if (sent < 0)
				conn_close(c);
			return (int)sent;
		}
		c->out_done += (size_t)sent;
		note_progress(c, (size_t)sent);
	}
	buf_fini(&c->out);
	c->out_done = 0;
	charge(c);
	return 1;
}

static int flush_file(struct conn *c)
{
	if (c->file_fd < 0)
		return 1;
	/* A bounded piece, then the others' turn. */
	size_t want = c->file_left < (int64_t)SENDFILE_SIZE ? (size_t)c->file_left : SENDFILE_SIZE;
	off_t offset = c->file_offset;
	ssize_t sent = want == 0 ? 0 : sendfile(c->fd, c->file_fd, &offset, want);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (sent < 0 || (sent == 0 && want > 0)) {
		/* Shorter than was promised, or gone: the client must not take it for whole. */
		conn_close(c);
		return -1;
	}
	c->file_offset = offset;
	c->file_left -= sent;
	note_progress(c, (size_t)sent);
	if (c->file_left > 0)
		return 0;
	fds_close(&c->file_fd);
	return 1;
}

void conn_after_send(struct conn *c)
{
	if (is_sending(c)) {
		if (c->phase != PHASE_WRITING)
			conn_set_phase(c, PHASE_WRITING);
	} else if (c->request != NULL) {
		if (c->phase != PHASE_BUSY)
			conn_set_phase(c, PHASE_BUSY);
	} else if (c->closes) {
		if (c->lingers || c->ahead.len > 0)
			linger(c);
		else
			conn_close(c);
		return;
	} else if (c->ahead.len > 0) {
		conn_set_phase(c, PHASE_HEADER);
		if (list_is_empty(&c->kick))
			list_push(&c->gate->kicked, &c->kick);
		gate_do_later(c->gate);
	} else if (c->is_at_eof && !c->is_feeding) {
		conn_close(c);
		return;
	} else {
		conn_set_phase(c, PHASE_IDLE);
	}
	conn_watch(c);
}

static void on_writable(struct conn *c)
{
	int done = flush_out(c);
	if (done == 1)
		done = flush_file(c);
	if (done == 1)
		conn_after_send(c);
}

/* --- reading --- */

void conn_fault(struct conn *c, int status, const char *text)
{
	struct gate *g = c->gate;
	bool is_head = c->parse != NULL && http_parse_request(c->parse)->is_head;
	int made = reply_put_fault(g, status, text, is_head);
	g->stats.bad += status < 500;
	http_parse_free(&c->parse);
	c->closes = c->lingers = true;
	struct iovec iov = { g->head.data, g->head.len };
	if (made < 0)
		conn_close(c);
	else if (conn_send(c, &iov, 1) == 0)
		conn_after_send(c);
}

/* The parser has the whole head, or more of the body. */
static void note_stage(struct conn *c)
{
	if (http_parse_stage(c->parse) == HTTP_IN_BODY && c->phase != PHASE_BODY)
		conn_set_phase(c, PHASE_BODY);
	charge(c);
	if (c->gate->stats.memory > c->gate->s.memory_max)
		conn_fault(c, 503, "the server holds as many bytes of requests and answers as it may, try again");
}

static void send_continue(struct conn *c)
{
	static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec iov = { text, sizeof(text) - 1 };
	if (conn_send(c, &iov, 1) == 0 && is_sending(c))
		conn_watch(c);
}

static bool takes_requests(const struct conn *c)
{
	return !c->is_closed && c->request == NULL && !c->closes && !is_sending(c);
}

/* Parses one step; bytes used. May close. */
static size_t feed_step(struct conn *c, const char *data, size_t len)
{
	struct http_fault fault;
	size_t used = 0;
	if (c->parse == NULL) {
		c->parse = c->gate->s.is_head_only ? http_parse_new_head() : http_parse_new(c->gate->s.body_max);
		if (c->parse == NULL) {
			conn_close(c);
			return len;
		}
		if (c->phase != PHASE_HEADER)
			conn_set_phase(c, PHASE_HEADER);
	}
	switch (http_parse_feed(c->parse, data, len, &used, &fault)) {
	case HTTP_MORE:
		note_stage(c);
		break;
	case HTTP_CONTINUE:
		note_stage(c);
		if (!c->is_closed && c->parse != NULL)
			send_continue(c);
		break;
	case HTTP_DONE:
		if (c->gate->s.is_head_only)
			c->has_head = true;
		else
			reply_dispatch(c);
		break;
	case HTTP_BAD:
		conn_fault(c, fault.status, fault.text);
		break;
	}
	return used;
}

/* Parses until a request is with the handler; what is left stays ahead. */
static void feed(struct conn *c, const char *data, size_t len)
{
	size_t used = 0;
	c->is_feeding = true;
	while (used < len && takes_requests(c) && !c->has_head)
		used += feed_step(c, data + used, len - used);
	c->is_feeding = false;
	if (c->is_closed || c->closes)
		return;
	if (used < len && buf_put(&c->ahead, data + used, len - used) < 0) {
		conn_close(c);
		return;
	}
	charge(c);
	if (c->has_head) { /* its body's first bytes lie ahead by now: the handler may lend */
		c->has_head = false;
		reply_dispatch(c);
	}
}

/* The client sends no more. What is under way still gets its answer, unless its handler wants to know of such things. */
static void on_eof(struct conn *c)
{
	c->is_at_eof = true;
	bool is_waiting = is_sending(c) || !list_is_empty(&c->kick) || (c->request != NULL && c->request->gone == NULL);
	if (is_waiting && c->phase != PHASE_LINGER)
		conn_watch(c);
	else
		conn_close(c);
}

static void on_readable(struct conn *c)
{
	struct gate *g = c->gate;
	size_t room = c->phase == PHASE_LINGER ? READ_SIZE : AHEAD_MAX - c->ahead.len;
	if (room == 0)
		return;
	ssize_t n = recv(c->fd, g->scratch, room < READ_SIZE ? room : READ_SIZE, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		conn_close(c);
	} else if (n == 0) {
		on_eof(c);
	} else if (c->phase == PHASE_LINGER) {
		c->lingered += (size_t)n;
		if (c->lingered > LINGER_BYTES_MAX)
			conn_close(c);
	} else if (c->ahead.len > 0) {
		/* Earlier bytes come first. */
		buf_put(&c->ahead, g->scratch, (size_t)n);
		charge(c);
		conn_continue(c);
	} else {
		feed(c, g->scratch, (size_t)n);
		if (!c->is_closed)
			conn_watch(c);
	}
}

void conn_continue(struct conn *c)
{
	if (c->ahead.len == 0 || !takes_requests(c)) {
		conn_watch(c);
		return;
	}
	struct buf bytes = c->ahead;
	buf_init(&c->ahead, AHEAD_MAX);
	list_remove(&c->kick);
	feed(c, bytes.data, bytes.len);
	if (!c->is_closed && c->is_at_eof && takes_requests(c))
		conn_close(c);
	if (!c->is_closed)
		conn_watch(c);
	buf_fini(&bytes);
}

static void on_io(void *data, int fd, int events)
{
	struct conn *c = data;
	(void)fd;
	if (events & LOOP_WRITE)
		on_writable(c);
	if ((events & LOOP_READ) && !c->is_closed && !c->is_at_eof)
		on_readable(c);
}

/* --- time --- */

void conn_expire(struct conn *c)
{
	struct gate *g = c->gate;
	switch (c->phase) {
	case PHASE_HEADER:
		g->stats.timed_out++;
		conn_fault(c, 408, "the request's header did not come in time");
		break;
	case PHASE_BODY:
		g->stats.timed_out++;
		conn_fault(c, 408, "the request's body did not come in time");
		break;
	case PHASE_WRITING:
		g->stats.cut_slow++;
		conn_close(c);
		break;
	case PHASE_IDLE:
	case PHASE_LINGER:
	case PHASE_BUSY:
	case PHASES:
		conn_close(c);
		break;
	}
}
