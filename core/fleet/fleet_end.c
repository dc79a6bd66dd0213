/* fleet_end: how futures end: results, errors, aborts, deaths; each is on disk before its kernel is let go. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/die.h"
#include "fleet/fleet_inner.h"
#include "fleet/fleet_verbs.h"
#include "fleet/jtext.h"
#include "fleet/queue.h"
#include "net/json.h"
#include "sys/clock.h"

#define ERROR_MOST     (1024 * 1024)
#define QUICK_MS       200  /* a pool of such tasks waits for their end in the request that sends them */
#define UNASKED_END_MS 3000 /* a kernel that aborts unasked is usually being ended: its exit tells more */

/* --- error objects --- */

char *fleet_task_error(const char *type, const char *cause, const char *fmt, ...)
{
	char text[1024];
	struct buf out;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	buf_init(&out, ERROR_MOST);
	buf_putc(&out, '{');
	jtext_text(&out, "errorType", type);
	jtext_text(&out, "message", text);
	jtext_text(&out, "cause", cause);
	buf_putc(&out, '}');
	char *json = out.failed ? NULL : buf_steal(&out);
	buf_fini(&out);
	return json;
}

/* The kernel's {"clazz","message","stack","cause"?} as what people's clients read. */
static char *error_of_task(const json_t *error, const char *raw, size_t len)
{
	const char *clazz = json_string_value(json_object_get(error, "clazz"));
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *stack = json_string_value(json_object_get(error, "stack"));
	if (!stack || !*stack) /* of a job: what its recipe threw */
		stack = json_string_value(json_object_get(json_object_get(error, "cause"), "stack"));
	struct buf out;
	buf_init(&out, ERROR_MOST);
	buf_putc(&out, '{');
	jtext_text(&out, "errorType", clazz && *clazz ? clazz : "DSS.TaskFailed");
	jtext_text(&out, "message", message && *message ? message : "The task failed without a message.");
	jtext_text(&out, "cause", NULL);
	jtext_some_text(&out, "stackTraceStr", stack);
	if (error) {
		jtext_member(&out, "detail");
		buf_puts(&out, "{\"error\":");
		buf_put(&out, raw, len);
		buf_putc(&out, '}');
	}
	buf_putc(&out, '}');
	char *json = out.failed ? NULL : buf_steal(&out);
	buf_fini(&out);
	return json ? json : fleet_task_error("DSS.TaskFailed", NULL, "The task failed; its error was over 1 MB.");
}

/* --- the commit of an end --- */

static void owe(struct future *f, struct fleet_debt *debt)
{
	if (!debt || f->debt)
		return;
	debt->open++;
	f->debt = debt;
}

static void let_go(struct fleet *fleet, struct future *f)
{
	struct kernel *k = f->on;
	f->on = NULL;
	fleet_log_give_back(fleet, f, k);
	if (!k)
		return;
	if (f->was_sent)
		fleet->orders.release(fleet->orders.data, k, f->id);
	fleet_kernel_task_over(fleet, k, f->was_sent);
}

/* The next task makes the kernel forget this one. */
static void go_on_with(struct fleet *fleet, struct future *f, struct future *next)
{
	struct kernel *k = f->on;
	if (k && !next->is_void && fleet_kernel_go_on(fleet, k)) {
		f->on = NULL;
	} else {
		let_go(fleet, f);
		owe(next, f->debt);
		k = NULL;
	}
	fleet_task_take_next(fleet, next, k);
}

static void on_end_saved(void *data, const struct store_answer *answer)
{
	struct future *f = data;
	struct fleet *fleet = f->fleet;
	struct future *next = f->next;
	f->commits--;
	f->next = NULL;
	if (answer->outcome != STORE_OK) {
		if (next)
			fleet_task_unchoose(fleet, next);
		log_error("unable to save the end of task %s: %s; next try in %d s", f->id, answer->err.text,
			  FLEET_RETRY_SAVE_MS / 1000);
		f->save_again_mono_ms = clock_mono_ms() + FLEET_RETRY_SAVE_MS;
		fleet_touch(fleet);
		return;
	}
	f->is_ended_unsaved = false;
	fleet->counts.ended[f->state - FUTURE_DONE]++;
	fleet_task_leave(f);
	die_at("result_committed");
	if (next)
		go_on_with(fleet, f, next);
	else
		let_go(fleet, f);
	struct fleet_debt *debt = f->debt;
	f->debt = NULL;
	if (fleet->orders.saved)
		fleet->orders.saved(fleet->orders.data, f);
	fleet_recent_take(fleet, f);
	fleet_debt_pay(debt);
}

