#include "sys/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <ev.h>

struct loop {
	struct ev_loop *ev;
	struct loop_wake *wakes;
	bool is_stopping;
};

/* libev's watcher stands first in each, so that a pointer to it is a pointer to ours. */
struct loop_io {
	ev_io ev;
	struct loop *loop;
	loop_io_fn *fn;
	void *data;
};

struct loop_timer {
	ev_timer ev;
	struct loop *loop;
	loop_timer_fn *fn;
	void *data;
};

struct loop_signal {
	ev_signal ev;
	struct loop *loop;
	loop_signal_fn *fn;
	void *data;
};

struct loop_wake {
	ev_async ev;
	struct loop *loop;
	struct loop_wake *next; /* of the loop's */
	atomic_bool is_sent;
	loop_wake_fn *fn;
	void *data;
};

struct loop_prepare {
	ev_prepare ev;
	struct loop *loop;
	loop_before_wait_fn *fn;
	void *data;
};

/* --- the loop --- */

struct loop *loop_new(struct err *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL) {
		err_sys(err, ENOMEM, "unable to make an event loop");
		return NULL;
	}
	loop->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	if (loop->ev == NULL) {
		err_sys(err, errno, "unable to make an event loop");
		free(loop);
		return NULL;
	}
	/* A reference of our own: a loop whose last watcher went away still waits for loop_stop. */
	ev_ref(loop->ev);
	/* A peer that hangs up is an EPIPE at the write, never our death. */
	signal(SIGPIPE, SIG_IGN);
	return loop;
}

void loop_free(struct loop **loop)
{
	if (*loop == NULL)
		return;
	ev_loop_destroy((*loop)->ev);
	free(*loop);
	*loop = NULL;
}

void loop_run(struct loop *loop)
{
	/* The flag, not ev_break alone: a stop asked for before the run began would be forgotten by libev. */
	while (!loop->is_stopping)
		ev_run(loop->ev, 0);
	loop->is_stopping = false;
}

void loop_run_once(struct loop *loop, bool may_wait)
{
	ev_run(loop->ev, may_wait ? EVRUN_ONCE : EVRUN_NOWAIT);
}

void loop_stop(struct loop *loop)
{
	loop->is_stopping = true;
	ev_break(loop->ev, EVBREAK_ALL);
}

/* --- descriptors. No callback touches its watcher after fn: fn may have freed it. --- */

/* At most one: its fn may free any. The others are called by libev at the latest. */
static void run_a_wake(struct loop *loop)
{
	struct loop_wake *w = loop->wakes;
	while (w != NULL && !atomic_exchange(&w->is_sent, false))
		w = w->next;
	if (w != NULL)
		w->fn(w->data);
}

static void on_io(struct ev_loop *ev, ev_io *w, int revents)
{
	(void)ev;
	struct loop_io *io = (struct loop_io *)w;
	int events = (revents & EV_READ ? LOOP_READ : 0) | (revents & EV_WRITE ? LOOP_WRITE : 0);
	struct loop *loop = io->loop;
	io->fn(io->data, w->fd, events);
	run_a_wake(loop);
}

struct loop_io *loop_io_new(struct loop *loop, int fd, int events, loop_io_fn *fn, void *data)
{
	struct loop_io *io = calloc(1, sizeof(*io));
	if (io == NULL)
		return NULL;
	io->loop = loop;
	io->fn = fn;
	io->data = data;
	ev_io_init(&io->ev, on_io, fd, 0);
	loop_io_set(io, events);
	return io;
}

void loop_io_set(struct loop_io *io, int events)
{
	int want = (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0);
	/* libev keeps a private bit in `events`, hence the mask. */
	if (ev_is_active(&io->ev) && want == (io->ev.events & (EV_READ | EV_WRITE)))
		return;
	ev_io_stop(io->loop->ev, &io->ev);
	ev_io_set(&io->ev, io->ev.fd, want);
	if (want != 0)
		ev_io_start(io->loop->ev, &io->ev);
}

void loop_io_go_first(struct loop_io *io)
{
	bool was_active = ev_is_active(&io->ev);
	ev_io_stop(io->loop->ev, &io->ev);
	ev_set_priority(&io->ev, EV_MAXPRI);
	if (was_active)
		ev_io_start(io->loop->ev, &io->ev);
}

