/* node_job_request: /kernel/v1/processes: who asks, what is answered now and what later. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fleet/die.h"
#include "fleet/guest.h"
#include "fleet/jtext.h"
#include "net/json.h"
#include "node/node_job_inner.h"

#define WAIT_MAX_S  60
#define PATIENCE_MS 100  /* a place that is there so soon was never waited for */
#define NEWS_MS     1000 /* between two looks for another reason or position */

/* A request that waits for a place, or for an end. */
struct wait {
	struct list link;
	struct node_jobs *in;
	const struct job_activity *of; /* lives as long as the wait: see job_tidy */
	struct gate_request *req;
	struct loop_timer *timer;
	char why[256]; /* when it began; "" = it was no wait for a place */
	int position;
};

/* --- who asks --- */

static void reply_text(struct gate_request *req, int status, const char *text)
{
	gate_reply_error(req, status, NULL, "%s", text);
}

struct asking {
	const struct node *node;
	const char *token;
	struct job *found;
};

static void look_for_kernel(void *data, struct job *job)
{
	struct asking *a = data;
	char token[KERNEL_TOKEN_MAX];
	const struct future *f = fleet_live(a->node->fleet, job->task);
	if (a->found || !f || !f->on || kernel_token(a->node->key, a->node->key_len, f->on->id, token) < 0)
		return;
	if (strlen(a->token) == strlen(token) && text_is_same_secret(a->token, token, strlen(token)))
		a->found = job;
}

/* The job of the kernel whose token that is; NULL: answered. */
static struct job *job_of(struct node_jobs *t, struct gate_request *req)
{
	const char *given = http_field(req->http, "authorization");
	struct asking a = { .node = t->node };
	if (!given || strncasecmp(given, "Bearer ", 7) != 0) {
		reply_text(req, 401, "a kernel's token is required");
		return NULL;
	}
	if (!t->node->facts.is_taken_up || t->is_stopped) {
		gate_set_field(req, "Retry-After", "1");
		reply_text(req, 503, "the backend is starting");
		return NULL;
	}
	a.token = given + 7;
	jobs_each(t->jobs, look_for_kernel, &a);
	if (!a.found)
		reply_text(req, 404, "no job is at work in that kernel");
	return a.found;
}

/* --- answers about a process --- */

/* Of a java recipe there is no process: only its place is told. */
static const char *state_of(const struct job_activity *a)
{
	if (a->is_alive)
		return "running";
	if (guest_is_waiting(a->guest))
		return "waiting";
	return a->guest ? "placed" : "exited";
}

static void reply_state(struct gate_request *req, const struct job_activity *a)
{
	struct buf out;
	char why[800];
	int position = 0;
	buf_init(&out, 8192);
	buf_putc(&out, '{');
	jtext_some_text(&out, "processId", a->process);
	jtext_text(&out, "state", state_of(a));
	jtext_some_int(&out, "startTime", a->started_ms > 0 ? a->started_ms : -1);
	if (guest_why(a->guest, why, sizeof(why), &position)) {
		jtext_text(&out, "reason", why);
		jtext_int(&out, "position", position);
	} else if (!a->is_alive && !a->guest) {
		jtext_text(&out, "cause", a->cause);
		jtext_some_int(&out, "code", a->code);
		jtext_some_int(&out, "signal", a->signal);
		jtext_some_int(&out, "peakBytes", a->peak_bytes);
		jtext_some_text(&out, "message", a->message);
	}
	buf_putc(&out, '}');
	gate_reply_json(req, 200, out.data, out.len);
	buf_fini(&out);
}

/* --- requests that wait --- */

static struct gate_request *wait_end(struct wait *w)
{
	struct gate_request *req = w->req;
	list_remove(&w->link);
	loop_timer_free(&w->timer);
	free(w);
	return req;
}

static void answer_wait(struct wait *w)
{
	const struct job_activity *a = w->of;
	reply_state(wait_end(w), a);
}

