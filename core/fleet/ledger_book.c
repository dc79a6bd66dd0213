/* ledger_book: the writer thread's side: lines into the open segment, equal decisions into one row of the table. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "fleet/jtext.h"
#include "fleet/ledger_inner.h"
#include "fleet/store_sql.h"

#define PIECE_BYTES ((size_t)256 << 10) /* written to a segment at once */
#define LINES_MAX   ((size_t)1 << 20)
#define WAYS        8     /* of a set of the table of live rows */
#define SETS_FIRST  64    /* it grows by need */
#define SETS_MOST   4096  /* 32,768 rows to fold into; of more, those whose last time is longest ago begin anew */
#define RECENT      8192  /* notes whose outcome may come later */
#define TRIM_MS     10000 /* rows are thinned out that often, and when there are too many */
#define TRIM_MOST   2000  /* at once, beside as many as came */

struct hash { /* of what is equal; keyed, so that no name can be made to collide */
	uint64_t a, b;
};

struct live { /* a row that the next equal decision falls into */
	struct hash hash;
	int64_t id, last_seq; /* id 0: free */
};

struct ledger_book {
	struct ledger_segments *segments;
	int64_t epoch;
	uint64_t seed[4];
	struct live *live; /* sets x WAYS */
	size_t sets;
	struct {
		int64_t seq, id;
	} * recent;
	int64_t rows, trimmed_ms, inserted; /* rows: -1 = to be counted; inserted: in this flush */
};

struct fold { /* equal ones of one flush */
	struct hash hash;
	const struct ledger_note *first, *last;
	const struct ledger_note *outcome; /* what became of `last`; NULL = not known */
	int64_t count, id;
};

struct batch {
	const struct ledger_note **notes; /* without the outcomes, by seq */
	size_t *fold_of;                  /* of each note */
	struct fold *folds;
	uint32_t *slots; /* open addressing: fold + 1 */
	size_t count, nfolds, mask;
};

/* --- what is equal --- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static void mix_in(const struct ledger_book *b, struct hash *h, const char *p, size_t len)
{
	while (len) {
		uint64_t word = 0;
		size_t take = len < 8 ? len : 8;
		memcpy(&word, p, take);
		h->a = mix(h->a ^ word, b->seed[2] | 1);
		h->b = mix(h->b + word, b->seed[3] | 1) ^ h->a;
		p += take;
		len -= take;
	}
}

static struct hash hash_of(const struct ledger_book *b, const struct ledger_note *n)
{
	size_t len = 0;
	for (int i = 0; i < LEDGER_KEY_PARTS; i++)
		len += n->len[i] + 1u;
	struct hash h = { b->seed[0] ^ (uint64_t)n->version, b->seed[1] ^ len };
	mix_in(b, &h, n->text, len);
	/* A row is shown to its owner: what a kernel did for nobody and for somebody are two. */
	mix_in(b, &h, ledger_part(n, LEDGER_OWNER), n->len[LEDGER_OWNER] + 1u);
	return h;
}

static bool is_same(struct hash x, struct hash y)
{
	return x.a == y.a && x.b == y.b;
}

static struct live *oldest_of(struct live *set)
{
	struct live *oldest = set;
	for (int i = 1; i < WAYS; i++)
		if (set[i].last_seq < oldest->last_seq)
			oldest = &set[i];
	return oldest;
}

/* Where there is no memory the table stays as it is. */
static void grow(struct ledger_book *b)
{
	size_t sets = b->sets * 4;
	struct live *live = calloc(sets * WAYS, sizeof(*live));
	if (!live)
		return;
	for (size_t i = 0; i < b->sets * WAYS; i++)
		if (b->live[i].id)
			*oldest_of(live + (b->live[i].hash.a % sets) * WAYS) = b->live[i];
	free(b->live);
	b->live = live;
	b->sets = sets;
}

