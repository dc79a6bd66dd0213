#include "bind/policies_live.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "base/list.h"
#include "base/log.h"
#include "bind/decide.h"
#include "bind/policy_events.h"
#include "bind/policy_words.h"
#include "bind/rule_runs.h"
#include "bind/subject.h"
#include "bind/toc.h"
#include "sys/clock.h"

#define EVERY_MS      1000
#define MINUTE_MS     60000
#define POOL_NAME_MAX 64
#define COMPLAINTS    1024
#define PLACE_TRIES   3 /* functions that may hang on one task before it is placed without any */
#define TOO_MANY      "a task falls under more than 16 words slots and box at once: those after the 16th do not count it"
_Static_assert(SLOTS_OF_TASK == 16, "the text says how many");

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
	char keys[SLOTS_OF_TASK][208]; /* of the last task that was placed */
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

/* "policies/10-pools.lua:4" of a complaint that begins so, else "policies". */
static void source_of(const char *text, char *out, size_t room)
{
	size_t file = strcspn(text, ": "), digits = text[file] == ':' ? strspn(text + file + 1, "0123456789") : 0;
	if (digits)
		snprintf(out, room, "%.*s", (int)(file + 1 + digits), text);
	else
		snprintf(out, room, "policies");
}

/* One a line. */
static void complain(struct policies_live *live, const char *pool, char *complaints)
{
	char *rest = complaints, source[DECIDE_SOURCE_MAX];
	for (char *line; rest && *rest && (line = strsep(&rest, "\n"));) {
		source_of(line, source, sizeof source);
		troubles_note(live->troubles, source, pool, line);
	}
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

/* --- slots --- */

struct placing {
	const char *how, *why; /* of dss.model.engine's place */
	struct policies_live *live;
	const struct future *f;
	struct slot_place *out;
	size_t n;
};

static int push_placing(lua_State *L, void *data)
{
	const struct placing *p = data;
	subject_push_submitted(L, p->f);
	lua_pushstring(L, p->how);
	lua_pushstring(L, p->why);
	return 3;
}

/* { rule, key, max, reason, threshold, inputs } or { rule, failure, … } at the top of the stack */
static void take_place(lua_State *L, struct placing *p)
{
	static const char *const names[] = { "key", "reason", "threshold", "inputs", "failure" };
	const char *v[5];
	int at = lua_gettop(L);
	lua_getfield(L, at, "rule");
	lua_getfield(L, at, "max");
	lua_Integer rule = lua_tointeger(L, -2) - 1, max = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
	for (int k = 0; k < 5; k++) {
		lua_getfield(L, at, names[k]);
		v[k] = lua_tostring(L, -1);
	}
	const struct policy_words *w = &p->live->words;
	if (rule < 0 || (size_t)rule >= w->nslots)
		return;
	const struct slot_rule *r = &w->slots[rule];
	if (v[0] && p->n == SLOTS_OF_TASK) {
		/* A task may have more tags than places; more rules are worth an alert. */
		if (!r->each || strncmp(r->each, "tag:", 4) != 0)
			troubles_note(p->live->troubles, r->source, r->name, TOO_MANY);
		return;
	}
	struct decision d = { .word = r->word,
			      .name = r->name,
			      .source = r->source,
			      .subject_kind = "task",
			      .subject = p->f->id,
			      .answer = v[0] ? "assign" : "keep",
			      .reason = v[0] ? v[1] : v[4],
			      .threshold = v[2],
			      .inputs = v[3],
			      .outcome = v[0] ? "done" : "failed",
			      .owner = p->f->owner };
	ledger_note(fleet_ledger(p->live->fleet), &d);
	if (v[4])
		troubles_note(p->live->troubles, r->source, r->name, v[4]);
	else
		troubles_over(p->live->troubles, r->source);
	if (!v[0])
		return;
	char *key = p->live->keys[p->n];
	snprintf(key, sizeof p->live->keys[0], "%s", v[0]);
	p->out[p->n++] = (struct slot_place){ (int)rule, key, max };
}

static void take_places(lua_State *L, int first, void *data)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, first);
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, first, i);
		take_place(L, data);
		lua_settop(L, first);
	}
}