static void on_wait_over(void *data)
{
	struct wait *w = data;
	if (job_place_is_starting(w->in, w->of)) /* its row may not get to the disk: then it never was */
		loop_timer_start(w->timer, WAIT_MAX_S * 1000);
	else
		answer_wait(w);
}

void job_answer_waits(struct node_jobs *t, const struct job_activity *a)
{
	list_each (&t->waits, l) {
		struct wait *w = list_of(l, struct wait, link);
		if (w->of == a)
			answer_wait(w);
	}
}

static void refuse_wait(struct wait *w, const char *text)
{
	struct gate_request *req = wait_end(w);
	gate_set_field(req, "Retry-After", "2");
	reply_text(req, 503, text);
}

void job_refuse_activity(struct node_jobs *t, const struct job_activity *a, const char *text)
{
	list_each (&t->waits, l) {
		struct wait *w = list_of(l, struct wait, link);
		if (w->of == a)
			refuse_wait(w, text);
	}
}

void job_refuse_waits(struct node_jobs *t, const char *text)
{
	list_each (&t->waits, l)
		refuse_wait(list_of(l, struct wait, link), text);
}

/* Numbers of bytes and tasks change all the time: that alone is no news. */
static bool is_same_reason(const char *a, const char *b)
{
	for (;; a++, b++) {
		a += strspn(a, "0123456789.");
		b += strspn(b, "0123456789.");
		if (*a != *b || !*a)
			return *a == *b;
	}
}

void job_look_for_news(void *data)
{
	struct node_jobs *t = data;
	bool is_any = false;
	char why[256];
	int position;
	list_each (&t->waits, l) {
		struct wait *w = list_of(l, struct wait, link);
		if (!w->why[0] || !guest_why(w->of->guest, why, sizeof(why), &position))
			continue;
		if (position != w->position || !is_same_reason(why, w->why))
			answer_wait(w);
		else
			is_any = true;
	}
	if (is_any)
		loop_timer_start(t->news, NEWS_MS);
}

static void wait_for(struct node_jobs *t, const struct job_activity *a, struct gate_request *req, int64_t ms)
{
	struct wait *w = calloc(1, sizeof(*w));
	if (w)
		w->timer = loop_timer_new(t->node->loop, on_wait_over, w);
	if (!w || !w->timer) {
		free(w);
		reply_state(req, a);
		return;
	}
	list_init(&w->link);
	w->in = t;
	w->of = a;
	w->req = req;
	list_push(&t->waits, &w->link);
	loop_timer_start(w->timer, ms < WAIT_MAX_S * 1000 ? ms : WAIT_MAX_S * 1000);
	/* Of one that has just asked the first look tells first. */
	if (ms > PATIENCE_MS && guest_why(a->guest, w->why, sizeof(w->why), &w->position) && !loop_timer_is_running(t->news))
		loop_timer_start(t->news, NEWS_MS);
}

/* --- requests --- */

/* Says why not, and answers. */
static bool is_refused(const struct node_jobs *t, const struct job *job, const struct job_activity *a, struct gate_request *req)
{
	const struct future *f = fleet_live(t->node->fleet, job->task);
	const char *why = job->is_over                            ? "the job has ended"
			  : f && f->abort_cause[0]                ? "the job is being aborted"
			  : a->request[0] || a->state >= JOB_DONE ? "that activity was begun already"
								  : NULL;
	/* A job that is being aborted has not failed: its kernel is told to stop in a moment. */
	if (why)
		reply_text(req, f && f->abort_cause[0] && !job->is_over ? 409 : 400, why);
	return why != NULL;
}

/* A new one, or the same again. patience_s: so long a wait for a place is not told. */
static void ask(struct node_jobs *t, struct job_activity *a, const char *request, int64_t patience_s, struct gate_request *req)
{
	bool is_known = a->request[0] && strcmp(a->request, request) == 0;
	if (!is_known && is_refused(t, a->job, a, req))
		return;
	if (!is_known && job_place_ask(t, a, request) < 0) {
		reply_text(req, 503, "the backend has no memory");
		return;
	}
	die_at("activity_waiting");
	if (is_known && !guest_is_waiting(a->guest) && !job_place_is_starting(t, a))
		reply_state(req, a);
	else
		wait_for(t, a, req, patience_s > 0 ? patience_s * 1000 : PATIENCE_MS);
}

