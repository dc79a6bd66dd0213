#include "logger/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "base/log.h"
#include "base/map.h"
#include "keeper/wire.h"
#include "logger/mask.h"
#include "logger/source.h"
#include "logger/writer.h"
#include "sys/fds.h"

enum {
	OUT_MAX = 8 * 1024 * 1024, /* a `drained` that cannot be sent would leave its process unburied */
	FLUSH_MS = 1000,
	CLOSE_TURNS_MAX = 1000, /* a keeper that never stops talking does not keep us */
};

struct relay {
	struct loop *loop;
	struct wire_link *link; /* NULL: the keeper is gone */
	struct map *sources;    /* by id; a source stays until all its bytes are written */
	struct source_env env;
	bool is_closing;
	struct loop_timer *close_soon;
	int close_turns;
};

/* --- to the keeper --- */

static void send(struct relay *r, struct buf *frame, size_t mark)
{
	if (wire_end(frame, mark) == 0 && r->link != NULL && wire_link_send(r->link, frame, NULL, 0) < 0)
		log_warn("unable to send to the keeper: its socket is full or closed");
	buf_fini(frame);
}

static void send_trouble(struct relay *r, const char *text, int64_t lost)
{
	struct buf frame;
	buf_init(&frame, WIRE_FRAME_MAX);
	size_t mark = wire_begin(&frame, WIRE_trouble);
	wire_text(&frame, WF_text, text);
	wire_int(&frame, WF_lost, lost);
	send(r, &frame, mark);
}

static void send_drained(struct relay *r, const char *id, int64_t bytes, int64_t lost)
{
	struct buf frame;
	buf_init(&frame, WIRE_FRAME_MAX);
	size_t mark = wire_begin(&frame, WIRE_drained);
	wire_text(&frame, WF_id, id);
	wire_int(&frame, WF_bytes, bytes);
	wire_int(&frame, WF_lost, lost);
	send(r, &frame, mark);
}

static void send_routed(struct relay *r, const struct source_ack *ack)
{
	struct buf frame;
	buf_init(&frame, WIRE_FRAME_MAX);
	size_t mark = wire_begin(&frame, WIRE_routed);
	wire_text(&frame, WF_id, ack->id);
	wire_int(&frame, WF_req, ack->req);
	wire_int(&frame, WF_epoch, ack->epoch);
	send(r, &frame, mark);
}

static void send_hello(struct relay *r)
{
	struct buf frame;
	buf_init(&frame, WIRE_FRAME_MAX);
	size_t mark = wire_begin(&frame, WIRE_hello);
	wire_int(&frame, WF_version, WIRE_VERSION);
	send(r, &frame, mark);
}

/* --- sources --- */

static void on_complain(void *data, const char *text)
{
	send_trouble(data, text, 0);
}

static void stop_if_done(struct relay *r)
{
	if (r->is_closing && map_count(r->sources) == 0)
		loop_stop(r->loop);
}

static void forget(struct relay *r, struct source *s)
{
	map_remove(r->sources, s->id);
	source_free(&s);
	stop_if_done(r);
}

static void on_drained(void *data, struct source *s)
{
	struct relay *r = data;
	send_drained(r, s->id, s->bytes, s->lost);
	/* A process that closed its output and lives on: its counts are asked for again when it has ended. */
	if (s->is_finishing || r->is_closing)
		forget(r, s);
	else
		source_rest(s);
}

static void on_routed(void *data, struct source_ack *ack)
{
	send_routed(data, ack);
	free(ack);
}

static void on_show(void *data)
{
	struct relay *r = data;
	size_t cursor = 0;
	struct source *s;
	while ((s = map_next(r->sources, &cursor)) != NULL)
		source_show_held(s);
}

static void on_written(void *data, struct writer_order *order)
{
	struct relay *r = data;
	struct sink *sink = order->owner;
	switch (order->what) {
	case WRITER_DATA:
	case WRITER_MARK:
		source_written(order->owner, order->lost);
		break;
	case WRITER_ROUTED:
		on_routed(r, order->owner);
		break;
	case WRITER_CLOSE:
		sink_free(&sink);
		break;
	case WRITER_TROUBLE:
		send_trouble(r, order->text, order->lost);
		break;
	default:
		break;
	}
	writer_order_free(order);
	if (!list_is_empty(&r->env.paused) && !writer_is_full(r->env.writer))
		source_resume_all(&r->env);
}

/* --- the keeper's orders --- */

/* Each takes its descriptors. 0, or -1 with what the keeper is told. */
typedef int order_fn(struct relay *r, const struct wire_view *msg, int fd, struct err *err);

