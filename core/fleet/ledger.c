/* ledger: the loop's side: decisions are noted in memory and handed on in one piece. */
#include "fleet/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/alerts.h"
#include "fleet/ledger_inner.h"
#include "fleet/store_sql.h"
#include "sys/clock.h"

#define CHUNK_BYTES        ((size_t)64 << 10)
#define WAITING_MOST_BYTES ((size_t)32 << 20) /* of what is not on disk yet; what comes beyond is lost */
#define WINDOW_MS          ((int64_t)24 * 3600 * 1000)
#define WINDOW_MOST_BYTES  ((int64_t)256 << 20)
#define KEEP_MS            ((int64_t)90 * 24 * 3600 * 1000)
#define KEEP_ROWS          200000
#define SEQ_META           "decision" /* in table meta: no seq below it is used again */

struct ledger {
	struct store *store;
	struct alerts *alerts;
	struct ledger_book *book; /* the writer thread's, between ledger_new and ledger_free */
	struct ledger_rules rules;
	int64_t seq, version;  /* seq: of the next */
	struct list chunks;    /* noted, not handed on */
	size_t count, bytes;   /* of these; bytes: also of what is on its way */
	int64_t ordered, told; /* flushes; they end in their order */
	struct list readers;   /* each waits for the flushes before it */
	struct ledger_stats stats;
	bool is_failing, is_off;
};

/* --- notes --- */

static const uint16_t part_max[LEDGER_PARTS] = {
	[LEDGER_WORD] = 32,       [LEDGER_NAME] = 128,
	[LEDGER_SOURCE] = 256,    [LEDGER_SUBJECT_KIND] = 32,
	[LEDGER_SUBJECT] = 256,   [LEDGER_ANSWER] = 64,
	[LEDGER_MODE] = 16,       [LEDGER_OUTCOME] = 32,
	[LEDGER_REASON] = 2000,   [LEDGER_INPUTS] = LEDGER_INPUTS_MAX,
	[LEDGER_THRESHOLD] = 500, [LEDGER_OWNER] = 128,
};

const char *ledger_part(const struct ledger_note *n, enum ledger_part part)
{
	const char *p = n->text;
	for (int i = 0; i < (int)part; i++)
		p += n->len[i] + 1;
	return p;
}

/* Not within a character of UTF-8. */
static size_t cut(const char *s, size_t len, size_t most)
{
	if (len <= most)
		return len;
	while (most && ((unsigned char)s[most] & 0xc0) == 0x80)
		most--;
	return most;
}

static char *room_for(struct ledger *l, size_t size)
{
	bool is_none = list_is_empty(&l->chunks);
	struct ledger_chunk *c = list_of(l->chunks.prev, struct ledger_chunk, link);
	if (is_none || CHUNK_BYTES - c->used < size) {
		if (l->bytes + CHUNK_BYTES > WAITING_MOST_BYTES || !(c = malloc(sizeof(*c) + CHUNK_BYTES)))
			return NULL;
		c->used = 0;
		list_push(&l->chunks, &c->link);
		l->bytes += CHUNK_BYTES;
	}
	char *p = c->data + c->used;
	c->used += size;
	return p;
}

/* parts: NULL = "". false: no room. */
static bool put_note(struct ledger *l, const char *const *parts, int64_t seq, bool is_outcome)
{
	struct ledger_note head = { .seq = seq, .at_ms = clock_wall_ms(), .version = l->version, .is_outcome = is_outcome };
	size_t size = sizeof(head);
	for (int i = 0; i < LEDGER_PARTS; i++) {
		size_t len = parts[i] ? strlen(parts[i]) : 0;
		if (len > part_max[i])
			len = i == LEDGER_INPUTS ? 0 : cut(parts[i], len, part_max[i]);
		head.len[i] = (uint16_t)len;
		size += len + 1;
	}
	size = (size + 7) & ~(size_t)7;
	head.size = (uint32_t)size;
	char *p = room_for(l, size);
	if (!p)
		return false;
	memcpy(p, &head, sizeof(head));
	p = ((struct ledger_note *)p)->text;
	for (int i = 0; i < LEDGER_PARTS; i++) {
		if (head.len[i])
			memcpy(p, parts[i], head.len[i]);
		p += head.len[i];
		*p++ = 0;
	}
	l->count++;
	return true;
}

