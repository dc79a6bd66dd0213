/* node_board_tasks: rows of tasks, jobs and trainings, each with its kernel, and of kernels without one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/fleet.h"
#include "fleet/job.h"
#include "fleet/jtext.h"
#include "fleet/queue.h"
#include "fleet/training.h"
#include "node/node_board_inner.h"

#define NEAR       50                 /* who is nearer to the front than that is told each change of his place */
#define FAR_MS     10000              /* others that often */
#define NAMED_MOST ((size_t)64 << 10) /* a payload that is longer is not read for a name */
#define REASON_MAX 768

/* --- why somebody waits: alike for all of one lane --- */

#define LANES 64

struct reasons {
	struct {
		const struct lane *lane;
		char why[REASON_MAX];
	} of[LANES];
};

static const char *why_of(struct node_board *b, struct reasons *reasons, const struct future *f, char *text)
{
	size_t at = ((uintptr_t)f->lane >> 6) % LANES;
	if (!f->lane || f->memory_bytes) { /* with memory of its own it may be promised a kernel of its own */
		queue_why(f, b->now_mono_ms, text, REASON_MAX);
		return text;
	}
	if (reasons->of[at].lane != f->lane) {
		reasons->of[at].lane = f->lane;
		queue_why(f, b->now_mono_ms, reasons->of[at].why, REASON_MAX);
	}
	return reasons->of[at].why;
}

/* --- tasks --- */

struct look {
	struct node_board *b;
	struct reasons *reasons; /* NULL: no memory: none is told */
};

static enum board_kind kind_of(const struct future *f)
{
	return f->job ? BOARD_JOB : strcmp(f->type, TRAINING_TYPE) == 0 ? BOARD_TRAINING : BOARD_FUTURE;
}

static const char *state_of(const struct future *f)
{
	if (f->abort_cause[0] && f->state != FUTURE_QUEUED)
		return "stopping";
	return f->state == FUTURE_QUEUED ? "waiting" : f->state == FUTURE_ASSIGNED ? "starting" : "running";
}

static int64_t limit_of(const struct future *f)
{
	return f->on ? f->on->limit_bytes : f->memory_bytes;
}

static uint64_t print_of(const struct future *f)
{
	uint64_t p = board_mix(1, (uint64_t)f->state << 8 | (uint64_t)f->attempt << 1 | (f->abort_cause[0] != 0));
	p = board_mix(p, (uint64_t)(uintptr_t)f->on);
	p = board_mix(p, (uint64_t)(f->on ? f->on->pid : 0));
	p = board_mix(p, (uint64_t)limit_of(f));
	p = board_mix(p, (uint64_t)f->started_ms);
	p = board_mix(p, (uint64_t)(int64_t)(f->progress * 100));
	return f->message ? board_mix_text(p, f->message) : p;
}

/* What it is called, once: the payload is read for that. */
static const char *what_of(struct board_row *row, const struct future *f)
{
	if (f->title && *f->title)
		return f->title;
	if (!row->what && f->payload_len <= NAMED_MOST) {
		char name[512];
		future_name(f, name, sizeof(name));
		row->what = strdup(name);
	}
	return row->what ? row->what : f->type;
}

/* Nothing of a job is at work, and what could be waits for a place. */
static const char *standstill(struct node_board *b, const struct future *f, char *text)
{
	struct job *job = f->state == FUTURE_RUNNING ? jobs_at_hand(node_jobs(b->node), f->id) : NULL;
	return job && job_standstill(job, text, REASON_MAX) ? text : NULL;
}

static void write_task(struct node_board *b, struct board_row *row, const struct future *f, const char *reason, int position)
{
	char owner[200];
	const struct kernel *k = f->on;
	char ref[300];
	struct board_facts facts = BOARD_NO_FACTS;
	bool is_waiting = f->state == FUTURE_QUEUED;
	snprintf(ref, sizeof(ref), "%s/%s", f->project ? f->project : "", f->job ? f->job : "");
	facts.ref = row->kind == BOARD_JOB ? ref : f->id;
	facts.what = what_of(row, f);
	facts.project = f->project;
	facts.user = f->owner;
	facts.pool = f->pool;
	facts.tags_json = f->tags;
	facts.state = state_of(f);
	facts.reason = f->abort_cause[0] ? future_aborter(f) : reason;
	facts.position = position;
	facts.submitted_ms = f->created_ms;
	facts.started_ms = f->started_ms;
	facts.since_ms = is_waiting ? f->created_ms : f->started_ms;
	facts.process = k ? k->id : NULL;
	facts.pid = k ? k->pid : 0;
	facts.limit_bytes = limit_of(f);
	snprintf(owner, sizeof(owner), "pool \"%s\"", f->pool);
	facts.limit_owner = f->memory_bytes ? "the task's limits.memory" : owner;
	facts.attempt = f->attempt;
	facts.progress = f->progress;
	facts.message = f->message;
	facts.ends = f->abort_cause[0] ? NULL : "abort";
	board_write(b, row, &facts);
}

