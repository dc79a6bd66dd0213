#include "node/node_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/fleet_verbs.h"
#include "fleet/guest.h"
#include "fleet/jtext.h"
#include "net/json.h"
#include "node/node_board.h"
#include "node/node_boxes.h"
#include "node/node_job_inner.h"
#include "node/node_job_order.h"
#include "node/node_orders.h"
#include "node/node_spawn.h"
#include "sys/clock.h"

/* --- ends --- */

static void say(struct job_activity *a, const char *text)
{
	free(a->message);
	a->message = text && *text ? strdup(text) : NULL;
}

/* Decided of that recipe by a rule, not of its job. */
static bool is_ruled(const struct judge_end *end)
{
	return strcmp(end->cause, "policy") == 0 && strncmp(end->text, FLEET_BY_RULE, sizeof(FLEET_BY_RULE) - 1) == 0;
}

static void tell_rule(struct job_activity *a, const struct judge_end *end)
{
	char text[1400], peak[48];
	int n = snprintf(text, sizeof(text), "%s by a policy: %s.",
			 end->peak_bytes < 0 && !a->started_ms ? "Taken out of the line" : "Killed", end->text);
	if (end->peak_bytes > 0 && n < (int)sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, " Peak %s.", text_print_size(end->peak_bytes, peak, sizeof(peak)));
	say(a, text);
}

static void tell_why(const struct node_jobs *t, struct job_activity *a, const struct judge_end *end)
{
	const struct guest_facts facts = job_order_facts(t->node, a);
	char text[1400], peak[48], limit[48], what[JOB_NAME_MAX + 16];
	snprintf(what, sizeof(what), "recipe \"%s\"", job_order_recipe(a));
	if (node_boxes_tell_oom(t->node, what, &facts, end, text, sizeof(text))) {
		say(a, text);
		return;
	}
	if (is_ruled(end)) {
		tell_rule(a, end);
		return;
	}
	if (end->peak_bytes > 0)
		text_print_size(end->peak_bytes, peak, sizeof(peak));
	else
		snprintf(peak, sizeof(peak), "unknown");
	if (strcmp(a->cause, "exited") == 0 && a->code == 0) {
		say(a, NULL);
		return;
	}
	if (strcmp(a->cause, "oom_limit") == 0 && end->limit_bytes > 0)
		snprintf(text, sizeof(text),
			 "Killed: recipe \"%s\" used %s, the memory limit of %s is %s%s%s. Peak %s. Others were not affected. Give "
			 "it a higher "
			 "limits.memory in project.lua, or let it read its input in pieces.",
			 job_order_recipe(a), peak, end->limit_owner[0] ? end->limit_owner : "its box",
			 text_print_size(end->limit_bytes, limit, sizeof(limit)), end->victim_of[0] ? "; what grew there: " : "",
			 end->victim_of, peak);
	else if (strcmp(a->cause, "start_failed") == 0)
		snprintf(text, sizeof(text), "Recipe \"%s\" could not be started: %s.", job_order_recipe(a),
			 end->text[0] ? end->text : "no reason was told");
	else if (a->code > 0)
		snprintf(text, sizeof(text),
			 "Recipe \"%s\" ended with status %d%s. Its last lines stand in the job's log. Peak %s.",
			 job_order_recipe(a), a->code,
			 strcmp(a->cause, "limit_threads") == 0 ? " after it had reached its limit of processes and threads" : "",
			 peak);
	else
		snprintf(text, sizeof(text), "Recipe \"%s\" was ended (%s): %s. Peak %s.", job_order_recipe(a), a->cause,
			 end->text[0] ? end->text : "no reason was told", peak);
	say(a, text);
}

static bool is_stop(const char *cause)
{
	static const char *const stops[] = { "user", "admin", "policy", "shutdown", NULL };
	for (size_t i = 0; stops[i]; i++)
		if (strcmp(stops[i], cause) == 0)
			return true;
	return false;
}

