#ifndef DSS_FLEET_METER_H
#define DSS_FLEET_METER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "fleet/store.h"
#include "sys/loop.h"
/*
 * meter: what each process used and for whom, as records of the store: one row for each process, hour and holder. Who samples adds what was
 * used since the sample before; rows are written at most METER_FLUSH_MS later, those of a process that ended within METER_SOON_MS. With them, in one
 * transaction, goes the reading of each process that lives: so the next backend counts on from there, and nothing is counted twice.
 */
#define METER_FLUSH_MS 600000
#define METER_SOON_MS  1000

struct meter;

struct meter_who {           /* all borrowed; never NULL, "" = nobody, none */
	const char *process; /* an id that is never used again, or a service's name */
	const char *kind;    /* kernel recipe webapp service … */
	const char *user;    /* a login */
	const char *project;
	const char *pool;
	const char *name; /* the recipe's, the webapp's, the type of a task */
};

struct meter_use {
	int64_t cpu_ms, alive_ms, peak_bytes, tasks;
	double byte_seconds;
};

/* Where a process stood when it was read last. */
struct meter_reading {
	int64_t cpu_ms, memory_bytes, at_wall_ms, started_wall_ms;
};
typedef void meter_reading_fn(void *data, const char *process, const struct meter_reading *reading);

/* Loads the readings and calls fn with each. Only before the loop runs. Borrows loop and store. */
struct meter *meter_new(struct loop *loop, struct store *store, meter_reading_fn *fn, void *data, struct err *err);
void meter_free(struct meter **meter); /* what was added and not flushed is lost: meter_flush before the store is closed */

/* Adds to the row of that process, hour and holder. */
void meter_add(struct meter *meter, const struct meter_who *who, int64_t wall_ms, int64_t started_ms, const struct meter_use *use);
/* The process has been read; NULL: there is nothing to read of it any more. */
void meter_note(struct meter *meter, const char *process, const struct meter_reading *reading);
/* Its last row is complete. is_first_told: no reading of it was known, so it may have been told before, to a backend that is gone; then what is
 * on disk stands. */
void meter_end(struct meter *meter, const struct meter_who *who, int64_t wall_ms, const char *cause, bool is_first_told);
/* All that was added goes to the store now. fn (may be NULL) is called once it is on disk. -1: the store takes nothing now. */
int meter_flush(struct meter *meter, store_done_fn *fn, void *data);

struct meter_query {
	const char *by;                    /* user project kind pool recipe webapp type day hour process */
	const char *user, *project, *kind; /* only those; NULL = all */
	int64_t since_ms, until_ms;        /* whole hours count: since is rounded down, until up */
	int limit;
};
bool meter_is_key(const char *by);
/* An array of {"key", "cpuSeconds", "byteSeconds", "peakBytes", "aliveSeconds", "tasks", "processes", …}, who used most CPU first; days and hours
 * in their order. json is NULL where it failed. Not flushed rows are flushed first. */
typedef void meter_read_fn(void *data, const struct buf *json, const struct err *why);
int meter_read(struct meter *meter, const struct meter_query *query, meter_read_fn *fn,
	       void *data); /* -1: no memory, store closed */

#endif