/* The place of that hash: the row to fold into, or the one to give up for it. */
static struct live *place_of(struct ledger_book *b, struct hash h)
{
	for (;;) {
		struct live *set = b->live + (h.a % b->sets) * WAYS, *oldest = oldest_of(set);
		for (int i = 0; i < WAYS; i++)
			if (set[i].id && is_same(set[i].hash, h))
				return &set[i];
		size_t sets = b->sets;
		if (oldest->id && sets < SETS_MOST)
			grow(b);
		if (b->sets == sets) {
			*oldest = (struct live){ .hash = h };
			return oldest;
		}
	}
}

/* --- one flush, folded --- */

static void batch_fini(struct batch *t)
{
	free(t->notes);
	free(t->fold_of);
	free(t->folds);
	free(t->slots);
}

static int batch_init(struct batch *t, size_t most)
{
	size_t slots = 16;
	while (slots < most * 2)
		slots *= 2;
	*t = (struct batch){ .notes = malloc(most * sizeof(*t->notes)),
			     .fold_of = malloc(most * sizeof(*t->fold_of)),
			     .folds = calloc(most, sizeof(*t->folds)),
			     .slots = calloc(slots, sizeof(*t->slots)),
			     .mask = slots - 1 };
	return t->notes && t->fold_of && t->folds && t->slots ? 0 : -1;
}

static void batch_add(struct batch *t, struct hash h, const struct ledger_note *n)
{
	size_t at = h.b & t->mask;
	while (t->slots[at] && !is_same(t->folds[t->slots[at] - 1].hash, h))
		at = (at + 1) & t->mask;
	if (!t->slots[at]) {
		t->folds[t->nfolds] = (struct fold){ .hash = h, .first = n };
		t->slots[at] = (uint32_t)++t->nfolds;
	}
	struct fold *f = &t->folds[t->slots[at] - 1];
	f->last = n;
	f->outcome = NULL;
	f->count++;
	t->fold_of[t->count] = t->slots[at] - 1;
	t->notes[t->count++] = n;
}

/* The outcome of a note of the same flush goes into its row at once. true: done, or no longer of interest. */
static bool batch_outcome(struct batch *t, const struct ledger_note *o)
{
	if (!t->count || o->seq < t->notes[0]->seq)
		return false;
	size_t low = 0, high = t->count;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (t->notes[mid]->seq < o->seq)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < t->count && t->notes[low]->seq == o->seq && t->folds[t->fold_of[low]].last == t->notes[low])
		t->folds[t->fold_of[low]].outcome = o;
	return true;
}

/* --- the table --- */

static int sql_fail(sqlite3 *db, int rc, struct err *err)
{
	err_set(err, "unable to write decisions: %s", sqlite3_errmsg(db));
	/* SQLITE_FULL would give up the neighbours of the same commit, which may need less room. */
	return (rc & 0xff) == SQLITE_FULL ? SQLITE_ERROR : rc;
}

static void bind_part(sqlite3_stmt *st, int at, const struct ledger_note *n, enum ledger_part part)
{
	if (n->len[part])
		sqlite3_bind_text(st, at, ledger_part(n, part), n->len[part], SQLITE_STATIC);
	else if (part < LEDGER_KEY_PARTS)
		sqlite3_bind_text(st, at, "", 0, SQLITE_STATIC);
	else
		sqlite3_bind_null(st, at);
}

/* "failed: why" */
static void bind_outcome(sqlite3_stmt *st, int at, const struct ledger_note *n)
{
	char text[ERR_TEXT_MAX];
	const char *why = ledger_part(n, LEDGER_REASON);
	if (n->is_outcome && *why) {
		snprintf(text, sizeof(text), "%s: %s", ledger_part(n, LEDGER_OUTCOME), why);
		sqlite3_bind_text(st, at, text, -1, SQLITE_TRANSIENT);
	} else {
		bind_part(st, at, n, LEDGER_OUTCOME);
	}
}

