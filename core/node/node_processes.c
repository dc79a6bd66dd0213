/* node_processes: all that the keeper runs, as our JSON rows: its list, a usage for each, and what the fleet knows of kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/jtext.h"
#include "node/node_inner.h"

#define ANSWER_WITHIN_MS 5000
#define ROWS_MAX         20000
#define JSON_MAX         (32 * 1024 * 1024)

struct row {
	char id[128];
	char *json;
	bool has_usage;
};

struct query {
	struct node *node;
	node_processes_fn *fn; /* NULL: answered; waits for its last answers to be freed */
	void *data;
	struct loop_timer *limit;
	struct row *rows;
	size_t nrows, room;
	int open; /* orders under way */
	bool is_listed;
};

struct ask {
	struct query *query;
	size_t row;
};

static void query_free(struct query *q)
{
	for (size_t i = 0; i < q->nrows; i++)
		free(q->rows[i].json);
	free(q->rows);
	loop_timer_free(&q->limit);
	free(q);
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
		buf_puts(&out, q->rows[i].json);
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
	int64_t cpu_ms = wire_get_int(msg, WF_cpu_ms, -1);
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
	put_int(&out, "memoryBytes", msg, WF_memory_bytes);
	put_int(&out, "rssBytes", msg, WF_rss_bytes);
	put_int(&out, "peakBytes", msg, WF_peak_bytes);
	if (cpu_ms >= 0) {
		jtext_member(&out, "cpuSeconds");
		buf_printf(&out, "%.3f", (double)cpu_ms / 1000);
	}
	put_text(&out, "cgroup", msg, WF_cgroup);
	put_int(&out, "limitBytes", msg, WF_limit_bytes);
	put_int(&out, "startedAt", msg, WF_started_ms);
	if (k && k->ready_wall_ms)
		jtext_int(&out, "readyAt", k->ready_wall_ms);
	else
		put_int(&out, "readyAt", msg, WF_ready_ms);
	put_int(&out, "exitedAt", msg, WF_exited_ms);
	put_text(&out, "cause", msg, WF_cause);
	buf_putc(&out, '}');
	char *json = out.failed ? NULL : buf_steal(&out);
	buf_fini(&out);
	return json;
}

static void on_usage(void *data, const struct wire_view *msg)
{
	struct ask *a = data;
	struct query *q = a->query;
	if (msg->type == WIRE_row && q->fn) {
		char *json = row_json(q, msg);
		if (json) {
			free(q->rows[a->row].json);
			q->rows[a->row].json = json;
		}
	}
	free(a);
	paid(q);
}

static void add_row(struct query *q, const struct wire_view *msg)
{
	if (q->nrows == q->room) {
		size_t room = q->room ? q->room * 2 : 64;
		struct row *more = q->nrows < ROWS_MAX ? realloc(q->rows, room * sizeof(*more)) : NULL;
		if (!more)
			return;
		q->rows = more;
		q->room = room;
	}
	struct row *r = &q->rows[q->nrows];
	r->json = row_json(q, msg);
	if (!r->json)
		return;
	snprintf(r->id, sizeof(r->id), "%s", wire_get_text(msg, WF_id));
	/* A service's usage is the door's to tell; an ended process has it in its row. */
	r->has_usage = strcmp(wire_get_text(msg, WF_kind), "service") == 0 || wire_has(msg, WF_cause);
	q->nrows++;
}

static void ask_usages(struct query *q)
{
	for (size_t i = 0; i < q->nrows; i++) {
		struct ask *a = q->rows[i].has_usage ? NULL : malloc(sizeof(*a));
		if (!a)
			continue;
		*a = (struct ask){ q, i };
		struct buf *b = node_keeper_begin(q->node->keeper, WIRE_usage);
		wire_text(b, WF_id, q->rows[i].id);
		if (node_keeper_end(q->node->keeper, on_usage, a, NULL) == 0)
			q->open++;
		else
			free(a);
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
	node_keeper_begin(n->keeper, WIRE_list);
	if (!q->limit || node_keeper_end(n->keeper, on_list, q, &err) < 0) {
		fn(data, NULL, &err);
		query_free(q);
		return;
	}
	loop_timer_start(q->limit, ANSWER_WITHIN_MS);
}
