#include "bind/bind_events.h"
#include <stdlib.h>
#include <string.h>
#include "base/list.h"
#include "base/log.h"

#define ROUND_BYTES ((size_t)256 << 10) /* of one follower in one turn of the loop */
#define OUT_MAX     (ROUND_BYTES + (64 << 10))
/* The board: of one event about so much, and no further one while so much is not read. What changed in 20,000 rows at once fits into OUT_MOST. */
#define PIECE_BYTES       ((size_t)256 << 10)
#define BEHIND_MOST       ((size_t)64 << 10)
#define BOARD_MOST        ((size_t)32 << 20)
#define BOARD_BEHIND_MOST ((size_t)4 << 20) /* a follower of the board further behind is let go */
#define PIECE_MS          10                /* to the next piece of a long one */

struct follower {
	struct list link;
	struct events *in;
	struct gate_request *req; /* NULL: gone; kept until its read of the store was told */
	char *login;              /* owned; NULL = an admin */
	char *user;               /* owned; whose it is */
	int64_t seq;              /* the last one looked at */
	bool is_reading;
	bool wants_board, is_behind; /* is_behind: it was not told all of the board */
	size_t unsent;               /* when it was looked at last */
	unsigned topics;             /* changed, and it was not told */
	struct board_place place;
};

struct events {
	struct feed *feed;
	struct node_board *board;
	struct loop_timer *flush, *beat, *tick, *piece;
	size_t nboard;      /* of the board */
	int64_t topics_seq; /* facts up to there were looked at for topics */
	struct list followers;
	size_t count;
	uint64_t cut;
	bool is_over;
};

static void forget(struct follower *f)
{
	list_remove(&f->link);
	free(f->login);
	free(f->user);
	free(f);
}

/* Its stream is over. */
static void leave(struct follower *f)
{
	struct gate_request *req = f->req;
	f->req = NULL;
	f->in->count--;
	if (f->in->count == 0)
		loop_timer_stop(f->in->beat);
	if (f->wants_board && --f->in->nboard == 0) {
		loop_timer_stop(f->in->tick);
		loop_timer_stop(f->in->piece);
	}
	gate_stream_end(req);
	if (!f->is_reading)
		forget(f);
}

static void on_gone(void *data, struct gate_request *req)
{
	struct follower *f = data;
	if (f->req == req)
		leave(f);
	else
		gate_stream_end(req);
}

/* false: it is gone. */
static bool send(struct follower *f, const void *data, size_t len)
{
	if (gate_is_gone(f->req))
		return false;
	if (gate_stream_unsent(f->req) > (f->wants_board ? BOARD_BEHIND_MOST : EVENTS_UNSENT_MOST)) {
		log_info("a follower of events reads too slowly (over %zu MB behind) and is let go",
			 (f->wants_board ? BOARD_BEHIND_MOST : EVENTS_UNSENT_MOST) >> 20);
		f->in->cut++;
		leave(f);
		return false;
	}
	return gate_stream_write(f->req, data, len) == 0;
}

static bool tell_gap(struct follower *f)
{
	static const char gap[] = "event: gap\ndata: {\"text\":\"some events are no longer here; read the lists anew\"}\n\n";
	return send(f, gap, sizeof gap - 1);
}

/* What the ring has for it. Returns whether there is more. */
static bool catch_up(struct follower *f)
{
	struct feed *feed = f->in->feed;
	struct buf out;
	if (f->seq < feed_first(feed) - 1) {
		f->seq = feed_first(feed) - 1;
		if (!tell_gap(f))
			return false;
	}
	buf_init(&out, OUT_MAX);
	f->seq = feed_put(feed, f->seq, f->login, ROUND_BYTES, &out);
	bool is_here = out.len == 0 || out.failed || send(f, out.data, out.len);
	bool is_more = is_here && f->seq < feed_last(feed);
	buf_fini(&out);
	return is_more;
}

static void on_flush(void *data)
{
	struct events *events = data;
	bool is_more = false;
	list_each (&events->followers, l) {
		struct follower *f = list_of(l, struct follower, link);
		if (f->req && !f->is_reading && !gate_is_gone(f->req))
			is_more |= catch_up(f);
	}
	if (is_more)
		loop_timer_start(events->flush, 0);
}

static void on_news(void *data)
{
	struct events *events = data;
	if (events->count && !loop_timer_is_running(events->flush))
		loop_timer_start(events->flush, 0);
}

static void on_beat(void *data)
{
	static const char beat[] = ": still here\n\n";
	struct events *events = data;
	list_each (&events->followers, l) {
		struct follower *f = list_of(l, struct follower, link);
		if (f->req && !f->is_reading)
			send(f, beat, sizeof beat - 1);
	}
	if (events->count)
		loop_timer_start(events->beat, EVENTS_HEARTBEAT_MS);
}

/* --- the board --- */

