#include "bind/policies_live.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "base/list.h"
#include "base/log.h"
#include "bind/call.h"
#include "fleet/feed.h"
#include "fleet/jtext.h"
#include "sys/clock.h"

#define BUDGET_MS     50
#define EVERY_MS      1000
#define MINUTE_MS     60000
#define POOL_NAME_MAX 64

struct policies_live {
	struct loop *loop;
	struct fleet *fleet;
	struct vm *vm; /* NULL: no set yet */
	struct loop_timer *timer;
	int64_t last_ms, due_ms; /* monotonic; due 0 = not running */
	bool has_functions, depends_on_time;
};

/* --- facts and answers; these run under call_run --- */

struct facts {
	const char *name;
	struct {
		const char *name;
		double value;
		bool is_int;
	} list[8];
	const char *id, *user; /* of a kernel */
};

struct answer {
	struct pool_numbers numbers;
	bool is_true, depends_on_time;
	char why[256], complaints[1024];
};

static void set_number(lua_State *L, const char *name, double value, bool is_int)
{
	if (is_int)
		lua_pushinteger(L, (lua_Integer)value);
	else
		lua_pushnumber(L, value);
	lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *text)
{
	if (!text)
		return;
	lua_pushstring(L, text);
	lua_setfield(L, -2, name);
}

/* facts → name, table */
static int push_facts(lua_State *L)
{
	const struct facts *f = lua_touserdata(L, 1);
	lua_pushstring(L, f->name);
	lua_createtable(L, 0, 12);
	for (size_t i = 0; i < sizeof f->list / sizeof f->list[0] && f->list[i].name; i++)
		set_number(L, f->list[i].name, f->list[i].value, f->list[i].is_int);
	set_text(L, "id", f->id);
	set_text(L, "user", f->user);
	lua_pushinteger(L, (lua_Integer)(clock_wall_ms() / 1000));
	lua_setfield(L, -2, "unix_s");
	return 2;
}

static void take_text(lua_State *L, int i, char *out, size_t room)
{
	const char *s = lua_tostring(L, i);
	snprintf(out, room, "%s", s ? s : "");
}

/* answer, what dss.model.live.pool returned */
static int take_numbers(lua_State *L)
{
	struct answer *a = lua_touserdata(L, 1);
	a->numbers.warm_min = (int)luaL_checkinteger(L, 2);
	a->numbers.warm_max = (int)luaL_checkinteger(L, 3);
	a->numbers.max = (int)luaL_checkinteger(L, 4);
	a->numbers.memory_bytes = luaL_checkinteger(L, 5);
	a->depends_on_time = lua_toboolean(L, 6);
	take_text(L, 7, a->complaints, sizeof a->complaints);
	return 0;
}

/* answer, what dss.model.live.recycle returned */
static int take_verdict(lua_State *L)
{
	struct answer *a = lua_touserdata(L, 1);
	a->is_true = lua_isstring(L, 2);
	take_text(L, 2, a->why, sizeof a->why);
	a->depends_on_time = lua_toboolean(L, 3);
	take_text(L, 4, a->complaints, sizeof a->complaints);
	return 0;
}

static int ask(struct vm *vm, const char *function, const struct facts *facts, lua_CFunction take, int nresults, struct answer *a,
	       struct err *err)
{
	lua_State *L = vm_state(vm);
	if (!lua_checkstack(L, 16))
		return err_set(err, "not enough memory");
	lua_pushcfunction(L, take);
	lua_pushlightuserdata(L, a);
	if (vm_module(vm, "dss.model.live", function, err) < 0)
		goto out;
	lua_pushcfunction(L, push_facts);
	lua_pushlightuserdata(L, (void *)facts);
	if (call_run(vm, 1, 2, NULL, err) < 0) {
		lua_pop(L, 1);
		goto out;
	}
	if (call_run(vm, 2, nresults, &(struct call_budget){ BUDGET_MS }, err) < 0)
		goto out;
	return call_run(vm, nresults + 1, 0, NULL, err);
out:
	lua_pop(L, 2);
	return -1;
}

