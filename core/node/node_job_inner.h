#ifndef DSS_NODE_NODE_JOB_INNER_H
#define DSS_NODE_NODE_JOB_INNER_H
#include "node/node_job.h"
/*
 * node_job_inner: what node_job.c (processes: ends, timeouts, taking up), node_job_place.c (places and starts) and node_job_request.c (kernels'
 * requests) share.
 */
#define JOB_LOOK_MS 500 /* at recipes that may run for a limited time */

struct node_jobs {
	struct node *node;
	struct jobs *jobs;
	struct list waits;  /* requests that wait: node_job_request.c */
	struct list starts; /* under way: node_job_place.c */
	struct loop_timer *look;
	struct loop_timer *news; /* while a request waits for news of a wait */
	bool is_stopped;
};

/* --- node_job.c --- */
/* There is no such process, and there will be none: the activity ends with that cause. */
void job_end_unborn(struct node_jobs *t, struct job_activity *a, const char *cause, const char *text);
void job_stop_process(struct node_jobs *t, struct job_activity *a, const char *cause, const char *text);
/* Forgets a job that is over and has nothing left; who waits for news of it is answered first. */
void job_tidy(struct node_jobs *t, struct job *job);

/* --- node_job_place.c --- */
/* In line for a place; its process (none of a java recipe) starts when it has one. -1: no memory. */
int job_place_ask(struct node_jobs *t, struct job_activity *a, const char *request);
/* It is at work and has no place yet: after a restart. */
void job_place_adopt(struct node_jobs *t, struct job_activity *a);
/* Aborted while it waited: the kernel, which is told so itself, is not answered. */
void job_place_drop(struct job_activity *a, const char *cause, const char *text);
bool job_place_is_starting(const struct node_jobs *t,
			   const struct job_activity *a); /* nobody knows yet whether its process will be */
void job_place_forget_starts(struct node_jobs *t);

/* --- node_job_request.c --- */
void job_answer_waits(struct node_jobs *t, const struct job_activity *a);                      /* whoever waits for news of it */
void job_refuse_activity(struct node_jobs *t, const struct job_activity *a, const char *text); /* them, with 503: to ask again */
void job_refuse_waits(struct node_jobs *t, const char *text);                                  /* all of all */
void job_look_for_news(void *t);                                                               /* the timer's */

#endif
