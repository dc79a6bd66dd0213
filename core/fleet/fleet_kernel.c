/* fleet_kernel: the processes of the pools: start, ready, retirement, end, and taking up those that a former backend left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/die.h"
#include "fleet/fleet_inner.h"
#include "fleet/jtext.h"
#include "sys/clock.h"

#define HEALTHY_MS       10000 /* a kernel that ends sooner after it was ready counts as a failed start */
#define NUMBERS_PAUSE_MS 20    /* until more kernel numbers are on disk */

struct kernel *fleet_kernel(const struct fleet *fleet, const char *id)
{
	return map_get(fleet->kernels_by_id, id);
}

static struct kernel *enlist(struct fleet *fleet, struct pool *pool, const char *id)
{
	struct kernel *k = kernel_new(id, pool);
	if (!k || map_set(fleet->kernels_by_id, id, k) < 0) {
		kernel_free(&k);
		return NULL;
	}
	list_push(&pool->kernels, &k->in_pool);
	list_push(&fleet->kernels, &k->in_fleet);
	return k;
}

static void forget(struct fleet *fleet, struct kernel *k)
{
	fleet->orders.drop(fleet->orders.data, k->id);
	map_remove(fleet->kernels_by_id, k->id);
	kernel_free(&k);
	fleet_touch(fleet);
}

int fleet_kernel_start(struct fleet *fleet, struct pool *pool, const struct future *reserved_for)
{
	char id[KERNEL_ID_MAX];
	struct err err = { 0 };
	int64_t now = clock_mono_ms(), number = store_next_kernel(fleet->store);
	if (!number) {
		fleet->no_start_before_mono_ms = now + NUMBERS_PAUSE_MS;
		fleet_touch(fleet);
		return -1;
	}
	snprintf(id, sizeof(id), "%.*s-%lld", KERNEL_ID_MAX - 22, pool->spec->name, (long long)number);
	struct kernel *k = enlist(fleet, pool, id);
	if (!k) {
		pool_note_failed_start(pool, "no memory in the backend", now);
		return -1;
	}
	k->started_wall_ms = clock_wall_ms();
	k->started_mono_ms = now;
	k->ready_deadline_mono_ms = now + pool->spec->ready_within_ms;
	k->starting_with = ++fleet->nstarting;
	if (reserved_for) {
		k->memory_bytes = k->limit_bytes = reserved_for->memory_bytes;
		snprintf(k->reserved_for, sizeof(k->reserved_for), "%s", reserved_for->id);
	}
	if (fleet->orders.spawn(fleet->orders.data, k, &err) < 0) {
		pool_note_failed_start(pool, err.text, now);
		forget(fleet, k);
		return -1;
	}
	fleet->counts.kernels_started++;
	die_at("spawn_ordered");
	return 0;
}

static void order_stop(struct fleet *fleet, struct kernel *k, const char *cause, const char *text)
{
	struct err err = { 0 };
	snprintf(k->stop_cause, sizeof(k->stop_cause), "%s", cause);
	if (text != k->stop_text)
		snprintf(k->stop_text, sizeof(k->stop_text), "%s", text);
	k->stop_deadline_mono_ms = 0;
	if (fleet->orders.stop(fleet->orders.data, k, cause, text, &err) < 0)
		log_error("unable to stop %s: %s", k->id, err.text);
}

void fleet_kernel_stop(struct fleet *fleet, const char *id, const char *cause, const char *text)
{
	struct kernel *k = fleet_kernel(fleet, id);
	if (!k || k->state == KERNEL_STOPPING || !kernel_step(k, KERNEL_EV_STOP))
		return;
	order_stop(fleet, k, cause, text);
	fleet_touch(fleet);
}

void fleet_kernel_retire(struct fleet *fleet, struct kernel *k, const char *why)
{
	enum kernel_event event = k->state == KERNEL_STARTING ? KERNEL_EV_STOP : KERNEL_EV_RETIRE;
	if (!kernel_step(k, event))
		return;
	if (k->state == KERNEL_STOPPING)
		order_stop(fleet, k, "policy", why);
	else
		snprintf(k->stop_text, sizeof(k->stop_text), "%s", why);
	fleet_touch(fleet);
}

