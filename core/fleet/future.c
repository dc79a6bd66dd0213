#include "fleet/future.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "fleet/jtext.h"
#include "fleet/slots.h"

static const char *const state_names[] = { "queued", "assigned", "running", "done", "failed", "aborted", "killed", NULL };
static const char *const event_names[] = {
	"assign", "abort", "refuse", "accepted", "unplaced", "result", "error", "stopped", "death", "retry", NULL,
};

static const struct fsm_row rows[] = {
	{ FUTURE_QUEUED, FUTURE_EV_ASSIGN, FUTURE_ASSIGNED, "commit" },
	{ FUTURE_QUEUED, FUTURE_EV_ABORT, FUTURE_ABORTED, "commit" },
	{ FUTURE_QUEUED, FUTURE_EV_REFUSE, FUTURE_FAILED, "commit" },
	{ FUTURE_ASSIGNED, FUTURE_EV_ACCEPTED, FUTURE_RUNNING, "" },
	{ FUTURE_ASSIGNED, FUTURE_EV_UNPLACED, FUTURE_QUEUED, "commit" },
	{ FUTURE_ASSIGNED, FUTURE_EV_RESULT, FUTURE_DONE, "commit" },
	{ FUTURE_ASSIGNED, FUTURE_EV_ERROR, FUTURE_FAILED, "commit" },
	{ FUTURE_ASSIGNED, FUTURE_EV_STOPPED, FUTURE_ABORTED, "commit" },
	{ FUTURE_ASSIGNED, FUTURE_EV_DEATH, FUTURE_KILLED, "commit" },
	{ FUTURE_ASSIGNED, FUTURE_EV_RETRY, FUTURE_QUEUED, "commit" },
	{ FUTURE_RUNNING, FUTURE_EV_RESULT, FUTURE_DONE, "commit" },
	{ FUTURE_RUNNING, FUTURE_EV_ERROR, FUTURE_FAILED, "commit" },
	{ FUTURE_RUNNING, FUTURE_EV_STOPPED, FUTURE_ABORTED, "commit" },
	{ FUTURE_RUNNING, FUTURE_EV_DEATH, FUTURE_KILLED, "commit" },
	{ FUTURE_RUNNING, FUTURE_EV_RETRY, FUTURE_QUEUED, "commit" },
};

#define NAME_MAX_BYTES 200

const struct fsm future_fsm = FSM("future", state_names, event_names, rows);

struct future *future_new(void)
{
	struct future *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	list_init(&f->in_queue);
	list_init(&f->in_fleet);
	list_init(&f->in_active);
	list_init(&f->in_lane);
	list_init(&f->in_unplaced);
	list_init(&f->in_unnoted);
	f->progress = -1;
	return f;
}

void future_free(struct future **fp)
{
	struct future *f = *fp;
	if (!f)
		return;
	list_remove(&f->in_queue);
	list_remove(&f->in_fleet);
	list_remove(&f->in_active);
	list_remove(&f->in_unplaced);
	list_remove(&f->in_unnoted);
	slots_ticket_free(&f->ticket);
	free(f->abort_by);
	free(f->waiter);
	char *owned[] = { f->client_key, f->owner,  f->project, f->kind, f->type,      f->pool,      f->title, f->payload,
			  f->error,      f->result, f->message, f->tags, f->exclusive, f->end.error, f->job };
	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
		free(owned[i]);
	free(f);
	*fp = NULL;
}

int future_make_id(char out[FUTURE_ID_MAX], struct err *err)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char random[16];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_set(err, "unable to make a task id: no random bytes");
	for (size_t i = 0; i < sizeof(random); i++)
		out[i] = digits[random[i] & 31];
	out[sizeof(random)] = 0;
	return 0;
}

const char *future_state_name(enum future_state s)
{
	return state_names[s];
}

int future_state_named(const char *name)
{
	for (int i = 0; state_names[i]; i++)
		if (strcmp(state_names[i], name) == 0)
			return i;
	return -1;
}

bool future_step(struct future *f, enum future_event event)
{
	const struct fsm_row *row = fsm_step(&future_fsm, (int)f->state, (int)event);
	if (!row) {
		log_debug("task %s: %s while %s is not in the table", f->id, event_names[event], state_names[f->state]);
		return false;
	}
	f->state = (enum future_state)row->next;
	f->is_ended_unsaved = f->state >= FUTURE_DONE;
	return true;
}

bool future_is_ended(const struct future *f)
{
	return f->state >= FUTURE_DONE && !f->is_ended_unsaved;
}
const char *future_aborter(const struct future *f)
{
	return f->abort_by ? f->abort_by : f->abort_cause;
}

bool future_is_open(const struct future *f)
{
	return f->state < FUTURE_DONE;
}

/* title, or what the payload runs: `type` and the callable's name are all a list needs. */
static const char *display_name(const struct future *f, char *text, size_t room)
{
	if (f->title && *f->title)
		return f->title;
	json_t *payload = f->payload ? json_loadb(f->payload, f->payload_len, 0, NULL) : NULL;
	const char *what = json_string_value(json_object_get(payload, "callable"));
	if (!what)
		what = json_string_value(json_object_get(payload, "class"));
	snprintf(text, room, "%s%s%s", f->type, what ? " " : "", what ? what : " task");
	json_decref(payload);
	return text;
}