/* Logged, and a fact for admins: one a line. */
static void complain(struct policies_live *live, const char *pool, char *complaints)
{
	struct buf detail;
	char *rest = complaints;
	for (char *line; rest && *rest && (line = strsep(&rest, "\n"));) {
		log_warn("%s", line);
		buf_init(&detail, 4096);
		buf_putc(&detail, '{');
		jtext_text(&detail, "text", line);
		buf_putc(&detail, '}');
		struct store_fact fact = { "policy.failed", pool, detail.failed ? NULL : detail.data, 0, 0, FEED_OWN_ADMIN };
		store_add_fact(fleet_store(live->fleet), &fact, NULL, NULL);
		buf_fini(&detail);
	}
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

static void tune(void *data, const struct pool *pool)
{
	struct policies_live *live = data;
	struct err err = { 0 };
	struct answer a = { .is_true = false };
	const struct pool_spec *s = pool->spec;
	char name[POOL_NAME_MAX];
	int64_t now = clock_mono_ms();
	if (pool->is_retired || !s->is_live)
		return;
	int alive = pool_count_alive(pool), busy = pool_count_busy(pool), idle = 0, starting = 0;
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		idle += k->state == KERNEL_IDLE;
		starting += k->state == KERNEL_STARTING;
	}
	struct facts facts = { .name = s->name,
			       .list = { { "idle", idle, true },
					 { "busy", busy, true },
					 { "starting", starting, true },
					 { "waiting", (double)list_count(&pool->waiting), true },
					 { "alive", alive, true },
					 { "demand", pool_demand(pool, now), false } } };
	snprintf(name, sizeof name, "%s", s->name);
	if (ask(live->vm, "pool", &facts, take_numbers, 6, &a, &err) < 0) {
		snprintf(a.complaints, sizeof a.complaints, "%.800s; the last numbers of pool %s stay in force", err.text, name);
	} else if (fleet_tune_pool(live->fleet, name, &a.numbers, &err) < 0) {
		snprintf(a.complaints, sizeof a.complaints, "%.800s; the last numbers stay in force", err.text);
	}
	live->depends_on_time |= a.depends_on_time;
	complain(live, name, a.complaints);
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

static bool on_recycle(void *data, const struct kernel *k, char *why, size_t room)
{
	struct policies_live *live = data;
	struct err err = { 0 };
	struct answer a = { .is_true = false };
	int64_t age_ms = clock_mono_ms() - k->started_mono_ms;
	if (!live->vm)
		return false;
	struct facts facts = { .name = k->pool->spec->name,
			       .list = { { "age", (double)age_ms / 1000, false },
					 { "tasks", (double)k->tasks_run, true },
					 { "memory", k->memory_now_bytes > 0 ? (double)k->memory_now_bytes : 0, true },
					 { "peak", k->peak_bytes > 0 ? (double)k->peak_bytes : 0, true } },
			       .id = k->id,
			       .user = k->owner ? k->owner : "" };
	if (ask(live->vm, "recycle", &facts, take_verdict, 3, &a, &err) < 0)
		snprintf(a.complaints, sizeof a.complaints, "%.800s; kernel %s is kept", err.text, k->id);
	if (a.depends_on_time)
		live->depends_on_time = true;
	complain(live, k->pool->spec->name, a.complaints);
	if (a.is_true)
		snprintf(why, room, "recycled: %s", a.why);
	return a.is_true;
}

/* --- life --- */

struct policies_live *policies_live_new(struct loop *loop, struct fleet *fleet)
{
	struct policies_live *live = calloc(1, sizeof *live);
	if (!live)
		return NULL;
	live->loop = loop;
	live->fleet = fleet;
	live->timer = loop_timer_new(loop, on_timer, live);
	if (!live->timer) {
		free(live);
		return NULL;
	}
	fleet_set_policy(fleet, &(struct fleet_policy){ .data = live, .touched = on_touched, .recycle = on_recycle });
	return live;
}

void policies_live_free(struct policies_live **lp)
{
	struct policies_live *live = *lp;
	if (!live)
		return;
	fleet_set_policy(live->fleet, &(struct fleet_policy){ .data = NULL });
	loop_timer_free(&live->timer);
	vm_free(&live->vm);
	free(live);
	*lp = NULL;
}

void policies_live_take(struct policies_live *live, struct vm **vm)
{
	vm_free(&live->vm);
	live->vm = *vm;
	*vm = NULL;
	live->has_functions = false;
	fleet_each_pool(live->fleet, count_pools, live);
	ask_all(live);
}
