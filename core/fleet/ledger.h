#ifndef DSS_FLEET_LEDGER_H
#define DSS_FLEET_LEDGER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "fleet/store.h"
/*
 * ledger: what was decided, by which line of which policy, on which facts, and what became of it; also the decisions not to act.
 *
 * Two copies of each. The exact one: every decision as one line of JSON in an append-only segment of DIR/db/ledger/, written by the store's
 * writer thread, kept for a window (hours and bytes), enough to replay it. The folded one: table `decision`, where equal repeated
 * decisions (word, name, source, subject, owner, answer, outcome, mode, version) are one row with count, first and last time and the last
 * inputs and reason; kept as retention says. A decision is noted in memory in about a microsecond; nothing waits for the disk.
 */
struct ledger;
struct alerts;

#define LEDGER_READ_MOST 1000

struct decision {                 /* all borrowed; over-long texts are cut, inputs of over 16 KB left out */
	const char *word;         /* what decided: pool recycle rule on slots box access sizing budget queue */
	const char *name;         /* of it: "fek", "idle kernels" */
	const char *source;       /* "policies/10-pools.lua:4"; "core" = a rule of the core's own */
	const char *subject_kind; /* kernel task process pool user project node */
	const char *subject;      /* its id */
	const char *answer;       /* keep retire kill abort notify wait start assign set allow deny … */
	const char *reason;       /* a sentence without its full stop */
	const char *inputs;       /* a JSON object: the facts that were read, each with its value; NULL = none */
	const char *threshold;    /* the clause that decided it: "idle > 2h"; NULL = none */
	const char *mode;         /* act notify simulate; NULL = act */
	const char *outcome;      /* done would warned kept nothing failed; NULL = nothing */
	const char *owner;        /* the login whose business it is; NULL = everybody's; FEED_OWN_ADMIN = admins' */
};

struct ledger_config {
	struct store *store;       /* borrowed; outlives the ledger's use */
	const char *dir;           /* DIR/db/ledger, made when missing, 0700 */
	int64_t window_ms;         /* of the exact copy; 0 = 24 h */
	int64_t window_most_bytes; /* 0 = 256 MB; then the oldest segments go */
	int64_t keep_ms;           /* of the folded rows, after their last time; 0 = 90 days */
	int64_t keep_rows;         /* 0 = 200,000; then the oldest go */
};

/* Runs SQLite in this thread: before the loop runs. NULL: err says why. */
struct ledger *ledger_new(const struct ledger_config *config, struct err *err);
void ledger_free(struct ledger **ledger); /* after the store was closed */
/* Where a disk that takes nothing is told: key "ledger". Borrowed; NULL = nowhere but in the log. */
void ledger_set_alerts(struct ledger *ledger, struct alerts *alerts);
/* Returns its seq (> 0), or 0: it was lost for want of memory (counted in ledger_stats). Never blocks. Without its store's thread running it
 * still takes them. */
int64_t ledger_note(struct ledger *ledger, const struct decision *d);
/* What became of a noted one, when that is known later; text: the reason why not, NULL = none. */
void ledger_outcome(struct ledger *ledger, int64_t seq, const char *outcome, const char *text);
/* The version of the policy set that decides from now on: written into the segments, and into each row. */
void ledger_set_version(struct ledger *ledger, int64_t version);
/* New ages and sizes: of the window, of the folded rows; 0 = as at first. */
void ledger_set_window(struct ledger *ledger, int64_t window_ms, int64_t most_bytes);
void ledger_set_keep(struct ledger *ledger, int64_t keep_ms, int64_t keep_rows);
/* Hands what was noted to the store; called once a second while ledger_is_waiting, and before an orderly end. */
void ledger_flush(struct ledger *ledger);
bool ledger_is_waiting(const struct ledger *ledger);

struct ledger_query { /* NULL and 0: any. All borrowed for the call */
	const char *word, *name, *subject_kind, *subject;
	const char *login; /* NULL = an admin: all; else everybody's and one's own */
	bool only_would;   /* outcome would */
	bool oldest_first;
	int64_t before_seq; /* older than that row */
	int limit;          /* 1 … LEDGER_READ_MOST */
};
/* Folded rows, newest first, as a JSON array: seq, at, firstAt, count, word, name, source, subjectKind, subject, answer, reason, inputs, threshold,
 * mode, outcome, outcomeText, owner, version. What is not flushed yet is flushed first, and so in it. Called later, on the loop's
 * thread; out is NULL with why. -1: fn is not called. */
typedef void ledger_read_fn(void *data, const struct buf *out, const struct err *why);
int ledger_read(struct ledger *ledger, const struct ledger_query *q, ledger_read_fn *fn, void *data);

struct ledger_stats {
	int64_t noted, lost;             /* since the start; lost: in neither copy, or not in both */
	int64_t segments, segment_bytes; /* as of the last flush, as is rows: of the table */
	int64_t rows, folded;            /* folded: since the start, into a row that was there */
};
void ledger_get_stats(const struct ledger *ledger, struct ledger_stats *out);

#endif