bool fleet_kernel_go_on(struct fleet *fleet, struct kernel *k)
{
	if (k->state != KERNEL_BUSY)
		return false;
	k->stop_deadline_mono_ms = 0;
	kernel_clear_samples(k);
	kernel_step(k, KERNEL_EV_TASK_END);
	fleet_touch(fleet);
	return true;
}

void fleet_kernel_label(struct fleet *fleet, struct kernel *k)
{
	struct err err = { 0 };
	if (!kernel_label_is_due(k))
		return;
	if (fleet->orders.label(fleet->orders.data, k, &err) < 0)
		log_warn("unable to label %s: %s", k->id, err.text);
	else
		k->tasks_told = k->tasks_run;
}

void fleet_kernel_task_over(struct fleet *fleet, struct kernel *k, bool was_sent)
{
	struct err err = { 0 };
	k->task[0] = 0;
	k->attempt = 0;
	k->work_mono_ms = 0;
	k->stop_deadline_mono_ms = 0;
	kernel_clear_samples(k);
	if (!was_sent && k->tasks_run == 0) {
		free(k->owner);
		k->owner = NULL;
	}
	const char *action = kernel_step(k, KERNEL_EV_TASK_END);
	const char *why = action && k->state == KERNEL_IDLE && was_sent ? fleet_recycle_why(fleet, k) : NULL;
	if (action && strcmp(action, "order stop") == 0)
		order_stop(fleet, k, "policy", k->stop_text);
	else if (why)
		fleet_recycle(fleet, k, why);
	if (k->state == KERNEL_IDLE) {
		if (k->limit_bytes != k->memory_bytes && fleet->orders.limit(fleet->orders.data, k, k->memory_bytes, &err) == 0)
			k->limit_bytes = k->memory_bytes;
		if (was_sent)
			fleet_kernel_label(fleet, k);
	}
	fleet_touch(fleet);
}

void fleet_kernel_look(struct fleet *fleet, struct kernel *k, int64_t now, int64_t *next)
{
	char text[KERNEL_STOP_TEXT], time[48];
	if (k->state == KERNEL_STARTING && k->ready_deadline_mono_ms) {
		if (now >= k->ready_deadline_mono_ms) {
			snprintf(text, sizeof(text), "%s was not ready within %s", k->id,
				 text_print_duration(k->pool->spec->ready_within_ms, time, sizeof(time)));
			pool_note_failed_start(k->pool, text, now);
			fleet_kernel_stop(fleet, k->id, "start_failed", text);
			return;
		}
		fleet_earlier(next, k->ready_deadline_mono_ms);
	}
	if (k->stop_deadline_mono_ms) {
		if (now >= k->stop_deadline_mono_ms) {
			snprintf(text, sizeof(text), "%s", k->stop_text);
			char cause[24];
			memcpy(cause, k->stop_cause, sizeof(cause));
			k->stop_deadline_mono_ms = 0;
			fleet_kernel_stop(fleet, k->id, cause, text);
			return;
		}
		fleet_earlier(next, k->stop_deadline_mono_ms);
	}
	if (k->state == KERNEL_IDLE)
		fleet_recycle_look(fleet, k, now, next);
}

void fleet_kernel_up(struct fleet *fleet, const char *id, int pid)
{
	struct kernel *k = fleet_kernel(fleet, id);
	if (k)
		k->pid = pid;
}

int fleet_kernel_ready(struct fleet *fleet, const char *id, const char *url, struct err *err)
{
	struct kernel *k = fleet_kernel(fleet, id);
	struct err why = { 0 };
	if (!k)
		return err_set(err, "kernel %s does not exist", id);
	if (k->url[0] && strcmp(k->url, url) != 0)
		return err_set(err, "kernel %s is at %s, it cannot move to %s", id, k->url, url);
	if (k->state != KERNEL_STARTING)
		return 0; /* told again after a loss of the backend */
	if (strlen(url) >= sizeof(k->url))
		return err_set(err, "the url of kernel %s is too long", id);
	snprintf(k->url, sizeof(k->url), "%s", url);
	k->ready_wall_ms = clock_wall_ms();
	k->ready_deadline_mono_ms = 0;
	kernel_step(k, KERNEL_EV_READY);
	pool_note_ready(k->pool);
	if (k->starting_with)
		sizing_note_start(&k->pool->sizing, k->starting_with, clock_mono_ms() - k->started_mono_ms);
	if (fleet->orders.label(fleet->orders.data, k, &why) < 0)
		log_warn("unable to label %s: %s", id, why.text);
	fleet_touch(fleet);
	return 0;
}

