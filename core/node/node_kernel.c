#include "node/node_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "fleet/die.h"
#include "fleet/job.h"
#include "fleet/jtext.h"
#include "net/digest.h"
#include "net/json.h"
#include "node/node_gc.h"
#include "node/node_talk.h"
#include "sys/cgroup.h"
#include "sys/clock.h"

#define QUICK_WAIT_S 1
#define UNHURT_MS    50 /* a look at a box's OOM counter counts for so long */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blank(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

/* --- the task's words --- */

/* A python task's modules are looked for in its own folders first, then in the pool's. */
static bool put_path(const struct future *f, const struct pool_spec *spec, struct buf *out)
{
	const char *own = NULL, *begin = f->payload, *end = begin + f->payload_len;
	size_t own_len = 0;
	if (!spec->path || !spec->path[0] || strcmp(f->type, "python") != 0)
		return false;
	bool has_own = node_kernel_raw_member(begin, f->payload_len, "path", &own, &own_len);
	if (has_own && own[0] != '[') /* no list: the kernel says so */
		return false;
	/* Up to `upto` and from `rest` on it goes as it is. */
	const char *upto = has_own ? own + own_len - 1 : memchr(begin, '{', f->payload_len), *rest = has_own ? upto : upto + 1;
	bool is_empty = skip_blank(has_own ? own + 1 : rest, end)[0] == (has_own ? ']' : '}');
	buf_put(out, begin, (size_t)((has_own && is_empty ? own + 1 : upto) - begin));
	buf_puts(out, has_own ? "" : "{\"path\":[");
	for (char **p = spec->path; *p; p++) {
		jtext_next(out);
		jtext_put(out, *p);
	}
	buf_puts(out, has_own ? "" : is_empty ? "]" : "],");
	buf_put(out, rest, (size_t)(end - rest));
	return true;
}

/* The payload goes as the submitter's own bytes. */
static int put_task(const struct kernel *k, const struct future *f, struct buf *out)
{
	buf_putc(out, '{');
	jtext_text(out, "taskId", f->id);
	jtext_int(out, "attempt", f->attempt);
	jtext_text(out, "type", f->type);
	if (f->timeout_ms)
		jtext_int(out, "timeoutMs", f->timeout_ms);
	jtext_member(out, "payload");
	if (f->job)
		job_put_kernel_payload(f, out);
	else if (!put_path(f, k->pool->spec, out))
		buf_put(out, f->payload, f->payload_len);
	buf_putc(out, '}');
	return out->failed ? -1 : 0;
}

/* --- raw members --- */

static const char *skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : end;
}

static const char *skip_value(const char *p, const char *end)
{
	const char *begin = p;
	int depth = 0;
	while (p < end) {
		if (*p == '"') {
			p = skip_string(p, end);
			continue;
		}
		if (depth == 0 && (*p == ',' || *p == '}'))
			break;
		depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
		p++;
	}
	while (p > begin && is_blank(p[-1]))
		p--;
	return p;
}

bool node_kernel_raw_member(const char *json, size_t len, const char *name, const char **at, size_t *n)
{
	const char *end = json + len, *p = skip_blank(json, end);
	size_t name_len = strlen(name);
	if (p >= end || *p != '{')
		return false;
	for (p = skip_blank(p + 1, end); p < end && *p == '"';) {
		const char *key = p + 1;
		p = skip_string(p, end);
		bool is_it = (size_t)(p - 1 - key) == name_len && memcmp(key, name, name_len) == 0;
		p = skip_blank(p, end);
		if (p >= end || *p != ':')
			return false;
		const char *value = skip_blank(p + 1, end);
		p = skip_value(value, end);
		if (is_it) {
			*at = value;
			*n = (size_t)(p - value);
			return true;
		}
		p = skip_blank(p, end);
		if (p < end && *p == ',')
			p = skip_blank(p + 1, end);
	}
	return false;
}

/* --- the end of a task --- */

static void over(struct talk *t)
{
	t->step = TALK_IDLE;
	t->task[0] = 0;
	buf_fini(&t->body);
	buf_init(&t->body, TALK_BODY_MAX);
}

/* cgroup v1 kills one process of a box, not all: a task may outlive its child and tell an end as if its limit had not been hit. The
 * keeper kills such a box; what it says then is the end. */
static bool is_overrun(struct talk *t)
{
	if (t->kills_fd < 0)
		t->kills_fd = cgroup_kills_open(t->box);
	if (t->kills_fd < 0 || cgroup_kills_read(t->kills_fd) <= 0) {
		t->unhurt_mono_ms = t->box[0] ? clock_mono_ms() : 0;
		return false;
	}
	talk_refused(t, "a process of task %s was killed for memory", t->task);
	return true;
}

static void tell_done(struct talk *t, const char *result, size_t len)
{
	char task[FUTURE_ID_MAX];
	if (is_overrun(t))
		return;
	memcpy(task, t->task, sizeof(task));
	int attempt = t->attempt;
	over(t);
	fleet_task_done(t->all->fleet, t->id, task, attempt, result, len);
}