static void end_activity(struct node_jobs *t, struct job_activity *a, const struct judge_end *end, store_done_fn *fn, void *data)
{
	guest_leave(&a->guest);
	snprintf(a->cause, sizeof(a->cause), "%s", end->cause[0] ? end->cause : "unknown");
	a->code = strcmp(a->cause, "start_failed") == 0 ? -1 : end->code; /* there it is the errno of its start */
	a->signal = end->signal;
	a->peak_bytes = end->peak_bytes;
	a->is_alive = a->is_stopping = false;
	a->ended_ms = clock_wall_ms();
	a->state = a->code == 0 && strcmp(a->cause, "exited") == 0 ? JOB_DONE
		   : is_stop(a->cause) && !is_ruled(end)           ? JOB_ABORTED
								   : JOB_FAILED;
	tell_why(t, a, end);
	if (job_save(a, fn, data) < 0) {
		/* Not acknowledged: the next backend hears it again. */
		log_error("unable to save the end of activity %s of job %s: the store takes nothing now", a->id, a->job->id);
	}
	node_board_note(node_board(t->node), BOARD_JOBS);
	job_answer_waits(t, a);
	job_tidy(t, a->job);
}

void job_tidy(struct node_jobs *t, struct job *job)
{
	if (!job->is_over || job_count_alive(job) > 0)
		return;
	for (size_t i = 0; i < job->n; i++) {
		guest_leave(&job->activities[i].guest);
		job_answer_waits(t, &job->activities[i]);
	}
	jobs_tidy(t->jobs, job);
}

bool node_jobs_ended(struct node_jobs *t, const struct judge_end *end, store_done_fn *fn, void *data)
{
	struct job_activity *a = jobs_by_process(t->jobs, end->id);
	if (!a || !a->is_alive)
		return false;
	end_activity(t, a, end, fn, data);
	return true;
}

void job_end_unborn(struct node_jobs *t, struct job_activity *a, const char *cause, const char *text)
{
	struct judge_end end = { .code = -1, .signal = -1, .peak_bytes = -1, .limit_bytes = -1 };
	snprintf(end.cause, sizeof(end.cause), "%s", cause);
	snprintf(end.text, sizeof(end.text), "%s", text);
	end_activity(t, a, &end, NULL, NULL);
}

void job_stop_process(struct node_jobs *t, struct job_activity *a, const char *cause, const char *text)
{
	struct err err = { 0 };
	if (node_orders_stop(t->node, a->process, cause, text, JOB_GRACE_MS, &err) < 0)
		log_error("unable to stop %s: %s", a->process, err.text);
	else
		a->is_stopping = true;
}

/* --- rules --- */

static struct job_activity *by_guest(const struct node_jobs *t, const char *id)
{
	const struct guest *g = guests_find(fleet_guests(t->node->fleet), "recipe", id);
	const struct guest_facts *f = g ? guest_facts(g) : NULL;
	struct job *job = f && f->task && f->activity ? jobs_of(t->jobs, f->task) : NULL;
	struct job_activity *a = job ? job_activity(job, f->activity) : NULL;
	return a && a->guest == g ? a : NULL;
}

const struct job_activity *node_jobs_look(const struct node_jobs *t, const char *id)
{
	return by_guest(t, id);
}

int node_jobs_kill(struct node_jobs *t, const char *id, const char *why, struct err *err)
{
	struct job_activity *a = by_guest(t, id);
	if (!a)
		return err_set(err, "recipe %s has ended", id);
	if (a->is_stopping)
		return err_set(err, "recipe %s is ending already", id);
	if (guest_is_waiting(a->guest)) {
		job_end_unborn(t, a, "policy", why);
		return 0;
	}
	if (!a->is_alive)
		return err_set(
			err,
			"recipe %s runs in its job's kernel: a rule over tasks aborts its job, one over kernels ends its kernel",
			id);
	if (node_orders_stop(t->node, a->process, "policy", why, JOB_GRACE_MS, err) < 0)
		return -1;
	a->is_stopping = true;
	return 0;
}

/* --- timeouts of recipes: since their start on the wall clock, which the next backend knows as well --- */

