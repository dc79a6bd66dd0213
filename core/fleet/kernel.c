#include "fleet/kernel.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/jtext.h"
#include "fleet/pool.h"
#include "net/digest.h"
#include "net/json.h"
#include "sys/clock.h"

#define LABEL_SHARE     16 /* of recycle.after_tasks, by which a label may be behind */
#define LABEL_STEP_MOST 64
#define SPREAD          100 /* thousandths, up and down */

static const char *const state_names[] = { "starting", "idle", "busy", "draining", "stopping", "gone", NULL };
static const char *const event_names[] = { "ready", "taken_up", "stop", "exit", "assign", "retire", "task_end", NULL };

static const struct fsm_row rows[] = {
	{ KERNEL_STARTING, KERNEL_EV_READY, KERNEL_IDLE, "offer" },
	{ KERNEL_STARTING, KERNEL_EV_TAKEN_UP, KERNEL_BUSY, "ask for its task" },
	{ KERNEL_STARTING, KERNEL_EV_STOP, KERNEL_STOPPING, "order stop" },
	{ KERNEL_STARTING, KERNEL_EV_EXIT, KERNEL_GONE, "forget" },
	{ KERNEL_IDLE, KERNEL_EV_ASSIGN, KERNEL_BUSY, "send the task" },
	{ KERNEL_IDLE, KERNEL_EV_RETIRE, KERNEL_STOPPING, "order stop" },
	{ KERNEL_IDLE, KERNEL_EV_STOP, KERNEL_STOPPING, "order stop" },
	{ KERNEL_IDLE, KERNEL_EV_EXIT, KERNEL_GONE, "forget" },
	{ KERNEL_BUSY, KERNEL_EV_TASK_END, KERNEL_IDLE, "offer" },
	{ KERNEL_BUSY, KERNEL_EV_RETIRE, KERNEL_DRAINING, "" },
	{ KERNEL_BUSY, KERNEL_EV_STOP, KERNEL_STOPPING, "order stop" },
	{ KERNEL_BUSY, KERNEL_EV_EXIT, KERNEL_GONE, "judge the task" },
	{ KERNEL_DRAINING, KERNEL_EV_TASK_END, KERNEL_STOPPING, "order stop" },
	{ KERNEL_DRAINING, KERNEL_EV_STOP, KERNEL_STOPPING, "order stop" },
	{ KERNEL_DRAINING, KERNEL_EV_EXIT, KERNEL_GONE, "judge the task" },
	{ KERNEL_STOPPING, KERNEL_EV_READY, KERNEL_STOPPING, "" },
	{ KERNEL_STOPPING, KERNEL_EV_TASK_END, KERNEL_STOPPING, "" },
	{ KERNEL_STOPPING, KERNEL_EV_EXIT, KERNEL_GONE, "forget" },
};

const struct fsm kernel_fsm = FSM("kernel", state_names, event_names, rows);

struct kernel *kernel_new(const char *id, struct pool *pool)
{
	struct kernel *k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	list_init(&k->in_pool);
	list_init(&k->in_fleet);
	snprintf(k->id, sizeof(k->id), "%s", id);
	k->pool = pool;
	k->memory_now_bytes = k->peak_bytes = k->cpu_ms = -1;
	if (pool) {
		k->memory_bytes = k->limit_bytes = pool->spec->memory_bytes;
		pool_spec_variant(pool->spec, k->variant);
	}
	return k;
}

void kernel_free(struct kernel **k)
{
	if (!*k)
		return;
	list_remove(&(*k)->in_pool);
	list_remove(&(*k)->in_fleet);
	free((*k)->owner);
	free(*k);
	*k = NULL;
}

const char *kernel_step(struct kernel *k, enum kernel_event event)
{
	const struct fsm_row *row = fsm_step(&kernel_fsm, (int)k->state, (int)event);
	if (!row) {
		log_debug("kernel %s: %s while %s is not in the table", k->id, event_names[event], state_names[k->state]);
		return NULL;
	}
	k->state = (enum kernel_state)row->next;
	k->idle_wall_ms = k->state == KERNEL_IDLE ? clock_wall_ms() : 0;
	return row->action;
}

bool kernel_may_run(const struct kernel *k, const char *owner, const char *task, int64_t memory_bytes)
{
	if (k->state != KERNEL_IDLE || (k->owner && strcmp(k->owner, owner) != 0))
		return false;
	if (k->reserved_for[0])
		return strcmp(k->reserved_for, task) == 0;
	return k->memory_bytes == 0 || memory_bytes <= k->memory_bytes;
}

int kernel_bind_owner(struct kernel *k, const char *owner)
{
	if (k->owner)
		return strcmp(k->owner, owner) == 0 ? 0 : -1;
	k->owner = strdup(owner);
	return k->owner ? 0 : -1;
}

