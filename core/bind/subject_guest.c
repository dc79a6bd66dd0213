/* subject_guest: recipes and webapps as rules see them. */
#include <string.h>
#include <lauxlib.h>
#include "bind/subject_inner.h"
#include "fleet/guest.h"
#include "fleet/job.h"
#include "node/node.h"
#include "node/node_job.h"
#include "node/node_meter.h"
#include "node/node_webapp.h"

struct listing {
	struct subjects *out;
	bool failed;
};

static void push_use(lua_State *L, const struct subjects *s, const char *process)
{
	struct node_use use = { -1, -1, -1 };
	if (process && process[0])
		node_meter_use(node_usage(s->world.node), process, &use);
	subject_some_integer(L, "memory", use.memory_bytes, use.memory_bytes >= 0);
	subject_some_integer(L, "peak", use.peak_bytes, use.peak_bytes >= 0);
	if (use.cpu_ms >= 0)
		subject_number(L, "cpu", (double)use.cpu_ms / 1000);
}

static void some_limit(lua_State *L, int64_t bytes)
{
	subject_some_integer(L, "limit", bytes, bytes > 0);
}

/* since_ms 0: it does not. */
static void push_since(lua_State *L, const char *name, int64_t since_ms, int64_t now_ms)
{
	subject_span(L, name, since_ms ? since_ms : now_ms, now_ms);
}

/* --- recipes: those that have a place or wait for one --- */

static void list_recipe(void *data, const struct guest_facts *facts, bool is_waiting, int64_t since_ms)
{
	struct listing *l = data;
	(void)is_waiting;
	(void)since_ms;
	if (strcmp(facts->kind, "recipe") == 0)
		l->failed |= subjects_add(l->out, facts->id) < 0;
}

static int recipes_list(struct subjects *s)
{
	struct listing l = { s, false };
	if (s->world.node)
		guests_each(fleet_guests(s->world.fleet), list_recipe, &l);
	return l.failed ? -1 : 0;
}

static bool recipe_is_there(const struct subjects *s, size_t i, const char **owner)
{
	const struct job_activity *a = s->world.node ? node_jobs_look(node_recipes(s->world.node), s->ids[i]) : NULL;
	*owner = a ? a->job->owner : NULL;
	return a && !a->is_stopping;
}

static void push_recipe(lua_State *L, const struct subjects *s, size_t i, int64_t now_ms)
{
	const struct job_activity *a = node_jobs_look(node_recipes(s->world.node), s->ids[i]);
	const struct guest *g = guests_find(fleet_guests(s->world.fleet), "recipe", s->ids[i]);
	const struct guest_facts *f = guest_facts(g);
	char why[700] = "";
	bool is_waiting = guest_why(g, why, sizeof why, NULL);
	subject_text(L, "id", f->id);
	subject_text(L, "kind", f->kind);
	subject_text(L, "project", f->project);
	subject_text(L, "user", f->user);
	subject_text(L, "job", f->job);
	subject_text(L, "task", f->task);
	subject_text(L, "activity", f->activity);
	subject_text(L, "recipe", f->recipe);
	subject_text(L, "recipe_type", f->recipe_type);
	subject_text(L, "state", is_waiting ? "waiting" : "running");
	subject_text(L, "reason", why);
	subject_texts(L, "tags", f->tags);
	subject_texts(L, "resources", f->resources);
	subject_integer(L, "priority", f->priority);
	some_limit(L, f->memory_bytes);
	push_since(L, "waiting", is_waiting ? guest_since(g) : 0, now_ms);
	if (!is_waiting && a->started_ms) {
		subject_span(L, "age", a->started_ms, now_ms);
		subject_number(L, "started", (double)a->started_ms / 1000);
	}
	push_use(L, s, is_waiting ? NULL : a->process);
}

static int kill_recipe(const struct subject_world *world, const char *id, const char *why, struct err *err)
{
	return node_jobs_kill(node_recipes(world->node), id, why, err);
}

const struct subject_row subject_recipe = { "recipe", recipes_list, recipe_is_there, push_recipe, { { "kill", kill_recipe } } };

/* --- webapps: those that are to run --- */

static void list_webapp(void *data, const char *id)
{
	struct listing *l = data;
	l->failed |= subjects_add(l->out, id) < 0;
}

static int webapps_list(struct subjects *s)
{
	struct listing l = { s, false };
	if (s->world.node)
		node_webapps_each(node_webapps(s->world.node), list_webapp, &l);
	return l.failed ? -1 : 0;
}

static bool webapp_is_there(const struct subjects *s, size_t i, const char **owner)
{
	struct node_webapp_view v = { .owner = NULL };
	bool is_there = s->world.node && node_webapps_look(node_webapps(s->world.node), s->ids[i], &v);
	*owner = v.owner;
	return is_there;
}

static void push_webapp(lua_State *L, const struct subjects *s, size_t i, int64_t now_ms)
{
	struct node_webapp_view v;
	if (!node_webapps_look(node_webapps(s->world.node), s->ids[i], &v))
		return;
	subject_text(L, "id", v.name);
	subject_text(L, "project", v.project);
	subject_text(L, "user", v.owner);
	subject_text(L, "state", v.state);
	subject_text(L, "wanted", v.is_wanted ? "running" : "stopped");
	subject_text(L, "reason", v.reason);
	subject_text(L, "process", v.process);
	subject_texts(L, "tags", v.tags);
	subject_some_integer(L, "port", v.port, v.port > 0);
	subject_integer(L, "crashes", v.crashes);
	subject_flag(L, "autostart", v.is_autostart);
	some_limit(L, v.limit_bytes);
	push_since(L, "waiting", v.waiting_ms, now_ms);
	push_since(L, "unhealthy", v.unhealthy_ms, now_ms);
	if (v.process[0] && v.started_ms)
		subject_span(L, "age", v.started_ms, now_ms);
	if (v.process[0] && v.ready_ms)
		subject_number(L, "ready", (double)v.ready_ms / 1000);
	push_use(L, s, v.process);
}

static int kill_webapp(const struct subject_world *world, const char *id, const char *why, struct err *err)
{
	return node_webapps_kill(node_webapps(world->node), id, why, err);
}

static int retire_webapp(const struct subject_world *world, const char *id, const char *why, struct err *err)
{
	return node_webapps_retire(node_webapps(world->node), id, why, err);
}

const struct subject_row subject_webapp = {
	"webapp", webapps_list, webapp_is_there, push_webapp, { { "retire", retire_webapp }, { "kill", kill_webapp } }
};
