#include "keeper/journal.h"
#include <stdlib.h>
#include <string.h>
#include "base/list.h"
#include "base/log.h"
#include "sys/clock.h"

struct event {
	struct list link;
	uint64_t seq;
	char id[128], what[24];
	size_t len;
	char frame[];
};

struct journal {
	struct list events;         /* oldest first; all have acked < seq <= last */
	uint64_t last, acked, sent; /* acked <= sent <= last while a link is there */
	struct wire_link *link;
	struct buf building;
	size_t mark;
	char id[128], what[24];
};

struct journal *journal_new(void)
{
	struct journal *j = calloc(1, sizeof(*j));
	if (!j)
		return NULL;
	list_init(&j->events);
	buf_init(&j->building, WIRE_FRAME_MAX);
	return j;
}

static void drop(struct event *e)
{
	list_remove(&e->link);
	free(e);
}

void journal_free(struct journal **journal)
{
	struct journal *j = *journal;
	*journal = NULL;
	if (!j)
		return;
	list_each (&j->events, p)
		drop(list_of(p, struct event, link));
	buf_fini(&j->building);
	free(j);
}

struct buf *journal_begin(struct journal *j, const char *id, const char *what)
{
	buf_clear(&j->building);
	j->mark = wire_begin(&j->building, WIRE_event);
	strncpy(j->id, id, sizeof(j->id) - 1);
	strncpy(j->what, what, sizeof(j->what) - 1);
	wire_int(&j->building, WF_seq, (int64_t)(j->last + 1));
	wire_text(&j->building, WF_id, id);
	wire_text(&j->building, WF_what, what);
	wire_int(&j->building, WF_wall_ms, clock_wall_ms());
	wire_int(&j->building, WF_mono_ms, clock_mono_ms());
	return &j->building;
}

/* Nobody listens: the newest event of a process says it all, but an end is only replaced by a later end. */
static void fold(struct journal *j, const char *id, const char *what)
{
	bool is_end = !strcmp(what, "exited");
	list_each (&j->events, p) {
		struct event *e = list_of(p, struct event, link);
		if (!strcmp(e->id, id) && (is_end || strcmp(e->what, "exited")))
			drop(e);
	}
}

static int keep(struct journal *j, uint64_t seq, const char *id, const char *what, const void *frame, size_t len)
{
	struct event *e = malloc(sizeof(*e) + len);
	if (!e)
		return -1;
	e->seq = seq;
	strcpy(e->id, id);
	strcpy(e->what, what);
	e->len = len;
	memcpy(e->frame, frame, len);
	list_push(&j->events, &e->link);
	return 0;
}

uint64_t journal_end(struct journal *j)
{
	if (wire_end(&j->building, j->mark) < 0 ||
	    keep(j, j->last + 1, j->id, j->what, j->building.data + j->mark, j->building.len - j->mark) < 0) {
		log_error("unable to record that %s %s: no memory", j->id, j->what);
		return 0;
	}
	if (!j->link) {
		struct event *newest = list_of(j->events.prev, struct event, link);
		list_remove(&newest->link);
		fold(j, j->id, j->what);
		list_push(&j->events, &newest->link);
	}
	j->last++;
	journal_pump(j);
	return j->last;
}

void journal_pump(struct journal *j)
{
	if (!j->link || j->sent == j->last)
		return;
	list_each (&j->events, p) {
		struct event *e = list_of(p, struct event, link);
		struct buf view = { .data = e->frame, .len = e->len, .cap = e->len, .max = e->len };
		if (e->seq <= j->sent)
			continue;
		if (wire_link_send(j->link, &view, NULL, 0) < 0)
			return; /* the queue is full: the next turn goes on here */
		j->sent = e->seq;
	}
}

void journal_attach(struct journal *j, struct wire_link *link)
{
	j->link = link;
	j->sent = j->acked;
	journal_pump(j);
}

void journal_resume(struct journal *j, struct wire_link *link, uint64_t sent)
{
	j->link = link;
	j->sent = sent < j->acked ? j->acked : sent > j->last ? j->last : sent;
	journal_pump(j);
}

uint64_t journal_sent(const struct journal *j)
{
	return j->sent;
}

void journal_ack(struct journal *j, uint64_t seq)
{
	if (seq > j->last)
		seq = j->last;
	if (seq <= j->acked)
		return;
	j->acked = seq;
	if (j->sent < seq)
		j->sent = seq;
	list_each (&j->events, p) {
		struct event *e = list_of(p, struct event, link);
		if (e->seq > seq)
			break;
		drop(e);
	}
}

uint64_t journal_acked(const struct journal *j)
{
	return j->acked;
}
uint64_t journal_last(const struct journal *j)
{
	return j->last;
}

int journal_save(const struct journal *j, struct buf *out)
{
	list_each (&j->events, p) {
		const struct event *e = list_of(p, struct event, link);
		buf_put(out, e->frame, e->len);
	}
	return out->failed ? -1 : 0;
}

int journal_load(struct journal *j, uint64_t last, uint64_t acked, const void *frames, size_t len, struct err *err)
{
	const char *at = frames;
	struct wire_view v;
	while (len > 0) {
		ssize_t n = wire_parse(at, len, &v, err);
		if (n <= 0)
			return n < 0 ? -1 : err_set(err, "the journal of the former keeper is cut");
		if (keep(j, (uint64_t)wire_get_int(&v, WF_seq, 0), wire_get_text(&v, WF_id), wire_get_text(&v, WF_what), at,
			 (size_t)n) < 0)
			return err_set(err, "no memory");
		at += n;
		len -= (size_t)n;
	}
	j->last = last;
	j->acked = j->sent = acked;
	return 0;
}
