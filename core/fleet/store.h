#ifndef DSS_FLEET_STORE_H
#define DSS_FLEET_STORE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "fleet/future.h"
#include "sys/loop.h"
/*
 * store: db/dss.sqlite. One writer thread takes what the loop's turns gathered, runs each operation in a savepoint and commits
 * the group with one fsync; one reader thread answers reads of ended tasks. The loop's thread makes no SQLite call after
 * store_open and store_load_open. Callbacks come on the loop's thread: those of writes in the order of the calls.
 *
 * Every call copies what it is given. A write that returns 0 calls `fn` exactly once (NULL: nobody cares), unless the store is
 * freed first or fails for good: then on_fatal is called once, with a text, and nothing is called after it.
 */
struct store;
struct store_sql;

enum store_outcome {
	STORE_OK,
	STORE_DUPLICATE, /* same owner and client key: answer.id is the first task's */
	STORE_EXCLUDED,  /* same owner and exclusive name: answer.id is the open task's */
	STORE_FULL,      /* no room on the disk; nothing was written */
	STORE_FAILED,    /* this operation only; answer.err says why */
};

struct store_answer {
	enum store_outcome outcome;
	char id[FUTURE_ID_MAX];
	struct err err;
};

typedef void store_done_fn(void *data, const struct store_answer *answer);
typedef void store_fatal_fn(void *data, const char *text);

struct store_fact {
	const char *what, *subject; /* "process.exited", "fek-1" */
	const char *detail;         /* JSON or NULL */
	int64_t wall_ms, mono_ms;   /* 0 = now */
	const char *owner;          /* the login whose business it is; NULL = everybody's */
};

#define STORE_SCHEMA 12

/* Opens or makes the file, migrates, counts the epoch up, starts the threads. Runs SQLite in this thread: call it before the
 * loop runs. NULL: err names the file; a schema newer than STORE_SCHEMA is refused with both numbers. */
struct store *store_open(struct loop *loop, const char *path, store_fatal_fn *on_fatal, void *data, struct err *err);
/* Waits for what was queued to be on disk; its callbacks are not called any more. */
void store_close(struct store **store);
int64_t store_epoch(const struct store *store);

/* Calls fn with each open task, oldest first; fn takes the future. Only before the loop runs. */
typedef void store_load_fn(void *data, struct future *f);
int store_load_open(struct store *store, store_load_fn *fn, void *data, struct err *err);

/* The next kernel number; numbers are taken from the store in blocks, so that none comes twice. Loop's thread, no SQLite. */
int64_t store_next_kernel(struct store *store);

int store_insert_task(struct store *store, const struct future *f, store_done_fn *fn, void *data);
/* Writes state, attempt, kernel, cause, error, result, started_ms, ended_ms; the payload of an ended task stays. */
int store_update_task(struct store *store, const struct future *f, store_done_fn *fn, void *data);
/* Both in one savepoint: either is on disk with the other, or neither. also may be NULL. leads: nothing else of these tasks is on its way
 * to the disk, so this may be told before what was asked for earlier: a kernel waits for it. */
int store_update_tasks(struct store *store, const struct future *f, const struct future *also, bool leads, store_done_fn *fn,
		       void *data);
/* With fn it is tried again while the disk is full, and told once it is there: facts come late then, and not in the order of the calls. */
int store_add_fact(struct store *store, const struct store_fact *fact, store_done_fn *fn, void *data);
/* Gets its number and is shown to the watcher, but is not kept: what the table of tasks tells anyway. */
void store_tell_fact(struct store *store, const struct store_fact *fact);
/* Up to STORE_WATCHES watchers, each with data of its own, see every fact as it is noted: `noted`, and `kept` once one that is kept is on
 * disk (or could not be put there). seq counts up within an epoch. */
struct store_watch {
	void *data;
	void (*noted)(void *data, int64_t seq, const struct store_fact *fact, bool is_kept);
	void (*kept)(void *data, int64_t seq);
};
#define STORE_WATCHES 2
void store_watch_facts(struct store *store, const struct store_watch *watch);
void store_unwatch_facts(struct store *store, const void *data);

/* f is NULL where there is none; it and its result are the callee's to free. why: NULL or the read failed. */
typedef void store_task_fn(void *data, struct future *f, const struct err *why);
int store_get_task(struct store *store, const char *id, bool with_result, store_task_fn *fn, void *data);
/* Ended tasks, newest first. owner NULL = everybody's. The array is the store's, the futures are the callee's. */
typedef void store_tasks_fn(void *data, struct future **f, size_t n, const struct err *why);
int store_list_ended(struct store *store, const char *owner, int limit, store_tasks_fn *fn, void *data);

/* Operations under way, for the specs and for a drain. */
size_t store_waiting(const struct store *store);

/*
 * A neighbour's own operation (keys, the feed). `run` is called on a thread of the store and returns an SQLite result code, `tell` on
 * the loop's thread unless the store is freed first, `release` always and last. Both calls take the job, also on failure (-1).
 */
struct store_job {
	int (*run)(struct store_job *job, struct store_sql *sql, struct err *err);
	void (*tell)(struct store_job *job, const struct store_answer *answer); /* may be NULL */
	void (*release)(struct store_job *job);
};
int store_write_job(struct store *store, struct store_job *job);
int store_read_job(struct store *store, struct store_job *job);
/* At once and in this thread: only before the loop runs. */
int store_run_now(struct store *store, int (*run)(void *data, struct store_sql *sql, struct err *err), void *data, struct err *err);

struct store_stats {
	uint64_t commits, failed_commits, operations; /* since the start */
	size_t waiting;
};
void store_get_stats(struct store *store, struct store_stats *out);

#endif
