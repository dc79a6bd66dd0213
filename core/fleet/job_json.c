/* job_json: jobs as the public API's clients read them. */
#include <string.h>

#include "fleet/guest.h"
#include "fleet/job.h"
#include "fleet/jtext.h"
#include "net/json.h"
#include "sys/clock.h"

enum job_state job_view_state(const struct job_view *v)
{
	if (v->is_ending) /* nobody is told of an end while a process of it lives */
		return JOB_RUNNING;
	switch (v->state) {
	case FUTURE_QUEUED:
		return JOB_WAITING;
	case FUTURE_DONE:
		return JOB_DONE;
	case FUTURE_ABORTED:
		return JOB_ABORTED;
	case FUTURE_FAILED:
	case FUTURE_KILLED:
		return JOB_FAILED;
	default:
		return JOB_RUNNING;
	}
}

static bool is_stable(enum job_state s)
{
	return s == JOB_DONE || s == JOB_FAILED || s == JOB_ABORTED;
}

static void put_def(const json_t *def, const struct job_view *v, struct buf *out)
{
	jtext_member(out, "def");
	if (def) {
		json_put(out, def);
		return;
	}
	buf_putc(out, '{');
	jtext_text(out, "id", v->id);
	jtext_text(out, "name", v->id);
	jtext_text(out, "projectKey", v->project);
	jtext_text(out, "initiator", v->owner);
	jtext_int(out, "initiationTimestamp", v->created_ms);
	buf_putc(out, '}');
}

static void put_times(const struct job_view *v, enum job_state s, struct buf *out)
{
	int64_t end = is_stable(s) ? v->ended_ms : 0;
	jtext_int(out, "startTime", v->started_ms);
	jtext_int(out, "endTime", end);
}

bool job_standstill(const struct job *job, char *out, size_t room)
{
	char why[800];
	int position = 0;
	out[0] = '\0';
	for (size_t i = 0; i < job->n; i++) {
		const struct job_activity *a = &job->activities[i];
		if (a->state == JOB_RUNNING)
			return false;
		if (a->state == JOB_WAITING && !guest_why(a->guest, why, sizeof(why), &position))
			return false; /* it has its place, and is being started */
		if (a->state == JOB_WAITING && !out[0])
			snprintf(out, room, "%.150s waits, position %d: %.600s", a->id, position, why);
	}
	return out[0] != '\0';
}

static void put_reason(const struct job *job, struct buf *out)
{
	char why[800];
	if (job_standstill(job, why, sizeof(why)))
		jtext_text(out, "reason", why);
}

/* What became of one that did not end well, in a list. */
static void put_end(const struct job_view *v, struct buf *out)
{
	json_t *e = v->error ? json_parse_object(v->error, strlen(v->error), NULL) : NULL;
	jtext_some_text(out, "errorMessage", json_string_value(json_object_get(e, "message")));
	json_decref(e);
}

int job_item_json(const json_t *def, const struct job *live, const struct job_view *v, struct buf *out)
{
	enum job_state s = job_view_state(v);
	buf_putc(out, '{');
	put_def(def, v, out);
	jtext_text(out, "state", job_state_name(s));
	jtext_bool(out, "stableState", is_stable(s));
	put_times(v, s, out);
	jtext_int(out, "warningsCount", 0);
	jtext_text(out, "jobId", v->id);
	jtext_text(out, "taskId", v->task);
	if (live && s == JOB_RUNNING)
		put_reason(live, out);
	if (s == JOB_FAILED || s == JOB_ABORTED)
		put_end(v, out);
	buf_putc(out, '}');
	return out->failed ? -1 : 0;
}

/* --- activities --- */

static void put_message(const struct job_activity *a, struct buf *out)
{
	bool is_bad = a->state == JOB_FAILED;
	jtext_member(out, "messages");
	buf_puts(out, "{\"messages\":[");
	if (a->message) {
		buf_putc(out, '{');
		jtext_text(out, "severity", is_bad ? "ERROR" : "INFO");
		jtext_text(out, "title", is_bad ? "The activity failed" : "The activity ended");
		jtext_text(out, "message", a->message);
		buf_putc(out, '}');
	}
	buf_puts(out, "]}");
	jtext_member(out, "warnings");
	buf_puts(out, "{\"totalCount\":0}");
	if (is_bad) {
		jtext_member(out, "firstFailure");
		buf_putc(out, '{');
		jtext_text(out, "message", a->message ? a->message : "The activity failed.");
		buf_putc(out, '}');
	}
}

/* Why it has not begun, though all that it needs is there. */
static void put_wait(const struct job_activity *a, struct buf *out)
{
	char why[800];
	int position = 0;
	if (a->state != JOB_WAITING || !guest_why(a->guest, why, sizeof(why), &position))
		return;
	jtext_text(out, "reason", why);
	jtext_int(out, "position", position);
}

/* A list of the plan's, as it stands there. */
static void put_of(const json_t *plan, const char *name, struct buf *out)
{
	const json_t *list = json_object_get(plan, name);
	if (json_array_size(list) == 0)
		return;
	jtext_member(out, name);
	json_put(out, list);
}