static int read_place(const struct wire_view *msg, const char **id, struct sink_place *place, struct err *err)
{
	*id = wire_get_text(msg, WF_id);
	/* The keeper's name for a pipe, never part of a path: all that matters is that it is there and not endless. */
	if (**id == '\0' || strlen(*id) >= SOURCE_ID_MAX)
		return err_set(err, "its id has %zu bytes, 1 to %d may be", strlen(*id), SOURCE_ID_MAX - 1);
	return sink_parse(wire_get_text(msg, WF_sink), place, err);
}

static void add_masks(struct relay *r, struct source *s, const struct wire_view *msg)
{
	const char *word;
	for (size_t i = 0; (word = wire_get_nth(msg, WF_mask, i)) != NULL; i++) {
		struct err err, told;
		if (mask_add(r->env.mask, &s->masks, word, &err) == 0)
			continue;
		err_set(&told, "output of %s: %s", s->id, err.text);
		send_trouble(r, told.text, 0);
	}
}

static int on_pipe(struct relay *r, const struct wire_view *msg, int fd, struct err *err)
{
	const char *id;
	struct sink_place place;
	if (fd < 0)
		return err_set(err, "it brings no descriptor");
	if (read_place(msg, &id, &place, err) < 0) {
		fds_close(&fd);
		return -1;
	}
	/* Known, or it ended here a moment ago and the keeper does not know yet. */
	if (map_get(r->sources, id) != NULL) {
		fds_close(&fd);
		return 0;
	}
	int64_t cap = wire_get_int(msg, WF_cap, 0);
	struct source *s = source_new(&r->env, id, fd, &place, wire_get_text(msg, WF_prefix), cap > 0 ? cap : 0, err);
	if (s == NULL)
		return -1;
	if (map_set(r->sources, s->id, s) < 0) {
		source_free(&s);
		return err_set(err, "no memory");
	}
	add_masks(r, s, msg);
	if (r->is_closing)
		source_finish(s);
	return 0;
}

/* What the keeper asked to be told; NULL: nothing, or no memory (whoever waits has a limit). */
static struct source_ack *ack_of(const struct wire_view *msg)
{
	struct source_ack *ack = wire_has(msg, WF_req) ? calloc(1, sizeof(*ack)) : NULL;
	if (ack == NULL)
		return NULL;
	snprintf(ack->id, sizeof(ack->id), "%s", wire_get_text(msg, WF_id));
	ack->req = wire_get_int(msg, WF_req, 0);
	ack->epoch = wire_get_int(msg, WF_epoch, 0);
	return ack;
}

static int on_route(struct relay *r, const struct wire_view *msg, int fd, struct err *err)
{
	(void)fd;
	const char *id;
	struct sink_place place;
	if (read_place(msg, &id, &place, err) < 0)
		return -1;
	struct source *s = map_get(r->sources, id);
	if (s == NULL)
		return err_set(err, "%s is not known", id);
	return source_route(s, &place, wire_get_text(msg, WF_prefix), ack_of(msg), err);
}

static int on_finish(struct relay *r, const struct wire_view *msg, int fd, struct err *err)
{
	(void)fd, (void)err;
	const char *id = wire_get_text(msg, WF_id);
	struct source *s = map_get(r->sources, id);
	if (s == NULL) {
		/* Never ours, or told already: there is nothing to wait for, and the keeper must not. */
		send_drained(r, id, 0, 0);
	} else if (s->is_resting) {
		send_drained(r, id, s->bytes, s->lost);
		forget(r, s);
	} else {
		source_finish(s);
	}
	return 0;
}

static int on_reopen(struct relay *r, const struct wire_view *msg, int fd, struct err *err)
{
	(void)msg, (void)fd, (void)err;
	relay_reopen(r);
	return 0;
}

static int on_welcome(struct relay *r, const struct wire_view *msg, int fd, struct err *err)
{
	(void)r, (void)fd;
	int64_t version = wire_get_int(msg, WF_version, 0);
	if (version < WIRE_VERSION - 1)
		return err_set(err, "the keeper speaks version %lld, this logger %d", (long long)version, WIRE_VERSION);
	return 0;
}

static const struct {
	int type;
	order_fn *fn;
} orders[] = {
	{ WIRE_pipe, on_pipe },     { WIRE_route, on_route },     { WIRE_finish, on_finish },
	{ WIRE_reopen, on_reopen }, { WIRE_welcome, on_welcome },
};

static int obey(struct relay *r, const struct wire_view *msg, int fd, struct err *err)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (orders[i].type == msg->type)
			return orders[i].fn(r, msg, fd, err);
	fds_close(&fd);
	return err_set(err, "the logger does not take it");
}