int64_t kernel_spread(const struct kernel *k, int64_t value)
{
	uint64_t h = 14695981039346656037u;
	for (const char *s = k->id; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	int64_t share = (int64_t)((h ^ h >> 32) % (2 * SPREAD + 1)) - SPREAD;
	if (value <= 0 || value > INT64_MAX / 2)
		return value;
	int64_t part = value % 1000 * share;
	return value + value / 1000 * share + (part + (part < 0 ? -500 : 500)) / 1000;
}

void kernel_add_sample(struct kernel *k, int64_t wall_ms, int64_t memory_bytes)
{
	int at = (k->first_sample + k->nsamples) % KERNEL_SAMPLES;
	k->samples[at] = (struct kernel_sample){ wall_ms, memory_bytes };
	if (k->nsamples < KERNEL_SAMPLES)
		k->nsamples++;
	else
		k->first_sample = (k->first_sample + 1) % KERNEL_SAMPLES;
}

void kernel_clear_samples(struct kernel *k)
{
	k->nsamples = k->first_sample = 0;
}

static int derive(const void *key, size_t key_len, const char *what, const char *id, char out[KERNEL_TOKEN_MAX])
{
	char text[KERNEL_ID_MAX + 16];
	int n = snprintf(text, sizeof(text), "%s:%s", what, id);
	if (n < 0 || (size_t)n >= sizeof(text))
		return -1;
	digest_hmac_sha256_hex(key, key_len, text, (size_t)n, out);
	return 0;
}

int kernel_token(const void *key, size_t key_len, const char *id, char out[KERNEL_TOKEN_MAX])
{
	return derive(key, key_len, "kernel", id, out);
}

int kernel_task_token(const void *key, size_t key_len, const char *id, char out[KERNEL_TOKEN_MAX])
{
	return derive(key, key_len, "task", id, out);
}

int kernel_label(const struct kernel *k, struct buf *out)
{
	buf_putc(out, '{');
	jtext_text(out, "pool", k->pool ? k->pool->spec->name : "");
	jtext_some_text(out, "url", k->url);
	jtext_some_text(out, "task", k->task);
	if (k->task[0])
		jtext_int(out, "attempt", k->attempt);
	jtext_some_text(out, "owner", k->owner);
	jtext_some_text(out, "variant", k->variant);
	jtext_some_text(out, "reservedFor", k->reserved_for);
	jtext_int(out, "tasksRun", k->tasks_run);
	jtext_int(out, "memoryBytes", k->memory_bytes);
	buf_putc(out, '}');
	return out->failed ? -1 : 0;
}

bool kernel_label_is_due(const struct kernel *k)
{
	int64_t after = k->pool ? k->pool->spec->recycle_after_tasks : 0;
	int64_t step = after > 0 && after < LABEL_STEP_MOST * LABEL_SHARE ? after / LABEL_SHARE : LABEL_STEP_MOST;
	return k->tasks_run <= 1 || k->tasks_run - k->tasks_told >= step || k->tasks_run < k->tasks_told;
}

int kernel_read_label(struct kernel *k, const char *label, struct err *err)
{
	json_error_t why;
	json_t *o = json_loads(label, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(o)) {
		json_decref(o);
		return err_set(err, "unable to read the label of %s: %s", k->id, o ? "not an object" : why.text);
	}
	json_copy_text(o, "url", k->url, sizeof(k->url));
	json_copy_text(o, "task", k->task, sizeof(k->task));
	json_copy_text(o, "variant", k->variant, sizeof(k->variant));
	json_copy_text(o, "reservedFor", k->reserved_for, sizeof(k->reserved_for));
	k->attempt = (int)json_integer_value(json_object_get(o, "attempt"));
	k->tasks_run = json_integer_value(json_object_get(o, "tasksRun"));
	k->memory_bytes = k->limit_bytes = json_integer_value(json_object_get(o, "memoryBytes"));
	const char *owner = json_string_value(json_object_get(o, "owner"));
	int rc = owner && kernel_bind_owner(k, owner) < 0 ? err_set(err, "unable to take up %s: no memory", k->id) : 0;
	json_decref(o);
	return rc;
}

bool kernel_label_pool(const char *label, char *out, size_t room)
{
	json_t *o = label ? json_loads(label, 0, NULL) : NULL;
	if (room)
		out[0] = 0;
	if (json_is_object(o))
		json_copy_text(o, "pool", out, room);
	json_decref(o);
	return room && out[0];
}

int kernel_json(const struct kernel *k, struct buf *out)
{
	buf_putc(out, '{');
	jtext_text(out, "id", k->id);
	jtext_text(out, "kind", "kernel");
	jtext_text(out, "pool", k->pool ? k->pool->spec->name : NULL);
	jtext_text(out, "variant", k->variant);
	jtext_text(out, "state", state_names[k->state]);
	jtext_some_int(out, "pid", k->pid ? k->pid : -1);
	jtext_some_text(out, "taskId", k->task);
	jtext_some_text(out, "user", k->owner);
	jtext_int(out, "tasksRun", k->tasks_run);
	jtext_some_int(out, "memoryBytes", k->memory_now_bytes);
	jtext_some_int(out, "peakBytes", k->peak_bytes);
	jtext_some_int(out, "limitBytes", k->limit_bytes ? k->limit_bytes : -1);
	jtext_some_int(out, "startedAt", k->started_wall_ms ? k->started_wall_ms : -1);
	jtext_some_int(out, "readyAt", k->ready_wall_ms ? k->ready_wall_ms : -1);
	jtext_some_int(out, "idleSince", k->idle_wall_ms ? k->idle_wall_ms : -1);
	buf_putc(out, '}');
	return out->failed ? -1 : 0;
}
