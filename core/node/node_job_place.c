/* node_job_place: an activity's place (fleet/guest.h), and the start of its process once it has one: the row, then the order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/die.h"
#include "fleet/guest.h"
#include "net/digest.h"
#include "node/node_job_inner.h"
#include "node/node_job_order.h"
#include "sys/clock.h"

/* Waits for the store, then for the keeper. The job may be gone before they answer. */
struct start {
	struct list link;
	struct node_jobs *in;
	char process[JOB_PROCESS_MAX];
};

/* --- names --- */

/* The same request is the same process, for every backend. */
static void make_id(const struct job_activity *a, const char *request, char out[JOB_PROCESS_MAX])
{
	char hex[DIGEST_HEX_SIZE];
	digest_sha256_hex(request, strlen(request), hex);
	snprintf(out, JOB_PROCESS_MAX, "job-%.20s-%.16s", a->job->task, hex);
}

/* "DEMO/revenue" of each output. Owned. */
static json_t *make_holds(const struct job_activity *a)
{
	char name[2 * JOB_NAME_MAX + 2];
	json_t *holds = json_array(), *v;
	size_t i;
	json_array_foreach(json_object_get(a->spec, "outputs"), i, v)
	{
		snprintf(name, sizeof(name), "%.127s/%.127s", a->job->project, json_string_value(v) ? json_string_value(v) : "");
		json_array_append_new(holds, json_string(name));
	}
	return holds;
}

static struct guest_facts facts_of(const struct node_jobs *t, const struct job_activity *a, const char *id)
{
	struct guest_facts facts = job_order_facts(t->node, a);
	facts.id = id;
	return facts;
}

/* --- starts --- */

static struct job_activity *start_end(struct start *s, struct node_jobs **t)
{
	struct job_activity *a = s->in->is_stopped ? NULL : jobs_by_process(s->in->jobs, s->process);
	*t = s->in;
	list_remove(&s->link);
	free(s);
	return a;
}

bool job_place_is_starting(const struct node_jobs *t, const struct job_activity *a)
{
	list_each (&t->starts, l)
		if (a->process[0] && strcmp(list_of(l, struct start, link)->process, a->process) == 0)
			return true;
	return false;
}

void job_place_forget_starts(struct node_jobs *t)
{
	list_each (&t->starts, l)
		free(list_of(l, struct start, link));
	list_init(&t->starts);
}

static void on_spawned(void *data, const struct wire_view *msg)
{
	struct node_jobs *t;
	struct job_activity *a = start_end(data, &t);
	die_at("activity_answered");
	if (a && a->is_alive && msg->type == WIRE_fail)
		job_end_unborn(t, a, "start_failed", wire_get_text(msg, WF_text)); /* answers who waits as well */
	else if (a)
		job_answer_waits(t, a);
}

/* As if never asked for: the kernel asks again. */
static void take_back(struct node_jobs *t, struct job_activity *a, const char *why)
{
	guest_leave(&a->guest);
	a->state = JOB_NOT_STARTED;
	a->started_ms = 0;
	a->process[0] = a->request[0] = 0;
	a->is_alive = false;
	job_refuse_activity(t, a, why);
	job_tidy(t, a->job);
}

static void on_row_saved(void *data, const struct store_answer *answer)
{
	struct start *s = data;
	struct node_jobs *t;
	struct job_activity *a = s->in->is_stopped ? NULL : jobs_by_process(s->in->jobs, s->process);
	struct err err = { 0 };
	die_at("activity_committed");
	if (a && a->is_alive && answer->outcome == STORE_OK && !a->job->is_over &&
	    job_order_spawn(s->in->node, a, on_spawned, s, &err) == 0) {
		die_at("activity_ordered");
		return;
	}
	a = start_end(s, &t);
	if (!a || !a->is_alive)
		return;
	if (answer->outcome != STORE_OK)
		take_back(t, a, answer->err.text);
	else if (a->job->is_over)
		job_end_unborn(t, a, "policy", "its job has ended before it was started");
	else
		job_end_unborn(t, a, "start_failed", err.text);
}

static void start(struct node_jobs *t, struct job_activity *a)
{
	struct start *s = calloc(1, sizeof(*s));
	if (!s) {
		take_back(t, a, "the backend has no memory");
		return;
	}
	s->in = t;
	memcpy(s->process, a->process, sizeof(s->process));
	list_init(&s->link);
	list_push(&t->starts, &s->link);
	a->state = JOB_RUNNING;
	a->started_ms = clock_wall_ms();
	a->ended_ms = 0;
	a->cause[0] = 0;
	a->is_alive = true;
	a->is_stopping = false;
	if (json_object_get(a->spec, "timeoutMs") && !loop_timer_is_running(t->look))
		loop_timer_start(t->look, JOB_LOOK_MS);
	if (job_save(a, on_row_saved, s) < 0) {
		struct store_answer answer = { .outcome = STORE_FAILED };
		err_set(&answer.err, "the store takes nothing now");
		on_row_saved(s, &answer);
	}
}

/* --- places --- */

static void on_place(void *data, struct guest *g, const struct err *why)
{
	struct job_activity *a = data;
	struct node_jobs *t = a->node;
	(void)g;
	if (t->is_stopped)
		return;
	if (why) {
		job_end_unborn(t, a, "start_failed", why->text);
		return;
	}
	die_at("activity_placed");
	if (job_runs_in_kernel(a)) /* it says itself when it runs */
		job_answer_waits(t, a);
	else
		start(t, a);
}

int job_place_ask(struct node_jobs *t, struct job_activity *a, const char *request)
{
	char id[JOB_PROCESS_MAX];
	make_id(a, request, id);
	struct guest_facts facts = facts_of(t, a, id);
	json_t *holds = make_holds(a);
	a->node = t;
	a->guest = guest_ask(fleet_guests(t->node->fleet), &facts, holds, on_place, a);
	json_decref(holds);
	if (!a->guest)
		return -1;
	a->state = JOB_WAITING;
	snprintf(a->request, sizeof(a->request), "%s", request);
	if (!job_runs_in_kernel(a))
		memcpy(a->process, id, sizeof(a->process));
	return 0;
}

void job_place_adopt(struct node_jobs *t, struct job_activity *a)
{
	char id[JOB_PROCESS_MAX];
	if (a->guest)
		return;
	make_id(a, a->request[0] ? a->request : a->id, id);
	struct guest_facts facts = facts_of(t, a, a->process[0] ? a->process : id);
	json_t *holds = make_holds(a);
	a->guest = guest_adopt(fleet_guests(t->node->fleet), &facts, holds);
	json_decref(holds);
	if (!a->guest)
		log_error("activity %s of job %s counts nowhere: no memory", a->id, a->job->id);
}

void job_place_drop(struct job_activity *a, const char *cause, const char *text)
{
	guest_leave(&a->guest);
	a->state = JOB_ABORTED;
	a->ended_ms = clock_wall_ms();
	snprintf(a->cause, sizeof(a->cause), "%s", cause);
	free(a->message);
	a->message = strdup(text);
	if (job_save(a, NULL, NULL) < 0)
		log_error("unable to save the end of activity %s of job %s: the store takes nothing now", a->id, a->job->id);
}