const char *future_name(const struct future *f, char *out, size_t room)
{
	const char *name = display_name(f, out, room);
	if (name != out)
		snprintf(out, room, "%s", name);
	return out;
}

void future_keep_name(struct future *f)
{
	char text[NAME_MAX_BYTES];
	const char *name = display_name(f, text, sizeof(text));
	if (name != f->title) {
		free(f->title);
		f->title = strdup(name); /* no memory: lists show the type */
	}
	free(f->payload);
	f->payload = NULL;
	f->payload_len = 0;
}

static void put_payload(const struct future *f, struct buf *out)
{
	jtext_member(out, "payload");
	buf_puts(out, "{\"displayName\":");
	char text[NAME_MAX_BYTES];
	jtext_put(out, display_name(f, text, sizeof(text)));
	buf_puts(out, ",\"targets\":[");
	if (f->project) {
		buf_putc(out, '{');
		jtext_text(out, "projectKey", f->project);
		jtext_text(out, "objectType", "FUTURE");
		jtext_text(out, "objectId", f->id);
		buf_putc(out, '}');
	}
	buf_puts(out, "]}");
}

static void put_progress(const struct future *f, struct buf *out)
{
	if (f->progress < 0 && !f->message)
		return;
	jtext_member(out, "progress");
	buf_putc(out, '{');
	if (f->progress >= 0) {
		jtext_member(out, "fraction");
		buf_printf(out, "%.4g", f->progress);
	}
	jtext_some_text(out, "message", f->message);
	buf_putc(out, '}');
}

static int64_t running_time(const struct future *f, int64_t now_wall_ms)
{
	int64_t until = f->ended_ms ? f->ended_ms : now_wall_ms;
	return f->started_ms && until > f->started_ms ? until - f->started_ms : 0;
}

int future_json(const struct future *f, bool with_result, int position, const char *reason, int64_t expected_ms,
		int64_t now_wall_ms, struct buf *out)
{
	bool is_ended = future_is_ended(f);
	const char *state = f->is_ended_unsaved ? "running" : state_names[f->state];
	buf_putc(out, '{');
	jtext_text(out, "jobId", f->id);
	jtext_bool(out, "hasResult", is_ended && f->state == FUTURE_DONE && f->has_result);
	jtext_bool(out, "alive", !is_ended);
	jtext_bool(out, "aborted", is_ended && (f->state == FUTURE_ABORTED || f->state == FUTURE_KILLED));
	jtext_bool(out, "abortable", !is_ended);
	jtext_int(out, "startTime", f->started_ms ? f->started_ms : f->created_ms);
	jtext_int(out, "runningTime", running_time(f, now_wall_ms));
	put_payload(f, out);
	jtext_text(out, "owner", f->owner);
	put_progress(f, out);
	jtext_text(out, "state", state);
	jtext_text(out, "kind", f->kind);
	jtext_text(out, "type", f->type);
	jtext_text(out, "pool", f->pool);
	jtext_int(out, "priority", f->priority);
	jtext_some_text(out, "project", f->project);
	jtext_some_text(out, "job", f->job);
	if (f->tags)
		jtext_raw(out, "tags", f->tags, strlen(f->tags));
	jtext_some_text(out, "exclusive", f->exclusive);
	jtext_some_text(out, "kernel", f->kernel);
	jtext_int(out, "attempt", f->attempt);
	jtext_int(out, "submitTime", f->created_ms);
	jtext_some_int(out, "endTime", is_ended ? f->ended_ms : -1);
	if (is_ended) {
		jtext_some_text(out, "cause", f->cause);
		if (f->error)
			jtext_raw(out, "error", f->error, strlen(f->error));
	}
	if (position > 0)
		jtext_int(out, "position", position);
	jtext_some_text(out, "reason", reason);
	jtext_some_int(out, "expectedStartAt", position > 0 && expected_ms ? expected_ms : -1);
	if (with_result && is_ended && f->state == FUTURE_DONE && f->result)
		jtext_raw(out, "result", f->result, f->result_len);
	buf_putc(out, '}');
	return out->failed ? -1 : 0;
}

int future_error_json(const struct future *f, struct buf *out)
{
	json_t *error = f->error ? json_loads(f->error, 0, NULL) : NULL;
	if (json_is_object(error)) {
		buf_puts(out, f->error);
	} else {
		buf_putc(out, '{');
		jtext_text(out, "errorType", "DSS.TaskEnded");
		jtext_member(out, "message");
		char text[200];
		snprintf(text, sizeof(text), "The task ended as %s; no more is known.", state_names[f->state]);
		jtext_put(out, text);
		jtext_some_text(out, "cause", f->cause);
		buf_putc(out, '}');
	}
	json_decref(error);
	return out->failed ? -1 : 0;
}

const char *future_error_text(const struct future *f, char *out, size_t room)
{
	json_t *error = f->error ? json_loads(f->error, 0, NULL) : NULL;
	const char *message = json_string_value(json_object_get(error, "message"));
	snprintf(out, room, "%s", message ? message : "");
	char *end = strstr(out, ". ");
	if (end)
		end[1] = 0;
	json_decref(error);
	return out;
}
