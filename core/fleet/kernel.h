#ifndef DSS_FLEET_KERNEL_H
#define DSS_FLEET_KERNEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/fsm.h"
#include "base/list.h"
/*
 * kernel: a process that waits for one task after another. Its life is the table `kernel` of docs/architecture.md. A kernel
 * that ran a task is bound to that task's user until it ends: kernel_may_run says so and nothing lifts it.
 */
enum kernel_state { KERNEL_STARTING, KERNEL_IDLE, KERNEL_BUSY, KERNEL_DRAINING, KERNEL_STOPPING, KERNEL_GONE };
enum kernel_event {
	KERNEL_EV_READY,
	KERNEL_EV_TAKEN_UP,
	KERNEL_EV_STOP,
	KERNEL_EV_EXIT,
	KERNEL_EV_ASSIGN,
	KERNEL_EV_RETIRE,
	KERNEL_EV_TASK_END,
};
extern const struct fsm kernel_fsm;

#define KERNEL_ID_MAX    64
#define KERNEL_URL_MAX   64
#define KERNEL_STOP_TEXT 640 /* a rule with its place and reason */
#define KERNEL_TOKEN_MAX 65  /* 64 hex digits and NUL */
#define KERNEL_SAMPLES   60  /* of the last minute, one a second */

struct pool;

struct kernel_sample {
	int64_t wall_ms, memory_bytes;
};

struct kernel {
	struct list in_pool, in_fleet;
	struct pool *pool;      /* borrowed */
	char id[KERNEL_ID_MAX]; /* "fek-12"; never used again */
	enum kernel_state state;
	int pid;                  /* 0 = not told yet */
	char url[KERNEL_URL_MAX]; /* "" = not ready yet */
	char task[32];            /* future's id; "" = none */
	int attempt;
	char *owner;           /* whose tasks it may run; NULL = nobody's yet. Owned */
	int64_t bound_mono_ms; /* since when it has that owner; 0 = unknown */
	int64_t work_mono_ms;  /* since when it has its task; 0 = has none */
	int64_t memory_bytes;  /* limit it was started with; 0 = none */
	int64_t limit_bytes;   /* limit in force: that, or what the present task asked for */
	char reserved_for[32]; /* started cold for this future; "" = warm stock */
	int starting_with;     /* kernels of the node that were starting with it, itself counted; 0 = a former backend's */
	bool is_aged;          /* it goes for recycle.age */
	int64_t tasks_run;
	int64_t tasks_told; /* tasks_run of the last label */
	int64_t started_wall_ms, started_mono_ms, ready_wall_ms;
	int64_t idle_wall_ms; /* since when it has no task; 0 = it has one, or is not ready. Of one taken up: since then */
	int64_t ready_deadline_mono_ms;                   /* 0 = none */
	int64_t stop_deadline_mono_ms;                    /* an asked abort's grace; 0 = none */
	char stop_cause[24], stop_text[KERNEL_STOP_TEXT]; /* of an order to stop that was given or waits for its grace */
	char variant[16];                                 /* of its pool's spec at its start; a changed spec retires idle ones */
	int64_t memory_now_bytes, peak_bytes, cpu_ms;     /* of the last usage; -1 = unknown */
	int64_t sampled_mono_ms;                          /* when it was asked for; 0 = not yet */
	struct kernel_sample samples[KERNEL_SAMPLES];
	int nsamples, first_sample; /* a ring */
};

struct kernel *kernel_new(const char *id, struct pool *pool); /* NULL: no memory. In no list yet. */
void kernel_free(struct kernel **k);                          /* leaves its lists */
/* Steps by the table and returns the row's action; NULL: not in the table, nothing changed, logged. */
const char *kernel_step(struct kernel *k, enum kernel_event event);
/* Idle, the size fits, nobody else's, not reserved for another task. memory_bytes 0 = the pool's own size. */
bool kernel_may_run(const struct kernel *k, const char *owner, const char *task, int64_t memory_bytes);
int kernel_bind_owner(struct kernel *k, const char *owner); /* 0 or -1: no memory, or another's */
/* A threshold of its own: the value and up to a tenth more or less of it, always the same for one id, so that what was started together does
 * not go together. Small ones (up to 4) stay what they are. */
int64_t kernel_spread(const struct kernel *k, int64_t value);
void kernel_add_sample(struct kernel *k, int64_t wall_ms, int64_t memory_bytes);
void kernel_clear_samples(struct kernel *k);
/* Hex HMAC-SHA256 of "kernel:ID" and "task:ID" under the node's key. */
int kernel_token(const void *key, size_t key_len, const char *id, char out[KERNEL_TOKEN_MAX]);
int kernel_task_token(const void *key, size_t key_len, const char *id, char out[KERNEL_TOKEN_MAX]);
/* What the keeper keeps for the next backend: {"pool","url","task","attempt","owner","variant","tasksRun","memoryBytes"}. */
int kernel_label(const struct kernel *k, struct buf *out);
/* Tasks come by the thousand: a label that differs by a few of them in tasksRun is good enough for the next backend. */
bool kernel_label_is_due(const struct kernel *k);
int kernel_read_label(struct kernel *k, const char *label, struct err *err);
/* The pool's name in a label, into out; false: no label, or none in it. */
bool kernel_label_pool(const char *label, char *out, size_t room);
int kernel_json(const struct kernel *k, struct buf *out);

#endif