void loop_io_free(struct loop_io **io)
{
	if (*io == NULL)
		return;
	ev_io_stop((*io)->loop->ev, &(*io)->ev);
	free(*io);
	*io = NULL;
}

/* --- timers --- */

static void on_timer(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void)ev, (void)revents;
	struct loop_timer *t = (struct loop_timer *)w;
	t->fn(t->data);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *data)
{
	struct loop_timer *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->loop = loop;
	t->fn = fn;
	t->data = data;
	ev_timer_init(&t->ev, on_timer, 0, 0);
	return t;
}

void loop_timer_start(struct loop_timer *t, int64_t delay_ms)
{
	ev_timer_stop(t->loop->ev, &t->ev);
	/* libev counts from when this turn began; a long turn would make the delay short. */
	ev_now_update(t->loop->ev);
	ev_timer_set(&t->ev, delay_ms > 0 ? (double)delay_ms / 1000.0 : 0, 0);
	ev_timer_start(t->loop->ev, &t->ev);
}

void loop_timer_stop(struct loop_timer *t)
{
	ev_timer_stop(t->loop->ev, &t->ev);
}

bool loop_timer_is_running(const struct loop_timer *t)
{
	return ev_is_active(&t->ev);
}

void loop_timer_free(struct loop_timer **t)
{
	if (*t == NULL)
		return;
	ev_timer_stop((*t)->loop->ev, &(*t)->ev);
	free(*t);
	*t = NULL;
}

/* --- signals --- */

static void on_signal(struct ev_loop *ev, ev_signal *w, int revents)
{
	(void)ev, (void)revents;
	struct loop_signal *s = (struct loop_signal *)w;
	s->fn(s->data, w->signum);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signo, loop_signal_fn *fn, void *data)
{
	struct loop_signal *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->loop = loop;
	s->fn = fn;
	s->data = data;
	ev_signal_init(&s->ev, on_signal, signo);
	ev_signal_start(loop->ev, &s->ev);
	return s;
}

void loop_signal_free(struct loop_signal **s)
{
	if (*s == NULL)
		return;
	ev_signal_stop((*s)->loop->ev, &(*s)->ev);
	free(*s);
	*s = NULL;
}

/* --- wake-ups from other threads --- */

static void on_wake(struct ev_loop *ev, ev_async *w, int revents)
{
	(void)ev, (void)revents;
	struct loop_wake *wake = (struct loop_wake *)w;
	if (atomic_exchange(&wake->is_sent, false))
		wake->fn(wake->data);
}

struct loop_wake *loop_wake_new(struct loop *loop, loop_wake_fn *fn, void *data)
{
	struct loop_wake *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->loop = loop;
	w->fn = fn;
	w->data = data;
	ev_async_init(&w->ev, on_wake);
	ev_set_priority(&w->ev, EV_MAXPRI);
	w->next = loop->wakes;
	loop->wakes = w;
	ev_async_start(loop->ev, &w->ev);
	return w;
}

void loop_wake_send(struct loop_wake *w)
{
	atomic_store(&w->is_sent, true);
	ev_async_send(w->loop->ev, &w->ev);
}

void loop_wake_free(struct loop_wake **w)
{
	if (*w == NULL)
		return;
	struct loop_wake **at = &(*w)->loop->wakes;
	while (*at != *w)
		at = &(*at)->next;
	*at = (*w)->next;
	ev_async_stop((*w)->loop->ev, &(*w)->ev);
	free(*w);
	*w = NULL;
}

/* --- before each wait --- */

static void on_prepare(struct ev_loop *ev, ev_prepare *w, int revents)
{
	(void)ev, (void)revents;
	struct loop_prepare *p = (struct loop_prepare *)w;
	p->fn(p->data);
}

struct loop_prepare *loop_prepare_new(struct loop *loop, loop_before_wait_fn *fn, void *data)
{
	struct loop_prepare *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->loop = loop;
	p->fn = fn;
	p->data = data;
	ev_prepare_init(&p->ev, on_prepare);
	ev_prepare_start(loop->ev, &p->ev);
	return p;
}

void loop_prepare_free(struct loop_prepare **p)
{
	if (*p == NULL)
		return;
	ev_prepare_stop((*p)->loop->ev, &(*p)->ev);
	free(*p);
	*p = NULL;
}
