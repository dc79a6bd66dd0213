#ifndef DSS_NODE_NODE_JOB_H
#define DSS_NODE_NODE_JOB_H
#include <jansson.h>
#include <stdbool.h>
#include "fleet/job.h"
#include "fleet/judge.h"
#include "gate/server.h"
#include "node/node_inner.h"
/*
 * node_job: the processes of jobs' activities: /kernel/v1/processes, their places (fleet/guest.h), their spawn orders, their ends. A process is
 * born in the box
 * run/jobs/PROJECT/JOB/ACTIVITY, as the run user, in the project's folder, with its output in the job's log.
 *
 * Its id is made of its job's task and the kernel's requestId, so that the same request is the same process for every backend: the row of the
 * activity is on disk before the order, the keeper starts no id twice, and an end is acknowledged once it is on disk.
 */
struct node_jobs;

struct node_jobs *node_jobs_new(struct node *n, struct err *err); /* after the fleet */
/* Answers who still waits. Before the callback port is closed; the table itself (node_jobs_table) goes after the fleet. */
void node_jobs_stop(struct node_jobs *t);
void node_jobs_free(struct node_jobs **t);
struct jobs *node_jobs_table(struct node_jobs *t);

/* A request to /kernel/v1/processes…: answered now or later. */
void node_jobs_handle(struct node_jobs *t, struct gate_request *req);
/* A process has ended: true = it was an activity's; fn is called once its end is on disk. */
bool node_jobs_ended(struct node_jobs *t, const struct judge_end *end, store_done_fn *fn, void *data);
/* One of the keeper's list, and the end of that list: what is not in it has no end to be told. */
void node_jobs_take_row(struct node_jobs *t, const char *id, const char *label, bool is_alive);
void node_jobs_taken_up(struct node_jobs *t);
/* A job's task was sent, or is followed again. */
void node_jobs_open(struct node_jobs *t, const char *task);
/* Its kernel told its state: GET /task. */
void node_jobs_told(struct node_jobs *t, const char *task, const json_t *state);
/* It is to be aborted: what waits for a place of it leaves the line. */
void node_jobs_aborted(struct node_jobs *t, const char *task);
/* A rule ends that recipe (its guest's id): its process, or its wait for a place; its activity has failed, and says why. -1: err. */
int node_jobs_kill(struct node_jobs *t, const char *id, const char *why, struct err *err);
/* Its activity, while it waits or is at work; NULL: there is none. */
const struct job_activity *node_jobs_look(const struct node_jobs *t, const char *id);
/* It came to its end: whatever still runs of it is ended. */
void node_jobs_over(struct node_jobs *t, const struct future *f);
/* That end is on disk. */
void node_jobs_saved(struct node_jobs *t, const struct future *f);
/* For the list of processes: user, project, jobId, activityId, taskId of an activity's process. */
void node_jobs_put_row(struct node_jobs *t, const char *process, struct buf *out);
/* Whose process that is; NULL: none of ours. Borrowed. */
const char *node_jobs_owner(struct node_jobs *t, const char *process);
/* Whose ticket that is: the job's user, while the process lives; NULL: nobody's. */
const char *node_jobs_ticket(struct node_jobs *t, const char *ticket);

#endif
