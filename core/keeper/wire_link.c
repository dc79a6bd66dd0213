#include "keeper/wire.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/list.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/sock.h"

enum {
	READ_CHUNK = 16 * 1024,
	FRAMES_PER_TURN = 64, /* then the loop's other watchers have their turn */
	RECV_FDS_MAX = 8,     /* what one sock_recv_fds can bring */
	FDS_HELD_MAX = RECV_FDS_MAX + WIRE_FDS_MAX,
	KEEP_MEMORY = 64 * 1024, /* an empty buffer above this is given back */
	RETRY_MS = 20,           /* after the kernel had no memory or too many descriptors on their way */
	NFDS_AT = 6,             /* where a frame says its number of descriptors */
};

/* Descriptors that wait with their frame in `out`. */
struct parcel {
	struct list link;
	size_t at; /* where the frame begins, counted from the first byte ever queued */
	size_t end;
	size_t n;
	int fds[WIRE_FDS_MAX];
};

struct wire_link {
	struct loop *loop;
	int fd;
	struct loop_io *io;
	struct loop_timer *resume;
	wire_link_fn *fn;
	wire_gone_fn *gone;
	void *data;

	struct buf in; /* in.data[in_at …] is not handed out yet */
	size_t in_at;
	struct buf pending;     /* a view of that, never owned */
	int held[FDS_HELD_MAX]; /* received, their frame is not handed out yet */
	size_t nheld;

	struct buf out; /* out.data[out_at …] waits */
	size_t out_at;
	size_t out_base; /* number of bytes that have left out.data's front for good */
	struct list parcels;

	bool has_backlog; /* whole frames wait in `in`: no reading before they are through */
	bool is_retrying; /* sending waits for the timer, not for writability */
	bool is_out_broken;
	bool is_gone; /* `gone` was called */
	bool is_in_callback;
	bool is_dead; /* freed inside its callback: memory goes when the callback returns */
};

/* --- life --- */

static void free_parcel(struct parcel *p)
{
	for (size_t i = 0; i < p->n; i++)
		fds_close(&p->fds[i]);
	list_remove(&p->link);
	free(p);
}

static void drop_out(struct wire_link *link)
{
	list_each (&link->parcels, p)
		free_parcel(list_of(p, struct parcel, link));
	link->out_base += link->out.len;
	link->out_at = 0;
	buf_fini(&link->out);
}

static void drop_held(struct wire_link *link)
{
	for (size_t i = 0; i < link->nheld; i++)
		fds_close(&link->held[i]);
	link->nheld = 0;
}

/* All but the memory a running callback may still look at. */
static void shut(struct wire_link *link)
{
	loop_io_free(&link->io);
	loop_timer_free(&link->resume);
	fds_close(&link->fd);
	drop_out(link);
	drop_held(link);
}

static void release(struct wire_link *link)
{
	buf_fini(&link->in);
	free(link);
}

static void on_io(void *data, int fd, int events);
static void on_resume(void *data);

struct wire_link *wire_link_new(struct loop *loop, int fd, size_t out_max, wire_link_fn *fn, wire_gone_fn *gone, void *data)
{
	struct wire_link *link = calloc(1, sizeof(*link));
	if (link == NULL) {
		fds_close(&fd);
		return NULL;
	}
	link->loop = loop;
	link->fd = fd;
	link->fn = fn;
	link->gone = gone;
	link->data = data;
	list_init(&link->parcels);
	buf_init(&link->in, WIRE_FRAME_MAX + 8);
	buf_init(&link->out, out_max);
	link->io = loop_io_new(loop, fd, LOOP_READ, on_io, link);
	link->resume = loop_timer_new(loop, on_resume, link);
	if (link->io == NULL || link->resume == NULL)
		wire_link_free(&link);
	return link;
}

void wire_link_free(struct wire_link **linkp)
{
	struct wire_link *link = *linkp;
	*linkp = NULL;
	if (link == NULL || link->is_dead)
		return;
	shut(link);
	if (link->is_in_callback)
		link->is_dead = true;
	else
		release(link);
}

int wire_link_fd(const struct wire_link *link)
{
	return link->fd;
}

static void watch(struct wire_link *link)
{
	bool may_read = !link->has_backlog && !link->is_gone;
	bool may_write = wire_link_waiting(link) > 0 && !link->is_retrying;
	loop_io_set(link->io, (may_read ? LOOP_READ : 0) | (may_write ? LOOP_WRITE : 0));
}

/* After any callback; false: the link is no more. */
static bool is_alive_after(struct wire_link *link)
{
	link->is_in_callback = false;
	if (!link->is_dead)
		return true;
	release(link);
	return false;
}