static void put_activity(const struct job_activity *a, const struct job_view *v, int order, struct buf *out)
{
	const char *recipe = json_string_value(json_object_get(a->spec, "recipe")),
		   *why = json_string_value(json_object_get(a->spec, "why"));
	int64_t now = clock_wall_ms(), until = a->ended_ms ? a->ended_ms : now;
	int64_t running = a->started_ms ? until - a->started_ms : 0,
		waiting = a->started_ms && v->started_ms ? a->started_ms - v->started_ms : 0;
	jtext_member(out, a->id);
	buf_putc(out, '{');
	jtext_text(out, "activityId", a->id);
	jtext_text(out, "activityType", "RECIPE");
	jtext_text(out, "recipeName", recipe ? recipe : a->id);
	jtext_text(out, "recipeType", a->kind);
	jtext_text(out, "state", job_state_name(a->state));
	jtext_int(out, "startTime", a->started_ms);
	jtext_int(out, "endTime", a->ended_ms);
	jtext_int(out, "totalTime", running + (waiting > 0 ? waiting : 0));
	jtext_int(out, "preparingTime", 0);
	jtext_int(out, "waitingTime", waiting > 0 ? waiting : 0);
	jtext_int(out, "runningTime", running);
	jtext_int(out, "partialExecutionOrder", order);
	put_message(a, out);
	put_wait(a, out);
	jtext_some_text(out, "why", why);
	put_of(a->spec, "after", out);
	jtext_some_text(out, "processId", a->process);
	jtext_some_text(out, "cause", a->cause);
	jtext_some_int(out, "exitCode", a->code);
	jtext_some_int(out, "signal", a->signal);
	jtext_some_int(out, "peakBytes", a->peak_bytes);
	buf_putc(out, '}');
}

static void put_failure(const struct job_view *v, const char *message, struct buf *out)
{
	const char *type = NULL, *stack = NULL;
	json_t *e = v->error ? json_parse_object(v->error, strlen(v->error), NULL) : NULL;
	type = json_string_value(json_object_get(e, "errorType"));
	stack = json_string_value(json_object_get(e, "stackTraceStr"));
	jtext_member(out, "unexpectedFailure");
	buf_putc(out, '{');
	jtext_text(out, "errorType", type ? type : "DSS.JobFailed");
	jtext_text(out, "message", message);
	jtext_text(out, "detailedMessage", message);
	jtext_some_text(out, "stackTraceStr", stack);
	jtext_some_text(out, "cause", v->cause);
	buf_putc(out, '}');
	json_decref(e);
}

static void put_base(const struct job *job, const struct job_view *v, enum job_state s, const char *message, struct buf *out)
{
	jtext_member(out, "baseStatus");
	buf_putc(out, '{');
	put_def(json_object_get(job->plan, "def"), v, out);
	jtext_text(out, "state", job_state_name(s));
	jtext_bool(out, "stableState", is_stable(s));
	jtext_int(out, "jobStartTime", v->started_ms);
	jtext_int(out, "jobEndTime", is_stable(s) ? v->ended_ms : 0);
	put_times(v, s, out);
	jtext_some_text(out, "kernelId", v->kernel);
	if (v->kernel_pid > 0)
		jtext_int(out, "kernelPid", v->kernel_pid);
	jtext_text(out, "taskId", v->task);
	jtext_some_text(out, "reason", v->reason);
	jtext_member(out, "activities");
	buf_putc(out, '{');
	for (size_t i = 0; i < job->n; i++)
		put_activity(&job->activities[i], v, (int)i + 1, out);
	buf_putc(out, '}');
	put_of(job->plan, "skipped", out);
	if (s == JOB_FAILED)
		put_failure(v, message, out);
	buf_putc(out, '}');
}

static void put_counts(const struct job *job, struct buf *out)
{
	static const struct {
		const char *name;
		enum job_state state;
	} counts[] = { { "done", JOB_DONE },
		       { "failed", JOB_FAILED },
		       { "running", JOB_RUNNING },
		       { "aborted", JOB_ABORTED },
		       { "skipped", JOB_SKIPPED } };
	jtext_member(out, "globalState");
	buf_putc(out, '{');
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		int64_t n = 0;
		for (size_t i = 0; i < job->n; i++)
			n += job->activities[i].state == counts[c].state;
		jtext_int(out, counts[c].name, n);
	}
	jtext_int(out, "total", (int64_t)job->n);
	buf_putc(out, '}');
}

int job_status_json(const struct job *job, const struct job_view *v, struct buf *out)
{
	enum job_state s = job_view_state(v);
	json_t *e = v->error ? json_parse_object(v->error, strlen(v->error), NULL) : NULL;
	const char *message = json_string_value(json_object_get(e, "message"));
	for (size_t i = 0; i < job->n && !message && s == JOB_FAILED; i++)
		if (job->activities[i].state == JOB_FAILED)
			message = job->activities[i].message;
	buf_putc(out, '{');
	put_base(job, v, s, message ? message : "The job failed.", out);
	put_counts(job, out);
	if (s == JOB_FAILED || s == JOB_ABORTED)
		jtext_text(out, "errorMessage", message ? message : "");
	jtext_member(out, "initiator");
	buf_putc(out, '{');
	jtext_text(out, "login", v->owner);
	buf_putc(out, '}');
	buf_putc(out, '}');
	json_decref(e);
	return out->failed ? -1 : 0;
}
