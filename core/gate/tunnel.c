#include "gate/tunnel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/tunnel_pipe.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/sock.h"

/* The request's head and what came behind it at once. */
enum { KEPT_MAX = 4 * TUNNEL_SCRATCH };

void tunnel_settings_init(struct tunnel_settings *s)
{
	*s = (struct tunnel_settings){
		.most = 1000,
		.memory_max = 64 << 20,
		.connect_ms = 10000,
		.body_ms = 60000,
		.answer_ms = 5 * 60000,
		.write_ms = 60000,
		.idle_ms = 60 * 60000,
		.tick_ms = 1000,
	};
}

/* --- limits --- */

struct limit {
	int64_t ms;
	int status;
	const char *why;
};

static struct limit limit_of(const struct pipe *p)
{
	const struct tunnel_settings *s = &p->in->s;
	if (p->stage == PIPE_CONNECTING)
		return (struct limit){ s->connect_ms, 504, "it takes no connection" };
	if (p->down.kept.len > 0)
		return (struct limit){ s->write_ms, 408, "the client takes nothing of the answer" };
	if (p->stage != PIPE_ASKING)
		return (struct limit){ s->idle_ms, 504, "it has been idle for too long" };
	if (!p->up.is_over && p->up.kept.len == 0 && !p->up.is_lost)
		return (struct limit){ s->body_ms, 408, "the request's body did not come in time" };
	return (struct limit){ s->answer_ms, 504, "it does not answer" };
}

static void on_tick(void *data)
{
	struct tunnel *t = data;
	int64_t now = clock_mono_ms();
	struct list *at = t->pipes.next, *next;
	/* One may end another only by its fn, which gets a request of its own: the next one is still there. */
	for (; at != &t->pipes; at = next) {
		struct pipe *p = list_of(at, struct pipe, link);
		struct limit limit = limit_of(p);
		next = at->next;
		if (p->moved_ms + limit.ms <= now)
			pipe_fail(p, limit.status, limit.why);
	}
	if (!list_is_empty(&t->pipes))
		loop_timer_start(t->tick, t->s.tick_ms);
}

/* --- life --- */

struct tunnel *tunnel_new(struct loop *loop, const struct tunnel_settings *s, struct err *err)
{
	struct tunnel *t = calloc(1, sizeof(*t));
	if (t) {
		t->loop = loop;
		t->s = *s;
		list_init(&t->pipes);
		buf_init(&t->sink, 2 * TUNNEL_SCRATCH);
		t->tick = loop_timer_new(loop, on_tick, t);
		t->scratch = malloc(TUNNEL_SCRATCH);
	}
	if (t && t->tick && t->scratch)
		return t;
	err_set(err, "unable to open the tunnel: no memory");
	tunnel_free(&t);
	return NULL;
}

static void end_all(struct tunnel *t, bool upgraded_only)
{
	struct list *at = t->pipes.next, *next;
	for (; at != &t->pipes; at = next) {
		struct pipe *p = list_of(at, struct pipe, link);
		next = at->next;
		if (p->stage == PIPE_UPGRADED)
			pipe_finish(p, false);
		else if (!upgraded_only)
			pipe_fail(p, 503, "the backend is ending");
	}
}

void tunnel_drain(struct tunnel *t)
{
	end_all(t, true);
}

void tunnel_free(struct tunnel **tp)
{
	struct tunnel *t = *tp;
	if (!t)
		return;
	end_all(t, false);
	loop_timer_free(&t->tick);
	buf_fini(&t->sink);
	free(t->scratch);
	free(t);
	*tp = NULL;
}

void tunnel_get_stats(const struct tunnel *t, struct tunnel_stats *out)
{
	*out = t->stats;
}

/* --- passing --- */

static int connect_to(const struct tunnel_target *to, struct err *err)
{
	return to->socket[0] != '\0' ? sock_connect_unix_own(to->socket, err) : sock_connect_tcp("127.0.0.1", to->port, err);
}

static struct pipe *pipe_new(struct tunnel *t, struct gate_request *req, const struct tunnel_target *target, tunnel_done_fn *fn,
			     void *data)
{
	struct pipe *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	*p = (struct pipe){ .in = t, .req = req, .target = *target, .fn = fn, .data = data, .client_fd = -1, .app_fd = -1 };
	list_init(&p->link);
	buf_init(&p->up.kept, KEPT_MAX);
	buf_init(&p->down.kept, 5 * TUNNEL_HEAD_MAX);
	buf_init(&p->head, TUNNEL_HEAD_MAX);
	buf_init(&p->ahead, TUNNEL_SCRATCH);
	p->moved_ms = clock_mono_ms();
	return p;
}

void tunnel_pass(struct tunnel *t, struct gate_request *req, const struct tunnel_target *target, tunnel_done_fn *fn, void *data)
{
	struct err err = { 0 };
	struct buf ahead = { 0 };
	char why[ERR_TEXT_MAX + 64];
	if (t->stats.memory >= t->s.memory_max) {
		fn(data, req, 503, "the server holds as many bytes of requests and answers as it may, try again");
		return;
	}
	struct pipe *p = t->stats.open < t->s.most ? pipe_new(t, req, target, fn, data) : NULL;
	if (!p) {
		fn(data, req, 503, "too many requests are under way, try again");
		return;
	}
	int fd = connect_to(target, &err);
	if (fd < 0) {
		free(p);
		snprintf(why, sizeof(why), "it takes no connection: %s", err.text);
		fn(data, req, 502, why);
		return;
	}
	p->app_fd = fd;
	p->client_fd = gate_lend(req, &ahead);
	t->stats.open++;
	t->stats.passed++;
	list_push(&t->pipes, &p->link);
	if (!loop_timer_is_running(t->tick))
		loop_timer_start(t->tick, t->s.tick_ms);
	if (p->client_fd < 0)
		pipe_finish(p, false);
	else
		pipe_run(p, ahead.data ? ahead.data : "", ahead.len);
	buf_fini(&ahead);
}
