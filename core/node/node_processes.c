/* node_processes: all that the keeper runs, and itself, as our JSON rows: its list, what each uses, and what the fleet knows of kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/jtext.h"
#include "base/map.h"
#include "node/node_inner.h"
#include "node/node_job.h"
#include "node/node_notebook.h"
#include "node/node_sample.h"
#include "node/node_webapp.h"

#define ANSWER_WITHIN_MS 5000
#define ROWS_MAX         20000
#define ASK_AT_ONCE      100 /* in one order: the keeper reads eight files for each */
#define JSON_MAX         (32 * 1024 * 1024)

struct row {
	char *json; /* without its usage and its last brace */
	struct node_sample usage;
	bool is_over; /* its usage is in its row */
};

struct query {
	struct node *node;
	node_processes_fn *fn; /* NULL: answered; waits for its last answers to be freed */
	void *data;
	struct loop_timer *limit;
	struct row *rows;
	size_t nrows, room;
	struct map *by_id; /* numbers of rows, from 1 */
	int open;          /* orders under way */
	bool is_listed;
};

static void query_free(struct query *q)
{
	for (size_t i = 0; i < q->nrows; i++)
		free(q->rows[i].json);
	free(q->rows);
	if (q->by_id)
		map_free(&q->by_id);
	loop_timer_free(&q->limit);
	free(q);
}

static void put_row(const struct row *r, struct buf *out)
{
	const struct node_sample *u = &r->usage;
	buf_puts(out, r->json);
	jtext_some_int(out, "memoryBytes", u->memory_bytes);
	jtext_some_int(out, "rssBytes", u->rss_bytes);
	jtext_some_int(out, "peakBytes", u->peak_bytes);
	jtext_some_int(out, "limitBytes", u->limit_bytes);
	if (u->cpu_ms >= 0) {
		jtext_member(out, "cpuSeconds");
		buf_printf(out, "%.3f", (double)u->cpu_ms / 1000);
	}
	buf_putc(out, '}');
}

static void answer(struct query *q, const struct err *why)
{
	struct buf out;
	node_processes_fn *fn = q->fn;
	if (!fn)
		return;
	q->fn = NULL;
	loop_timer_stop(q->limit);
	buf_init(&out, JSON_MAX);
	buf_putc(&out, '[');
	for (size_t i = 0; i < q->nrows; i++) {
		jtext_next(&out);
		put_row(&q->rows[i], &out);
	}
	buf_putc(&out, ']');
	struct err full = { 0 };
	if (!why && out.failed) {
		err_set(&full, "no memory for the list of processes");
		why = &full;
	}
	fn(q->data, why ? NULL : &out, why);
	buf_fini(&out);
}

static void paid(struct query *q)
{
	if (--q->open > 0)
		return;
	answer(q, NULL);
	query_free(q);
}

static void put_text(struct buf *out, const char *name, const struct wire_view *msg, enum wire_field f)
{
	jtext_some_text(out, name, wire_get_text(msg, f));
}

static void put_int(struct buf *out, const char *name, const struct wire_view *msg, enum wire_field f)
{
	jtext_some_int(out, name, wire_get_int(msg, f, -1));
}

static char *row_json(const struct query *q, const struct wire_view *msg)
{
	struct buf out;
	const char *id = wire_get_text(msg, WF_id);
	const struct kernel *k = fleet_kernel(q->node->fleet, id);
	buf_init(&out, 64 * 1024);
	buf_putc(&out, '{');
	jtext_text(&out, "id", id);
	put_text(&out, "kind", msg, WF_kind);
	if (k && k->pool) {
		jtext_text(&out, "pool", k->pool->spec->name);
		jtext_text(&out, "variant", k->variant);
	}
	put_int(&out, "pid", msg, WF_pid);
	put_text(&out, "parentId", msg, WF_parent);
	jtext_text(&out, "node", "local");
	jtext_text(&out, "state", k && k->state != KERNEL_GONE ? kernel_fsm.states[k->state] : wire_get_text(msg, WF_state));
	jtext_some_text(&out, "user", k ? k->owner : NULL);
	put_text(&out, "unixUser", msg, WF_user);
	jtext_some_text(&out, "taskId", k ? k->task : NULL);
	const struct future *f = k && k->task[0] ? fleet_live(q->node->fleet, k->task) : NULL;
	jtext_some_text(&out, "project", f ? f->project : NULL);
	jtext_some_text(&out, "jobId", f ? f->job : NULL);
	if (!k)
		node_jobs_put_row(q->node->jobs, id, &out);
	if (!k)
		node_webapps_put_row(q->node->webapps, id, &out);
	if (!k)
		node_notebooks_put_row(q->node->notebooks, id, &out);
	if (k) {
		jtext_int(&out, "tasksRun", k->tasks_run);
		jtext_some_int(&out, "idleSince", k->idle_wall_ms > 0 ? k->idle_wall_ms : -1);
	}
	put_text(&out, "cgroup", msg, WF_cgroup);
	put_int(&out, "startedAt", msg, WF_started_ms);
	if (k && k->ready_wall_ms)
		jtext_int(&out, "readyAt", k->ready_wall_ms);
	else
		put_int(&out, "readyAt", msg, WF_ready_ms);
	put_int(&out, "exitedAt", msg, WF_exited_ms);
	put_text(&out, "cause", msg, WF_cause);
	char *json = out.failed ? NULL : buf_steal(&out);
	buf_fini(&out);
	return json;
}