void fleet_kernel_failed(struct fleet *fleet, const char *id, const char *why)
{
	struct kernel *k = fleet_kernel(fleet, id);
	if (!k || k->state == KERNEL_BUSY || k->state == KERNEL_DRAINING)
		return;
	if (k->state == KERNEL_STARTING)
		pool_note_failed_start(k->pool, why, clock_mono_ms());
	kernel_step(k, KERNEL_EV_EXIT);
	forget(fleet, k);
}

/* --- ends --- */

static void put_fact(const struct judge_end *e, struct buf *out)
{
	buf_putc(out, '{');
	jtext_text(out, "cause", e->cause);
	jtext_some_text(out, "text", e->text);
	jtext_some_text(out, "by", e->by);
	jtext_some_int(out, "code", e->code);
	jtext_some_int(out, "signal", e->signal);
	jtext_some_int(out, "cpuMs", e->cpu_ms);
	jtext_some_int(out, "peakBytes", e->peak_bytes);
	jtext_some_text(out, "peakSource", e->peak_source);
	jtext_some_int(out, "limitBytes", e->limit_bytes);
	jtext_some_text(out, "limitOwner", e->limit_owner);
	jtext_some_text(out, "victimOf", e->victim_of);
	buf_putc(out, '}');
}

static void fact_saved(void *data, const struct store_answer *answer)
{
	if (answer->outcome != STORE_OK)
		log_warn("a fact was lost: %s", answer->err.text);
	fleet_debt_pay(data);
}

static void save_fact(struct fleet *fleet, const struct judge_end *end, const char *owner, struct fleet_debt *debt)
{
	struct buf detail;
	buf_init(&detail, 8192);
	put_fact(end, &detail);
	struct store_fact fact = {
		"process.exited", end->id, detail.failed ? NULL : detail.data, end->wall_ms, end->mono_ms, owner
	};
	/* fact_saved comes from the loop, never from inside the call: the share is counted before it is paid. */
	if (store_add_fact(fleet->store, &fact, fact_saved, debt) == 0 && debt)
		debt->open++;
	buf_fini(&detail);
}

/* Ended by somebody on purpose: that says nothing about whether its pool can start kernels. */
static bool is_on_purpose(const char *cause)
{
	static const char *const causes[] = { "shutdown", "admin", "user", "policy", NULL };
	for (size_t i = 0; causes[i]; i++)
		if (strcmp(causes[i], cause) == 0)
			return true;
	return false;
}

static void note_start(struct kernel *k, const struct judge_end *end, enum kernel_state was)
{
	int64_t now = clock_mono_ms();
	char why[400];
	if (is_on_purpose(end->cause))
		return;
	snprintf(why, sizeof(why), "%s: %.300s", end->cause, end->text[0] ? end->text : k->id);
	if (was == KERNEL_STARTING) {
		pool_note_failed_start(k->pool, why, now);
	} else if (was == KERNEL_IDLE && k->ready_wall_ms) {
		if (clock_wall_ms() - k->ready_wall_ms < HEALTHY_MS)
			pool_note_failed_start(k->pool, why, now);
		else
			pool_note_healthy(k->pool);
	}
}

static struct future *task_of(const struct fleet *fleet, const char *id)
{
	list_each (&fleet->futures, l) {
		struct future *f = list_of(l, struct future, in_fleet);
		if (f->state != FUTURE_QUEUED && strcmp(f->kernel, id) == 0)
			return f;
	}
	return NULL;
}

void fleet_kernel_ended(struct fleet *fleet, const struct judge_end *end, store_done_fn *fn, void *data)
{
	struct fleet_debt *debt = fleet_debt_new(fn, data);
	if (!debt)
		log_error("no memory: the end of %s is not acknowledged", end->id);
	struct kernel *k = fleet_kernel(fleet, end->id);
	struct future *f = k && k->task[0] ? fleet_live(fleet, k->task) : task_of(fleet, end->id);
	save_fact(fleet, end, k ? k->owner : f ? f->owner : NULL, debt);
	if (k) {
		enum kernel_state was = k->state;
		kernel_step(k, KERNEL_EV_EXIT);
		note_start(k, end, was);
		pool_note_peak(k->pool, end->peak_bytes > k->peak_bytes ? end->peak_bytes : k->peak_bytes, true);
	}
	if (f)
		fleet_task_judge(fleet, f, k, end, debt);
	if (k)
		forget(fleet, k);
	fleet_debt_pay(debt);
	fleet_touch(fleet);
}