static void save_fact(struct fleet *fleet, const struct future *f)
{
	struct buf detail;
	buf_init(&detail, 4096);
	buf_putc(&detail, '{');
	jtext_text(&detail, "state", future_state_name(f->state));
	jtext_int(&detail, "attempt", f->attempt);
	jtext_some_text(&detail, "kernel", f->kernel);
	jtext_some_text(&detail, "cause", f->cause);
	jtext_some_text(&detail, "owner", f->owner);
	buf_putc(&detail, '}');
	struct store_fact fact = { "task.ended", f->id, detail.failed ? NULL : detail.data, 0, 0, f->owner };
	store_add_fact(fleet->store, &fact, NULL, NULL);
	buf_fini(&detail);
}

void fleet_task_save_end(struct fleet *fleet, struct future *f)
{
	f->save_again_mono_ms = 0;
	struct future *next = f->next = fleet_task_choose_next(fleet, f);
	if (next)
		next->commits++;
	bool is_alone = f->commits == 0 && (!next || next->commits == 1);
	if (store_update_tasks(fleet->store, f, next, is_alone, on_end_saved, f) == 0) {
		f->commits++;
	} else {
		f->next = NULL;
		if (next)
			fleet_task_unchoose(fleet, next);
		f->save_again_mono_ms = clock_mono_ms() + FLEET_RETRY_SAVE_MS;
	}
	fleet_touch(fleet);
}

void fleet_task_end(struct fleet *fleet, struct future *f, enum future_event event, const char *cause, char *error)
{
	if (fleet_log_hold_end(fleet, f, event, cause, error))
		return;
	if (!future_step(f, event)) {
		free(error);
		return;
	}
	fleet_task_leave_queue(f);
	f->ended_ms = clock_wall_ms();
	f->deadline_mono_ms = f->unasked_end_mono_ms = 0;
	snprintf(f->cause, sizeof(f->cause), "%s", cause ? cause : "");
	free(f->error);
	f->error = error;
	f->has_result = event == FUTURE_EV_RESULT;
	if (event == FUTURE_EV_RESULT)
		f->in_pool->is_quick = f->ended_ms - f->started_ms < QUICK_MS;
	fleet_task_save_end(fleet, f);
	save_fact(fleet, f);
	if (fleet->orders.over)
		fleet->orders.over(fleet->orders.data, f);
}

/* --- deaths --- */

/* What another attempt may cure. Who asked for more memory or time than granted, or was ended on purpose, would end so again. "policy" is
 * the cause of a rule's kill, which is a decision, and of a kernel that broke the protocol, which is none. */
static bool may_try_again(const struct judge_end *end)
{
	const char *cause = end->cause;
	if (strcmp(cause, "policy") == 0 && strncmp(end->text, FLEET_BY_RULE, sizeof(FLEET_BY_RULE) - 1) == 0)
		return false;
	static const char *const no[] = { "oom_limit", "oom_heap", "limit_threads", "deadline", "user", "admin", NULL };
	for (size_t i = 0; no[i]; i++)
		if (strcmp(no[i], cause) == 0)
			return false;
	return true;
}

static char *judged_error(const struct future *f, const struct kernel *k, const struct judge_end *end)
{
	struct buf out;
	struct judge_case c = {
		.end = end,
		.pool = f->in_pool->spec,
		.kernel = k,
		.memory_bytes = f->memory_bytes,
		.timeout_ms = f->timeout_ms,
		.attempt = f->attempt,
		.retries = f->retries,
	};
	buf_init(&out, ERROR_MOST);
	char *json = judge_error(&c, &out) < 0 ? NULL : buf_steal(&out);
	buf_fini(&out);
	return json;
}