static int step(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

struct statements {
	sqlite3_stmt *insert, *update, *outcome;
};

static int prepare(sqlite3 *db, struct statements *s)
{
	int rc = sqlite3_prepare_v2(db,
				    "INSERT INTO decision (id, epoch, seq, first_ms, last_ms, count, word, name, source,"
				    " subject_kind, subject, answer, mode, outcome, reason, inputs, threshold, owner, version)"
				    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19)",
				    -1, &s->insert, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db,
					"UPDATE decision SET seq = ?2, last_ms = ?3, count = count + ?4, reason = ?5, inputs = ?6,"
					" threshold = ?7, outcome = ?8 WHERE id = ?1",
					-1, &s->update, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db, "UPDATE decision SET outcome = ?3 WHERE id = ?1 AND seq = ?2", -1, &s->outcome, NULL);
	return rc;
}

static int update_row(const struct statements *s, sqlite3 *db, const struct fold *f, int64_t id, bool *is_there)
{
	sqlite3_stmt *st = s->update;
	sqlite3_bind_int64(st, 1, id);
	sqlite3_bind_int64(st, 2, f->last->seq);
	sqlite3_bind_int64(st, 3, f->last->at_ms);
	sqlite3_bind_int64(st, 4, f->count);
	bind_part(st, 5, f->last, LEDGER_REASON);
	bind_part(st, 6, f->last, LEDGER_INPUTS);
	bind_part(st, 7, f->last, LEDGER_THRESHOLD);
	bind_outcome(st, 8, f->outcome ? f->outcome : f->last);
	int rc = step(st);
	*is_there = rc == SQLITE_OK && sqlite3_changes(db) > 0;
	return rc;
}

static int insert_row(const struct statements *s, int64_t epoch, const struct fold *f)
{
	sqlite3_stmt *st = s->insert;
	const int64_t numbers[] = { f->first->seq, epoch, f->last->seq, f->first->at_ms, f->last->at_ms, f->count };
	for (int i = 0; i < 6; i++)
		sqlite3_bind_int64(st, i + 1, numbers[i]);
	for (int i = 0; i < LEDGER_PARTS; i++)
		bind_part(st, 7 + i, f->last, (enum ledger_part)i);
	bind_outcome(st, 7 + LEDGER_OUTCOME, f->outcome ? f->outcome : f->last);
	sqlite3_bind_int64(st, 7 + LEDGER_PARTS, f->last->version);
	return step(st);
}

/* A row that is no longer there (it was thinned out, or its commit failed) begins anew. */
static int write_fold(struct ledger_book *b, const struct statements *s, sqlite3 *db, struct fold *f, struct ledger_stats *stats)
{
	struct live *live = place_of(b, f->hash);
	bool is_there = false;
	int rc = live->id ? update_row(s, db, f, live->id, &is_there) : SQLITE_OK;
	if (rc == SQLITE_OK && !is_there) {
		rc = insert_row(s, b->epoch, f);
		live->id = f->first->seq;
		b->rows += b->rows >= 0;
		b->inserted++;
	}
	live->last_seq = f->last->seq;
	f->id = live->id;
	stats->folded += is_there ? f->count : f->count - 1;
	return rc;
}

static int write_outcome(struct ledger_book *b, const struct statements *s, const struct ledger_note *o)
{
	if (b->recent[o->seq % RECENT].seq != o->seq)
		return SQLITE_OK;
	sqlite3_bind_int64(s->outcome, 1, b->recent[o->seq % RECENT].id);
	sqlite3_bind_int64(s->outcome, 2, o->seq);
	bind_outcome(s->outcome, 3, o);
	return step(s->outcome);
}

static int count_rows(struct ledger_book *b, sqlite3 *db)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, "SELECT count(*) FROM decision", -1, &st, NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		b->rows = sqlite3_column_int64(st, 0);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	return rc;
}

