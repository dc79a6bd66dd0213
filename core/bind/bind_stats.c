/*
 * bind.stats: numbers for /metrics that no list has.
 *   read() → { submitted, kernels_started, ended = { done … }, open = { queued … }, store = { commits … }, gate = { requests … },
 *              purged = { tasks … }, keeper_events, followers, followers_cut, lua_bytes }          counters since the backend's start
 *   lag(fn(seconds))        how much later than asked a timer of the loop comes, measured now
 *   tell(what, subject, owner | nil, json | nil)     a fact, for the store and those who follow; owner "admin": for admins alone
 */
#include <stdlib.h>
#include <lauxlib.h>
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/bind_events.h"
#include "bind/field.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "fleet/purge.h"
#include "sys/clock.h"

#define LAG_MS 10

static struct app *app_of(lua_State *L)
{
	struct app *app = vm_app(vm_of(L));
	if (!app || !app->node)
		luaL_error(L, "the fleet is gone");
	return app;
}

static void set_table(lua_State *L, const char *name, const struct field_int *numbers, size_t n)
{
	lua_createtable(L, 0, (int)n);
	field_put_ints(L, numbers, n);
	lua_setfield(L, -2, name);
}

static void set_gates(lua_State *L, const struct app *app)
{
	struct gate_stats sum = { 0 };
	for (size_t i = 0; i < sizeof(app->gates) / sizeof(app->gates[0]); i++) {
		struct gate_stats s;
		if (!app->gates[i])
			continue;
		gate_get_stats(app->gates[i], &s);
		sum.accepted += s.accepted;
		sum.requests += s.requests;
		sum.refused_full += s.refused_full;
		sum.refused_peer += s.refused_peer;
		sum.bad += s.bad;
		sum.timed_out += s.timed_out;
		sum.cut_slow += s.cut_slow;
		sum.connections += s.connections;
		sum.waiting += s.waiting;
		sum.memory += s.memory;
	}
	const struct field_int gate[] = {
		{ "accepted", (int64_t)sum.accepted },
		{ "requests", (int64_t)sum.requests },
		{ "refused", (int64_t)(sum.refused_full + sum.refused_peer) },
		{ "bad", (int64_t)sum.bad },
		{ "timed_out", (int64_t)sum.timed_out },
		{ "cut_slow", (int64_t)sum.cut_slow },
		{ "connections", (int64_t)sum.connections },
		{ "waiting", (int64_t)sum.waiting },
		{ "memory_bytes", (int64_t)sum.memory },
	};
	set_table(L, "gate", gate, FIELD_COUNT(gate));
}

/* What retention let go. */
static void set_purged(lua_State *L, const struct app *app)
{
	struct purge_stats p = { 0 };
	if (app->purge)
		purge_get_stats(app->purge, &p);
	const struct field_int purged[] = { { "tasks", p.tasks },         { "results", p.results },   { "facts", p.facts },
					    { "decisions", p.decisions }, { "versions", p.versions }, { "logs", p.logs } };
	set_table(L, "purged", purged, FIELD_COUNT(purged));
}

static int read_numbers(lua_State *L)
{
	struct app *app = app_of(L);
	struct fleet *fleet = node_fleet(app->node);
	struct fleet_counts c;
	struct store_stats s;
	fleet_get_counts(fleet, &c);
	store_get_stats(fleet_store(fleet), &s);
	lua_createtable(L, 0, 13);
	const struct field_int plain[] = {
		{ "submitted", c.submitted },
		{ "kernels_started", c.kernels_started },
		{ "keeper_events", node_facts(app->node)->keeper_events },
		{ "followers", app->events ? (int64_t)events_count(app->events) : 0 },
		{ "followers_cut", app->events ? (int64_t)events_cut(app->events) : 0 },
		{ "lua_bytes", (int64_t)vm_memory_bytes(vm_of(L)) },
	};
	field_put_ints(L, plain, FIELD_COUNT(plain));
	const struct field_int ended[] = {
		{ "done", c.ended[0] }, { "failed", c.ended[1] }, { "aborted", c.ended[2] }, { "killed", c.ended[3] }
	};
	set_table(L, "ended", ended, FIELD_COUNT(ended));
	const struct field_int open[] = { { "queued", c.open[0] }, { "assigned", c.open[1] }, { "running", c.open[2] } };
	set_table(L, "open", open, FIELD_COUNT(open));
	const struct field_int store[] = { { "commits", (int64_t)s.commits },
					   { "failed_commits", (int64_t)s.failed_commits },
					   { "operations", (int64_t)s.operations },
					   { "waiting", (int64_t)s.waiting } };
	set_table(L, "store", store, FIELD_COUNT(store));
	set_gates(L, app);
	set_purged(L, app);
	return 1;
}

/* --- the loop's lag --- */

struct lag {
	struct later *later;
	struct loop_timer *timer;
	int64_t since_us;
};

static int push_lag(lua_State *L, void *data)
{
	const struct lag *lag = data;
	int64_t late_us = clock_mono_us() - lag->since_us - LAG_MS * 1000;
	lua_pushnumber(L, late_us > 0 ? (double)late_us / 1e6 : 0.0);
	return 1;
}

static void on_lag(void *data)
{
	struct lag *lag = data;
	later_call(&lag->later, push_lag, lag);
	loop_timer_free(&lag->timer);
	free(lag);
}

static int measure_lag(lua_State *L)
{
	struct app *app = app_of(L);
	struct later *later = later_new(L, 1);
	struct lag *lag = calloc(1, sizeof *lag);
	if (lag)
		lag->timer = loop_timer_new(app->loop, on_lag, lag);
	if (!lag || !lag->timer) {
		free(lag);
		later_free(&later);
		return luaL_error(L, "not enough memory");
	}
	lag->later = later;
	lag->since_us = clock_mono_us();
	loop_timer_start(lag->timer, LAG_MS);
	return 0;
}

static int tell(lua_State *L)
{
	struct app *app = app_of(L);
	struct store_fact fact = {
		.what = arg_text(L, 1, NULL),
		.subject = arg_text(L, 2, NULL),
		.owner = lua_isnoneornil(L, 3) ? NULL : arg_text(L, 3, NULL),
		.detail = lua_isnoneornil(L, 4) ? NULL : arg_text(L, 4, NULL),
	};
	store_add_fact(fleet_store(node_fleet(app->node)), &fact, NULL, NULL);
	return 0;
}

int bind_stats_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "read", read_numbers }, { "lag", measure_lag }, { "tell", tell }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