static void on_post(struct node_jobs *t, struct job *job, struct gate_request *req)
{
	const struct http_request *http = req->http;
	const char *request = NULL, *id = NULL, *activity = NULL;
	int64_t patience_s = 0;
	struct err err = { 0 };
	json_t *body = json_parse_object(http->body.data ? http->body.data : "", http->body.len, &err);
	if (!body || json_get_text(body, "requestId", JSON_REQUIRED, &request, &err) < 0 ||
	    json_get_text(body, "jobId", JSON_REQUIRED, &id, &err) < 0 ||
	    json_get_text(body, "activityId", JSON_REQUIRED, &activity, &err) < 0 ||
	    json_get_int(body, "wait", JSON_OPTIONAL, 0, 3600, &patience_s, &err) < 0) {
		reply_text(req, 400, err.text);
		json_decref(body);
		return;
	}
	struct job_activity *a = strcmp(id, job->id) == 0 ? job_activity(job, activity) : NULL;
	if (!text_is_id(request, strlen(request)) || strlen(request) >= JOB_NAME_MAX)
		reply_text(req, 400, "requestId has to be an id");
	else if (!a)
		reply_text(req, 404, "that job or activity does not exist here");
	else
		ask(t, a, request, patience_s, req);
	json_decref(body);
}

static void on_get(struct node_jobs *t, struct job_activity *a, struct gate_request *req)
{
	const char *text = http_query(req->http, "wait"), *seen = http_query(req->http, "seen");
	int64_t wait = 0;
	if (text && text_int(text, 0, 3600, &wait, NULL) < 0) {
		reply_text(req, 400, "wait has to be a number of seconds");
		return;
	}
	bool is_open = a->is_alive || guest_is_waiting(a->guest);
	if (job_place_is_starting(t, a))
		wait_for(t, a, req, WAIT_MAX_S * 1000);
	else if (!is_open || wait == 0 || (seen && *seen && strcmp(seen, state_of(a)) != 0))
		reply_state(req, a);
	else
		wait_for(t, a, req, wait * 1000);
}

static void on_delete(struct node_jobs *t, struct job_activity *a, struct gate_request *req)
{
	const struct future *f = fleet_live(t->node->fleet, a->job->task);
	char text[256] = "its kernel has ended it";
	const char *cause = "policy";
	if (f && f->abort_cause[0]) {
		snprintf(text, sizeof(text), "its job was aborted by %.200s", f->abort_by ? f->abort_by : f->abort_cause);
		cause = f->abort_cause;
	}
	if (a->is_alive) {
		job_stop_process(t, a, cause, text);
		gate_reply_json(req, 202, "{}", 2);
		return;
	}
	if (guest_is_waiting(a->guest))
		job_end_unborn(t, a, cause, text);
	gate_reply_json(req, 200, "{}", 2);
}

void node_jobs_handle(struct node_jobs *t, struct gate_request *req)
{
	const struct http_request *http = req->http;
	bool is_one = http->nsegments == 4;
	struct job *job = job_of(t, req);
	if (!job)
		return;
	if (!is_one && strcmp(http->method, "POST") == 0) {
		on_post(t, job, req);
		return;
	}
	struct job_activity *a = is_one ? jobs_by_process(t->jobs, http->segment[3]) : NULL;
	if (!is_one)
		gate_reply_error(req, 405, NULL, "%s takes POST only", http->path);
	else if (!a || a->job != job)
		reply_text(req, 404, "that process does not exist");
	else if (strcmp(http->method, "GET") == 0)
		on_get(t, a, req);
	else if (strcmp(http->method, "DELETE") == 0)
		on_delete(t, a, req);
	else
		gate_reply_error(req, 405, NULL, "%s takes GET and DELETE", http->path);
}