static void on_message(void *data, struct wire_link *link, const struct wire_view *msg, const int *fds, size_t nfds)
{
	(void)link;
	struct relay *r = data;
	struct err err;
	size_t taken = msg->type == WIRE_pipe && nfds > 0 ? 1 : 0;
	for (size_t i = taken; i < nfds; i++)
		fds_close(&(int){ fds[i] });
	int fd = taken ? fds[0] : -1;
	if (wire_check(msg, 'K', &err) < 0)
		fds_close(&fd);
	else if (obey(r, msg, fd, &err) == 0)
		return;
	else
		err_add(&err, "unable to obey message %s", wire_type_name(msg->type));
	send_trouble(r, err.text, 0);
}

static void on_gone(void *data, struct wire_link *link, const struct err *why)
{
	struct relay *r = data;
	log_info("writing what is left: %s", why->text);
	wire_link_free(&link);
	r->link = NULL;
	relay_close(r);
}

/* --- life --- */

static void on_close_soon(void *data);

struct relay *relay_new(struct loop *loop, int keeper_fd, const char *dir, const struct disk_limits *limits, struct err *err)
{
	struct relay *r = calloc(1, sizeof(*r));
	if (r == NULL) {
		fds_close(&keeper_fd);
		err_sys(err, ENOMEM, "unable to make the relay");
		return NULL;
	}
	r->loop = loop;
	list_init(&r->env.paused);
	r->env.loop = loop;
	r->env.complain = on_complain;
	r->env.drained = on_drained;
	r->env.routed = on_routed;
	r->env.data = r;
	r->link = wire_link_new(loop, keeper_fd, OUT_MAX, on_message, on_gone, r);
	r->sources = map_new();
	r->env.mask = mask_new();
	r->env.sinks = sink_table_new();
	r->env.show = loop_timer_new(loop, on_show, r);
	r->close_soon = loop_timer_new(loop, on_close_soon, r);
	if (r->link == NULL || r->sources == NULL || r->env.mask == NULL || r->env.sinks == NULL || r->env.show == NULL ||
	    r->close_soon == NULL) {
		err_sys(err, ENOMEM, "unable to make the relay");
		relay_free(&r);
		return NULL;
	}
	r->env.writer = writer_new(loop, dir, limits, on_written, r, err);
	if (r->env.writer == NULL) {
		relay_free(&r);
		return NULL;
	}
	send_hello(r);
	return r;
}

void relay_reopen(struct relay *r)
{
	if (writer_put(r->env.writer, WRITER_REOPEN, NULL, NULL, NULL, 0) < 0)
		send_trouble(r, "unable to reopen the logs: no memory", 0);
}

void relay_close(struct relay *r)
{
	r->is_closing = true;
	loop_timer_stop(r->close_soon);
	size_t cursor = 0;
	struct source *s;
	while ((s = map_next(r->sources, &cursor)) != NULL) {
		if (s->is_resting)
			forget(r, s);
		else
			source_finish(s);
	}
	stop_if_done(r);
}

static void on_close_soon(void *data)
{
	struct relay *r = data;
	int waiting = 0;
	if (r->link != NULL && r->close_turns++ < CLOSE_TURNS_MAX) {
		ioctl(wire_link_fd(r->link), FIONREAD, &waiting);
		if (waiting > 0 || wire_link_pending(r->link)->len > 0) {
			loop_timer_start(r->close_soon, 1);
			return;
		}
	}
	relay_close(r);
}

void relay_close_soon(struct relay *r)
{
	if (!r->is_closing)
		loop_timer_start(r->close_soon, 0);
}

void relay_free(struct relay **rp)
{
	struct relay *r = *rp;
	if (r == NULL)
		return;
	if (r->env.writer != NULL)
		writer_stop(r->env.writer);
	size_t cursor = 0;
	struct source *s;
	while (r->sources != NULL && (s = map_next(r->sources, &cursor)) != NULL) {
		map_remove(r->sources, s->id);
		source_free(&s);
	}
	/* The last sources leave their sinks behind, as orders nobody carries out: the thread has ended. */
	writer_free(&r->env.writer);
	if (r->link != NULL)
		wire_link_flush(r->link, FLUSH_MS);
	wire_link_free(&r->link);
	loop_timer_free(&r->env.show);
	loop_timer_free(&r->close_soon);
	sink_table_free(&r->env.sinks);
	mask_free(&r->env.mask);
	map_free(&r->sources);
	free(r);
	*rp = NULL;
}
