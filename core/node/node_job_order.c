#include "node/node_job_order.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "fleet/jtext.h"
#include "node/node_spawn.h"

const char *job_order_recipe(const struct job_activity *a)
{
	const char *recipe = json_string_value(json_object_get(a->spec, "recipe"));
	return recipe ? recipe : a->id;
}

struct guest_facts job_order_facts(const struct node *n, const struct job_activity *a)
{
	const struct future *f = fleet_live(n->fleet, a->job->task);
	double memory = json_number_value(json_object_get(json_object_get(a->spec, "limits"), "memory_bytes"));
	return (struct guest_facts){
		.kind = "recipe",
		.id = a->process,
		.user = a->job->owner,
		.project = a->job->project,
		.job = a->job->id,
		.activity = a->id,
		.recipe = job_order_recipe(a),
		.recipe_type = a->kind,
		.task = a->job->task,
		.tags = json_object_get(a->spec, "tags"),
		.resources = json_object_get(a->spec, "resources"),
		.memory_bytes = job_runs_in_kernel(a) ? -1 : (int64_t)memory,
		.priority = f ? f->priority : 0,
	};
}

/* What its owner reads. */
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
	jtext_text(&label, "recipe", job_order_recipe(a));
	jtext_text(&label, "recipeType", a->kind);
	jtext_text(&label, "owner", a->job->owner);
	node_spawn_label_limits(&label, json_object_get(a->spec, "limits"));
	buf_putc(&label, '}');
	if (!label.failed)
		wire_text(b, WF_label, label.data);
	buf_fini(&label);
}

int job_order_spawn(struct node *n, const struct job_activity *a, node_keeper_answer_fn *fn, void *data, struct err *err)
{
	const struct future *f = fleet_live(n->fleet, a->job->task);
	const char *cwd = json_string_value(json_object_get(a->spec, "cwd"));
	struct node_spawn_box box;
	char text[4 * JOB_NAME_MAX];
	size_t i;
	json_t *v;
	if (!n->keeper)
		return err_set(err, "there is no keeper to order it");
	const struct guest_facts facts = job_order_facts(n, a);
	if (node_spawn_find_box(n, &facts, &box, err) < 0)
		return -1;
	struct buf *b = node_keeper_begin(n->keeper, WIRE_spawn);
	wire_text(b, WF_id, a->process);
	wire_text(b, WF_kind, "recipe");
	node_spawn_put_box(b, &box, json_object_get(a->spec, "limits"));
	node_spawn_put_stamp(b, a->id, json_string_value(json_object_get(a->spec, "script")), json_object_get(a->spec, "outputs"));
	json_array_foreach(json_object_get(a->spec, "argv"), i, v) if (json_is_string(v))
		wire_text(b, WF_argv, json_string_value(v));
	node_spawn_put_own_env(b, json_object_get(a->spec, "env"), cwd ? cwd : "/");
	node_spawn_put_api_env(n, b, a->job->project, a->process);
	node_spawn_put_env(b, "DSS_JOB_ID", a->job->id);
	node_spawn_put_env(b, "DSS_ACTIVITY_ID", a->id);
	node_spawn_put_env(b, "DSS_RECIPE", job_order_recipe(a));
	wire_text(b, WF_cwd, cwd ? cwd : "/");
	node_spawn_put_user(n, b);
	snprintf(text, sizeof(text), "job:%s:%s", a->job->project, a->job->id);
	wire_text(b, WF_sink, text);
	wire_text(b, WF_ready, "exec");
	if (f && f->on)
		wire_text(b, WF_parent, f->on->id);
	wire_int(b, WF_stop_signal, SIGTERM);
	wire_int(b, WF_grace_ms, JOB_GRACE_MS);
	put_label(a, b);
	return node_keeper_end(n->keeper, fn, data, err);
}