void fleet_task_judge(struct fleet *fleet, struct future *f, struct kernel *k, const struct judge_end *end, struct fleet_debt *debt)
{
	bool was_sent = f->was_sent || !f->on; /* of a kernel nobody remembers: it may have had it */
	f->on = NULL;                          /* gone with its process: nothing to release */
	if (k)
		k->task[0] = 0;
	if (f->is_ended_unsaved) {
		owe(f, debt);
		return;
	}
	if (!future_is_open(f) || f->state == FUTURE_QUEUED)
		return;
	owe(f, debt);
	if (f->end.is_held && fleet_log_end_held(fleet, f, end))
		return;
	/* A stop ordered by the backend before this one is known by its cause alone. */
	bool was_asked = strcmp(end->cause, "user") == 0 || strcmp(end->cause, "admin") == 0;
	bool is_asked = f->abort_cause[0] ? strcmp(f->abort_cause, "deadline") != 0 : was_asked;
	const char *cause = f->abort_cause[0] ? f->abort_cause : end->cause;
	if (!was_sent && !is_asked)
		fleet_task_requeue(fleet, f, FUTURE_EV_UNPLACED);
	else if (is_asked)
		fleet_task_end(fleet, f, FUTURE_EV_STOPPED, cause,
			       fleet_task_error("DSS.Aborted", cause,
						"Aborted by %s. It did not stop when asked, so its process was ended.",
						f->abort_cause[0] ? future_aborter(f) : cause));
	else if (f->attempt <= f->retries && may_try_again(end))
		fleet_task_requeue(fleet, f, FUTURE_EV_RETRY);
	else
		fleet_task_end(fleet, f, FUTURE_EV_DEATH, end->cause, judged_error(f, k, end));
}

/* --- what kernels say --- */

/* The open future that this kernel is running in this attempt; NULL: something older, to be ignored. attempt < 0: any. */
static struct future *running_on(const struct fleet *fleet, const char *kernel, const char *task, int attempt)
{
	struct future *f = fleet_live(fleet, task);
	if (!f || !future_is_open(f) || !f->on || strcmp(f->on->id, kernel) != 0 || (attempt >= 0 && f->attempt != attempt))
		return NULL;
	return f;
}

void fleet_task_accepted(struct fleet *fleet, const char *kernel, const char *task, int attempt)
{
	struct future *f = running_on(fleet, kernel, task, attempt);
	if (!f || f->state != FUTURE_ASSIGNED)
		return;
	future_step(f, FUTURE_EV_ACCEPTED);
	pool_note_healthy(f->in_pool);
}

void fleet_task_progress(struct fleet *fleet, const char *kernel, const char *task, double progress, const char *message)
{
	struct future *f = running_on(fleet, kernel, task, -1);
	if (!f)
		return;
	if (progress >= 0 && progress <= 1)
		f->progress = progress;
	if (message) {
		char *said = strdup(message);
		if (said) {
			free(f->message);
			f->message = said;
		}
	}
}

void fleet_task_done(struct fleet *fleet, const char *kernel, const char *task, int attempt, const void *result, size_t len)
{
	struct future *f = running_on(fleet, kernel, task, attempt);
	if (!f)
		return;
	die_at("result_read");
	f->result = malloc(len + 1);
	if (!f->result) {
		fleet_task_end(
			fleet, f, FUTURE_EV_ERROR, "",
			fleet_task_error("DSS.ResultLost", NULL, "The task ended, but the backend had no memory for its result."));
		return;
	}
	memcpy(f->result, result, len);
	f->result[len] = 0;
	f->result_len = len;
	fleet_task_end(fleet, f, FUTURE_EV_RESULT, "", NULL);
}

static char *timed_out(const struct future *f)
{
	char time[48];
	return fleet_task_error("DSS.Timeout", "deadline",
				"Killed: your task ran longer than its timeoutMs of %s. Submit with a longer one.",
				text_print_duration(f->timeout_ms, time, sizeof(time)));
}

void fleet_task_failed(struct fleet *fleet, const char *kernel, const char *task, int attempt, const void *error, size_t len)
{
	struct future *f = running_on(fleet, kernel, task, attempt);
	if (!f)
		return;
	json_t *e = json_parse_object(error, len, NULL);
	const char *clazz = json_string_value(json_object_get(e, "clazz"));
	bool is_late = f->timeout_ms && clazz && strcmp(clazz, "Timeout") == 0 && clock_wall_ms() - f->started_ms >= f->timeout_ms;
	if (is_late)
		fleet_task_end(fleet, f, FUTURE_EV_DEATH, "deadline", timed_out(f));
	else
		fleet_task_end(fleet, f, FUTURE_EV_ERROR, "", error_of_task(e, error, len));
	json_decref(e);
}

