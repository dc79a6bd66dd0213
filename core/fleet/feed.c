#include "fleet/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/jtext.h"
#include "fleet/store_sql.h"

#define READ_MAX_BYTES ((size_t)16 << 20)

struct entry {
	int64_t wall_ms;
	bool is_pending;                             /* not on disk yet */
	char *text;                                  /* owned: what, subject, detail, owner, each with its NUL */
	const char *what, *subject, *detail, *owner; /* into text; detail and owner may be NULL */
};

struct feed {
	struct store *store;
	void (*news)(void *data);
	void *data;
	int64_t first, newest, last; /* seqs in the ring; up to last they may be shown */
	struct entry ring[FEED_RING];
};

/* --- text/event-stream --- */

static void put_event(int64_t epoch, int64_t seq, const struct store_fact *f, struct buf *out)
{
	buf_printf(out, "id: %lld-%lld\nevent: %s\ndata: {", (long long)epoch, (long long)seq, f->what);
	buf_printf(out, "\"id\":\"%lld-%lld\"", (long long)epoch, (long long)seq);
	jtext_int(out, "at", f->wall_ms);
	jtext_text(out, "what", f->what);
	jtext_text(out, "subject", f->subject);
	jtext_some_text(out, "owner", f->owner);
	if (f->detail && *f->detail)
		jtext_raw(out, "detail", f->detail, strlen(f->detail));
	buf_puts(out, "}\n\n");
}

const char *feed_what(const struct feed *feed, int64_t seq)
{
	return seq >= feed->first && seq <= feed->last ? feed->ring[seq % FEED_RING].what : NULL;
}

bool feed_may_see(const char *owner, const char *login)
{
	return !login || !owner || strcmp(owner, login) == 0;
}

/* --- the ring --- */

static bool copy_fact(struct entry *e, const struct store_fact *f)
{
	const char *parts[] = { f->what, f->subject, f->detail, f->owner };
	const char **to[] = { &e->what, &e->subject, &e->detail, &e->owner };
	size_t len[4], sum = 0;
	/* One event is one line: what came with line breaks is not ours. */
	if (f->detail && (strlen(f->detail) > FEED_DETAIL_MAX || strpbrk(f->detail, "\r\n")))
		parts[2] = NULL;
	for (int i = 0; i < 4; i++)
		sum += len[i] = parts[i] ? strlen(parts[i]) + 1 : 0;
	char *p = malloc(sum ? sum : 1);
	if (!p)
		return false;
	*e = (struct entry){ .wall_ms = f->wall_ms, .text = p };
	for (int i = 0; i < 4; i++) {
		*to[i] = parts[i] ? memcpy(p, parts[i], len[i]) : NULL;
		p += len[i];
	}
	return true;
}

static void show_more(struct feed *feed)
{
	int64_t was = feed->last;
	if (feed->last < feed->first - 1)
		feed->last = feed->first - 1;
	while (feed->last < feed->newest && !feed->ring[(feed->last + 1) % FEED_RING].is_pending)
		feed->last++;
	if (feed->last != was && feed->news)
		feed->news(feed->data);
}

static void on_kept(void *data, int64_t seq)
{
	struct feed *feed = data;
	if (seq < feed->first)
		return;
	feed->ring[seq % FEED_RING].is_pending = false;
	show_more(feed);
}

static void on_fact(void *data, int64_t seq, const struct store_fact *fact, bool is_kept)
{
	struct feed *feed = data;
	struct entry *e = &feed->ring[seq % FEED_RING];
	free(e->text);
	e->text = NULL;
	if (!copy_fact(e, fact))
		*e = (struct entry){ .wall_ms = 0 }; /* no memory: a hole */
	e->is_pending = is_kept;
	feed->newest = seq;
	if (seq - feed->first >= FEED_RING)
		feed->first = seq - FEED_RING + 1;
	show_more(feed);
}

struct feed *feed_new(struct store *store, void (*news)(void *data), void *data)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	if (!feed)
		return NULL;
	feed->store = store;
	feed->news = news;
	feed->data = data;
	feed->first = 1;
	store_watch_facts(store, &(struct store_watch){ feed, on_fact, on_kept });
	return feed;
}

void feed_free(struct feed **fp)
{
	if (!*fp)
		return;
	for (int i = 0; i < FEED_RING; i++)
		free((*fp)->ring[i].text);
	free(*fp);
	*fp = NULL;
}

int64_t feed_epoch(const struct feed *feed)
{
	return store_epoch(feed->store);
}
int64_t feed_first(const struct feed *feed)
{
	return feed->first;
}
int64_t feed_last(const struct feed *feed)
{
	return feed->last;
}

int64_t feed_put(const struct feed *feed, int64_t seq, const char *login, size_t most_bytes, struct buf *out)
{
	int64_t epoch = store_epoch(feed->store);
	if (seq < feed->first - 1)
		seq = feed->first - 1;
	while (seq < feed->last && out->len < most_bytes && !out->failed) {
		const struct entry *e = &feed->ring[++seq % FEED_RING];
		if (!e->text || !feed_may_see(e->owner, login))
			continue;
		struct store_fact f = { e->what, e->subject, e->detail, e->wall_ms, 0, e->owner };
		put_event(epoch, seq, &f, out);
	}
	return seq;
}

/* --- the store --- */

struct job {
	struct store_job base;
	int64_t after[2], before[2];
	char *login; /* owned */
	bool is_all;
	struct buf out;
	int count;
	feed_read_fn *fn;
	void *data;
};

static void take_row(void *data, int64_t epoch, int64_t seq, const struct store_fact *fact)
{
	struct job *j = data;
	struct store_fact f = *fact;
	j->count++;
	if (!feed_may_see(f.owner, j->is_all ? NULL : j->login))
		return;
	if (f.detail && (strlen(f.detail) > FEED_DETAIL_MAX || strpbrk(f.detail, "\r\n")))
		f.detail = NULL;
	put_event(epoch, seq, &f, &j->out);
}

static int run_read(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct job *j = (struct job *)base;
	return store_sql_each_fact(sql, j->after, j->before, FEED_READ_MOST, take_row, j, err);
}

static void tell_read(struct store_job *base, const struct store_answer *answer)
{
	struct job *j = (struct job *)base;
	bool is_ok = answer->outcome == STORE_OK;
	j->fn(j->data, is_ok ? &j->out : NULL, j->count >= FEED_READ_MOST || j->out.failed, is_ok ? NULL : &answer->err);
}

static void release_read(struct store_job *base)
{
	struct job *j = (struct job *)base;
	buf_fini(&j->out);
	free(j->login);
	free(j);
}

int feed_read(struct feed *feed, int64_t epoch, int64_t seq, const char *login, feed_read_fn *fn, void *data)
{
	struct job *j = calloc(1, sizeof(*j));
	if (!j)
		return -1;
	*j = (struct job){ .base = { run_read, tell_read, release_read },
			   .after = { epoch, seq },
			   .before = { store_epoch(feed->store), feed->first },
			   .is_all = !login,
			   .fn = fn,
			   .data = data };
	buf_init(&j->out, READ_MAX_BYTES);
	if (login && !(j->login = strdup(login))) {
		release_read(&j->base);
		return -1;
	}
	return store_read_job(feed->store, &j->base);
}