struct looking {
	struct node_jobs *t;
	int64_t now_ms;
	bool has_more;
};

static void look_at_job(void *data, struct job *job)
{
	struct looking *l = data;
	char text[200], time[48];
	for (size_t i = 0; i < job->n; i++) {
		struct job_activity *a = &job->activities[i];
		int64_t most = (int64_t)json_integer_value(json_object_get(a->spec, "timeoutMs"));
		if (!a->is_alive || most <= 0)
			continue;
		l->has_more = true;
		if (l->now_ms - a->started_ms < most)
			continue;
		snprintf(text, sizeof(text), "it ran longer than its timeout of %s", text_print_duration(most, time, sizeof(time)));
		job_stop_process(l->t, a, "deadline", text);
	}
}

static void on_look(void *data)
{
	struct looking l = { .t = data, .now_ms = clock_wall_ms() };
	jobs_each(l.t->jobs, look_at_job, &l);
	if (l.has_more)
		loop_timer_start(l.t->look, JOB_LOOK_MS);
}

/* --- the job's own life --- */

void node_jobs_open(struct node_jobs *t, const char *task)
{
	jobs_of(t->jobs, task);
}

void node_jobs_told(struct node_jobs *t, const char *task, const json_t *state)
{
	struct job *job = jobs_of(t->jobs, task);
	if (!job)
		return;
	if (job_take_words(job, state))
		node_board_note(node_board(t->node), BOARD_JOBS);
	for (size_t i = 0; i < job->n; i++) {
		struct job_activity *a = &job->activities[i];
		if (a->state >= JOB_DONE && !a->is_alive)
			guest_leave(&a->guest);
		else if (a->state == JOB_RUNNING && job_runs_in_kernel(a))
			job_place_adopt(t, a);
	}
}

static const char *tell_abort(const struct future *f, char *text, size_t room)
{
	snprintf(text, room, "its job was aborted by %.200s", f->abort_by ? f->abort_by : f->abort_cause);
	return f->abort_cause;
}

void node_jobs_aborted(struct node_jobs *t, const char *task)
{
	const struct future *f = fleet_live(t->node->fleet, task);
	struct job *job = f && f->job && f->abort_cause[0] ? jobs_of(t->jobs, task) : NULL;
	char text[300];
	for (size_t i = 0; job && i < job->n; i++)
		if (guest_is_waiting(job->activities[i].guest))
			job_place_drop(&job->activities[i], tell_abort(f, text, sizeof(text)), text);
}

void node_jobs_over(struct node_jobs *t, const struct future *f)
{
	struct job *job = f->job ? jobs_of(t->jobs, f->id) : NULL;
	char text[300];
	const char *cause = "policy";
	if (!job || job->is_over)
		return;
	job_over(job, f);
	snprintf(text, sizeof(text), "its job has ended (%s)", future_state_name(f->state));
	if (f->state == FUTURE_ABORTED && f->abort_cause[0])
		cause = tell_abort(f, text, sizeof(text));
	for (size_t i = 0; i < job->n; i++) {
		if (job->activities[i].is_alive)
			job_stop_process(t, &job->activities[i], cause, text);
		else
			guest_leave(&job->activities[i].guest);
	}
	job_tidy(t, job);
}

/* Its end is shown once it is on disk, nothing of it lives and all that it was is on disk, too: whichever comes last. */
static void on_forgotten(void *data, struct job *job)
{
	const struct node_jobs *t = data;
	node_board_job_ended(node_board(t->node), job->owner, job->project, job->id);
}

void node_jobs_saved(struct node_jobs *t, const struct future *f)
{
	if (f->job && f->project && !jobs_at_hand(t->jobs, f->id))
		node_board_job_ended(node_board(t->node), f->owner, f->project, f->job);
}

/* --- taking up --- */

