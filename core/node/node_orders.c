#include "node/node_orders.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/die.h"
#include "fleet/jtext.h"
#include "fleet/training.h"
#include "node/node_job.h"
#include "node/node_meter.h"
#include "node/node_sample.h"
#include "node/node_spawn.h"

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/* Which kernel an answer is about; it may be gone by then. */
struct about {
	struct node *node;
	char id[KERNEL_ID_MAX];
};

static struct about *about(struct node *n, const char *id)
{
	struct about *a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->node = n;
	snprintf(a->id, sizeof(a->id), "%s", id);
	return a;
}

static int no_keeper(struct err *err)
{
	return err_set(err, "there is no keeper to order it");
}

/* --- spawn --- */

static void put_env(struct buf *b, const char *name, const char *value)
{
	char line[512];
	snprintf(line, sizeof(line), "%s=%s", name, value);
	wire_text(b, WF_env, line);
}

/* Where users' code in it finds the API, and its ticket: as the user of the task that it runs, while it runs it. */
static void put_door(const struct node *n, const struct kernel *k, struct buf *b)
{
	char ticket[JOB_TICKET_MAX], port[16];
	if (node_spawn_ticket(n, k->id, ticket) < 0)
		return;
	snprintf(port, sizeof(port), "%d", n->page_port);
	put_env(b, "DKU_BACKEND_PROTOCOL", "http");
	put_env(b, "DKU_BACKEND_HOST", "127.0.0.1");
	put_env(b, "DKU_BACKEND_PORT", port);
	put_env(b, "DKU_API_TICKET", ticket);
	wire_text(b, WF_mask, ticket);
	wire_text(b, WF_mask, strrchr(ticket, '.') + 1);
	explicit_bzero(ticket, sizeof(ticket));
}

/* All there is; a pool's own come last and may replace PATH, LANG, HOME and TMPDIR, never ours. */
static void put_environment(const struct node *n, const struct kernel *k, struct buf *b)
{
	static const char *const ours[] = { "PATH", "LANG", "HOME", "TMPDIR" };
	static const char *const values[] = { PATH_DEFAULT, "C.UTF-8", "/nonexistent", "/tmp" };
	char **env = k->pool->spec->env;
	for (size_t i = 0; i < 4; i++) {
		bool is_given = false;
		for (char **e = env; e && *e; e++)
			is_given |= strncmp(*e, ours[i], strlen(ours[i])) == 0 && (*e)[strlen(ours[i])] == '=';
		if (!is_given)
			put_env(b, ours[i], values[i]);
	}
	for (char **e = env; e && *e; e++)
		if (strncmp(*e, "DSS_KERNEL_", 11) != 0 && strncmp(*e, "DSS_BACKEND_", 12) != 0)
			wire_text(b, WF_env, *e);
	put_env(b, "DSS_KERNEL_ID", k->id);
	put_env(b, "DSS_BACKEND_URL", n->backend_url);
	put_env(b, "DSS_KERNEL_LISTEN", "127.0.0.1:0");
	put_env(b, "DSS_KERNEL_POOL", k->pool->spec->name);
	put_env(b, "DSS_KERNEL_KIND", pool_spec_takes(k->pool->spec, "job") ? "job" : "future");
	put_env(b, "DSS_KERNEL_LEASE_S", "0");
	if (pool_spec_takes(k->pool->spec, TRAINING_TYPE))
		put_door(n, k, b);
}

static void put_limit(struct buf *b, const char *knob, int64_t value)
{
	char text[64];
	snprintf(text, sizeof(text), "%s=%lld", knob, (long long)value);
	wire_text(b, WF_limit, text);
}

static void put_limits(const struct kernel *k, struct buf *b)
{
	const struct pool_spec *s = k->pool->spec;
	if (k->memory_bytes) {
		put_limit(b, "memory", k->memory_bytes);
		put_limit(b, "swap", s->swap_bytes);
	}
	if (s->threads)
		put_limit(b, "pids", s->threads);
}

