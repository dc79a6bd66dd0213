#ifndef DSS_FLEET_POOL_H
#define DSS_FLEET_POOL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "fleet/budget.h"
#include "fleet/sizing.h"
/*
 * pool: what the admin wants of a kind of kernel (pool_spec, from a policy file), and what there is of it (pool).
 *
 * A spec is filled by the loader of policies: each `char *` is its own heap copy or NULL, each `char **` a heap array of heap
 * texts, NULL-terminated, or NULL. pool_spec_new gives every number its default; pool_spec_free frees all of it.
 */
#define POOL_BACKOFF_MOST_MS 60000 /* 0, 1 s, 2 s, 4 s … 1 min between tries after failed starts */

struct pool_spec {
	char *name; /* an id */
	char *about;
	char *source;                 /* "policies/10-pools.lua:4" */
	char *kind;                   /* runtime: "python", "java", "command" */
	char **argv;                  /* the kernel's command, argv[0] absolute */
	char **env;                   /* "NAME=value", beside what every kernel gets */
	char **types;                 /* task types it takes; NULL = { kind } */
	char **path;                  /* added to the "path" of python payloads, behind their own */
	char *run_as;                 /* user; NULL = the keeper's (one-user mode) */
	char *cwd;                    /* NULL = "/" */
	int64_t heap_bytes;           /* 0 = none */
	int64_t memory_bytes;         /* limit of each kernel; 0 = none */
	int64_t memory_max_bytes;     /* up to what a task's limits.memory may raise it; 0 = memory_bytes */
	int64_t swap_bytes;           /* beyond memory; default 0 */
	int64_t threads;              /* 0 = none; default 4096 */
	int warm_min, warm_max;       /* idle or starting; default 1, 8 */
	int max;                      /* alive at once; default 16 */
	int64_t recycle_after_tasks;  /* default 1; 0 = never */
	int64_t recycle_age_ms;       /* 0 = never */
	int64_t recycle_memory_bytes; /* working set after a task; 0 = never */
	int64_t ready_within_ms;      /* default 60000 */
	int64_t grace_ms;             /* TERM to kill; default 5000 */
	double ready_for;             /* warm stock by demand: the chance (0.99) that a task finds one ready; 0 = only warm_min */
	bool is_fifo;                 /* first come first served, not fair between users */
	bool is_live;                 /* some of its pool_numbers are functions' answers */
	bool has_recycle;             /* recycle is a function: ask fleet_policy.recycle */
};

/* What a policy's functions may change while the pool is in force. */
struct pool_numbers {
	int warm_min, warm_max, max;
	int64_t memory_bytes;
};

struct pool_spec *pool_spec_new(const char *name); /* NULL: no memory. Returns owned. */
void pool_spec_free(struct pool_spec **spec);
/* 0, or -1 with a text that begins with the spec's source: what is missing or contradicts itself. */
int pool_spec_check(const struct pool_spec *spec, struct err *err);
bool pool_spec_takes(const struct pool_spec *spec, const char *type);
/* A short name for all that a running kernel cannot change: command, environment, user, limits. out: 16 bytes. */
void pool_spec_variant(const struct pool_spec *spec, char out[16]);
/* The most a task may ask for with limits.memory; 0 = no limit. */
int64_t pool_spec_memory_most(const struct pool_spec *spec);

struct queue;
struct pool_curve;

struct pool {
	struct list link;           /* fleet's pools, in the order of their names' first appearance */
	struct pool_spec *spec;     /* owned */
	struct list kernels;        /* struct kernel.in_pool, oldest first */
	struct list waiting;        /* struct future.in_queue, in the order of submit; queue.c alone changes it */
	struct queue *queue;        /* their order: queue.h; NULL until one waited */
	uint64_t last_seq;          /* counts submits */
	size_t nwaiting;            /* length of waiting */
	size_t nheld;               /* those of them that no kernel would help: they wait for room at their slots */
	size_t nwaiting_sized;      /* those of them with a memory_bytes of their own */
	bool is_quick;              /* its last result came within moments */
	bool is_retired;            /* no policy names it any more: starts nothing, goes when empty */
	int failed_starts;          /* in a row */
	int64_t next_start_mono_ms; /* back-off: no start before */
	char failure[512];          /* why the last start failed; "" = it did not */
	int told_failures;          /* failed_starts as the alert has them; 0 = there is none */
	int64_t minute, arrived[2]; /* submits of this minute of the monotonic clock, and of the one before */
	int order;                  /* among the pools of the set */
	struct sizing sizing;
	int64_t peak_bytes;       /* the most that its kernels took lately, for those without a limit */
	int64_t claims_bytes;     /* budget.c: the least of this round's claims that was not admitted, and of the last */
	int64_t short_bytes;      /* round's; 0 = none */
	int64_t short_since_ms;   /* 0 = it is not */
	int64_t cold_starts;      /* kernels started because a task waited */
	struct pool_curve *curve; /* owned; NULL until the first look */
};

struct pool *pool_new(struct pool_spec *spec); /* takes spec; NULL: no memory, spec freed */
void pool_free(struct pool **pool);            /* must be empty */
int pool_count_alive(const struct pool *pool); /* all but gone */
int pool_count_busy(const struct pool *pool);
int pool_count_warm(const struct pool *pool); /* idle or starting, of the pool's own size, not yet promised to a task */
/* How many more to start now (0 while backing off): up to warm.min; so that each waiting task finds one of them; or so that the stock is full
 * once these are gone. */
int pool_wanted_starts(const struct pool *pool, enum budget_claim claim, int64_t now_mono_ms);
int pool_target(const struct pool *pool); /* kernels wanted warm */
void pool_note_curve(struct pool *pool, int64_t now_mono_ms);
int pool_surplus(const struct pool *pool); /* warm kernels beyond what it may hold now; 0 or less: none */
int pool_spare(const struct pool *pool);   /* warm kernels that may go without another being started in their place */
void pool_note_failed_start(struct pool *pool, const char *why, int64_t now_mono_ms);
/* One is ready: no pause any more. The count of failures is forgotten only once one took a task or stayed, see pool_note_healthy. */
void pool_note_ready(struct pool *pool);
void pool_note_healthy(struct pool *pool);
int64_t pool_backoff_ms(int failed_starts);
void pool_note_arrival(struct pool *pool, int64_t now_mono_ms);
/* Submits a second over the last minute. */
double pool_demand(const struct pool *pool, int64_t now_mono_ms);
/* A task came that needs a kernel of the warm stock: none that is bound to its user took it. */
void pool_note_use(struct pool *pool, int64_t now_mono_ms);
/* Uses of the warm stock a second, over the last minutes. */
double pool_use(const struct pool *pool, int64_t now_mono_ms);
/* So many tasks will come then: the stock is ready for them. */
void pool_expect(struct pool *pool, int64_t at_mono_ms, int64_t count);
/* What a kernel took at most; is_over: it has ended, so that old peaks fade, a tenth with each end. */
void pool_note_peak(struct pool *pool, int64_t bytes, bool is_over);
/* {"name","about","source","warm":{"min","max"},"target","demand","leadSeconds","readyFor"?,"max","alive","idle","starting","busy","waiting","coldStarts","memoryLimitBytes","failure"?,…} */
int pool_json(const struct pool *pool, struct buf *out);

#endif