static size_t on_place(void *data, const struct future *f, struct slot_place *out)
{
	struct policies_live *live = data;
	struct err err = { 0 };
	struct placing p = { NULL, err.text, live, f, out, 0 };
	struct decide_question q = { "place", push_placing, take_places, 1, &p };
	if (!live->vm || !live->words.nslots)
		return 0;
	/* What hangs on this task's words frees it of that limit alone. */
	for (int tries = 0; decide(live->vm, &q, &err) < 0; tries++) {
		char source[DECIDE_SOURCE_MAX];
		p.how = tries < PLACE_TRIES ? "on" : "plain";
		if (tries <= PLACE_TRIES)
			continue;
		source_of(err.text, source, sizeof source);
		troubles_note(live->troubles, source, f->id, err.text);
		return 0;
	}
	return p.n;
}

/* --- access --- */

struct access {
	struct policies_live *live;
	const char *login, *verb;
	const struct future *f;
	bool may;
};

static int push_access(lua_State *L, void *data)
{
	const struct access *a = data;
	lua_pushstring(L, a->login);
	lua_pushstring(L, a->verb);
	subject_push_submitted(L, a->f);
	return 3;
}

/* true or false; of a grant, or of one that failed: name, source, threshold, inputs, what failed */
static void take_access(lua_State *L, int first, void *data)
{
	struct access *a = data;
	char reason[256];
	const char *name = lua_tostring(L, first + 1), *source = lua_tostring(L, first + 2), *failure = lua_tostring(L, first + 5);
	a->may = lua_toboolean(L, first);
	snprintf(reason, sizeof reason, "%s may %s it", a->login, a->verb);
	if (!name || !source)
		return;
	struct decision d = { .word = "access",
			      .name = name,
			      .source = source,
			      .subject_kind = "task",
			      .subject = a->f->id,
			      .answer = a->may ? "allow" : "deny",
			      .reason = a->may ? reason : failure,
			      .threshold = lua_tostring(L, first + 3),
			      .inputs = lua_tostring(L, first + 4),
			      .outcome = failure ? "failed" : "done",
			      .owner = a->f->owner };
	ledger_note(fleet_ledger(a->live->fleet), &d);
	if (failure)
		troubles_note(a->live->troubles, source, name, failure);
	else
		troubles_over(a->live->troubles, source);
}

bool policies_live_has_access(const struct policies_live *live)
{
	return live && live->vm && live->words.naccess > 0;
}

bool policies_live_may(struct policies_live *live, const char *login, const char *verb, const struct future *f)
{
	struct err err = { 0 };
	struct access a = { live, login, verb, f, false };
	struct decide_question q = { "access", push_access, take_access, 6, &a };
	if (!policies_live_has_access(live))
		return false;
	if (decide(live->vm, &q, &err) == 0)
		return a.may;
	char source[DECIDE_SOURCE_MAX];
	source_of(err.text, source, sizeof source);
	troubles_note(live->troubles, source, f->id, err.text);
	return false;
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

struct policies_live *policies_live_new(struct loop *loop, struct fleet *fleet)
{
	struct policies_live *live = calloc(1, sizeof *live);
	if (!live)
		return NULL;
	live->loop = loop;
	live->fleet = fleet;
	policy_words_defaults(&live->words);
	live->timer = loop_timer_new(loop, on_timer, live);
	live->troubles = troubles_new(fleet);
	live->rules = live->troubles ? rule_runs_new(loop, fleet, live->troubles) : NULL;
	live->events = live->rules ? policy_events_new(loop, fleet, live->troubles) : NULL;
	if (!live->timer || !live->events) {
		policies_live_free(&live);
		return NULL;
	}
	fleet_set_policy(fleet,
			 &(struct fleet_policy){ .data = live, .touched = on_touched, .recycle = on_recycle, .place = on_place });
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

struct rule_runs *policies_live_rules(struct policies_live *live)
{
	return live->rules;
}
