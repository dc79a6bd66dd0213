#include "bind/policies_live.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "base/list.h"
#include "base/log.h"
#include "bind/decide.h"
#include "bind/policy_box.h"
#include "bind/policy_events.h"
#include "bind/policy_task.h"
#include "bind/policy_words.h"
#include "bind/rule_runs.h"
#include "bind/toc.h"
#include "sys/clock.h"

#define EVERY_MS      1000
#define MINUTE_MS     60000
#define POOL_NAME_MAX 64
#define COMPLAINTS    1024

struct policies_live {
	struct loop *loop;
	struct fleet *fleet;
	struct vm *vm; /* NULL: no set yet */
	struct loop_timer *timer;
	struct troubles *troubles;
	struct rule_runs *rules;
	struct policy_events *events;
	struct policy_words words; /* slots, access, retention of the set */
	int64_t last_ms, due_ms;   /* monotonic; due 0 = not running */
	bool has_functions, depends_on_time, is_observe;
	policies_live_fn *on_retention;
	void *retention_data;
	struct policy_task_room room;
};

/* --- decisions of pools: { source, threshold, answer, reason, inputs, outcome } as dss.model.live hands them out --- */

struct about_pool {
	struct policies_live *live;
	const char *word, *pool, *kind, *subject, *owner;
};

static void note_table(lua_State *L, int i, const struct about_pool *a, const char *outcome)
{
	static const char *const names[] = { "source", "threshold", "answer", "reason", "inputs", "outcome" };
	const char *v[6];
	for (int k = 0; k < 6; k++) {
		lua_getfield(L, i, names[k]);
		v[k] = lua_tostring(L, -1);
	}
	struct decision d = { .word = a->word,
			      .name = a->pool,
			      .source = v[0] ? v[0] : "policies",
			      .subject_kind = a->kind,
			      .subject = a->subject,
			      .threshold = v[1],
			      .answer = v[2] ? v[2] : "keep",
			      .reason = v[3],
			      .inputs = v[4],
			      .mode = outcome ? "simulate" : "act",
			      .outcome = outcome ? outcome : v[5],
			      .owner = a->owner };
	ledger_note(fleet_ledger(a->live->fleet), &d);
	if (v[5] && strcmp(v[5], "failed") != 0)
		troubles_over(a->live->troubles, d.source);
	lua_pop(L, 6);
}

/* One a line. */
static void complain(struct policies_live *live, const char *pool, char *complaints)
{
	char *rest = complaints;
	for (char *line; rest && *rest && (line = strsep(&rest, "\n"));)
		troubles_note_at(live->troubles, pool, line);
}

/* --- numbers --- */

struct numbers {
	struct about_pool about;
	const struct pool *pool;
	struct pool_numbers answer;
	bool depends_on_time;
	char complaints[COMPLAINTS];
};

static void set_integer(lua_State *L, const char *name, int64_t value)
{
	lua_pushinteger(L, value);
	lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double value)
{
	lua_pushnumber(L, value);
	lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *value)
{
	lua_pushstring(L, value ? value : "");
	lua_setfield(L, -2, name);
}

static int push_numbers(lua_State *L, void *data)
{
	const struct pool *pool = ((struct numbers *)data)->pool;
	int idle = 0, starting = 0;
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		idle += k->state == KERNEL_IDLE;
		starting += k->state == KERNEL_STARTING;
	}
	lua_pushstring(L, pool->spec->name);
	lua_createtable(L, 0, 12);
	set_integer(L, "idle", idle);
	set_integer(L, "busy", pool_count_busy(pool));
	set_integer(L, "starting", starting);
	set_integer(L, "waiting", (int64_t)pool->nwaiting);
	set_integer(L, "alive", pool_count_alive(pool));
	set_number(L, "demand", pool_demand(pool, clock_mono_ms()));
	set_integer(L, "cores", bind_machine_cores());
	set_integer(L, "total", bind_machine_bytes());
	set_integer(L, "unix_s", clock_wall_ms() / 1000);
	return 2;
}

static void take_numbers(lua_State *L, int first, void *data)
{
	struct numbers *n = data;
	n->answer.warm_min = (int)luaL_checkinteger(L, first);
	n->answer.warm_max = (int)luaL_checkinteger(L, first + 1);
	n->answer.max = (int)luaL_checkinteger(L, first + 2);
	n->answer.memory_bytes = luaL_checkinteger(L, first + 3);
	n->depends_on_time = lua_toboolean(L, first + 4);
	decide_copy_text(L, first + 5, n->complaints, sizeof n->complaints);
	lua_Integer count = (lua_Integer)lua_rawlen(L, first + 6);
	for (lua_Integer i = 1; i <= count; i++) {
		lua_rawgeti(L, first + 6, i);
		note_table(L, lua_gettop(L), &n->about, NULL);
		lua_pop(L, 1);
	}
}

