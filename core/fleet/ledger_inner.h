#ifndef DSS_FLEET_LEDGER_INNER_H
#define DSS_FLEET_LEDGER_INNER_H
#include <stdbool.h>
#include "base/list.h"
#include "fleet/ledger.h"
#include "fleet/ledger_segment.h"
/*
 * ledger_inner: what ledger.c (the loop's side: notes in memory), ledger_book.c (the store's threads: segments, folded rows) and
 * ledger_read.c share. Nobody else includes it.
 *
 * A note is one block: its numbers, then its texts one after the other, each with its NUL. Those that say what is equal stand first, so
 * that a fold's key is one run of bytes.
 */
enum ledger_part {
	LEDGER_WORD,
	LEDGER_NAME,
	LEDGER_SOURCE,
	LEDGER_SUBJECT_KIND,
	LEDGER_SUBJECT,
	LEDGER_ANSWER,
	LEDGER_MODE,
	LEDGER_OUTCOME, /* as it was noted: a later one does not part what is equal */
	LEDGER_KEY_PARTS,
	LEDGER_REASON = LEDGER_KEY_PARTS,
	LEDGER_INPUTS,
	LEDGER_THRESHOLD,
	LEDGER_OWNER,
	LEDGER_PARTS
};

#define LEDGER_INPUTS_MAX ((size_t)16384) /* longer ones are left out: such a decision is not replayed */

struct ledger_note {
	int64_t seq, at_ms, version;
	uint32_t size;   /* of the whole, rounded up */
	bool is_outcome; /* what became of seq: LEDGER_OUTCOME, and the text in LEDGER_REASON */
	uint16_t len[LEDGER_PARTS];
	char text[];
};

struct ledger_chunk { /* notes, one after the other */
	struct list link;
	size_t used;
	char data[];
};

/* clang-format off */
#define ledger_each(chunk, n) \
	for (struct ledger_note *n = (struct ledger_note *)(chunk)->data; (char *)n < (chunk)->data + (chunk)->used; \
	     n = (struct ledger_note *)((char *)n + n->size))
/* clang-format on */

/* "" where there is none. */
const char *ledger_part(const struct ledger_note *n, enum ledger_part part);

/* --- ledger_book.c: all of it runs on the store's writer thread, but new and free --- */
struct ledger_book;
struct ledger_rules { /* as they are when a flush is ordered */
	int64_t now_ms, next_seq;
	int64_t window_ms, window_most_bytes;
	int64_t keep_ms, keep_rows;
};

struct ledger_book *ledger_book_new(const char *dir, int64_t epoch, struct err *err);
void ledger_book_free(struct ledger_book **book);
/* Appends the notes to the open segment and folds them into the table. An SQLite result code; SQLITE_ERROR where the disk is full, so
 * that neighbours in the same commit are not given up with it. stats: segments, segment_bytes, rows, folded. */
int ledger_book_write(struct ledger_book *book, struct store_sql *sql, const struct list *chunks, size_t count,
		      const struct ledger_rules *rules, struct ledger_stats *stats, struct err *err);

/* --- ledger_read.c: one read of the folded rows, on the store's reader thread --- */
struct ledger_reader {
	struct store_job base;
	struct list link;
	int64_t after;  /* the flushes that come before it */
	char *texts[5]; /* owned: word name subject_kind subject login; NULL = any */
	bool only_would, oldest_first;
	int64_t before_seq;
	int limit;
	struct buf out;
	ledger_read_fn *fn;
	void *data;
};
struct ledger_reader *ledger_reader_new(const struct ledger_query *q, ledger_read_fn *fn, void *data); /* NULL: no memory */
void ledger_reader_free(struct ledger_reader **reader);                       /* one that was never started */
void ledger_reader_start(struct ledger_reader **reader, struct store *store); /* takes it; tells in every case */

#endif
