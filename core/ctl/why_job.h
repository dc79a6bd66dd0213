#ifndef DSS_CTL_WHY_JOB_H
#define DSS_CTL_WHY_JOB_H
#include <stdbool.h>
#include <jansson.h>
#include "ctl/rest.h"
/*
 * why_job: whose decisions are a job's: its task's and those of its recipes' processes.
 */

/* Does a name look like a job's id? */
bool why_job_is_id(const char *name);
/* words: "PROJECT/JOB", or "JOB", which is looked for among the newest jobs that one may see. CTL_DONE: *status is what the job is (owned), and
 * subjects has its task and its recipes' processes, those that wait first. Else an exit code, and it was told. */
int why_job_read(struct rest *rest, const char *words, json_t **status, json_t *subjects);
/* For people: how it is, and why each recipe that waits does. */
void why_job_print(const json_t *status);

#endif
