#ifndef DSS_NODE_NODE_JOB_INNER_H
#define DSS_NODE_NODE_JOB_INNER_H
#include "node/node_job.h"
/* node_job_inner: what node_job.c (processes: ends, timeouts, taking up) and node_job_request.c (kernels' requests about them) share. */
#define JOB_LOOK_MS 500 /* at recipes that may run for a limited time */

struct node_jobs {
	struct node *node;
	struct jobs *jobs;
	struct list waits; /* requests that wait: node_job_request.c */
	struct loop_timer *look;
	bool is_stopped;
};

/* --- node_job.c --- */
/* There is no such process, and there will be none: the activity ends with that cause. */
void job_end_unborn(struct node_jobs *t, struct job_activity *a, const char *cause, const char *text);
void job_stop_process(struct node_jobs *t, const struct job_activity *a, const char *cause, const char *text);

/* --- node_job_request.c --- */
void job_answer_waits(struct node_jobs *t, const char *process); /* whoever waits for news of it */
void job_refuse_waits(struct node_jobs *t, const char *text);    /* all of them: 503 */

#endif
