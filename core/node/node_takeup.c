#include "node/node_takeup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/die.h"
#include "fleet/jtext.h"
#include "node/node_boxes.h"
#include "node/node_change.h"
#include "node/node_job.h"
#include "node/node_meter.h"
#include "node/node_notebook.h"
#include "node/node_orders.h"
#include "node/node_project.h"
#include "node/node_webapp.h"

struct event {
	struct list link;
	struct node *node;
	int64_t seq;
	char what[32], pool[128]; /* as its label says; "" = none */
	int pid;
	struct judge_end end;
};

/* --- events --- */

static void copy_text(char *to, size_t room, const struct wire_view *msg, enum wire_field f)
{
	const char *s = wire_get_text(msg, f);
	snprintf(to, room, "%s", s ? s : "");
}

static void read_end(struct judge_end *e, const struct wire_view *msg)
{
	const struct {
		char *to;
		size_t room;
		enum wire_field f;
	} texts[] = {
		{ e->id, sizeof(e->id), WF_id },
		{ e->cause, sizeof(e->cause), WF_cause },
		{ e->text, sizeof(e->text), WF_text },
		{ e->by, sizeof(e->by), WF_by },
		{ e->peak_source, sizeof(e->peak_source), WF_peak_source },
		{ e->limit_owner, sizeof(e->limit_owner), WF_limit_owner },
		{ e->victim_of, sizeof(e->victim_of), WF_victim_of },
		{ e->cgroup, sizeof(e->cgroup), WF_cgroup },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		copy_text(texts[i].to, texts[i].room, msg, texts[i].f);
	e->code = (int)wire_get_int(msg, WF_code, -1);
	e->signal = (int)wire_get_int(msg, WF_signal, -1);
	e->peak_bytes = wire_get_int(msg, WF_peak_bytes, -1);
	e->limit_bytes = wire_get_int(msg, WF_limit_bytes, -1);
	e->cpu_ms = wire_get_int(msg, WF_cpu_ms, -1);
	e->wall_ms = wire_get_int(msg, WF_wall_ms, 0);
	e->mono_ms = wire_get_int(msg, WF_mono_ms, 0);
}

static void on_saved(void *data, const struct store_answer *answer)
{
	struct event *ev = data;
	if (answer->outcome != STORE_OK)
		log_warn("a fact was lost: %s", answer->err.text);
	if (strcmp(ev->what, "exited") == 0)
		die_at(strncmp(ev->end.id, "job-", 4) == 0 ? "activity_ended" : "end_committed");
	node_keeper_ack(ev->node->keeper, ev->seq);
	free(ev);
}

static void on_read(void *data)
{
	struct event *ev = data;
	const struct kernel *k = fleet_kernel(ev->node->fleet, ev->end.id);
	const struct pool *pool = k ? k->pool : ev->pool[0] ? fleet_pool(ev->node->fleet, ev->pool) : NULL;
	judge_refine(&ev->end, pool ? pool->spec : NULL);
	fleet_kernel_ended(ev->node->fleet, &ev->end, on_saved, ev);
}

const char *node_takeup_owner(struct node *n, const char *process)
{
	const struct kernel *k = fleet_kernel(n->fleet, process);
	const char *owner = k ? k->owner : node_jobs_owner(n->jobs, process);
	if (!owner && !k)
		owner = node_webapps_owner(n->webapps, process);
	return owner || k ? owner : node_notebooks_owner(n->notebooks, process);
}

static void keep_fact(struct event *ev)
{
	char what[48], detail[64];
	snprintf(what, sizeof(what), "process.%s", ev->what);
	snprintf(detail, sizeof(detail), "{\"pid\":%d}", ev->pid);
	struct store_fact fact = {
		what, ev->end.id, detail, ev->end.wall_ms, ev->end.mono_ms, node_takeup_owner(ev->node, ev->end.id)
	};
	if (store_add_fact(fleet_store(ev->node->fleet), &fact, on_saved, ev) < 0)
		free(ev); /* not acknowledged: the next backend hears it again */
}

static void handle(struct event *ev)
{
	struct node *n = ev->node;
	if (strcmp(ev->end.id, "jupyter") == 0)
		node_notebooks_served(n->notebooks, strcmp(ev->what, "exited") == 0 ? 0 : ev->pid);
	if (strcmp(ev->what, "exited") == 0) {
		node_boxes_ended(n->boxes, &ev->end);
		if (node_jobs_ended(n->jobs, &ev->end, on_saved, ev) || node_webapps_ended(n->webapps, &ev->end, on_saved, ev) ||
		    node_notebooks_ended(n->notebooks, &ev->end, on_saved, ev))
			return;
		if (node_projects_ended(n->projects, &ev->end) || node_changes_ended(n->changes, &ev->end)) {
			node_keeper_ack(n->keeper, ev->seq);
			free(ev);
			return;
		}
		node_kernel_finish(n->kernels, ev->end.id, on_read, ev);
		return;
	}
	if (strcmp(ev->what, "started") == 0 && ev->pid)
		fleet_kernel_up(n->fleet, ev->end.id, ev->pid);
	if (strcmp(ev->what, "ready") == 0)
		node_webapps_ready(n->webapps, ev->end.id);
	keep_fact(ev);
}

void node_takeup_event(void *node, int64_t seq, const struct wire_view *msg)
{
	struct node *n = node;
	struct event *ev = calloc(1, sizeof(*ev));
	if (!ev) {
		log_error("no memory for an event of the keeper; it is told again to the next backend");
		return;
	}
	n->facts.keeper_events++;
	node_meter_event(n->meter, msg);
	list_init(&ev->link);
	ev->node = n;
	ev->seq = seq;
	ev->pid = (int)wire_get_int(msg, WF_pid, 0);
	copy_text(ev->what, sizeof(ev->what), msg, WF_what);
	read_end(&ev->end, msg);
	kernel_label_pool(wire_get_text(msg, WF_label), ev->pool,
			  sizeof(ev->pool)); /* of a kernel that the fleet may have forgotten */
	if (n->facts.is_taken_up)
		handle(ev);
	else
		list_push(&n->held, &ev->link);
}

/* --- the list --- */

static bool is_to_be_asked(const char *state)
{
	return strcmp(state, "starting") == 0 || strcmp(state, "up") == 0 || strcmp(state, "ready") == 0;
}

static void take_row(struct node *n, const struct wire_view *msg)
{
	struct err err = { 0 };
	const char *id = wire_get_text(msg, WF_id), *kind = wire_get_text(msg, WF_kind), *state = wire_get_text(msg, WF_state);
	if (strcmp(kind, "recipe") == 0)
		node_jobs_take_row(n->jobs, id, wire_get_text(msg, WF_label), is_to_be_asked(state));
	if (strcmp(kind, "webapp") == 0)
		node_webapps_take_row(n->webapps, id, state, is_to_be_asked(state));
	if (strcmp(kind, "notebook") == 0)
		node_notebooks_take_row(n->notebooks, id, (int)wire_get_int(msg, WF_pid, 0), is_to_be_asked(state));
	if (strcmp(id, "jupyter") == 0)
		node_notebooks_served(n->notebooks, is_to_be_asked(state) ? (int)wire_get_int(msg, WF_pid, 0) : 0);
	if (strcmp(kind, "kernel") != 0)
		return;
	bool is_alive = is_to_be_asked(state);
	struct kernel *k = fleet_take_up(n->fleet, id, (int)wire_get_int(msg, WF_pid, 0), is_alive, wire_get_text(msg, WF_label),
					 wire_get_int(msg, WF_started_ms, 0), &err);
	if (!k) {
		log_warn("%s%s", err.text, is_alive ? "; it is stopped" : "");
		if (is_alive && node_orders_stop(n, id, "policy", "the backend does not know what it is for", -1, &err) < 0)
			log_error("unable to stop %s: %s", id, err.text);
		return;
	}
	struct future *f = k->state == KERNEL_BUSY ? fleet_live(n->fleet, k->task) : NULL;
	log_info("took up kernel %s (pid %d, %s%s%s)", k->id, k->pid, state, f ? ", task " : "", f ? f->id : "");
	if (f && f->job)
		node_jobs_open(n->jobs, f->id);
	if (f && node_kernel_follow(n->kernels, k, f, &err) < 0)
		log_error("%s", err.text);
}

static void release_held(struct node *n)
{
	list_each (&n->held, l) {
		list_remove(l);
		handle(list_of(l, struct event, link));
	}
}

static void on_list(void *data, const struct wire_view *msg)
{
	struct node *n = data;
	if (msg->type == WIRE_row) {
		take_row(n, msg);
		node_meter_row(n->meter, msg);
		return;
	}
	n->is_listing = false;
	if (msg->type == WIRE_fail) {
		log_error("unable to take up: the keeper does not list its processes: %s", wire_get_text(msg, WF_text));
		n->on_over(n->data, "the keeper does not list its processes");
		return;
	}
	n->facts.is_taken_up = true;
	node_meter_taken_up(n->meter);
	node_jobs_taken_up(n->jobs);
	fleet_taken_up(n->fleet);
	release_held(n);
	fleet_start(n->fleet);
	node_webapps_taken_up(n->webapps);
	node_notebooks_taken_up(n->notebooks);
	node_boxes_look(n->boxes);
	log_info("taken up: the keeper has %lld processes", (long long)wire_get_int(msg, WF_count, 0));
}

void node_takeup_begin(struct node *n)
{
	struct err err = { 0 };
	if (!n->facts.is_connected || !n->has_pools || n->is_listing || n->facts.is_taken_up)
		return;
	n->is_listing = true;
	node_keeper_begin(n->keeper, WIRE_list);
	if (node_keeper_end(n->keeper, on_list, n, &err) < 0) {
		n->is_listing = false;
		n->on_over(n->data, err.text);
	}
}

void node_takeup_free(struct node *n)
{
	list_each (&n->held, l)
		free(list_of(l, struct event, link));
	list_init(&n->held);
}