static int put_secrets(const struct node *n, const struct kernel *k, struct buf *b)
{
	char kernel[KERNEL_TOKEN_MAX], task[KERNEL_TOKEN_MAX], json[256];
	if (kernel_token(n->key, n->key_len, k->id, kernel) < 0 || kernel_task_token(n->key, n->key_len, k->id, task) < 0)
		return -1;
	int len = snprintf(json, sizeof(json), "{\"kernelToken\":\"%s\",\"taskToken\":\"%s\"}", kernel, task);
	wire_bytes(b, WF_secrets, json, (size_t)len);
	wire_text(b, WF_mask, kernel);
	wire_text(b, WF_mask, task);
	explicit_bzero(json, sizeof(json));
	return 0;
}

static void put_label(const struct kernel *k, struct buf *b)
{
	struct buf label;
	buf_init(&label, WIRE_LABEL_MAX);
	if (kernel_label(k, &label) == 0)
		wire_text(b, WF_label, label.data);
	buf_fini(&label);
}

static void on_spawned(void *data, const struct wire_view *msg)
{
	struct about *a = data;
	die_at("spawn_answered");
	if (msg->type == WIRE_fail)
		fleet_kernel_failed(a->node->fleet, a->id, wire_get_text(msg, WF_text));
	free(a);
}

static int spawn(void *data, const struct kernel *k, struct err *err)
{
	struct node *n = data;
	const struct pool_spec *s = k->pool->spec;
	const char *user = s->run_as ? s->run_as : n->run_user;
	char text[KERNEL_ID_MAX + 16];
	struct about *a = n->keeper ? about(n, k->id) : NULL;
	if (!a)
		return n->keeper ? err_set(err, "no memory") : no_keeper(err);
	struct buf *b = node_keeper_begin(n->keeper, WIRE_spawn);
	wire_text(b, WF_id, k->id);
	wire_text(b, WF_kind, "kernel");
	for (char **arg = s->argv; *arg; arg++)
		wire_text(b, WF_argv, *arg);
	put_environment(n, k, b);
	wire_text(b, WF_cwd, s->cwd ? s->cwd : "/");
	if (*user && strcmp(n->facts.isolation, "none") != 0)
		wire_text(b, WF_user, user);
	snprintf(text, sizeof(text), "warm/%s", k->id);
	wire_text(b, WF_box, text);
	snprintf(text, sizeof(text), "kernel:%s", k->id);
	wire_text(b, WF_sink, text);
	snprintf(text, sizeof(text), "[%s] ", k->id);
	wire_text(b, WF_prefix, text);
	wire_text(b, WF_ready, "told");
	wire_int(b, WF_stop_signal, SIGTERM);
	wire_int(b, WF_grace_ms, s->grace_ms);
	put_limits(k, b);
	put_label(k, b);
	if (put_secrets(n, k, b) == 0 && node_keeper_end(n->keeper, on_spawned, a, err) == 0)
		return 0;
	free(a);
	return -1;
}

/* --- orders about a process --- */

int node_orders_stop(struct node *n, const char *id, const char *cause, const char *text, int64_t grace_ms, struct err *err)
{
	if (!n->keeper)
		return no_keeper(err);
	struct buf *b = node_keeper_begin(n->keeper, WIRE_stop);
	wire_text(b, WF_id, id);
	wire_text(b, WF_cause, cause);
	wire_text(b, WF_text, text);
	if (grace_ms >= 0)
		wire_int(b, WF_grace_ms, grace_ms);
	return node_keeper_end(n->keeper, NULL, NULL, err);
}

static int stop(void *data, const struct kernel *k, const char *cause, const char *text, struct err *err)
{
	return node_orders_stop(data, k->id, cause, text, k->pool->spec->grace_ms, err);
}

static int label(void *data, const struct kernel *k, struct err *err)
{
	struct node *n = data;
	if (!n->keeper)
		return no_keeper(err);
	struct buf *b = node_keeper_begin(n->keeper, WIRE_label);
	wire_text(b, WF_id, k->id);
	put_label(k, b);
	return node_keeper_end(n->keeper, NULL, NULL, err);
}