void fleet_task_aborted(struct fleet *fleet, const char *kernel, const char *task, int attempt, const void *error, size_t len)
{
	struct future *f = running_on(fleet, kernel, task, attempt);
	(void)error;
	(void)len;
	if (!f)
		return;
	if (!f->abort_cause[0]) {
		f->unasked_end_mono_ms = clock_mono_ms() + UNASKED_END_MS;
		fleet_touch(fleet);
	} else if (strcmp(f->abort_cause, "deadline") == 0) {
		fleet_task_end(fleet, f, FUTURE_EV_DEATH, "deadline", timed_out(f));
	} else {
		fleet_task_end(fleet, f, FUTURE_EV_STOPPED, f->abort_cause,
			       fleet_task_error("DSS.Aborted", f->abort_cause, "Aborted by %s.", future_aborter(f)));
	}
}

void fleet_task_unplaced(struct fleet *fleet, const char *kernel, const char *task, int attempt, const char *why)
{
	struct future *f = running_on(fleet, kernel, task, attempt);
	if (!f || f->state != FUTURE_ASSIGNED)
		return;
	log_warn("task %s is not at %s: %s; it goes back to the queue", task, kernel, why);
	f->on->tasks_run--;
	f->was_sent = false;
	fleet_task_requeue(fleet, f, FUTURE_EV_UNPLACED);
}

/* --- aborts and deadlines --- */

static void ask_to_stop(struct fleet *fleet, struct future *f, const char *cause, const char *by)
{
	struct kernel *k = f->on;
	if (f->end.is_held)
		return; /* it has ended */
	if (!f->abort_cause[0]) {
		f->abort_by = strdup(by);
		snprintf(f->abort_cause, sizeof(f->abort_cause), "%s", cause);
	}
	if (!k || !f->was_sent)
		return;
	fleet->orders.abort(fleet->orders.data, k, f->id);
	if (!k->stop_deadline_mono_ms && k->state != KERNEL_STOPPING) {
		k->stop_deadline_mono_ms = clock_mono_ms() + fleet->abort_grace_ms;
		snprintf(k->stop_cause, sizeof(k->stop_cause), "%s", f->abort_cause);
		snprintf(k->stop_text, sizeof(k->stop_text), "task %s did not stop when asked by %s", f->id, future_aborter(f));
	}
	fleet_touch(fleet);
}

enum fleet_answer fleet_abort_as(struct fleet *fleet, const char *id, const char *cause, const char *by, struct err *err)
{
	struct future *f = fleet_live(fleet, id);
	if (!f || f->is_void) {
		err_set(err, "task %s does not exist, or has ended", id);
		return FLEET_NOT_FOUND;
	}
	if (f->state == FUTURE_QUEUED)
		fleet_task_end(fleet, f, FUTURE_EV_ABORT, cause,
			       fleet_task_error("DSS.Aborted", cause, "Aborted by %s before it was started.", by));
	else if (future_is_open(f))
		ask_to_stop(fleet, f, cause, by);
	fleet_touch(fleet);
	return FLEET_OK;
}

enum fleet_answer fleet_abort(struct fleet *fleet, const char *id, const char *by, bool is_admin_act, struct err *err)
{
	return fleet_abort_as(fleet, id, is_admin_act ? "admin" : "user", by, err);
}

void fleet_task_look(struct fleet *fleet, struct future *f, int64_t now, int64_t *next)
{
	if (f->save_again_mono_ms && now >= f->save_again_mono_ms) {
		fleet_task_save_end(fleet, f);
		return;
	}
	if (f->deadline_mono_ms && now >= f->deadline_mono_ms) {
		f->deadline_mono_ms = 0;
		ask_to_stop(fleet, f, "deadline", "its timeoutMs");
	}
	if (f->unasked_end_mono_ms && now >= f->unasked_end_mono_ms) {
		f->unasked_end_mono_ms = 0;
		fleet_task_end(fleet, f, FUTURE_EV_STOPPED, "",
			       fleet_task_error("DSS.Aborted", NULL, "Aborted: its kernel was told to end it."));
	}
	fleet_log_look(fleet, f, now, next);
	fleet_earlier(next, f->save_again_mono_ms);
	fleet_earlier(next, f->deadline_mono_ms);
	fleet_earlier(next, f->unasked_end_mono_ms);
}
