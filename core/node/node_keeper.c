#include "node/node_keeper.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "sys/fds.h"

#define BEAT_MS 5000
#define OUT_MAX (8 * 1024 * 1024)

struct order {
	uint64_t req;
	enum wire_type type;
	node_keeper_answer_fn *fn;
	void *data;
};

struct owed { /* an event that is not acknowledged, in the order of their numbers */
	struct list link;
	int64_t seq;
	bool is_done;
};

struct node_keeper {
	struct loop *loop;
	struct wire_link *link;
	struct loop_timer *beat;
	struct node_keeper_hooks hooks;
	struct map *orders;
	struct list owed;
	struct buf frame;
	size_t mark;
	enum wire_type frame_type;
	uint64_t last_req;
	int64_t beats;
	bool is_gone;
	bool is_draining; /* said in each heartbeat from then on */
};

/* --- frames out --- */

struct buf *node_keeper_begin(struct node_keeper *nk, enum wire_type type)
{
	buf_clear(&nk->frame);
	nk->frame_type = type;
	nk->mark = wire_begin(&nk->frame, type);
	wire_int(&nk->frame, WF_req, (int64_t)++nk->last_req);
	return &nk->frame;
}

static int send_frame(struct node_keeper *nk, struct err *err)
{
	if (wire_end(&nk->frame, nk->mark) < 0)
		return err_set(err, "unable to order %s: it is too large", wire_type_name((int)nk->frame_type));
	if (nk->is_gone || wire_link_send(nk->link, &nk->frame, NULL, 0) < 0)
		return err_set(err, "unable to order %s: the keeper does not read", wire_type_name((int)nk->frame_type));
	return 0;
}

int node_keeper_end(struct node_keeper *nk, node_keeper_answer_fn *fn, void *data, struct err *err)
{
	struct order *o = calloc(1, sizeof(*o));
	if (!o || map_set_u64(nk->orders, nk->last_req, o) < 0) {
		free(o);
		return err_set(err, "unable to order %s: no memory", wire_type_name((int)nk->frame_type));
	}
	*o = (struct order){ nk->last_req, nk->frame_type, fn, data };
	if (send_frame(nk, err) == 0)
		return 0;
	map_remove_u64(nk->orders, o->req);
	free(o);
	return -1;
}

static void say(struct node_keeper *nk, enum wire_type type, enum wire_field field, int64_t value, bool with_count)
{
	struct err err = { 0 };
	buf_clear(&nk->frame);
	nk->frame_type = type;
	nk->mark = wire_begin(&nk->frame, type);
	wire_int(&nk->frame, field, value);
	if (with_count)
		wire_int(&nk->frame, WF_count, nk->hooks.busy(nk->hooks.data));
	if (with_count && nk->is_draining)
		wire_int(&nk->frame, WF_on, 1);
	if (send_frame(nk, &err) < 0)
		log_warn("%s", err.text);
}

void node_keeper_beat(struct node_keeper *nk)
{
	say(nk, WIRE_heartbeat, WF_seq, ++nk->beats, true);
	loop_timer_start(nk->beat, BEAT_MS);
}

static void on_beat(void *data)
{
	node_keeper_beat(data);
}

/* --- events --- */

void node_keeper_ack(struct node_keeper *nk, int64_t seq)
{
	int64_t upto = 0;
	list_each (&nk->owed, l) {
		struct owed *o = list_of(l, struct owed, link);
		if (o->seq == seq)
			o->is_done = true;
	}
	list_each (&nk->owed, l) {
		struct owed *o = list_of(l, struct owed, link);
		if (!o->is_done)
			break;
		upto = o->seq;
		list_remove(l);
		free(o);
	}
	if (upto && !nk->is_gone)
		say(nk, WIRE_ack, WF_seq, upto, false);
}

static void on_event(struct node_keeper *nk, const struct wire_view *msg)
{
	struct owed *o = calloc(1, sizeof(*o));
	if (!o) {
		log_error("no memory for an event of the keeper; it is told again to the next backend");
		return;
	}
	o->seq = wire_get_int(msg, WF_seq, 0);
	list_push(&nk->owed, &o->link);
	nk->hooks.event(nk->hooks.data, o->seq, msg);
}

/* --- answers --- */