static int limit(void *data, const struct kernel *k, int64_t memory_bytes, struct err *err)
{
	struct node *n = data;
	char box[KERNEL_ID_MAX + 8];
	if (!n->keeper)
		return no_keeper(err);
	struct buf *b = node_keeper_begin(n->keeper, WIRE_limit);
	snprintf(box, sizeof(box), "warm/%s", k->id);
	wire_text(b, WF_box, box);
	wire_text(b, WF_knob, "memory");
	wire_int(b, WF_value, memory_bytes ? memory_bytes : -1);
	return node_keeper_end(n->keeper, NULL, NULL, err);
}

/* Nobody enforces limits where there are no cgroups: what has passed its own at a sample is killed, without grace. */
void node_orders_hold_to_limit(struct node *n, const char *id, int64_t memory_bytes)
{
	struct err err = { 0 };
	char used[48], limit[48], text[200];
	const struct kernel *k = fleet_kernel(n->fleet, id);
	if (!k || k->limit_bytes <= 0 || memory_bytes <= k->limit_bytes || k->state == KERNEL_STOPPING ||
	    strncmp(n->facts.cgroups, "none", 4) != 0)
		return;
	snprintf(text, sizeof(text), "%s used %s; its memory limit is %s (sampled: there are no cgroups)", id,
		 text_print_size(memory_bytes, used, sizeof(used)), text_print_size(k->limit_bytes, limit, sizeof(limit)));
	if (node_orders_stop(n, id, "oom_limit", text, 0, &err) < 0)
		log_error("unable to stop %s: %s", id, err.text);
	else
		fleet_kernel_stop(n->fleet, id, "oom_limit", text);
}

static void on_usage(void *data, const struct wire_view *msg)
{
	struct about *a = data;
	int64_t memory_bytes = wire_get_int(msg, WF_memory_bytes, -1);
	if (msg->type == WIRE_row) {
		fleet_kernel_usage(a->node->fleet, a->id, memory_bytes, wire_get_int(msg, WF_peak_bytes, -1),
				   wire_get_int(msg, WF_cpu_ms, -1));
		node_meter_sample(a->node->meter, a->id, memory_bytes, wire_get_int(msg, WF_cpu_ms, -1));
		node_kernel_set_box(a->node->kernels, a->id, wire_get_text(msg, WF_cgroup));
		node_orders_hold_to_limit(a->node, a->id, memory_bytes);
	}
	free(a);
}

/* with_mark: what the OOM counters show later happened after this moment. */
static int ask_usage(struct node *n, const char *id, bool with_mark)
{
	struct about *a = n->keeper ? about(n, id) : NULL;
	if (!a)
		return -1;
	struct buf *b = node_keeper_begin(n->keeper, WIRE_usage);
	wire_text(b, WF_id, id);
	if (with_mark)
		wire_int(b, WF_on, 1);
	if (node_keeper_end(n->keeper, on_usage, a, NULL) == 0)
		return 0;
	free(a);
	return -1;
}

void node_orders_usage(struct node *n, const char *id)
{
	ask_usage(n, id, false);
}

/* --- a task's own log --- */

struct about_task {
	struct node *node;
	char kernel[KERNEL_ID_MAX], task[FUTURE_ID_MAX];
};

static struct about_task *about_task(struct node *n, const struct kernel *k, const char *task, struct err *err)
{
	struct about_task *a = n->keeper ? calloc(1, sizeof(*a)) : NULL;
	if (!a) {
		err_set(err, "%s", n->keeper ? "no memory" : "there is no keeper to order it");
		return NULL;
	}
	a->node = n;
	snprintf(a->kernel, sizeof(a->kernel), "%s", k->id);
	snprintf(a->task, sizeof(a->task), "%s", task);
	return a;
}

static void on_routed(void *data, const struct wire_view *msg)
{
	struct about_task *a = data;
	if (msg->type == WIRE_fail)
		log_warn("the output of %s is not routed: %s", a->kernel, wire_get_text(msg, WF_text));
	fleet_task_routed(a->node->fleet, a->kernel, a->task);
	free(a);
}