static void tune(void *data, const struct pool *pool)
{
	struct policies_live *live = data;
	struct err err = { 0 };
	char name[POOL_NAME_MAX];
	if (pool->is_retired || !pool->spec->is_live)
		return;
	snprintf(name, sizeof name, "%s", pool->spec->name);
	struct numbers n = { .about = { live, "pool", name, "pool", name, NULL }, .pool = pool };
	struct decide_question q = { "pool", push_numbers, take_numbers, 7, &n };
	if (decide(live->vm, &q, &err) < 0)
		snprintf(n.complaints, sizeof n.complaints, "%.800s; the last numbers of pool %s stay in force", err.text, name);
	else if (fleet_tune_pool(live->fleet, name, &n.answer, &err) < 0)
		snprintf(n.complaints, sizeof n.complaints, "%.800s; the last numbers stay in force", err.text);
	live->depends_on_time |= n.depends_on_time;
	complain(live, name, n.complaints);
}

/* --- recycle --- */

struct recycled {
	struct about_pool about;
	const struct kernel *k;
	bool goes, depends_on_time;
	char why[DECIDE_REASON_MAX], complaints[COMPLAINTS];
};

static int push_recycled(lua_State *L, void *data)
{
	const struct kernel *k = ((struct recycled *)data)->k;
	lua_pushstring(L, k->pool->spec->name);
	lua_createtable(L, 0, 10);
	set_text(L, "id", k->id);
	set_text(L, "user", k->owner);
	set_number(L, "age", (double)(clock_mono_ms() - k->started_mono_ms) / 1000);
	set_integer(L, "tasks", k->tasks_run);
	if (k->memory_now_bytes >= 0)
		set_integer(L, "memory", k->memory_now_bytes);
	if (k->peak_bytes >= 0)
		set_integer(L, "peak", k->peak_bytes);
	set_integer(L, "unix_s", clock_wall_ms() / 1000);
	return 2;
}

static void take_recycled(lua_State *L, int first, void *data)
{
	struct recycled *r = data;
	r->goes = lua_isstring(L, first);
	decide_copy_text(L, first, r->why, sizeof r->why);
	r->depends_on_time = lua_toboolean(L, first + 1);
	decide_copy_text(L, first + 2, r->complaints, sizeof r->complaints);
	note_table(L, first + 3, &r->about, r->goes && r->about.live->is_observe ? "would" : NULL);
}

static bool on_recycle(void *data, const struct kernel *k, char *why, size_t room)
{
	struct policies_live *live = data;
	struct err err = { 0 };
	if (!live->vm)
		return false;
	struct recycled r = { .about = { live, "recycle", k->pool->spec->name, "kernel", k->id, k->owner }, .k = k };
	struct decide_question q = { "recycle", push_recycled, take_recycled, 4, &r };
	if (decide(live->vm, &q, &err) < 0) {
		r.goes = false;
		snprintf(r.complaints, sizeof r.complaints, "%.800s; kernel %s is kept", err.text, k->id);
	}
	live->depends_on_time |= r.depends_on_time;
	complain(live, k->pool->spec->name, r.complaints);
	if (!r.goes || live->is_observe)
		return false;
	snprintf(why, room, "recycled: %s", r.why);
	return true;
}

/* --- what is asked of one task --- */

static struct policy_task about(struct policies_live *live, const struct future *f)
{
	return (struct policy_task){ live->vm, live->fleet, live->troubles, &live->words, f, NULL };
}

static size_t on_place(void *data, const struct future *f, struct slot_place *out)
{
	struct policies_live *live = data;
	struct policy_task t = about(live, f);
	return live->vm && live->words.nslots ? policy_task_place(&t, &live->room, out) : 0;
}

static int on_box_guest(void *data, const struct guest_facts *g, const char *at, struct guest_boxes *out, struct err *err)
{
	struct policies_live *live = data;
	struct policy_box b = { live->vm, live->fleet, live->troubles };
	return live->vm ? policy_box_find(&b, g, at, out, err) : 1;
}

static size_t on_place_guest(void *data, const struct guest_facts *g, struct slot_place *out)
{
	struct policies_live *live = data;
	struct policy_task t = { live->vm, live->fleet, live->troubles, &live->words, NULL, g };
	return live->vm && live->words.nslots ? policy_task_place(&t, &live->room, out) : 0;
}

bool policies_live_has_access(const struct policies_live *live)
{
	return live && live->vm && live->words.naccess > 0;
}

bool policies_live_may(struct policies_live *live, const char *login, const char *verb, const struct future *f)
{
	if (!policies_live_has_access(live))
		return false;
	struct policy_task t = about(live, f);
	return policy_task_may(&t, login, verb);
}

/* --- when --- */

static void arm(struct policies_live *live, int64_t at_ms)
{
	int64_t now = clock_mono_ms();
	if (live->due_ms && live->due_ms <= at_ms)
		return;
	live->due_ms = at_ms;
	loop_timer_start(live->timer, at_ms > now ? at_ms - now : 0);
}