/* Those whose last time is longest ago, some at once. */
static int thin_out(struct ledger_book *b, sqlite3 *db, const struct ledger_rules *rules)
{
	sqlite3_stmt *st = NULL;
	int64_t most = TRIM_MOST + b->inserted;
	bool is_due = rules->now_ms - b->trimmed_ms >= TRIM_MS || rules->now_ms < b->trimmed_ms;
	b->inserted = 0;
	if (!is_due && b->rows <= rules->keep_rows)
		return SQLITE_OK;
	b->trimmed_ms = rules->now_ms;
	/* Others remove rows too: the number is looked up where it matters. */
	int rc = is_due || b->rows < 0 || b->rows > rules->keep_rows ? count_rows(b, db) : SQLITE_OK;
	int64_t over = b->rows > rules->keep_rows ? b->rows - rules->keep_rows : 0;
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db,
					"DELETE FROM decision WHERE id IN (SELECT id FROM decision ORDER BY last_ms LIMIT ?1)"
					" OR id IN (SELECT id FROM decision WHERE last_ms < ?2 ORDER BY last_ms LIMIT ?3)",
					-1, &st, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_bind_int64(st, 1, over < most ? over : most);
		sqlite3_bind_int64(st, 2, rules->now_ms - rules->keep_ms);
		sqlite3_bind_int64(st, 3, most);
		rc = step(st);
		b->rows -= rc == SQLITE_OK ? sqlite3_changes(db) : 0;
	}
	sqlite3_finalize(st);
	return rc;
}

static int write_rows(struct ledger_book *b, sqlite3 *db, struct batch *t, const struct list *chunks,
		      const struct ledger_rules *rules, struct ledger_stats *stats, struct err *err)
{
	struct statements s = { 0 };
	int rc = prepare(db, &s);
	for (size_t i = 0; rc == SQLITE_OK && i < t->nfolds; i++)
		rc = write_fold(b, &s, db, &t->folds[i], stats);
	for (size_t i = 0; rc == SQLITE_OK && i < t->count; i++) {
		b->recent[t->notes[i]->seq % RECENT].seq = t->notes[i]->seq;
		b->recent[t->notes[i]->seq % RECENT].id = t->folds[t->fold_of[i]].id;
	}
	list_each (chunks, p)
		ledger_each(list_of(p, struct ledger_chunk, link), n) if (rc == SQLITE_OK && n->is_outcome && !batch_outcome(t, n))
			rc = write_outcome(b, &s, n);
	if (rc == SQLITE_OK)
		rc = thin_out(b, db, rules);
	if (rc != SQLITE_OK)
		rc = sql_fail(db, rc, err);
	sqlite3_finalize(s.insert);
	sqlite3_finalize(s.update);
	sqlite3_finalize(s.outcome);
	return rc;
}

static int write_table(struct ledger_book *b, sqlite3 *db, const struct list *chunks, size_t count,
		       const struct ledger_rules *rules, struct ledger_stats *stats, struct err *err)
{
	struct batch t;
	int rc = SQLITE_NOMEM;
	if (batch_init(&t, count) == 0) {
		list_each (chunks, p)
			ledger_each(list_of(p, struct ledger_chunk, link), n) if (!n->is_outcome) batch_add(&t, hash_of(b, n), n);
		/* Before the rows are written: what is known by then goes in with them. */
		list_each (chunks, p)
			ledger_each(list_of(p, struct ledger_chunk, link), n) if (n->is_outcome) batch_outcome(&t, n);
		rc = write_rows(b, db, &t, chunks, rules, stats, err);
	} else {
		err_set(err, "unable to write decisions: no memory");
	}
	batch_fini(&t);
	return rc;
}

/* --- the exact copy --- */

