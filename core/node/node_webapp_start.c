/* node_webapp_start: a start: the project, a place (fleet/guest.h), the row, the order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/fleet.h"
#include "fleet/guest.h"
#include "fleet/setting.h"
#include "net/json.h"
#include "node/node_project.h"
#include "node/node_webapp_inner.h"
#include "sys/clock.h"

#define AGAIN_MS 5000 /* when its project could not be read, or the store takes nothing */

/* Who waits for a project, the store or the keeper on behalf of a start. */
struct asking {
	struct node_webapp *w;
	unsigned turn;
	json_t *spec;
};

static bool is_over(const struct asking *a)
{
	return a->turn != a->w->turn || a->w->in->is_stopped;
}

static void asking_free(struct asking *a)
{
	json_decref(a->spec);
	free(a);
}

/* There is no process, and there will be none. */
static void end_unborn(struct node_webapp *w, const char *text)
{
	struct judge_end end = { .code = -1, .signal = -1, .peak_bytes = -1, .limit_bytes = -1 };
	snprintf(end.cause, sizeof(end.cause), "unborn");
	snprintf(end.text, sizeof(end.text), "%s", text);
	webapp_end_process(w, &end, NULL, NULL);
}

static void on_spawned(void *data, const struct wire_view *msg)
{
	struct asking *a = data;
	if (msg->type == WIRE_fail && !is_over(a))
		end_unborn(a->w, wire_get_text(msg, WF_text));
	asking_free(a);
}

static void on_row(void *data, const struct store_answer *answer)
{
	struct asking *a = data;
	struct node_webapp *w = a->w;
	struct err err = { 0 };
	if (is_over(a)) {
		asking_free(a);
		return;
	}
	if (w->state != WEBAPP_STARTING) { /* somebody wished otherwise meanwhile: there was nothing to stop yet */
		end_unborn(w, "it was stopped before it was started");
	} else if (answer->outcome != STORE_OK) {
		webapp_later(w, AGAIN_MS, answer->err.text);
	} else if (webapp_order(w->in->node, w, a->spec, w->in->dir, on_spawned, a, &err) < 0) {
		end_unborn(w, err.text);
	} else {
		return; /* on_spawned frees it */
	}
	asking_free(a);
}

/* Where it is to listen. */
static int place(struct node_webapp *w, const json_t *spec, struct err *err)
{
	w->port = 0;
	w->socket[0] = '\0';
	if (webapp_wants_socket(spec))
		return webapp_name_socket(w, err);
	w->port = webapp_free_port(err);
	return w->port < 0 ? -1 : 0;
}

/* "/" is what the port itself tells. */
static void take_health(struct node_webapp *w, const json_t *spec)
{
	json_copy_text(spec, "health", w->health, sizeof(w->health));
	if (strcmp(w->health, "/") == 0)
		w->health[0] = '\0';
	w->every_ms = (int64_t)json_number_value(json_object_get(spec, "health_every_ms"));
	w->failures_most = (int)json_integer_value(json_object_get(spec, "health_failures"));
	if (w->every_ms <= 0 || w->failures_most <= 0) /* of a project that was read by an older version */
		w->health[0] = '\0';
}

/* --- its place among recipes and webapps --- */

static struct guest_facts facts_of(const struct node_webapp *w, const char *id)
{
	return (struct guest_facts){ .kind = "webapp",
				     .id = id,
				     .user = w->owner,
				     .project = w->project,
				     .webapp = w->name,
				     .tags = w->tags,
				     .memory_bytes = w->limit_bytes };
}

void webapp_leave(struct node_webapp *w)
{
	guest_leave(&w->guest);
	webapp_forget(w);
}

void webapp_forget(struct node_webapp *w)
{
	if (w->waiting)
		asking_free(w->waiting);
	w->waiting = NULL;
}

void webapp_adopt(struct node_webapp *w)
{
	char id[2 * JOB_NAME_MAX + 2];
	snprintf(id, sizeof(id), "%s/%s", w->project, w->name);
	const struct guest_facts facts = facts_of(w, id);
	if (!w->guest)
		w->guest = guest_adopt(fleet_guests(w->in->node->fleet), &facts, NULL);
	if (!w->guest)
		log_error("webapp %s of project %s counts nowhere: no memory", w->name, w->project);
}