static void tell_failed(struct talk *t, const char *error, size_t len)
{
	char task[FUTURE_ID_MAX];
	if (is_overrun(t))
		return;
	memcpy(task, t->task, sizeof(task));
	int attempt = t->attempt;
	over(t);
	fleet_task_failed(t->all->fleet, t->id, task, attempt, error, len);
}

static void refuse_result(struct talk *t, int64_t bytes)
{
	char error[256], size[32];
	int n = snprintf(error, sizeof(error),
			 "{\"clazz\":\"DSS.ResultTooLarge\",\"message\":\"The result has %s of JSON, the most is 64 MB; write it "
			 "to a file or dataset and return its name.\",\"stack\":\"\"}",
			 text_print_size(bytes, size, sizeof(size)));
	tell_failed(t, error, (size_t)n);
}

static void on_result(struct talk *t, const struct client_answer *a)
{
	struct err err = { 0 };
	if (a->outcome == CLIENT_TOO_LARGE) {
		refuse_result(t, (int64_t)FUTURE_RESULT_MAX + 1);
	} else if (a->outcome != CLIENT_OK) {
		talk_again(t, a);
	} else if (a->status != 200) {
		talk_refused(t, "its result was there, and then answered with status %d", a->status);
	} else if (!json_is_valid(a->body, a->len, &err)) {
		talk_refused(t, "its result is no JSON: %s", err.text);
	} else {
		tell_done(t, a->body, a->len);
	}
}

static void take_done(struct talk *t, const json_t *state, const struct client_answer *a)
{
	const char *raw;
	size_t n;
	int64_t bytes = json_integer_value(json_object_get(state, "resultBytes"));
	if (bytes > FUTURE_RESULT_MAX) {
		refuse_result(t, bytes);
	} else if (node_kernel_raw_member(a->body, a->len, "result", &raw, &n)) {
		tell_done(t, raw, n);
	} else {
		t->step = TALK_RESULT;
		talk_go_on(t);
	}
}

static void take_error(struct talk *t, const char *state, const json_t *body, const struct client_answer *a)
{
	const char *raw = "{}";
	size_t n = 2;
	char task[FUTURE_ID_MAX];
	memcpy(task, t->task, sizeof(task));
	int attempt = t->attempt;
	if (json_is_object(json_object_get(body, "error")))
		node_kernel_raw_member(a->body, a->len, "error", &raw, &n);
	if (strcmp(state, "failed") == 0) {
		tell_failed(t, raw, n);
		return;
	}
	over(t);
	fleet_task_aborted(t->all->fleet, t->id, task, attempt, raw, n);
}

/* One answer that holds the task's state. */
static void take_state(struct talk *t, const struct client_answer *a)
{
	struct err err = { 0 };
	json_t *body = json_parse_object(a->body, a->len, &err);
	const char *task = json_string_value(json_object_get(body, "taskId"));
	const char *state = json_string_value(json_object_get(body, "state"));
	const json_t *version = json_object_get(body, "version"), *attempt = json_object_get(body, "attempt");
	if (!body) {
		talk_refused(t, "it answered with what is no JSON object: %s", err.text);
		return;
	}
	if (!task || !state || strcmp(task, t->task) != 0 || !json_is_integer(version) ||
	    json_integer_value(attempt) != t->attempt) {
		talk_refused(t, "it told the state of another task or attempt, or none");
		json_decref(body);
		return;
	}
	if (t->all->told && json_object_get(body, "activities"))
		t->all->told(t->all->told_data, task, body);
	if (strcmp(state, "running") == 0) {
		const json_t *progress = json_object_get(body, "progress");
		t->seen = json_integer_value(version);
		t->has_seen = true;
		t->step = TALK_FOLLOW;
		fleet_task_accepted(t->all->fleet, t->id, t->task, t->attempt);
		fleet_task_progress(t->all->fleet, t->id, t->task, json_is_number(progress) ? json_number_value(progress) : -1,
				    json_string_value(json_object_get(body, "message")));
		talk_go_on(t);
	} else if (strcmp(state, "done") == 0) {
		take_done(t, body, a);
	} else if (strcmp(state, "failed") == 0 || strcmp(state, "aborted") == 0) {
		take_error(t, state, body, a);
	} else {
		talk_refused(t, "it told a state that does not exist");
	}
	json_decref(body);
}

/* It says that it did not take the task: back in the queue, and the kernel, which was thought idle, goes. */
static void not_taken(struct talk *t, const char *why)
{
	char task[FUTURE_ID_MAX];
	memcpy(task, t->task, sizeof(task));
	int attempt = t->attempt;
	over(t);
	fleet_task_unplaced(t->all->fleet, t->id, task, attempt, why);
	talk_refused(t, "it was idle and then took no task: %s", why);
}

