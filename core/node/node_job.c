#include "node/node_job.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/die.h"
#include "fleet/jtext.h"
#include "net/digest.h"
#include "net/json.h"
#include "node/node_orders.h"
#include "sys/clock.h"
#include "sys/home.h"

#define WAIT_MAX_S   60
#define GRACE_MS     3000 /* a recipe's, from TERM to the end of its box */
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"
#define BOX_MAX      255
#define LOOK_MS      500 /* at recipes that may run for a limited time */

struct node_jobs {
	struct node *node;
	struct jobs *jobs;
	struct list waits; /* struct wait.link */
	struct loop_timer *look;
	bool is_stopped;
};

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

static void answer_waits(struct node_jobs *t, const char *process)
{
	list_each (&t->waits, l) {
		struct wait *w = list_of(l, struct wait, link);
		if (strcmp(w->process, process) == 0)
			answer_wait(w);
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

/* --- ends --- */

static void say(struct job_activity *a, const char *text)
{
	free(a->message);
	a->message = text && *text ? strdup(text) : NULL;
}

static const char *recipe_of(const struct job_activity *a)
{
	const char *recipe = json_string_value(json_object_get(a->spec, "recipe"));
	return recipe ? recipe : a->id;
}

/* What its owner reads. */
static void tell_why(struct job_activity *a, const struct judge_end *end)
{
	char text[1400], peak[48], limit[48];
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
			 recipe_of(a), peak, end->limit_owner[0] ? end->limit_owner : "its box",
			 text_print_size(end->limit_bytes, limit, sizeof(limit)), end->victim_of[0] ? "; largest there: " : "",
			 end->victim_of, peak);
	else if (a->code > 0)
		snprintf(text, sizeof(text),
			 "Recipe \"%s\" ended with status %d%s. Its last lines stand in the job's log. Peak %s.", recipe_of(a),
			 a->code,
			 strcmp(a->cause, "limit_threads") == 0 ? " after it had reached its limit of processes and threads" : "",
			 peak);
	else
		snprintf(text, sizeof(text), "Recipe \"%s\" was ended (%s): %s. Peak %s.", recipe_of(a), a->cause,
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
	char process[JOB_PROCESS_MAX];
	memcpy(process, a->process, sizeof(process));
	snprintf(a->cause, sizeof(a->cause), "%s", end->cause[0] ? end->cause : "unknown");
	a->code = end->code;
	a->signal = end->signal;
	a->peak_bytes = end->peak_bytes;
	a->is_alive = false;
	a->ended_ms = clock_wall_ms();
	a->state = a->code == 0 && strcmp(a->cause, "exited") == 0 ? JOB_DONE : is_stop(a->cause) ? JOB_ABORTED : JOB_FAILED;
	tell_why(a, end);
	if (job_save(a, fn, data) < 0) {
		/* Not acknowledged: the next backend hears it again. */
		log_error("unable to save the end of %s: the store takes nothing now", process);
	}
	answer_waits(t, process);
	jobs_tidy(t->jobs, a->job);
}

bool node_jobs_ended(struct node_jobs *t, const struct judge_end *end, store_done_fn *fn, void *data)
{
	struct job_activity *a = jobs_by_process(t->jobs, end->id);
	if (!a || !a->is_alive)
		return false;
	end_activity(t, a, end, fn, data);
	return true;
}

/* There is no such process, and there will be none. */
static void end_unborn(struct node_jobs *t, struct job_activity *a, const char *cause, const char *text)
{
	struct judge_end end = { .code = -1, .signal = -1, .peak_bytes = -1, .limit_bytes = -1 };
	snprintf(end.cause, sizeof(end.cause), "%s", cause);
	snprintf(end.text, sizeof(end.text), "%s", text);
	end_activity(t, a, &end, NULL, NULL);
}

/* --- the spawn order --- */

static void put_env(struct buf *b, const char *name, const char *value)
{
	char line[4400];
	int n = snprintf(line, sizeof(line), "%s=%s", name, value);
	if (n > 0 && (size_t)n < sizeof(line))
		wire_text(b, WF_env, line);
}

static int make_ticket(const struct node *n, const char *process, char out[JOB_TICKET_MAX])
{
	char text[JOB_PROCESS_MAX + 16], hex[DIGEST_HEX_SIZE];
	snprintf(text, sizeof(text), "ticket:%s", process);
	digest_hmac_sha256_hex(n->key, n->key_len, text, strlen(text), hex);
	return snprintf(out, JOB_TICKET_MAX, "%s.%s", process, hex);
}

/* Ours come last: a recipe cannot say that it is somebody else's. */
static void put_environment(const struct node *n, const struct job_activity *a, struct buf *b)
{
	static const char *const defaults[][2] = {
		{ "PATH", PATH_DEFAULT }, { "LANG", "C.UTF-8" }, { "TMPDIR", "/tmp" }, { "PYTHONUNBUFFERED", "1" }
	};
	char ticket[JOB_TICKET_MAX], port[16];
	const char *name, *cwd = json_string_value(json_object_get(a->spec, "cwd"));
	json_t *value, *env = json_object_get(a->spec, "env");
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		if (!json_object_get(env, defaults[i][0]))
			put_env(b, defaults[i][0], defaults[i][1]);
	if (!json_object_get(env, "HOME"))
		put_env(b, "HOME", cwd ? cwd : "/");
	json_object_foreach(env, name, value) if (json_is_string(value) && strncmp(name, "DKU_", 4) != 0 &&
						  strncmp(name, "DSS_", 4) != 0 && strchr(name, '=') == NULL)
		put_env(b, name, json_string_value(value));
	make_ticket(n, a->process, ticket);
	snprintf(port, sizeof(port), "%d", n->page_port);
	put_env(b, "DKU_CURRENT_PROJECT_KEY", a->job->project);
	put_env(b, "DKU_API_TICKET", ticket);
	put_env(b, "DKU_BACKEND_PROTOCOL", "http");
	put_env(b, "DKU_BACKEND_HOST", "127.0.0.1");
	put_env(b, "DKU_BACKEND_PORT", port);
	char url[64];
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", n->page_port);
	put_env(b, "DSS_BACKEND_URL", url);
	put_env(b, "DSS_JOB_ID", a->job->id);
	put_env(b, "DSS_ACTIVITY_ID", a->id);
	put_env(b, "DSS_RECIPE", recipe_of(a));
	wire_text(b, WF_mask, ticket);
	wire_text(b, WF_mask, strchr(ticket, '.') + 1);
	explicit_bzero(ticket, sizeof(ticket));
}

static void put_limit(struct buf *b, const json_t *limits, const char *key, const char *knob, double scale)
{
	char text[64];
	double v = json_number_value(json_object_get(limits, key));
	if (v <= 0 && !(json_is_number(json_object_get(limits, key)) && strcmp(knob, "swap") == 0))
		return;
	snprintf(text, sizeof(text), "%s=%lld", knob, (long long)(v * scale));
	wire_text(b, WF_limit, text);
}

static void put_limits(const struct job_activity *a, struct buf *b)
{
	const json_t *limits = json_object_get(a->spec, "limits");
	put_limit(b, limits, "memory_bytes", "memory", 1);
	if (json_object_get(limits, "swap_bytes"))
		put_limit(b, limits, "swap_bytes", "swap", 1);
	else if (json_object_get(limits, "memory_bytes"))
		wire_text(b, WF_limit, "swap=0");
	put_limit(b, limits, "threads", "pids", 1);
	put_limit(b, limits, "cpu", "cpu", 1000);
}

/* Its output passes one of ours first, which tells the streams apart, puts the time before each line, and makes the folders of what is built. */
static void put_argv(const struct job_activity *a, struct buf *b)
{
	char program[4096], folder[JOB_NAME_MAX + 16];
	size_t i;
	json_t *v;
	if (home_program("dss-logger", program, sizeof(program)) == 0 && access(program, X_OK) == 0) {
		wire_text(b, WF_argv, program);
		wire_text(b, WF_argv, "stamp");
		wire_text(b, WF_argv, "--name");
		wire_text(b, WF_argv, a->id);
		json_array_foreach(json_object_get(a->spec, "outputs"), i, v)
		{
			snprintf(folder, sizeof(folder), "data/%s", json_string_value(v) ? json_string_value(v) : "");
			wire_text(b, WF_argv, "--folder");
			wire_text(b, WF_argv, folder);
		}
		wire_text(b, WF_argv, "--");
	}
	json_array_foreach(json_object_get(a->spec, "argv"), i, v) if (json_is_string(v))
		wire_text(b, WF_argv, json_string_value(v));
}

static void put_label(const struct job_activity *a, struct buf *b)
{
	struct buf label;
	buf_init(&label, WIRE_LABEL_MAX);
	buf_putc(&label, '{');
	jtext_text(&label, "kind", "recipe");
	jtext_text(&label, "task", a->job->task);
	jtext_text(&label, "project", a->job->project);
	jtext_text(&label, "job", a->job->id);
	jtext_text(&label, "activity", a->id);
	jtext_text(&label, "owner", a->job->owner);
	buf_putc(&label, '}');
	if (!label.failed)
		wire_text(b, WF_label, label.data);
	buf_fini(&label);
}

/* Above the activity: what all of the job may take together. */
static void limit_job(struct node *n, const struct job_activity *a)
{
	static const struct {
		const char *key, *knob;
		double scale;
	} knobs[] = { { "memory_bytes", "memory", 1 }, { "threads", "pids", 1 }, { "cpu", "cpu", 1000 } };
	const json_t *limits = json_object_get(a->job->plan, "limits");
	char box[3 * JOB_NAME_MAX];
	snprintf(box, sizeof(box), "run/jobs/%s/%s", a->job->project, a->job->id);
	for (size_t i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++) {
		double v = json_number_value(json_object_get(limits, knobs[i].key));
		struct err err = { 0 };
		if (v <= 0)
			continue;
		struct buf *b = node_keeper_begin(n->keeper, WIRE_limit);
		wire_text(b, WF_box, box);
		wire_text(b, WF_knob, knobs[i].knob);
		wire_int(b, WF_value, (int64_t)(v * knobs[i].scale));
		if (node_keeper_end(n->keeper, NULL, NULL, &err) < 0)
			log_warn("unable to limit %s: %s", box, err.text);
	}
}

static void on_spawned(void *data, const struct wire_view *msg)
{
	struct wait *w = data;
	struct node_jobs *t = w->in;
	struct job_activity *a = jobs_by_process(t->jobs, w->process);
	w->is_held = false;
	die_at("activity_answered");
	if (a && a->is_alive && msg->type != WIRE_fail)
		limit_job(t->node, a);
	if (a && a->is_alive && msg->type == WIRE_fail)
		end_unborn(t, a, "start_failed", wire_get_text(msg, WF_text)); /* answers w as well */
	else
		answer_wait(w);
}

static int spawn(struct node_jobs *t, struct job_activity *a, struct wait *w, struct err *err)
{
	struct node *n = t->node;
	const struct future *f = fleet_live(n->fleet, a->job->task);
	const char *cwd = json_string_value(json_object_get(a->spec, "cwd"));
	char text[4 * JOB_NAME_MAX];
	if (!n->keeper)
		return err_set(err, "there is no keeper to order it");
	int len = snprintf(text, sizeof(text), "run/jobs/%s/%s/%s", a->job->project, a->job->id, a->id);
	if (len < 0 || len > BOX_MAX)
		return err_set(err, "the names of project, job and activity are too long for a box");
	struct buf *b = node_keeper_begin(n->keeper, WIRE_spawn);
	wire_text(b, WF_id, a->process);
	wire_text(b, WF_kind, "recipe");
	wire_text(b, WF_box, text);
	put_argv(a, b);
	put_environment(n, a, b);
	wire_text(b, WF_cwd, cwd ? cwd : "/");
	if (n->run_user[0] && strcmp(n->facts.isolation, "none") != 0)
		wire_text(b, WF_user, n->run_user);
	snprintf(text, sizeof(text), "job:%s:%s", a->job->project, a->job->id);
	wire_text(b, WF_sink, text);
	wire_text(b, WF_ready, "exec");
	if (f && f->on)
		wire_text(b, WF_parent, f->on->id);
	wire_int(b, WF_stop_signal, SIGTERM);
	wire_int(b, WF_grace_ms, GRACE_MS);
	put_limits(a, b);
	put_label(a, b);
	return node_keeper_end(n->keeper, on_spawned, w, err);
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
		end_unborn(t, a, "policy", "its job has ended before it was started");
	} else if (spawn(t, a, w, &err) < 0) {
		end_unborn(t, a, "start_failed", err.text);
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
		loop_timer_start(t->look, LOOK_MS);
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

static void stop_process(struct node_jobs *t, const struct job_activity *a, const char *cause, const char *text)
{
	struct err err = { 0 };
	if (node_orders_stop(t->node, a->process, cause, text, GRACE_MS, &err) < 0)
		log_error("unable to stop %s: %s", a->process, err.text);
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
	stop_process(t, a, cause, text);
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
		const struct job_activity *a = &job->activities[i];
		int64_t most = (int64_t)json_integer_value(json_object_get(a->spec, "timeoutMs"));
		if (!a->is_alive || most <= 0)
			continue;
		l->has_more = true;
		if (l->now_ms - a->started_ms < most)
			continue;
		snprintf(text, sizeof(text), "it ran longer than its timeout of %s", text_print_duration(most, time, sizeof(time)));
		stop_process(l->t, a, "deadline", text);
	}
}

static void on_look(void *data)
{
	struct looking l = { .t = data, .now_ms = clock_wall_ms() };
	jobs_each(l.t->jobs, look_at_job, &l);
	if (l.has_more)
		loop_timer_start(l.t->look, LOOK_MS);
}

/* --- the job's own life --- */

void node_jobs_open(struct node_jobs *t, const char *task)
{
	jobs_of(t->jobs, task);
}

void node_jobs_told(struct node_jobs *t, const char *task, const json_t *state)
{
	struct job *job = jobs_of(t->jobs, task);
	if (job)
		job_take_words(job, state);
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
	if (f->state == FUTURE_ABORTED && f->abort_cause[0]) {
		snprintf(text, sizeof(text), "its job was aborted by %.200s", f->abort_by ? f->abort_by : f->abort_cause);
		cause = f->abort_cause;
	}
	for (size_t i = 0; i < job->n; i++)
		if (job->activities[i].is_alive)
			stop_process(t, &job->activities[i], cause, text);
	jobs_tidy(t->jobs, job);
}

/* --- taking up --- */

void node_jobs_take_row(struct node_jobs *t, const char *id, const char *label, bool is_alive)
{
	struct err err = { 0 };
	struct job_activity *a = jobs_by_process(t->jobs, id);
	(void)label;
	if (a) {
		a->node = t; /* seen */
		log_info("took up %s: activity %s of job %s", id, a->id, a->job->id);
	} else if (is_alive) { /* of a job that is over */
		log_warn("%s: its job is over; it is stopped", id);
		if (node_orders_stop(t->node, id, "policy", "its job is over", GRACE_MS, &err) < 0)
			log_error("unable to stop %s: %s", id, err.text);
	}
}

static void end_unseen(void *data, struct job *job)
{
	struct node_jobs *t = data;
	for (size_t i = 0; i < job->n; i++) {
		struct job_activity *a = &job->activities[i];
		bool was_seen = a->node != NULL;
		a->node = NULL;
		if (!a->is_alive || was_seen)
			continue;
		const struct future *f = fleet_live(t->node->fleet, job->task);
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

const char *node_jobs_ticket(struct node_jobs *t, const char *ticket)
{
	char process[JOB_PROCESS_MAX], right[JOB_TICKET_MAX];
	const char *dot = strrchr(ticket, '.');
	if (!dot || (size_t)(dot - ticket) >= sizeof(process))
		return NULL;
	memcpy(process, ticket, (size_t)(dot - ticket));
	process[dot - ticket] = 0;
	const struct job_activity *a = jobs_by_process(t->jobs, process);
	if (!a || !a->is_alive || make_ticket(t->node, process, right) < 0 || strlen(right) != strlen(ticket) ||
	    !text_is_same_secret(right, ticket, strlen(right)))
		return NULL;
	return a->job->owner;
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
	t->look = loop_timer_new(n->loop, on_look, t);
	t->jobs = t->look ? jobs_new(n->fleet, err) : NULL;
	if (!t->jobs)
		node_jobs_free(&t);
	return t;
}

void node_jobs_stop(struct node_jobs *t)
{
	t->is_stopped = true;
	list_each (&t->waits, l) {
		struct wait *w = list_of(l, struct wait, link);
		struct gate_request *req = w->req;
		wait_free(w);
		if (req)
			reply_text(req, 503, "the backend is ending");
	}
}

void node_jobs_free(struct node_jobs **tp)
{
	struct node_jobs *t = *tp;
	if (!t)
		return;
	loop_timer_free(&t->look);
	jobs_free(&t->jobs);
	free(t);
	*tp = NULL;
}

struct jobs *node_jobs_table(struct node_jobs *t)
{
	return t->jobs;
}