static struct row *more_row(struct query *q)
{
	if (q->nrows == q->room) {
		size_t room = q->room ? q->room * 2 : 64;
		struct row *more = q->nrows < ROWS_MAX ? realloc(q->rows, room * sizeof(*more)) : NULL;
		if (!more)
			return NULL;
		q->rows = more;
		q->room = room;
	}
	return &q->rows[q->nrows];
}

static void take_row(struct query *q, struct row *r, const char *id, char *json)
{
	if (!json)
		return;
	snprintf(r->usage.id, sizeof(r->usage.id), "%s", id);
	r->json = json;
	q->nrows++;
	map_set(q->by_id, r->usage.id, (void *)(uintptr_t)q->nrows); /* no memory: it is shown without its usage */
}

static void add_row(struct query *q, const struct wire_view *msg)
{
	struct row *r = more_row(q);
	if (!r)
		return;
	r->usage = (struct node_sample){ .memory_bytes = -1,
					 .rss_bytes = -1,
					 .pids = -1,
					 .peak_bytes = wire_get_int(msg, WF_peak_bytes, -1),
					 .limit_bytes = wire_get_int(msg, WF_limit_bytes, -1),
					 .cpu_ms = wire_get_int(msg, WF_cpu_ms, -1) };
	r->is_over = wire_has(msg, WF_cause);
	take_row(q, r, wire_get_text(msg, WF_id), row_json(q, msg));
}

/* It is in nobody's list. */
static void add_keeper(struct query *q)
{
	struct buf out;
	struct row *r = more_row(q);
	if (!r)
		return;
	*r = (struct row){
		.usage = { .memory_bytes = -1, .rss_bytes = -1, .pids = -1, .peak_bytes = -1, .limit_bytes = -1, .cpu_ms = -1 }
	};
	buf_init(&out, 1024);
	buf_putc(&out, '{');
	jtext_text(&out, "id", "keeper");
	jtext_text(&out, "kind", "service");
	jtext_int(&out, "pid", q->node->facts.keeper_pid);
	jtext_text(&out, "node", "local");
	jtext_text(&out, "state", "ready");
	take_row(q, r, "keeper", out.failed ? NULL : buf_steal(&out));
	buf_fini(&out);
}

static void on_samples(void *data, const struct wire_view *msg)
{
	struct query *q = data;
	struct node_sample s;
	size_t at = 0;
	while (q->fn && node_sample_next(msg, &at, &s)) { /* an older keeper refuses: then there is none */
		size_t i = (uintptr_t)map_get(q->by_id, s.id);
		if (i)
			q->rows[i - 1].usage = s;
	}
	paid(q);
}

static void ask_usages(struct query *q)
{
	for (size_t i = 0; i < q->nrows;) {
		struct buf *b = node_keeper_begin(q->node->keeper, WIRE_sample);
		wire_int(b, WF_on, 1);
		size_t n = 0;
		for (; i < q->nrows && n < ASK_AT_ONCE; i++)
			if (!q->rows[i].is_over && ++n)
				wire_text(b, WF_id, q->rows[i].usage.id);
		if (n && node_keeper_end(q->node->keeper, on_samples, q, NULL) == 0)
			q->open++;
	}
}

static void on_list(void *data, const struct wire_view *msg)
{
	struct query *q = data;
	struct err err = { 0 };
	if (msg->type == WIRE_row) {
		if (q->fn)
			add_row(q, msg);
		return;
	}
	if (msg->type == WIRE_fail) {
		err_set(&err, "unable to list the processes: %s", wire_get_text(msg, WF_text));
		answer(q, &err);
	} else if (q->fn) {
		add_keeper(q);
		ask_usages(q);
	}
	paid(q);
}

static void on_limit(void *data)
{
	struct err err = { 0 };
	err_set(&err, "the keeper did not answer within %d s", ANSWER_WITHIN_MS / 1000);
	answer(data, &err);
}

void node_processes(struct node *n, node_processes_fn *fn, void *data)
{
	struct err err = { 0 };
	struct query *q = n->keeper && n->facts.is_connected ? calloc(1, sizeof(*q)) : NULL;
	if (!q) {
		err_set(&err, n->keeper ? "the keeper has not said welcome yet" : "there is no keeper");
		fn(data, NULL, &err);
		return;
	}
	*q = (struct query){ .node = n, .fn = fn, .data = data, .open = 1 };
	q->limit = loop_timer_new(n->loop, on_limit, q);
	q->by_id = map_new();
	node_keeper_begin(n->keeper, WIRE_list);
	if (!q->by_id || !q->limit)
		err_set(&err, "no memory for the list of processes");
	if (err.text[0] || node_keeper_end(n->keeper, on_list, q, &err) < 0) {
		fn(data, NULL, &err);
		query_free(q);
		return;
	}
	loop_timer_start(q->limit, ANSWER_WITHIN_MS);
}