/* Tells the owner, once. The link is usually freed after it. Always false, for callers that stop then. */
static bool cut_off(struct wire_link *link, const struct err *why)
{
	link->is_gone = true;
	drop_held(link);
	drop_out(link);
	loop_io_set(link->io, 0);
	loop_timer_stop(link->resume);
	link->is_in_callback = true;
	link->gone(link->data, link, why);
	is_alive_after(link);
	return false;
}

/* --- sending --- */

size_t wire_link_waiting(const struct wire_link *link)
{
	return link->out.len - link->out_at;
}

static struct parcel *first_parcel(struct wire_link *link)
{
	struct list *p = list_first(&link->parcels);
	return p != NULL ? list_of(p, struct parcel, link) : NULL;
}

static void took(struct wire_link *link, size_t n)
{
	link->out_at += n;
	if (wire_link_waiting(link) == 0) {
		link->out_base += link->out.len;
		link->out_at = 0;
		buf_clear(&link->out);
		if (link->out.cap > KEEP_MEMORY)
			buf_fini(&link->out);
	} else if (link->out_at > link->out.len / 2) {
		buf_drop(&link->out, link->out_at);
		link->out_base += link->out_at;
		link->out_at = 0;
	}
}

/* One sendmsg. Descriptors go with the first byte of their frame, and no message spans from one frame with
 * descriptors into the next, so that the peer meets them in order. */
static ssize_t send_some(struct wire_link *link)
{
	size_t n = wire_link_waiting(link);
	size_t at = link->out_base + link->out_at;
	struct parcel *p = first_parcel(link);
	bool is_due = p != NULL && p->at == at;
	if (p != NULL)
		n = is_due ? p->end - at : p->at - at;
	ssize_t sent = sock_send_fds(link->fd, link->out.data + link->out_at, n, is_due ? p->fds : NULL, is_due ? p->n : 0);
	if (sent > 0) {
		if (is_due)
			free_parcel(p);
		took(link, (size_t)sent);
	}
	return sent;
}

static bool is_shortage(int errnum)
{
	return errnum == ETOOMANYREFS || errnum == ENOMEM || errnum == ENOBUFS;
}

static void send_what_goes(struct wire_link *link)
{
	while (wire_link_waiting(link) > 0 && !link->is_out_broken && !link->is_retrying) {
		ssize_t n = send_some(link);
		if (n >= 0 || errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		if (is_shortage(errno)) {
			link->is_retrying = true;
			loop_timer_start(link->resume, RETRY_MS);
			break;
		}
		/* What the peer said before it left is still read; the owner hears of it then, not inside its own send. */
		link->is_out_broken = true;
		drop_out(link);
		loop_timer_start(link->resume, 0);
	}
	watch(link);
}

static struct parcel *make_parcel(const int *fds, size_t nfds)
{
	struct parcel *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	list_init(&p->link);
	for (; p->n < nfds; p->n++) {
		p->fds[p->n] = fcntl(fds[p->n], F_DUPFD_CLOEXEC, 0);
		if (p->fds[p->n] < 0) {
			free_parcel(p);
			return NULL;
		}
	}
	return p;
}

int wire_link_send(struct wire_link *link, const struct buf *frames, const int *fds, size_t nfds)
{
	assert(nfds <= WIRE_FDS_MAX);
	if (link->is_gone || link->is_out_broken || frames->failed)
		return -1;
	if (frames->len == 0)
		return 0;
	if (frames->len > link->out.max || wire_link_waiting(link) > link->out.max - frames->len)
		return -1;
	if (frames->len > link->out.max - link->out.len) {
		buf_drop(&link->out, link->out_at);
		link->out_base += link->out_at;
		link->out_at = 0;
	}
	struct parcel *p = nfds > 0 ? make_parcel(fds, nfds) : NULL;
	if (nfds > 0 && p == NULL)
		return -1;
	size_t at = link->out.len;
	if (buf_put(&link->out, frames->data, frames->len) < 0) {
		link->out.failed = false;
		if (p != NULL)
			free_parcel(p);
		return -1;
	}
	if (p != NULL) {
		p->at = link->out_base + at;
		p->end = link->out_base + link->out.len;
		list_push(&link->parcels, &p->link);
		link->out.data[at + NFDS_AT] = (char)nfds;
		link->out.data[at + NFDS_AT + 1] = 0;
	}
	send_what_goes(link);
	return link->is_out_broken ? -1 : 0;
}

int wire_link_flush(struct wire_link *link, int timeout_ms)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	while (!link->is_gone && !link->is_out_broken) {
		link->is_retrying = false;
		send_what_goes(link);
		if (wire_link_waiting(link) == 0)
			return link->is_out_broken ? -1 : 0;
		int64_t left = deadline - clock_mono_ms();
		if (left <= 0)
			return -1;
		struct pollfd p = { .fd = link->fd, .events = POLLOUT };
		if (poll(&p, 1, (int)(link->is_retrying && left > RETRY_MS ? RETRY_MS : left)) < 0 && errno != EINTR)
			return -1;
	}
	return -1;
}