static void on_touched(void *data)
{
	struct policies_live *live = data;
	if (live->vm && live->has_functions)
		arm(live, live->last_ms + EVERY_MS);
}

struct names {
	char (*list)[POOL_NAME_MAX];
	size_t n, room;
};

static void note_recycled(void *data, const struct pool *pool)
{
	struct names *names = data;
	if (names->n < names->room && pool->spec->has_recycle && !pool->is_retired)
		snprintf(names->list[names->n++], POOL_NAME_MAX, "%s", pool->spec->name);
}

static void count_pools(void *data, const struct pool *pool)
{
	struct policies_live *live = data;
	live->has_functions |= pool->spec->is_live || pool->spec->has_recycle;
}

static void ask_all(struct policies_live *live)
{
	char list[64][POOL_NAME_MAX];
	struct names names = { list, 0, 64 };
	live->last_ms = clock_mono_ms();
	live->due_ms = 0;
	loop_timer_stop(live->timer);
	if (!live->vm || !live->has_functions)
		return;
	live->depends_on_time = false;
	fleet_each_pool(live->fleet, tune, live);
	fleet_each_pool(live->fleet, note_recycled, &names);
	for (size_t i = 0; i < names.n; i++)
		fleet_ask_recycle(live->fleet, names.list[i]);
	if (live->depends_on_time)
		arm(live, live->last_ms + MINUTE_MS - clock_wall_ms() % MINUTE_MS);
}

static void on_timer(void *data)
{
	ask_all(data);
}

/* --- life --- */

struct policies_live *policies_live_new(struct loop *loop, struct fleet *fleet, struct node *node)
{
	struct policies_live *live = calloc(1, sizeof *live);
	const struct subject_world world = { fleet, node };
	if (!live)
		return NULL;
	live->loop = loop;
	live->fleet = fleet;
	policy_words_defaults(&live->words);
	live->timer = loop_timer_new(loop, on_timer, live);
	live->troubles = troubles_new(fleet);
	live->rules = live->troubles ? rule_runs_new(loop, &world, live->troubles) : NULL;
	live->events = live->rules ? policy_events_new(loop, fleet, live->troubles) : NULL;
	if (!live->timer || !live->events) {
		policies_live_free(&live);
		return NULL;
	}
	fleet_set_policy(fleet, &(struct fleet_policy){ .data = live,
							.touched = on_touched,
							.recycle = on_recycle,
							.place = on_place,
							.place_guest = on_place_guest,
							.box_guest = on_box_guest });
	return live;
}

void policies_live_free(struct policies_live **lp)
{
	struct policies_live *live = *lp;
	if (!live)
		return;
	fleet_set_policy(live->fleet, &(struct fleet_policy){ .data = NULL });
	policy_events_free(&live->events);
	rule_runs_free(&live->rules);
	troubles_free(&live->troubles);
	loop_timer_free(&live->timer);
	policy_words_fini(&live->words);
	vm_free(&live->vm);
	free(live);
	*lp = NULL;
}

void policies_live_take(struct policies_live *live, struct vm **vm)
{
	struct err err = { 0 };
	struct policy_words words;
	struct vm *before = live->vm;
	live->vm = *vm;
	*vm = NULL;
	if (policy_words_read(live->vm, &words, &err) < 0)
		log_error("unable to take the policies' rules: %s; there are none", err.text);
	troubles_clear(live->troubles);
	if (rule_runs_take(live->rules, live->vm, words.rules, words.nrules) < 0)
		log_error("unable to take the policies' rules: not enough memory");
	policy_events_take(live->events, live->vm, words.events, words.nevents);
	words.rules = NULL;
	words.events = NULL;
	policy_words_fini(&live->words);
	live->words = words;
	vm_free(&before);
	if (fleet_set_slots(live->fleet, live->words.slots, live->words.nslots, &err) < 0) {
		log_error("unable to take the policies' slots: %s; the ones before stay", err.text);
		live->words.nslots = 0;
	}
	if (live->on_retention)
		live->on_retention(live->retention_data, &live->words.retention);
	live->has_functions = false;
	fleet_each_pool(live->fleet, count_pools, live);
	ask_all(live);
}

void policies_live_observe(struct policies_live *live, bool is_observe)
{
	live->is_observe = is_observe;
	rule_runs_observe(live->rules, is_observe);
	policy_events_observe(live->events, is_observe);
}

const struct policy_retention *policies_live_retention(const struct policies_live *live)
{
	return &live->words.retention;
}

void policies_live_on_retention(struct policies_live *live, policies_live_fn *fn, void *data)
{
	live->on_retention = fn;
	live->retention_data = data;
}

int64_t policies_live_count_boxes(const struct policies_live *live)
{
	return (int64_t)live->words.nboxes;
}

struct rule_runs *policies_live_rules(struct policies_live *live)
{
	return live->rules;
}

struct vm *policies_live_vm(struct policies_live *live)
{
	return live->vm;
}
