#ifndef DSS_FLEET_JOB_H
#define DSS_FLEET_JOB_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "fleet/future.h"
#include "fleet/store.h"
/*
 * job: the activities of a job and what became of them. A job itself is a future of kind "job": queue, slots, kernel, retries and ends are the
 * future's. Its payload is the plan, which only the backend has whole:
 *
 *     { "jobId", "projectKey", "def": {…}, "dir",
 *       "activities": [{ "activityId", "kind", "after": [], "recipe", "argv": [], "cwd", "env": {}, "limits": {}, "inputs": [], "outputs": [], … }] }
 *
 * `jobs` holds those that are open or have a process left; what is over is read from the store. An activity's row is on disk before its
 * process is ordered, and its end before the keeper's event is acknowledged.
 */
#define JOB_NAME_MAX        128
#define JOB_PROCESS_MAX     64
#define JOB_TICKET_MAX      (JOB_PROCESS_MAX + 66)
#define JOB_ACTIVITIES_MOST 1000

enum job_state { JOB_NOT_STARTED, JOB_WAITING, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_ABORTED, JOB_SKIPPED };
const char *job_state_name(enum job_state s);
int job_state_named(const char *name); /* -1: no such state */

struct guest;
struct job;
struct jobs;

struct job_activity {
	struct job *job;
	const char *id, *kind; /* borrowed from the plan */
	const json_t *spec;    /* borrowed */
	enum job_state state;
	int64_t started_ms, ended_ms;  /* wall; 0 = not yet */
	char process[JOB_PROCESS_MAX]; /* "" = has none */
	char request[JOB_NAME_MAX];    /* the kernel's own name of that order */
	char cause[24];                /* of its process's end; "" = none yet */
	int code, signal;              /* -1 = none */
	int64_t peak_bytes;            /* -1 = unknown */
	char *message;                 /* owned; why it failed; NULL */
	bool is_alive;                 /* its process was ordered, and its end not seen */
	bool is_stopping;              /* it was ordered to end */
	struct guest *guest; /* its place, or its wait for one (JOB_WAITING); NULL = neither. Left by node before the job goes */
	void *node;          /* node's own, of a living one */
};

struct job {
	struct list link;
	struct jobs *jobs;
	char task[FUTURE_ID_MAX], project[JOB_NAME_MAX], id[JOB_NAME_MAX], owner[JOB_NAME_MAX];
	json_t *plan; /* owned */
	struct job_activity *activities;
	size_t n;
	bool is_over;  /* its future has come to its end */
	size_t saving; /* rows on their way to the disk: until they are there, what it is stands here alone */
};

/* Loads the rows of open jobs: before the loop runs, after the fleet. Borrows both. */
struct jobs *jobs_new(struct fleet *fleet, struct err *err);
void jobs_free(struct jobs **jobs); /* after the store was closed */

/* Of an open future, made from its payload when first asked for; NULL: no job, or its payload is none. */
struct job *jobs_of(struct jobs *jobs, const char *task);
struct job *jobs_at_hand(const struct jobs *jobs, const char *task); /* NULL: none was made so far */
/* Nothing of it runs, and what could waits for a place: out says what waits, and why. */
bool job_standstill(const struct job *job, char *out, size_t room);
struct job_activity *job_activity(const struct job *job, const char *id);
struct job_activity *jobs_by_process(struct jobs *jobs, const char *process); /* NULL: unknown */
size_t job_count_alive(const struct job *job);
bool job_runs_in_kernel(const struct job_activity *a); /* a java recipe: it has no process of its own */
/* Forgets one that is over and has no process left once what it was stands in the store. */
void jobs_tidy(struct jobs *jobs, struct job *job);
typedef void jobs_fn(void *data, struct job *job);
/* Called with each that is forgotten so, before it goes: nothing of it is still to come. */
void jobs_on_forgotten(struct jobs *jobs, jobs_fn *fn, void *data);
void jobs_each(struct jobs *jobs, jobs_fn *fn, void *data);

/* Is the plan whole enough to be run? 0, or -1. */
int job_check_plan(const void *json, size_t len, struct err *err);
/* What its kernel gets: jobId and, of each activity, all that the kernel itself may need: never commands, environments and limits of others. */
int job_put_kernel_payload(const struct future *f, struct buf *out);

/* Saves the activity's row. What its recipe makes counts as not built from the moment it starts, and as built once it is done: in the same
 * transaction. fn may be NULL. */
int job_save(struct job_activity *a, store_done_fn *fn, void *data);
/* The future has come to its end: activities that had no end get one. */
void job_over(struct job *job, const struct future *f);
/* What the kernel says of an activity that it runs itself; times of the wall, 0: not told. Returns whether its state is another now. */
bool job_told(struct job_activity *a, enum job_state state, int64_t began_ms, int64_t ended_ms, const char *message);

/* "activities" of the kernel's state or result: {ID: {"state","message"?,…}}. Returns whether the state of one is another now. */
bool job_take_words(struct job *job, const json_t *state);

/* {"NAME": {"job", "started_at","built_at","definition"?,"script"? | "is_partial"}} of a project: build.lua's facts. */
int jobs_datasets_json(const struct jobs *jobs, const char *project, struct buf *out);
/* One job's status, or items of a project's newest jobs, as the contract has them; json NULL: there is none, or why says that the read failed. */
typedef void jobs_json_fn(void *data, const struct buf *json, const char *owner, const char *task, const struct err *why);
void jobs_status(struct jobs *jobs, const char *project, const char *id, jobs_json_fn *fn, void *data);
/* project NULL: of all. owner NULL: everybody's. */
void jobs_list(struct jobs *jobs, const char *project, const char *owner, int limit, jobs_json_fn *fn, void *data);

/* Inner: job_json.c */
struct job_view { /* of a future, open or ended; all borrowed */
	const char *task, *project, *id, *owner, *kernel, *cause, *error, *reason;
	enum future_state state;
	int64_t created_ms, started_ms, ended_ms;
	int kernel_pid; /* 0 = unknown */
	bool is_ending; /* a process of it still lives */
};
enum job_state job_view_state(const struct job_view *v);
int job_status_json(const struct job *job, const struct job_view *v, struct buf *out);
/* live: while it is at hand, else NULL: where all that is open of it waits, "reason" says why the first one does. */
int job_item_json(const json_t *def, const struct job *live, const struct job_view *v, struct buf *out);
/* Inner: a job out of its plan, in no list. NULL: err. */
struct job *job_new(const char *task, const char *project, const char *id, const char *owner, const void *plan, size_t len,
		    struct err *err);
void job_free(struct job **job);

#endif