static void take_refusal(struct talk *t, const struct client_answer *a)
{
	json_t *body = json_parse_object(a->body, a->len, NULL);
	const json_t *error = json_object_get(body, "error");
	const char *raw = "{\"clazz\":\"DSS.Refused\",\"message\":\"The kernel cannot take this payload.\",\"stack\":\"\"}";
	size_t n = strlen(raw);
	const char *clazz = json_string_value(json_object_get(error, "clazz"));
	if (a->status == 400) {
		if (json_is_object(error))
			node_kernel_raw_member(a->body, a->len, "error", &raw, &n);
		tell_failed(t, raw, n);
	} else if (a->status == 409 && clazz && strcmp(clazz, "Forgotten") == 0) {
		talk_refused(t, "it ran task %s before and forgot its outcome", t->task);
	} else {
		not_taken(t, a->status == 503 ? "it is about to end" : "it is busy with another");
	}
	json_decref(body);
}

static void on_posted(struct talk *t, const struct client_answer *a)
{
	die_at("task_sent");
	if (a->outcome != CLIENT_OK) {
		t->step = TALK_ASK; /* it may have arrived: ask before it is sent again */
		talk_again(t, a);
	} else if (a->status == 200) {
		take_state(t, a);
	} else if (a->status == 202) {
		t->step = TALK_FOLLOW;
		t->was_accepted = true;
		fleet_task_accepted(t->all->fleet, t->id, t->task, t->attempt);
		die_at("task_accepted");
		talk_go_on(t);
	} else if (a->status == 400 || a->status == 409 || a->status == 503) {
		take_refusal(t, a);
	} else {
		talk_refused(t, "it answered a task with status %d", a->status);
	}
}

static void on_followed(struct talk *t, const struct client_answer *a)
{
	if (a->outcome != CLIENT_OK) {
		talk_again(t, a);
	} else if (a->status == 200) {
		t->was_accepted = true;
		take_state(t, a);
	} else if (a->status == 404 && !t->was_accepted && t->step == TALK_ASK) {
		t->step = TALK_POST; /* it never arrived: the same attempt again */
		talk_go_on(t);
	} else if (a->status == 404) {
		talk_refused(t, "it forgot task %s while it ran", t->task);
	} else {
		talk_refused(t, "it answered with status %d when asked for its task", a->status);
	}
}

void talk_answered(struct talk *t, const struct client_answer *a)
{
	if (a->outcome == CLIENT_OK && a->status == 401)
		talk_refused(t, "it refused the backend's token (401)");
	else if (t->step == TALK_POST)
		on_posted(t, a);
	else if (t->step == TALK_RESULT)
		on_result(t, a);
	else if (t->step == TALK_ASK || t->step == TALK_FOLLOW)
		on_followed(t, a);
}

/* --- public --- */

void node_kernel_set_box(struct node_kernels *all, const char *id, const char *where)
{
	struct talk *t = map_get(all->talks, id);
	if (t && where)
		snprintf(t->box, sizeof(t->box), "%s", where);
}

bool node_kernel_is_unhurt(const struct node_kernels *all, const char *id)
{
	const struct talk *t = map_get(all->talks, id);
	return t && t->unhurt_mono_ms && clock_mono_ms() - t->unhurt_mono_ms < UNHURT_MS;
}

/* A kernel that was taken up may be deep in a task that lets nobody else run: it may be silent for long. */
static int begin(struct node_kernels *all, const struct kernel *k, const struct future *f, enum talk_step step, struct err *err)
{
	struct talk *t = talk_of(all, k, err);
	if (!t)
		return -1;
	buf_clear(&t->body);
	if (put_task(k, f, &t->body) < 0)
		return err_set(err, "unable to send task %s to %s: no memory", f->id, k->id);
	snprintf(t->task, sizeof(t->task), "%s", f->id);
	t->attempt = f->attempt;
	t->step = step;
	/* Where ends come within moments they come in the answer; others are known to run at once. */
	t->post_wait_s = k->pool->is_quick ? QUICK_WAIT_S : 0;
	t->has_seen = t->was_accepted = false;
	t->may_be_silent = step == TALK_ASK;
	t->failures = 0;
	node_gc_begin(t);
	talk_go_on(t);
	return 0;
}

int node_kernel_send(struct node_kernels *all, const struct kernel *k, const struct future *f, struct err *err)
{
	return begin(all, k, f, TALK_POST, err);
}

int node_kernel_follow(struct node_kernels *all, const struct kernel *k, const struct future *f, struct err *err)
{
	return begin(all, k, f, TALK_ASK, err);
}

static void delete_task(struct node_kernels *all, const struct kernel *k, const char *task, bool is_abort)
{
	struct err err = { 0 };
	char path[96];
	struct talk *t = talk_of(all, k, &err);
	snprintf(path, sizeof(path), "/task/%s", task);
	if (!t || talk_aside(t, "DELETE", path, is_abort, NULL, &err) < 0)
		log_warn("unable to tell %s about task %s: %s", k->id, task, err.text);
}

void node_kernel_abort(struct node_kernels *all, const struct kernel *k, const char *task)
{
	delete_task(all, k, task, true);
}
void node_kernel_release(struct node_kernels *all, const struct kernel *k, const char *task)
{
	delete_task(all, k, task, false);
}