static void put_line(struct buf *out, const struct ledger_note *n)
{
	static const char *const names[LEDGER_PARTS] = { "word", "name",    "source", "kind",   "subject",   "answer",
							 "mode", "outcome", "reason", "inputs", "threshold", "owner" };
	const char *p = n->text;
	buf_putc(out, '{');
	jtext_int(out, n->is_outcome ? "of" : "seq", n->seq);
	jtext_int(out, "at", n->at_ms);
	for (int i = 0; i < LEDGER_PARTS; i++) {
		/* A line is a record: inputs came as JSON of the caller's, whose line breaks are space alone. */
		if (i == LEDGER_INPUTS && n->len[i]) {
			jtext_member(out, names[i]);
			size_t from = out->len;
			buf_put(out, p, n->len[i]);
			for (size_t at = from; at < out->len; at++)
				if (out->data[at] == '\n' || out->data[at] == '\r')
					out->data[at] = ' ';
		} else if (n->len[i] && !(i == LEDGER_MODE && strcmp(p, "act") == 0) &&
			   !(i == LEDGER_OUTCOME && strcmp(p, "nothing") == 0)) {
			jtext_text(out, names[i], p);
		}
		p += n->len[i] + 1;
	}
	if (n->version)
		jtext_int(out, "version", n->version);
	buf_puts(out, "}\n");
}

static int put_piece(struct ledger_book *b, struct buf *out, const struct ledger_rules *rules, struct err *err)
{
	if (out->failed)
		return err_set(err, "unable to write decisions: no memory");
	int rc = out->len ? ledger_segments_append(b->segments, out->data, out->len, rules->now_ms, err) : 0;
	buf_clear(out);
	return rc;
}

static int write_lines(struct ledger_book *b, const struct list *chunks, const struct ledger_rules *rules, struct err *err)
{
	struct buf out;
	int rc = 0;
	buf_init(&out, LINES_MAX);
	list_each (chunks, p)
		ledger_each(list_of(p, struct ledger_chunk, link), n)
		{
			put_line(&out, n);
			if (rc == 0 && out.len >= PIECE_BYTES)
				rc = put_piece(b, &out, rules, err);
			if (rc < 0)
				buf_clear(&out);
		}
	if (rc == 0)
		rc = put_piece(b, &out, rules, err);
	buf_fini(&out);
	return rc;
}

int ledger_book_write(struct ledger_book *b, struct store_sql *sql, const struct list *chunks, size_t count,
		      const struct ledger_rules *rules, struct ledger_stats *stats, struct err *err)
{
	int rc = write_table(b, store_sql_db(sql), chunks, count, rules, stats, err);
	/* Either copy is worth having without the other. */
	if (write_lines(b, chunks, rules, rc == SQLITE_OK ? err : NULL) < 0 && rc == SQLITE_OK)
		rc = SQLITE_ERROR;
	ledger_segments_trim(b->segments, rules->now_ms, rules->window_ms, rules->window_most_bytes);
	ledger_segments_count(b->segments, &stats->segments, &stats->segment_bytes);
	stats->rows = b->rows;
	return rc;
}

struct ledger_book *ledger_book_new(const char *dir, int64_t epoch, struct err *err)
{
	struct ledger_book *b = calloc(1, sizeof(*b));
	if (b) {
		b->live = calloc((size_t)SETS_FIRST * WAYS, sizeof(*b->live));
		b->sets = SETS_FIRST;
		b->recent = calloc(RECENT, sizeof(*b->recent));
		b->epoch = epoch;
		b->rows = -1;
	}
	if (!b || !b->live || !b->recent || getrandom(b->seed, sizeof(b->seed), 0) != (ssize_t)sizeof(b->seed))
		err_set(err, "unable to keep a ledger: no memory");
	else
		b->segments = ledger_segments_open(dir, epoch, err);
	if (b && !b->segments)
		ledger_book_free(&b);
	return b;
}

void ledger_book_free(struct ledger_book **bp)
{
	struct ledger_book *b = *bp;
	if (!b)
		return;
	ledger_segments_close(&b->segments);
	free(b->live);
	free(b->recent);
	free(b);
	*bp = NULL;
}
