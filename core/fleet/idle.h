#ifndef DSS_FLEET_IDLE_H
#define DSS_FLEET_IDLE_H
#include <stdbool.h>
#include <stdint.h>
/*
 * idle: since when nobody needed a notebook's kernel, told from looks at it; pure, on times that are handed in (ms of the wall clock).
 *
 * What counts as work: a cell that runs (also one that is silent for hours), a request of a client that is about code (execute, complete, inspect),
 * processor time of the whole box above IDLE_SHARE of a core (a thread that goes on after its cell), a start. What does not: a client that
 * connects again, requests that every page makes by itself (kernel_info, comm_info, history), an interrupt, a look.
 *
 *     silent = since the last work
 *     quiet  = the same, but 0 while a client is connected, and counted from when the last client left that had stayed for IDLE_BRIEF_MS
 *
 * Both are counted until the last time the box was measured, not until now: what happened since then nobody knows.
 * Both are unknown (-1) rather than guessed: the server was not asked successfully within IDLE_FRESH_MS, says something that cannot be, the box
 * was measured less than twice, the kernel is starting, or dead. One that nobody can measure may be trusted instead: then whatever the server calls
 * activity is work, and both are counted until the last look.
 */
#define IDLE_SHARE    0.01 /* of a core, between two looks: a kernel at rest uses a third of that */
#define IDLE_CPU_MS   50   /* and not less than that: answering a look is no work */
#define IDLE_APART_MS 4000 /* looks that are closer are one, for the processor */
#define IDLE_BRIEF_MS 120000
#define IDLE_FRESH_MS 60000

enum idle_state { IDLE_UNKNOWN, IDLE_STARTING, IDLE_IDLE, IDLE_BUSY, IDLE_DEAD };

/* One look. */
struct idle_look {
	int64_t at_ms;
	enum idle_state state; /* as the server says; IDLE_UNKNOWN: it cannot be asked; IDLE_DEAD: there is no process */
	int64_t connections;   /* clients; -1 = not told */
	int64_t activity_ms;   /* last moved by whatever the kernel said; 0 = not told */
	bool is_trusted;       /* it is not measured, and the server is believed without */
	bool is_exact;         /* the server tells requests apart: work_ms holds, activity_ms means nothing */
	int64_t work_ms;       /* the last request about code since the server was started; 0 = none */
	int64_t cpu_ms;        /* used by the box so far; -1 = not measured */
	int64_t started_ms;    /* of the process; a new one begins anew; 0 = not told */
};

/* Zeroed at first. What is kept over a restart: started_ms work_ms seen_ms connected_ms activity_ms cpu_ms cpu_at_ms. */
struct idle {
	int64_t started_ms, work_ms;
	int64_t seen_ms;      /* when the last client left that had stayed; 0 = none */
	int64_t connected_ms; /* since when clients are there; 0 = none are */
	int64_t activity_ms;
	int64_t cpu_ms, cpu_at_ms; /* of the look that the next is measured against; cpu_at_ms 0 = none */
	double share;              /* of a core, between the last two; negative = not known */
	/* of the last look */
	int64_t looked_ms, connections;
	enum idle_state state;
	bool is_measured, is_trusted;
};

void idle_take(struct idle *i, const struct idle_look *look);
/* Milliseconds, or -1: nobody knows. */
int64_t idle_quiet(const struct idle *i, int64_t now_ms);
int64_t idle_silent(const struct idle *i, int64_t now_ms);
/* What it does as far as that is known now: a look that is too old says nothing. */
enum idle_state idle_state(const struct idle *i, int64_t now_ms);
const char *idle_state_name(enum idle_state state);

#endif