int64_t ledger_note(struct ledger *l, const struct decision *d)
{
	if (l->is_off)
		return 0;
	const char *parts[LEDGER_PARTS] = {
		[LEDGER_WORD] = d->word,
		[LEDGER_NAME] = d->name,
		[LEDGER_SOURCE] = d->source,
		[LEDGER_SUBJECT_KIND] = d->subject_kind,
		[LEDGER_SUBJECT] = d->subject,
		[LEDGER_ANSWER] = d->answer,
		[LEDGER_MODE] = d->mode ? d->mode : "act",
		[LEDGER_OUTCOME] = d->outcome ? d->outcome : "nothing",
		[LEDGER_REASON] = d->reason,
		[LEDGER_INPUTS] = d->inputs,
		[LEDGER_THRESHOLD] = d->threshold,
		[LEDGER_OWNER] = d->owner,
	};
	l->stats.noted++;
	if (!put_note(l, parts, l->seq, false)) {
		l->stats.lost++;
		return 0;
	}
	return l->seq++;
}

void ledger_outcome(struct ledger *l, int64_t seq, const char *outcome, const char *text)
{
	const char *parts[LEDGER_PARTS] = { [LEDGER_OUTCOME] = outcome, [LEDGER_REASON] = text };
	if (seq > 0 && !put_note(l, parts, seq, true))
		l->stats.lost++;
}

/* --- handing on --- */

struct flush {
	struct store_job base;
	struct ledger *ledger;
	struct list chunks;
	size_t count, bytes;
	struct ledger_rules rules;
	struct ledger_stats stats;
};

static void free_chunks(struct list *chunks)
{
	list_each (chunks, p) {
		list_remove(p);
		free(list_of(p, struct ledger_chunk, link));
	}
}

static int run_flush(struct store_job *base, struct store_sql *sql, struct err *err)
{
	struct flush *f = (struct flush *)base;
	int rc = ledger_book_write(f->ledger->book, sql, &f->chunks, f->count, &f->rules, &f->stats, err);
	if (rc != 0)
		return rc;
	return store_sql_set_meta(sql, SEQ_META, f->rules.next_seq, err);
}

static void say_trouble(struct ledger *l, const struct err *why)
{
	char text[ERR_TEXT_MAX + 200];
	snprintf(text, sizeof(text),
		 "Decisions are not written down: %s; %lld are lost so far, everything else goes on; make room or see to the disk",
		 why->text, (long long)l->stats.lost);
	if (!l->is_failing)
		log_warn("%s", text);
	l->is_failing = true;
	if (l->alerts)
		alerts_raise(l->alerts, "ledger", ALERT_WARNING, NULL, NULL, text);
}

static void say_recovered(struct ledger *l)
{
	if (!l->is_failing)
		return;
	l->is_failing = false;
	log_info("decisions are written down again; %lld were lost", (long long)l->stats.lost);
	if (l->alerts)
		alerts_clear(l->alerts, "ledger");
}

static void start_readers(struct ledger *l)
{
	list_each (&l->readers, p) {
		struct ledger_reader *r = list_of(p, struct ledger_reader, link);
		if (r->after > l->told)
			break;
		list_remove(p);
		ledger_reader_start(&r, l->store);
	}
}

static void tell_flush(struct store_job *base, const struct store_answer *answer)
{
	struct flush *f = (struct flush *)base;
	struct ledger *l = f->ledger;
	l->told++;
	l->bytes -= f->bytes;
	l->stats.segments = f->stats.segments;
	l->stats.segment_bytes = f->stats.segment_bytes;
	l->stats.rows = f->stats.rows;
	l->stats.folded += f->stats.folded;
	if (answer->outcome == STORE_OK) {
		say_recovered(l);
	} else {
		l->stats.lost += (int64_t)f->count;
		say_trouble(l, &answer->err);
	}
	start_readers(l);
}

static void release_flush(struct store_job *base)
{
	struct flush *f = (struct flush *)base;
	free_chunks(&f->chunks);
	free(f);
}

