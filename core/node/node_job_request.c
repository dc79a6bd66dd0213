/* node_job_request: /kernel/v1/processes: who asks, what is answered now and what later. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fleet/die.h"
#include "fleet/jtext.h"
#include "net/digest.h"
#include "net/json.h"
#include "node/node_job_inner.h"
#include "node/node_job_order.h"
#include "sys/clock.h"

#define WAIT_MAX_S 60

/* A GET that waits for an end, or a POST that waits for the row and the keeper. */
struct wait {
	struct list link;
	struct node_jobs *in;
	struct gate_request *req;
	struct loop_timer *timer; /* of a GET */
	bool is_held;             /* a callback will come with it: it is not freed before */
	char process[JOB_PROCESS_MAX];
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

static void reply_state(struct gate_request *req, const struct job_activity *a)
{
	struct buf out;
	buf_init(&out, 8192);
	buf_putc(&out, '{');
	jtext_text(&out, "processId", a->process);
	jtext_text(&out, "state", a->is_alive ? "running" : "exited");
	jtext_some_int(&out, "startTime", a->started_ms);
	if (!a->is_alive) {
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

static void wait_free(struct wait *w)
{
	list_remove(&w->link);
	loop_timer_free(&w->timer);
	free(w);
}

/* Its request is answered with what is known now. */
static void answer_wait(struct wait *w)
{
	const struct job_activity *a = jobs_by_process(w->in->jobs, w->process);
	struct gate_request *req = w->req;
	w->req = NULL;
	if (!w->is_held)
		wait_free(w);
	if (req && a)
		reply_state(req, a);
	else if (req)
		reply_text(req, 404, "that process does not exist");
}

static void on_wait_over(void *data)
{
	answer_wait(data);
}

void job_answer_waits(struct node_jobs *t, const char *process)
{
	list_each (&t->waits, l) {
		struct wait *w = list_of(l, struct wait, link);
		if (strcmp(w->process, process) == 0)
			answer_wait(w);
	}
}

void job_refuse_waits(struct node_jobs *t, const char *text)
{
	list_each (&t->waits, l) {
		struct wait *w = list_of(l, struct wait, link);
		struct gate_request *req = w->req;
		wait_free(w);
		if (req)
			reply_text(req, 503, text);
	}
}

static struct wait *wait_new(struct node_jobs *t, struct gate_request *req, const char *process)
{
	struct wait *w = calloc(1, sizeof(*w));
	if (!w) {
		reply_text(req, 503, "the backend has no memory");
		return NULL;
	}
	list_init(&w->link);
	w->in = t;
	w->req = req;
	snprintf(w->process, sizeof(w->process), "%s", process);
	list_push(&t->waits, &w->link);
	return w;
}

/* --- the spawn order's answer --- */

static void on_spawned(void *data, const struct wire_view *msg)
{
	struct wait *w = data;
	struct node_jobs *t = w->in;
	struct job_activity *a = jobs_by_process(t->jobs, w->process);
	w->is_held = false;
	die_at("activity_answered");
	if (a && a->is_alive && msg->type != WIRE_fail)
		job_order_limit(t->node, a);
	if (a && a->is_alive && msg->type == WIRE_fail)
		job_end_unborn(t, a, "start_failed", wire_get_text(msg, WF_text)); /* answers w as well */
	else
		answer_wait(w);
}

/* The row is on disk, or could not be put there. */
static void on_row_saved(void *data, const struct store_answer *answer)
{
	struct wait *w = data;
	struct node_jobs *t = w->in;
	struct job_activity *a = jobs_by_process(t->jobs, w->process);
	struct err err = { 0 };
	w->is_held = false;
	die_at("activity_committed");
	if (answer->outcome != STORE_OK && a) {
		/* As if never asked for: the kernel asks again. */
		struct gate_request *req = w->req;
		wait_free(w);
		a->state = JOB_NOT_STARTED;
		a->started_ms = 0;
		a->process[0] = a->request[0] = 0;
		a->is_alive = false;
		if (req) {
			gate_set_field(req, "Retry-After", "2");
			reply_text(req, 503, answer->err.text);
		}
		jobs_tidy(t->jobs, a->job);
	} else if (!a || !a->is_alive) {
		answer_wait(w);
	} else if (a->job->is_over) {
		job_end_unborn(t, a, "policy", "its job has ended before it was started");
	} else if (job_order_spawn(t->node, a, on_spawned, w, &err) < 0) {
		job_end_unborn(t, a, "start_failed", err.text);
	} else {
		w->is_held = true;
		die_at("activity_ordered");
	}
}

/* --- requests --- */

static void make_process_id(const struct job *job, const char *request, char out[JOB_PROCESS_MAX])
{
	char hex[DIGEST_HEX_SIZE];
	digest_sha256_hex(request, strlen(request), hex);
	snprintf(out, JOB_PROCESS_MAX, "job-%.20s-%.16s", job->task, hex);
}

static void begin(struct node_jobs *t, struct job_activity *a, const char *request, struct gate_request *req)
{
	char process[JOB_PROCESS_MAX];
	make_process_id(a->job, request, process);
	struct wait *w = wait_new(t, req, process);
	if (!w)
		return;
	memcpy(a->process, process, sizeof(process));
	snprintf(a->request, sizeof(a->request), "%s", request);
	a->state = JOB_RUNNING;
	a->started_ms = clock_wall_ms();
	a->ended_ms = 0;
	a->cause[0] = 0;
	a->is_alive = w->is_held = true;
	if (json_object_get(a->spec, "timeoutMs") && !loop_timer_is_running(t->look))
		loop_timer_start(t->look, JOB_LOOK_MS);
	if (job_save(a, on_row_saved, w) < 0) {
		struct store_answer answer = { .outcome = STORE_FAILED };
		err_set(&answer.err, "the store takes nothing now");
		on_row_saved(w, &answer);
	}
}

static void on_post(struct node_jobs *t, struct job *job, struct gate_request *req)
{
	const struct http_request *http = req->http;
	const char *request = NULL, *id = NULL, *activity = NULL;
	struct err err = { 0 };
	json_t *body = json_parse_object(http->body.data ? http->body.data : "", http->body.len, &err);
	if (!body || json_get_text(body, "requestId", JSON_REQUIRED, &request, &err) < 0 ||
	    json_get_text(body, "jobId", JSON_REQUIRED, &id, &err) < 0 ||
	    json_get_text(body, "activityId", JSON_REQUIRED, &activity, &err) < 0) {
		reply_text(req, 400, err.text);
		json_decref(body);
		return;
	}
	struct job_activity *a = strcmp(id, job->id) == 0 ? job_activity(job, activity) : NULL;
	if (!text_is_id(request, strlen(request)) || strlen(request) >= JOB_NAME_MAX)
		reply_text(req, 400, "requestId has to be an id");
	else if (!a)
		reply_text(req, 404, "that job or activity does not exist here");
	else if (strcmp(a->kind, "java") == 0)
		reply_text(req, 400, "a java activity runs in its kernel: it has no process");
	else if (a->process[0] && strcmp(a->request, request) == 0)
		reply_state(req, a);
	else if (a->process[0] || job->is_over)
		reply_text(req, 400, a->process[0] ? "that activity has a process already" : "the job has ended");
	else
		begin(t, a, request, req);
	json_decref(body);
}

static void on_get(struct node_jobs *t, struct job_activity *a, struct gate_request *req)
{
	const char *text = http_query(req->http, "wait");
	int64_t wait = 0;
	if (text && text_int(text, 0, 3600, &wait, NULL) < 0) {
		reply_text(req, 400, "wait has to be a number of seconds");
		return;
	}
	if (!a->is_alive || wait == 0) {
		reply_state(req, a);
		return;
	}
	struct wait *w = wait_new(t, req, a->process);
	if (!w)
		return;
	w->timer = loop_timer_new(t->node->loop, on_wait_over, w);
	if (w->timer)
		loop_timer_start(w->timer, (wait < WAIT_MAX_S ? wait : WAIT_MAX_S) * 1000);
	else
		answer_wait(w);
}

static void on_delete(struct node_jobs *t, struct job_activity *a, struct gate_request *req)
{
	const struct future *f = fleet_live(t->node->fleet, a->job->task);
	char text[256] = "its kernel has ended it";
	const char *cause = "policy";
	if (!a->is_alive) {
		gate_reply_json(req, 200, "{}", 2);
		return;
	}
	if (f && f->abort_cause[0]) {
		snprintf(text, sizeof(text), "its job was aborted by %.200s", f->abort_by ? f->abort_by : f->abort_cause);
		cause = f->abort_cause;
	}
	job_stop_process(t, a, cause, text);
	gate_reply_json(req, 202, "{}", 2);
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
