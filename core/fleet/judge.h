#ifndef DSS_FLEET_JUDGE_H
#define DSS_FLEET_JUDGE_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "fleet/kernel.h"
#include "fleet/pool.h"
/*
 * judge: turns the keeper's account of a process's end into what the task's owner reads: a sentence with what, whose, how much,
 * what happened to others and what to do, and the detail object of `oom_limit` and `oom_heap`.
 */
struct judge_end {
	char id[64];
	char cause[24]; /* oom_limit oom_heap oom_host limit_threads deadline … lost unknown exited */
	char text[900]; /* the keeper's or the one who ordered it; "" = none */
	char by[64];
	int code, signal;                /* -1 = none */
	int64_t peak_bytes, limit_bytes; /* -1 = unknown */
	char peak_source[32];            /* "memory.peak", "sampled", … */
	char limit_owner[256];           /* path of the level; "" = none */
	char victim_of[256];             /* who grew; "" = the victim itself */
	char cgroup[512];
	int64_t wall_ms, mono_ms, cpu_ms;
};

/* pool and k may be NULL (a kernel nobody remembers). memory_bytes: the limit that was in force for the task. */
struct judge_case {
	const struct judge_end *end;
	const struct pool_spec *pool;
	const struct kernel *kernel; /* for lastMinute */
	int64_t memory_bytes, timeout_ms;
	int attempt, retries;
};

/* What the keeper cannot know: a JVM that ended by itself with status 3 had its heap full (-XX:+ExitOnOutOfMemoryError). pool may be NULL. */
void judge_refine(struct judge_end *end, const struct pool_spec *pool);
/* The sentence into out (text) and the whole error object {"errorType","message","cause","detail"?} into json. 0 or -1. */
int judge_text(const struct judge_case *c, struct buf *out);
int judge_error(const struct judge_case *c, struct buf *json);
/* "DSS.OutOfMemory", "DSS.Timeout", "DSS.Aborted", else "DSS.TaskKilled". */
const char *judge_error_type(const char *cause);

#endif
