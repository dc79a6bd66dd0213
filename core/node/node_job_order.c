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
	jtext_text(&label, "owner", a->job->owner);
	buf_putc(&label, '}');
	if (!label.failed)
		wire_text(b, WF_label, label.data);
	buf_fini(&label);
}

void job_order_limit(struct node *n, const struct job_activity *a)
{
	static const struct {
		const char *key, *knob;
		double scale;
	} knobs[] = { { "memory_bytes", "memory", 1 }, { "threads", "pids", 1 }, { "cpu", "cpu", 1000 } };
	const json_t *limits = json_object_get(a->job->plan, "limits");
	char box[3 * JOB_NAME_MAX];
	snprintf(box, sizeof(box), "run/jobs/%s/%s", a->job->project, a->job->id);
	for (size_t i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++) {
		double v = json_number_value(json_object_get(limits, knobs[i].key));
		struct err err = { 0 };
		if (v <= 0)
			continue;
		struct buf *b = node_keeper_begin(n->keeper, WIRE_limit);
		wire_text(b, WF_box, box);
		wire_text(b, WF_knob, knobs[i].knob);
		wire_int(b, WF_value, (int64_t)(v * knobs[i].scale));
		if (node_keeper_end(n->keeper, NULL, NULL, &err) < 0)
			log_warn("unable to limit %s: %s", box, err.text);
	}
}

int job_order_spawn(struct node *n, const struct job_activity *a, node_keeper_answer_fn *fn, void *data, struct err *err)
{
	const struct future *f = fleet_live(n->fleet, a->job->task);
	const char *cwd = json_string_value(json_object_get(a->spec, "cwd"));
	char text[4 * JOB_NAME_MAX];
	size_t i;
	json_t *v;
	if (!n->keeper)
		return err_set(err, "there is no keeper to order it");
	int len = snprintf(text, sizeof(text), "run/jobs/%s/%s/%s", a->job->project, a->job->id, a->id);
	if (len < 0 || len > NODE_SPAWN_BOX_MAX)
		return err_set(err, "the names of project, job and activity are too long for a box");
	struct buf *b = node_keeper_begin(n->keeper, WIRE_spawn);
	wire_text(b, WF_id, a->process);
	wire_text(b, WF_kind, "recipe");
	wire_text(b, WF_box, text);
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
	node_spawn_put_limits(b, json_object_get(a->spec, "limits"));
	put_label(a, b);
	return node_keeper_end(n->keeper, fn, data, err);
}