/* --- receiving --- */

/* Hands out one frame of `used` bytes with its descriptors; false: the link is no more. */
static bool hand_out(struct wire_link *link, const struct wire_view *view, size_t used)
{
	int fds[WIRE_FDS_MAX];
	size_t n = (size_t)view->nfds;
	if (n > link->nheld) {
		struct err err;
		err_set(&err, "unable to read message %s: it announces %zu descriptors and brings %zu", wire_type_name(view->type),
			n, link->nheld);
		return cut_off(link, &err);
	}
	memcpy(fds, link->held, n * sizeof(fds[0]));
	link->nheld -= n;
	memmove(link->held, link->held + n, link->nheld * sizeof(fds[0]));
	link->in_at += used;
	link->is_in_callback = true;
	link->fn(link->data, link, view, fds, n);
	return is_alive_after(link);
}

static void compact(struct wire_link *link)
{
	buf_drop(&link->in, link->in_at);
	link->in_at = 0;
	if (link->in.len == 0 && link->in.cap > KEEP_MEMORY)
		buf_fini(&link->in);
}

/* What is held after all whole frames are through must belong to the frame that has begun. */
static bool check_held(struct wire_link *link)
{
	size_t may = link->in.len == 0 ? 0 : link->in.len < 8 ? WIRE_FDS_MAX : (unsigned char)link->in.data[NFDS_AT];
	if (link->nheld <= may)
		return true;
	struct err err;
	err_set(&err, "unable to read frame: it brings %zu descriptors and announces %zu", link->nheld, may);
	return cut_off(link, &err);
}

/* Hands out whole frames, so many a turn; false: the link is no more. */
static bool process(struct wire_link *link)
{
	link->has_backlog = false;
	for (int i = 0;; i++) {
		struct wire_view view;
		struct err err;
		size_t left = link->in.len - link->in_at;
		ssize_t used = left > 0 ? wire_parse(link->in.data + link->in_at, left, &view, &err) : 0;
		if (used < 0)
			return cut_off(link, &err);
		if (used == 0)
			break;
		if (i == FRAMES_PER_TURN) {
			link->has_backlog = true;
			loop_timer_start(link->resume, 0);
			break;
		}
		if (!hand_out(link, &view, (size_t)used))
			return false;
	}
	compact(link);
	return link->has_backlog || check_held(link);
}

/* One recvmsg and what it completes. 1: there may be more; 0: nothing to read now; -1: the link is no more. */
static int receive(struct wire_link *link)
{
	struct err err;
	size_t room = link->in.max - link->in.len;
	room = room < READ_CHUNK ? room : READ_CHUNK;
	char *to = buf_reserve(&link->in, room);
	if (to == NULL) {
		err_sys(&err, ENOMEM, "unable to read from peer");
		cut_off(link, &err);
		return -1;
	}
	size_t nfds = RECV_FDS_MAX;
	ssize_t n = sock_recv_fds(link->fd, to, room, link->held + link->nheld, &nfds);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	if (n <= 0) {
		if (n < 0)
			err_sys(&err, errno, "unable to read from peer");
		else
			err_set(&err, "the peer has closed the connection%s",
				link->in.len > 0 ? " in the middle of a message" : "");
		cut_off(link, &err);
		return -1;
	}
	link->nheld += nfds;
	link->in.len += (size_t)n;
	return process(link) ? 1 : -1;
}

static void on_io(void *data, int fd, int events)
{
	(void)fd;
	struct wire_link *link = data;
	if (events & LOOP_WRITE)
		send_what_goes(link);
	if ((events & LOOP_READ) && !link->has_backlog && receive(link) < 0)
		return;
	watch(link);
}

static void on_resume(void *data)
{
	struct wire_link *link = data;
	link->is_retrying = false;
	if (!process(link))
		return;
	if (link->is_out_broken && !link->has_backlog) {
		int more = receive(link);
		if (more < 0)
			return;
		if (more == 0) {
			struct err err;
			err_sys(&err, EPIPE, "unable to write to peer");
			cut_off(link, &err);
			return;
		}
		loop_timer_start(link->resume, 0);
	}
	send_what_goes(link);
}

const struct buf *wire_link_pending(const struct wire_link *link)
{
	struct wire_link *l = (struct wire_link *)link;
	l->pending = link->in;
	l->pending.data = link->in.data != NULL ? link->in.data + link->in_at : NULL;
	l->pending.len = link->in.len - link->in_at;
	return &link->pending;
}

int wire_link_preload(struct wire_link *link, const void *data, size_t len)
{
	if (buf_put(&link->in, data, len) < 0) {
		link->in.failed = false;
		return -1;
	}
	/* Handed out from the loop, not from inside the owner's call. */
	link->has_backlog = true;
	loop_timer_start(link->resume, 0);
	watch(link);
	return 0;
}