/* It has a place: the row comes first. */
static void go_on(struct asking *a)
{
	struct node_webapp *w = a->w;
	struct node *n = w->in->node;
	struct err err = { 0 };
	w->starts++;
	w->started_ms = clock_wall_ms();
	snprintf(w->house, sizeof(w->house), "%.63s:%d", n->facts.boot, n->facts.keeper_pid);
	snprintf(w->process, sizeof(w->process), "webapp-%lld-%lld", (long long)n->facts.epoch, (long long)++w->in->last);
	if (place(w, a->spec, &err) < 0) {
		webapp_give_up(w, err.text);
		asking_free(a);
	} else if (webapp_keep(w, on_row, a) < 0) { /* else on_row frees it */
		webapp_later(w, AGAIN_MS, "the store takes nothing now");
		asking_free(a);
	}
}

static void on_place(void *data, struct guest *g, const struct err *why)
{
	struct asking *a = data;
	struct node_webapp *w = a->w;
	(void)g;
	w->waiting = NULL;
	if (is_over(a)) { /* whoever wished otherwise has left the line */
		asking_free(a);
	} else if (why) {
		webapp_give_up(w, why->text);
		asking_free(a);
	} else {
		webapp_set_reason(w, NULL);
		go_on(a);
	}
}

static void take_tags(struct node_webapp *w, const json_t *spec, const json_t *project)
{
	json_decref(w->tags);
	w->tags = json_array();
	json_array_extend(w->tags, json_object_get(spec, "tags"));
	json_array_extend(w->tags, json_object_get(project, "tags"));
}

static void ask_place(struct asking *a)
{
	struct node_webapp *w = a->w;
	char id[2 * JOB_NAME_MAX + 2];
	snprintf(id, sizeof(id), "%s/%s", w->project, w->name);
	const struct guest_facts facts = facts_of(w, id);
	w->waiting = a;
	w->guest = guest_ask(fleet_guests(w->in->node->fleet), &facts, NULL, on_place, a);
	if (!w->guest)
		webapp_later(w, AGAIN_MS, "the backend has no memory"); /* frees a */
}

static void order(struct asking *a, const json_t *project)
{
	struct node_webapp *w = a->w;
	struct err err = { 0 };
	char text[400];
	const char *missing;
	a->spec = json_incref(json_object_get(json_object_get(project, "webapps"), w->name));
	if (!a->spec) {
		snprintf(text, sizeof(text), "projects/%s/project.lua has no webapp %s", w->project, w->name);
		webapp_give_up(w, text);
	} else if ((missing = json_string_value(json_object_get(a->spec, "missing")))) {
		webapp_give_up(w, missing);
	} else if (webapp_cannot(a->spec, &err)) {
		webapp_give_up(w, err.text);
	} else {
		json_copy_text(project, "owner", w->owner, sizeof(w->owner));
		settings_owner(w->in->node->settings, w->project, w->owner, sizeof(w->owner));
		if (!w->owner[0])
			snprintf(w->owner, sizeof(w->owner), "admin");
		w->cap = (int)json_integer_value(json_object_get(a->spec, "crashes"));
		w->limit_bytes = (int64_t)json_number_value(json_object_get(json_object_get(a->spec, "limits"), "memory_bytes"));
		w->is_autostart = json_is_true(json_object_get(a->spec, "autostart"));
		take_health(w, a->spec);
		take_tags(w, a->spec, project);
		ask_place(a);
		return;
	}
	asking_free(a);
}

static void on_project(void *data, enum node_project state, const char *json, size_t len, const struct err *why)
{
	struct asking *a = data;
	struct node_webapp *w = a->w;
	char text[1000];
	if (is_over(a)) {
		asking_free(a);
		return;
	}
	if (state == NODE_PROJECT_GOOD) {
		json_t *project = json_parse_object(json, len, NULL);
		order(a, project);
		json_decref(project);
		return;
	}
	if (state == NODE_PROJECT_FAILED) {
		webapp_later(w, AGAIN_MS, why->text);
	} else if (state == NODE_PROJECT_BAD) {
		node_project_mistake(json, len, text, sizeof(text));
		webapp_give_up(w, text);
	} else {
		webapp_give_up(w, why->text);
	}
	asking_free(a);
}

void webapp_begin(struct node_webapp *w)
{
	struct asking *a = w->in->node->is_draining ? NULL : calloc(1, sizeof(*a));
	w->turn++;
	loop_timer_stop(w->timer);
	webapp_leave(w);
	if (!a) {
		webapp_later(w, AGAIN_MS, "the backend starts nothing now");
		return;
	}
	*a = (struct asking){ .w = w, .turn = w->turn };
	w->state = WEBAPP_STARTING;
	w->process[0] = '\0';
	w->started_ms = clock_wall_ms();
	w->ready_ms = 0;
	node_projects_ask(w->in->node->projects, w->project, on_project, a);
}