static int route(void *data, const struct kernel *k, const char *task, bool is_own, struct err *err)
{
	struct node *n = data;
	char text[300];
	const struct future *f = is_own ? fleet_live(n->fleet, task) : NULL;
	struct about_task *a = about_task(n, k, task, err);
	if (!a)
		return -1;
	struct buf *b = node_keeper_begin(n->keeper, WIRE_route);
	wire_text(b, WF_id, k->id);
	if (f && f->job)
		snprintf(text, sizeof(text), "job:%s:%s", f->project, f->job);
	else
		snprintf(text, sizeof(text), "%s%s", is_own ? "job:RUN:" : "kernel:", is_own ? task : k->id);
	wire_text(b, WF_sink, text);
	snprintf(text, sizeof(text), "[%s] ", k->id);
	if (!is_own)
		wire_text(b, WF_prefix, text);
	if (node_keeper_end(n->keeper, on_routed, a, err) == 0)
		return 0;
	free(a);
	return -1;
}

static void on_counted(void *data, const struct wire_view *msg)
{
	struct about_task *a = data;
	int64_t oom_kills = wire_get_int(msg, WF_oom_kills, -1);
	const char *state = msg->type == WIRE_row ? wire_get_text(msg, WF_state) : NULL;
	/* Alive and yet without a counter: this machine has none. */
	if (oom_kills < 0 && state && (strcmp(state, "up") == 0 || strcmp(state, "ready") == 0))
		oom_kills = 0;
	if (msg->type == WIRE_row)
		node_meter_sample(a->node->meter, a->kernel, wire_get_int(msg, WF_memory_bytes, -1),
				  wire_get_int(msg, WF_cpu_ms, -1));
	fleet_task_counted(a->node->fleet, a->kernel, a->task, oom_kills);
	free(a);
}

static int count(void *data, const struct kernel *k, const char *task, struct err *err)
{
	struct node *n = data;
	struct about_task *a = about_task(n, k, task, err);
	if (!a)
		return -1;
	struct buf *b = node_keeper_begin(n->keeper, WIRE_usage);
	wire_text(b, WF_id, k->id);
	if (node_keeper_end(n->keeper, on_counted, a, err) == 0)
		return 0;
	free(a);
	return -1;
}

/* --- conversations --- */

static int send_task(void *data, const struct kernel *k, const struct future *f, struct err *err)
{
	struct node *n = data;
	if (f->job)
		node_jobs_open(n->jobs, f->id);
	bool is_marked = !node_kernel_is_unhurt(n->kernels, k->id), is_asked = is_marked && ask_usage(n, k->id, true) == 0;
	node_meter_assign(n->meter, k, f, is_asked);
	if (is_marked && !is_asked)
		log_warn("unable to mark the counters of %s", k->id);
	return node_kernel_send(n->kernels, k, f, err);
}

static void abort_task(void *data, const struct kernel *k, const char *task)
{
	struct node *n = data;
	node_kernel_abort(n->kernels, k, task);
	node_jobs_aborted(n->jobs, task);
}
static void release_task(void *data, const struct kernel *k, const char *task)
{
	node_kernel_release(((struct node *)data)->kernels, k, task);
}
static void over(void *data, const struct future *f)
{
	struct node *n = data;
	node_meter_release(n->meter, f->kernel);
	if (f->job)
		node_jobs_over(n->jobs, f);
}
static void saved(void *data, const struct future *f)
{
	node_jobs_saved(((struct node *)data)->jobs, f);
}
static void drop(void *data, const char *kernel)
{
	node_kernel_drop(((struct node *)data)->kernels, kernel);
}

struct fleet_orders node_orders_for(struct node *n)
{
	return (struct fleet_orders){
		.data = n,
		.spawn = spawn,
		.stop = stop,
		.label = label,
		.limit = limit,
		.usage = node_sample_kernels,
		.route = route,
		.count = count,
		.send = send_task,
		.abort = abort_task,
		.release = release_task,
		.drop = drop,
		.over = over,
		.saved = saved,
	};
}