/* One piece of what is new to it, if it took what it was sent before. topics: that changed. */
static void tell_board(struct follower *f, unsigned topics)
{
	struct node_board *board = f->in->board;
	struct buf out;
	f->topics |= topics;
	f->unsent = gate_stream_unsent(f->req);
	f->is_behind = f->unsent > BEHIND_MOST;
	if (f->is_behind)
		return;
	struct board_place was = f->place;
	buf_init(&out, BOARD_MOST);
	f->is_behind = node_board_put(board, f->login, &f->place, PIECE_BYTES, &out);
	node_board_put_node(board, &f->place, &out);
	if (f->topics)
		node_board_put_topics(f->topics, &out);
	if (out.failed) {
		f->place = was; /* no memory: at the next tick */
	} else {
		f->topics = 0;
		if (out.len)
			send(f, out.data, out.len);
	}
	buf_fini(&out);
}

static void tell_rest_soon(struct events *events)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): who is freed was taken from the list before; the analyzer does not follow links */
	list_each (&events->followers, l) {
		struct follower *f = list_of(l, struct follower, link);
		if (f->req && f->is_behind && !loop_timer_is_running(events->piece))
			loop_timer_start(events->piece, PIECE_MS);
	}
}

/* The next piece for those that read; who does not waits for the tick. */
static void on_piece(void *data)
{
	struct events *events = data;
	bool is_more = false;
	list_each (&events->followers, l) {
		struct follower *f = list_of(l, struct follower, link);
		if (!f->req || !f->is_behind || gate_is_gone(f->req))
			continue;
		size_t was = f->unsent;
		f->unsent = gate_stream_unsent(f->req);
		is_more |= f->unsent < was || f->unsent <= BEHIND_MOST;
		if (f->unsent <= BEHIND_MOST)
			tell_board(f, 0);
	}
	if (is_more)
		tell_rest_soon(events);
}

/* Of facts since the last look: the board knows when. */
static void note_facts(struct events *events)
{
	static const struct {
		const char *begins;
		unsigned topic;
	} words[] = { { "alert.", BOARD_ALERTS }, { "policies.", BOARD_POLICIES } };
	int64_t last = feed_last(events->feed), seq = events->topics_seq;
	unsigned topics = 0;
	if (seq < feed_first(events->feed) - 1)
		seq = feed_first(events->feed) - 1;
	while (++seq <= last) {
		const char *what = feed_what(events->feed, seq);
		for (size_t i = 0; what && i < sizeof words / sizeof words[0]; i++)
			if (strncmp(what, words[i].begins, strlen(words[i].begins)) == 0)
				topics |= words[i].topic;
	}
	events->topics_seq = last;
	if (topics)
		node_board_note(events->board, topics);
}

static void on_tick(void *data)
{
	struct events *events = data;
	loop_timer_start(events->tick, EVENTS_BOARD_MS);
	node_board_refresh(events->board);
	note_facts(events);
	unsigned topics = node_board_take_topics(events->board);
	list_each (&events->followers, l) {
		struct follower *f = list_of(l, struct follower, link);
		if (f->req && f->wants_board && !gate_is_gone(f->req))
			tell_board(f, topics);
	}
	tell_rest_soon(events);
}

static void begin_board(struct follower *f, const struct events_order *order)
{
	struct events *events = f->in;
	unsigned missed = 0;
	node_board_refresh(events->board);
	if (events->nboard == 1) { /* what changed while nobody followed is no news to who reads it all */
		note_facts(events);
		node_board_take_topics(events->board);
		loop_timer_start(events->tick, EVENTS_BOARD_MS);
	}
	if (order->has_rev && node_board_find(events->board, order->rev[0], order->rev[1], &f->place))
		missed = node_board_topics_since(events->board, order->rev[1]);
	else
		f->place = BOARD_FROM_START;
	tell_board(f, missed);
	tell_rest_soon(events);
}

struct events *events_new(struct loop *loop, struct store *store, struct node_board *board)
{
	struct events *events = calloc(1, sizeof *events);
	if (!events)
		return NULL;
	list_init(&events->followers);
	events->board = board;
	events->tick = loop_timer_new(loop, on_tick, events);
	events->piece = loop_timer_new(loop, on_piece, events);
	events->feed = feed_new(store, on_news, events);
	events->flush = loop_timer_new(loop, on_flush, events);
	events->beat = loop_timer_new(loop, on_beat, events);
	if (!events->feed || !events->flush || !events->beat || !events->tick || !events->piece)
		events_free(&events);
	return events;
}

void events_end(struct events *events)
{
	events->is_over = true;
	list_each (&events->followers, l) {
		struct follower *f = list_of(l, struct follower, link);
		if (f->req)
			leave(f);
	}
}

void events_free(struct events **ep)
{
	struct events *events = *ep;
	if (!events)
		return;
	events_end(events);
	list_each (&events->followers, l)
		forget(list_of(l, struct follower, link));
	loop_timer_free(&events->flush);
	loop_timer_free(&events->beat);
	loop_timer_free(&events->tick);
	loop_timer_free(&events->piece);
	feed_free(&events->feed);
	free(events);
	*ep = NULL;
}