void node_jobs_take_row(struct node_jobs *t, const char *id, const char *label, bool is_alive)
{
	struct err err = { 0 };
	struct job_activity *a = jobs_by_process(t->jobs, id);
	(void)label;
	if (a) {
		a->node = t; /* seen */
		if (a->is_alive)
			job_place_adopt(t, a);
		log_info("took up %s: activity %s of job %s", id, a->id, a->job->id);
	} else if (is_alive) { /* of a job that is over */
		log_warn("%s: its job is over; it is stopped", id);
		if (node_orders_stop(t->node, id, "policy", "its job is over", JOB_GRACE_MS, &err) < 0)
			log_error("unable to stop %s: %s", id, err.text);
	}
}

static void end_unseen(void *data, struct job *job)
{
	struct node_jobs *t = data;
	for (size_t i = 0; i < job->n; i++) {
		struct job_activity *a = &job->activities[i];
		bool was_seen = a->node != NULL;
		const struct future *f = fleet_live(t->node->fleet, job->task);
		a->node = NULL;
		if (a->state == JOB_RUNNING && job_runs_in_kernel(a) && f && f->on)
			job_place_adopt(t, a);
		if (!a->is_alive || was_seen)
			continue;
		if (f && f->on) { /* ordered, but not yet started: its kernel asks again, by the same name */
			a->state = JOB_NOT_STARTED;
			a->started_ms = 0;
			a->is_alive = false;
			a->process[0] = a->request[0] = 0;
			continue;
		}
		a->is_alive = false;
		a->state = JOB_FAILED;
		a->ended_ms = clock_wall_ms();
		snprintf(a->cause, sizeof(a->cause), "lost");
		say(a, "Its process was lost with the keeper that ran it.");
		job_save(a, NULL, NULL);
	}
}

void node_jobs_taken_up(struct node_jobs *t)
{
	jobs_each(t->jobs, end_unseen, t);
	on_look(t);
}

/* --- what others ask --- */

void node_jobs_put_row(struct node_jobs *t, const char *process, struct buf *out)
{
	const struct job_activity *a = jobs_by_process(t->jobs, process);
	if (!a)
		return;
	jtext_text(out, "user", a->job->owner);
	jtext_text(out, "project", a->job->project);
	jtext_text(out, "taskId", a->job->task);
	jtext_text(out, "jobId", a->job->id);
	jtext_text(out, "activityId", a->id);
	jtext_text(out, "recipeType", a->kind);
}

const char *node_jobs_owner(struct node_jobs *t, const char *process)
{
	const struct job_activity *a = jobs_by_process(t->jobs, process);
	return a ? a->job->owner : NULL;
}

const char *node_jobs_ticket(struct node_jobs *t, const char *ticket)
{
	char process[JOB_PROCESS_MAX];
	if (!node_spawn_read_ticket(t->node, ticket, process))
		return NULL;
	const struct job_activity *a = jobs_by_process(t->jobs, process);
	return a && a->is_alive ? a->job->owner : NULL;
}

/* --- set-up --- */

struct node_jobs *node_jobs_new(struct node *n, struct err *err)
{
	struct node_jobs *t = calloc(1, sizeof(*t));
	if (!t) {
		err_set(err, "unable to load the jobs: no memory");
		return NULL;
	}
	t->node = n;
	list_init(&t->waits);
	list_init(&t->starts);
	t->look = loop_timer_new(n->loop, on_look, t);
	t->news = loop_timer_new(n->loop, job_look_for_news, t);
	t->jobs = t->look && t->news ? jobs_new(n->fleet, err) : NULL;
	if (t->jobs)
		jobs_on_forgotten(t->jobs, on_forgotten, t);
	else
		node_jobs_free(&t);
	return t;
}

void node_jobs_stop(struct node_jobs *t)
{
	t->is_stopped = true;
	job_refuse_waits(t, "the backend is ending");
}

void node_jobs_free(struct node_jobs **tp)
{
	struct node_jobs *t = *tp;
	if (!t)
		return;
	loop_timer_free(&t->look);
	loop_timer_free(&t->news);
	job_place_forget_starts(t);
	jobs_free(&t->jobs);
	free(t);
	*tp = NULL;
}

struct jobs *node_jobs_table(struct node_jobs *t)
{
	return t->jobs;
}