struct fleet_debt *fleet_debt_new(store_done_fn *fn, void *data)
{
	struct fleet_debt *debt = calloc(1, sizeof(*debt));
	if (debt)
		*debt = (struct fleet_debt){ 1, fn, data };
	return debt;
}

void fleet_debt_pay(struct fleet_debt *debt)
{
	static const struct store_answer done = { .outcome = STORE_OK };
	if (!debt || --debt->open > 0)
		return;
	if (debt->fn)
		debt->fn(debt->data, &done);
	free(debt);
}

/* --- taking up --- */

static void join_task(struct kernel *k, struct future *f)
{
	snprintf(k->task, sizeof(k->task), "%s", f->id);
	k->attempt = f->attempt;
	k->work_mono_ms = clock_mono_ms();
	if (kernel_bind_owner(k, f->owner) < 0)
		log_error("kernel %s runs task %s of %s, but is bound to %s", k->id, f->id, f->owner,
			  k->owner ? k->owner : "nobody");
	f->on = k;
	f->was_sent = true; /* perhaps: nobody knows before the kernel is asked */
	if (f->timeout_ms) {
		int64_t ran = clock_wall_ms() - f->started_ms;
		f->deadline_mono_ms = clock_mono_ms() + (f->timeout_ms > ran ? f->timeout_ms - ran : 1);
	}
}

static void wake_state(struct kernel *k, bool is_alive)
{
	if (k->task[0])
		kernel_step(k, KERNEL_EV_TAKEN_UP);
	else if (k->url[0])
		kernel_step(k, KERNEL_EV_READY);
	else
		k->ready_deadline_mono_ms = clock_mono_ms() + k->pool->spec->ready_within_ms;
	if (!is_alive)
		kernel_step(k, KERNEL_EV_STOP);
}

struct kernel *fleet_take_up(struct fleet *fleet, const char *id, int pid, bool is_alive, const char *label,
			     int64_t started_wall_ms, struct err *err)
{
	char pool_name[128];
	struct kernel *k = fleet_kernel(fleet, id);
	if (k)
		return k;
	if (!kernel_label_pool(label, pool_name, sizeof(pool_name))) {
		err_set(err, "unable to take up %s: its label names no pool", id);
		return NULL;
	}
	struct pool *pool = fleet_pool_or_retired(fleet, pool_name);
	k = pool ? enlist(fleet, pool, id) : NULL;
	if (!k) {
		err_set(err, "unable to take up %s: no memory", id);
		return NULL;
	}
	if (kernel_read_label(k, label, err) < 0) {
		map_remove(fleet->kernels_by_id, id);
		kernel_free(&k);
		return NULL;
	}
	k->task[0] = 0; /* the store says what it runs; the label may be older */
	k->pid = pid;
	k->started_wall_ms = started_wall_ms;
	k->started_mono_ms = clock_mono_ms() - (clock_wall_ms() - started_wall_ms);
	k->ready_wall_ms = k->url[0] ? started_wall_ms : 0;
	struct future *f = task_of(fleet, id);
	if (f)
		join_task(k, f);
	if (f && is_alive)
		fleet_log_adopt(fleet, f);
	wake_state(k, is_alive);
	const char *why = k->state == KERNEL_IDLE && k->tasks_run ? fleet_recycle_why(fleet, k) : NULL;
	if (why)
		fleet_recycle(fleet, k, why);
	fleet_touch(fleet);
	return k;
}

void fleet_taken_up(struct fleet *fleet)
{
	list_each (&fleet->futures, l) {
		struct future *f = list_of(l, struct future, in_fleet);
		if ((f->state != FUTURE_ASSIGNED && f->state != FUTURE_RUNNING) || f->on)
			continue;
		struct judge_end end = { .cause = "lost", .code = -1, .signal = -1, .peak_bytes = -1, .limit_bytes = -1 };
		snprintf(end.id, sizeof(end.id), "%s", f->kernel);
		snprintf(end.text, sizeof(end.text), "the keeper does not know kernel %s (it was started anew, or the machine was)",
			 f->kernel);
		fleet_task_judge(fleet, f, NULL, &end, NULL);
	}
	fleet_touch(fleet);
}