size_t events_count(const struct events *events)
{
	return events->count;
}
uint64_t events_cut(const struct events *events)
{
	return events->cut;
}

/* --- a new one --- */

static void on_read(void *data, const struct buf *out, bool is_cut, const struct err *why)
{
	struct follower *f = data;
	f->is_reading = false;
	if (!f->req) {
		forget(f);
		return;
	}
	if (why)
		log_warn("unable to read facts for a follower: %s", why->text);
	bool is_here = !out || out->len == 0 || send(f, out->data, out->len);
	if (is_here && (why || is_cut))
		is_here = tell_gap(f);
	if (is_here)
		on_news(f->in);
}

/* Its first event tells where it begins, so that a client that lost the line before any other event comes back in the right place. */
static bool greet(struct follower *f, const char *more)
{
	struct buf out;
	long long epoch = feed_epoch(f->in->feed), seq = f->seq;
	buf_init(&out, 8192);
	buf_puts(&out, "retry: 2000\n");
	if (!f->is_reading)
		buf_printf(&out, "id: %lld-%lld\n", epoch, seq);
	buf_printf(&out, "event: hello\ndata: {\"epoch\":%lld,\"seq\":%lld%s}\n\n", epoch, (long long)feed_last(f->in->feed),
		   more ? more : "");
	bool is_here = !out.failed && send(f, out.data, out.len);
	buf_fini(&out);
	return is_here;
}

static void place(struct follower *f, const struct events_order *order)
{
	struct feed *feed = f->in->feed;
	const int64_t *after = order->after;
	f->seq = feed_last(feed);
	if (!order->has_after || after[0] > feed_epoch(feed))
		return;
	bool is_present = after[0] == feed_epoch(feed);
	if (is_present && after[1] >= feed_first(feed) - 1) {
		f->seq = after[1] < f->seq ? after[1] : f->seq;
		return;
	}
	f->seq = feed_first(feed) - 1;
	f->is_reading = feed_read(feed, after[0], after[1], f->login, on_read, f) == 0;
}

static size_t count_of(const struct events *events, const char *user)
{
	size_t n = 0;
	list_each (&events->followers, l) {
		const struct follower *f = list_of(l, struct follower, link);
		n += f->req && strcmp(f->user, user) == 0;
	}
	return n;
}

/* Nobody keeps the others out: of whoever has the most streams the oldest goes, if that one has more than the new one's user has then. */
static bool make_place(struct events *events, const char *user)
{
	struct follower *oldest = NULL;
	size_t most = count_of(events, user) + 1;
	if (events->count < EVENTS_MOST)
		return true;
	list_each (&events->followers, l) {
		struct follower *f = list_of(l, struct follower, link);
		size_t n = f->req ? count_of(events, f->user) : 0;
		if (n > most) {
			most = n;
			oldest = f;
		}
	}
	if (!oldest)
		return false;
	log_info("%s follows events with %zu streams: the oldest is let go for %s", oldest->user, most, user);
	leave(oldest);
	return true;
}

void events_let_go(struct events *events, const char *user)
{
	list_each (&events->followers, l) {
		struct follower *f = list_of(l, struct follower, link);
		if (f->req && strcmp(f->user, user) == 0)
			leave(f);
	}
}

int events_follow(struct events *events, struct gate_request *req, const struct events_order *order, struct err *err)
{
	const char *user = order->user ? order->user : "";
	if (events->is_over || !make_place(events, user))
		return err_set(err, events->is_over ? "the backend is ending" : "%d others follow already", EVENTS_MOST);
	struct follower *f = calloc(1, sizeof *f);
	if (f)
		*f = (struct follower){
			.in = events, .req = req, .login = order->login ? strdup(order->login) : NULL, .user = strdup(user)
		};
	if (!f || !f->user || (order->login && !f->login)) {
		if (f) {
			free(f->login);
			free(f->user);
		}
		free(f);
		return err_set(err, "no memory");
	}
	list_push(&events->followers, &f->link);
	events->count++;
	f->wants_board = order->wants_board;
	events->nboard += f->wants_board;
	gate_set_field(req, "Cache-Control", "no-store");
	gate_set_field(req, "X-Accel-Buffering", "no");
	gate_on_gone(req, on_gone, f);
	/* Where this fails the gate calls on_gone. */
	if (gate_stream_begin(req, 200, "text/event-stream;charset=utf-8") < 0)
		return 0;
	place(f, order);
	if (!greet(f, order->hello))
		return 0;
	if (f->wants_board)
		begin_board(f, order);
	if (!loop_timer_is_running(events->beat))
		loop_timer_start(events->beat, EVENTS_HEARTBEAT_MS);
	on_news(events);
	return 0;
}