/* One that waits: its place is told at once where it is near, and from time to time where it is far. */
static void look_at_waiting(const struct look *look, struct board_row *row, const struct future *f, bool is_same)
{
	struct node_board *b = look->b;
	char why[REASON_MAX], text[REASON_MAX + 64], ordinal[16];
	int total = 0, position = queue_position(f, &total);
	if (is_same && position > NEAR && b->now_mono_ms < row->renew_mono_ms)
		return;
	/* apart from each other */
	row->renew_mono_ms = b->now_mono_ms + FAR_MS / 2 + (int64_t)((uintptr_t)row / 64 % (FAR_MS / 2));
	text[0] = '\0';
	if (position > 0 && look->reasons)
		snprintf(text, sizeof(text), "Waiting, %s of %d: %s", queue_ordinal(position, ordinal, sizeof(ordinal)), total,
			 why_of(b, look->reasons, f, why));
	write_task(b, row, f, text, position);
}

static void look_at_task(const struct look *look, const struct future *f)
{
	struct node_board *b = look->b;
	char id[BOARD_ID_MAX], text[REASON_MAX];
	bool is_same = false;
	enum board_kind kind = kind_of(f);
	int code = kind == BOARD_JOB ? board_join(id, kind, f->project ? f->project : "", f->job, NULL)
				     : board_join(id, kind, f->id, NULL, NULL);
	const char *still = kind == BOARD_JOB ? standstill(b, f, text) : NULL;
	uint64_t print = print_of(f);
	struct board_row *row =
		code == 0 ? board_see(b, kind, id, f->owner, still ? board_mix_text(print, still) : print, &is_same) : NULL;
	if (!row)
		return;
	row->is_waiting = f->state == FUTURE_QUEUED;
	row->is_busy = !row->is_waiting;
	board_set_process(row, f->on ? f->on->id : NULL);
	if (row->is_waiting)
		look_at_waiting(look, row, f, is_same);
	else if (!is_same)
		write_task(b, row, f, still, 0);
}

static void look_at_list(void *data, const struct future *const *f, size_t n, const struct err *why)
{
	(void)why;
	for (size_t i = 0; i < n; i++)
		look_at_task(data, f[i]);
}

/* --- kernels without a task --- */

static const char *kernel_state(const struct kernel *k)
{
	return k->state == KERNEL_STARTING ? "starting" : k->state == KERNEL_IDLE ? "idle" : "stopping";
}

static void write_kernel(struct node_board *b, struct board_row *row, const struct kernel *k)
{
	char what[160], owner[160], reason[KERNEL_STOP_TEXT + 64] = "";
	struct board_facts facts = BOARD_NO_FACTS;
	const struct pool_spec *spec = k->pool->spec;
	snprintf(what, sizeof(what), "kernel of pool %s", spec->name);
	snprintf(owner, sizeof(owner), "pool \"%s\"", spec->name);
	if (k->state == KERNEL_STARTING && k->reserved_for[0])
		snprintf(reason, sizeof(reason), "Started for task %s", k->reserved_for);
	else if (k->state != KERNEL_STARTING && k->state != KERNEL_IDLE)
		snprintf(reason, sizeof(reason), "%s", k->stop_text);
	facts.ref = k->id;
	facts.what = what;
	facts.user = k->owner;
	facts.pool = spec->name;
	facts.state = kernel_state(k);
	facts.reason = reason;
	facts.since_ms = k->state == KERNEL_STARTING ? k->started_wall_ms : k->state == KERNEL_IDLE ? k->idle_wall_ms : 0;
	facts.started_ms = k->started_wall_ms;
	facts.process = k->id;
	facts.pid = k->pid;
	facts.limit_bytes = k->limit_bytes;
	facts.limit_owner = owner;
	board_write(b, row, &facts);
}

static void look_at_kernel(struct node_board *b, const struct kernel *k)
{
	char id[BOARD_ID_MAX];
	bool is_same;
	if (k->state == KERNEL_GONE || !k->pool || (k->task[0] && fleet_live(b->node->fleet, k->task)) ||
	    board_join(id, BOARD_KERNEL, k->id, NULL, NULL) < 0)
		return;
	uint64_t print = board_mix(board_mix(2, k->state), (uint64_t)k->pid);
	print = board_mix(board_mix(print, (uint64_t)k->limit_bytes), (uint64_t)k->idle_wall_ms);
	print = board_mix_text(board_mix_text(print, k->owner), k->stop_text);
	struct board_row *row = board_see(b, BOARD_KERNEL, id, k->owner, print, &is_same);
	if (!row)
		return;
	board_set_process(row, k->id);
	row->is_spare = k->state == KERNEL_IDLE;
	if (!is_same)
		write_kernel(b, row, k);
}

static void look_at_pool(void *data, const struct pool *pool)
{
	list_each (&pool->kernels, l)
		look_at_kernel(data, list_of(l, struct kernel, in_pool));
}

void board_look_at_tasks(struct node_board *b)
{
	struct look look = { b, calloc(1, sizeof(struct reasons)) };
	fleet_list(b->node->fleet, NULL, 0, look_at_list, &look);
	fleet_each_pool(b->node->fleet, look_at_pool, b);
	free(look.reasons);
}