static void on_answer(struct node_keeper *nk, const struct wire_view *msg)
{
	uint64_t req = (uint64_t)wire_get_int(msg, WF_req, 0);
	struct order *o = map_get_u64(nk->orders, req);
	if (!o) {
		if (msg->type == WIRE_fail)
			log_warn("the keeper refused a message: %s", wire_get_text(msg, WF_text));
		return;
	}
	bool is_over = msg->type != WIRE_row || o->type == WIRE_usage;
	struct order copy = *o;
	if (is_over) {
		map_remove_u64(nk->orders, req);
		free(o);
	}
	if (copy.fn)
		copy.fn(copy.data, msg);
	else if (msg->type == WIRE_fail)
		log_warn("the keeper refused %s: %s", wire_type_name((int)copy.type), wire_get_text(msg, WF_text));
}

static void on_message(void *data, struct wire_link *link, const struct wire_view *msg, const int *fds, size_t nfds)
{
	struct node_keeper *nk = data;
	struct err err = { 0 };
	(void)link;
	for (size_t i = 0; i < nfds; i++) {
		int fd = fds[i];
		fds_close(&fd);
	}
	if (wire_check(msg, 'K', &err) < 0) {
		log_warn("the keeper said what cannot be understood: %s", err.text);
		return;
	}
	switch (msg->type) {
	case WIRE_welcome:
		nk->hooks.welcome(nk->hooks.data, msg);
		break;
	case WIRE_event:
		on_event(nk, msg);
		break;
	case WIRE_drain:
		nk->is_draining = true;
		nk->hooks.drain(nk->hooks.data);
		break;
	case WIRE_ok:
	case WIRE_fail:
	case WIRE_row:
	case WIRE_done:
	case WIRE_samples:
		on_answer(nk, msg);
		break;
	default:
		log_debug("ignored %s of the keeper", wire_type_name(msg->type));
	}
}

static void on_gone(void *data, struct wire_link *link, const struct err *why)
{
	struct node_keeper *nk = data;
	(void)link;
	nk->is_gone = true;
	loop_timer_stop(nk->beat);
	nk->hooks.gone(nk->hooks.data, why && why->text[0] ? why->text : "closed");
}

/* --- set-up --- */

struct node_keeper *node_keeper_new(struct loop *loop, int fd, int64_t epoch, const struct node_keeper_hooks *hooks,
				    struct err *err)
{
	struct node_keeper *nk = calloc(1, sizeof(*nk));
	if (!nk) {
		fds_close(&fd);
		err_set(err, "unable to talk to the keeper: no memory");
		return NULL;
	}
	nk->loop = loop;
	nk->hooks = *hooks;
	list_init(&nk->owed);
	buf_init(&nk->frame, WIRE_FRAME_MAX + 64);
	nk->orders = map_new();
	nk->beat = loop_timer_new(loop, on_beat, nk);
	if (fds_nonblock(fd, true, err) == 0)
		nk->link = wire_link_new(loop, fd, OUT_MAX, on_message, on_gone, nk);
	if (!nk->orders || !nk->beat || !nk->link) {
		if (err && !err->text[0])
			err_set(err, "unable to talk to the keeper: no memory");
		node_keeper_free(&nk);
		return NULL;
	}
	nk->frame_type = WIRE_hello;
	nk->mark = wire_begin(&nk->frame, WIRE_hello);
	wire_int(&nk->frame, WF_version, WIRE_VERSION);
	wire_int(&nk->frame, WF_epoch, epoch);
	if (send_frame(nk, err) < 0) {
		node_keeper_free(&nk);
		return NULL;
	}
	loop_timer_start(nk->beat, BEAT_MS);
	return nk;
}

void node_keeper_free(struct node_keeper **nkp)
{
	struct node_keeper *nk = *nkp;
	if (!nk)
		return;
	if (nk->link)
		wire_link_free(&nk->link);
	loop_timer_free(&nk->beat);
	size_t at = 0;
	struct order *o;
	while (nk->orders && (o = map_next(nk->orders, &at)))
		free(o);
	map_free(&nk->orders);
	list_each (&nk->owed, l)
		free(list_of(l, struct owed, link));
	buf_fini(&nk->frame);
	free(nk);
	*nkp = NULL;
}