static void lose_waiting(struct ledger *l)
{
	l->stats.lost += (int64_t)l->count;
	list_each (&l->chunks, p)
		l->bytes -= CHUNK_BYTES;
	free_chunks(&l->chunks);
	l->count = 0;
}

void ledger_flush(struct ledger *l)
{
	if (!l->count)
		return;
	struct flush *f = calloc(1, sizeof(*f));
	if (!f)
		return; /* the next one takes them along */
	f->base = (struct store_job){ run_flush, tell_flush, release_flush };
	f->ledger = l;
	list_init(&f->chunks);
	list_each (&l->chunks, p) {
		list_remove(p);
		list_push(&f->chunks, p);
		f->bytes += CHUNK_BYTES;
	}
	f->count = l->count;
	f->rules = l->rules;
	f->rules.now_ms = clock_wall_ms();
	f->rules.next_seq = l->seq;
	size_t count = f->count, bytes = f->bytes;
	l->count = 0;
	if (store_write_job(l->store, &f->base) == 0) {
		l->ordered++;
		return;
	}
	/* The store is closing or broken, and has given it up. */
	l->bytes -= bytes;
	l->stats.lost += (int64_t)count;
}

bool ledger_is_waiting(const struct ledger *l)
{
	return l->count > 0;
}

int ledger_read(struct ledger *l, const struct ledger_query *q, ledger_read_fn *fn, void *data)
{
	struct ledger_reader *r = ledger_reader_new(q, fn, data);
	if (!r)
		return -1;
	ledger_flush(l);
	r->after = l->ordered;
	list_push(&l->readers, &r->link);
	start_readers(l);
	return 0;
}

/* --- the whole --- */

static int load_seq(void *data, struct store_sql *sql, struct err *err)
{
	struct ledger *l = data;
	int rc = store_sql_get_meta(sql, SEQ_META, &l->seq, err);
	if (l->seq < 1)
		l->seq = 1;
	return rc;
}

struct ledger *ledger_new(const struct ledger_config *config, struct err *err)
{
	struct ledger *l = calloc(1, sizeof(*l));
	if (!l) {
		err_set(err, "unable to keep a ledger: no memory");
		return NULL;
	}
	const char *specs = getenv("DSS_SPECS"), *off = getenv("DSS_LEDGER");
	l->is_off = specs && strcmp(specs, "1") == 0 && off && strcmp(off, "off") == 0; /* what it costs is measured */
	list_init(&l->chunks);
	list_init(&l->readers);
	l->store = config->store;
	ledger_set_window(l, config->window_ms, config->window_most_bytes);
	ledger_set_keep(l, config->keep_ms, config->keep_rows);
	if (store_run_now(l->store, load_seq, l, err) < 0 || !(l->book = ledger_book_new(config->dir, store_epoch(l->store), err)))
		ledger_free(&l);
	return l;
}

void ledger_free(struct ledger **lp)
{
	struct ledger *l = *lp;
	if (!l)
		return;
	lose_waiting(l);
	list_each (&l->readers, p) {
		struct ledger_reader *r = list_of(p, struct ledger_reader, link);
		list_remove(p);
		ledger_reader_free(&r);
	}
	ledger_book_free(&l->book);
	free(l);
	*lp = NULL;
}

void ledger_set_alerts(struct ledger *l, struct alerts *alerts)
{
	l->alerts = alerts;
}

void ledger_set_version(struct ledger *l, int64_t version)
{
	l->version = version;
}

void ledger_set_window(struct ledger *l, int64_t window_ms, int64_t most_bytes)
{
	l->rules.window_ms = window_ms ? window_ms : WINDOW_MS;
	l->rules.window_most_bytes = most_bytes ? most_bytes : WINDOW_MOST_BYTES;
}

void ledger_set_keep(struct ledger *l, int64_t keep_ms, int64_t keep_rows)
{
	l->rules.keep_ms = keep_ms ? keep_ms : KEEP_MS;
	l->rules.keep_rows = keep_rows ? keep_rows : KEEP_ROWS;
}

void ledger_get_stats(const struct ledger *l, struct ledger_stats *out)
{
	*out = l->stats;
}
