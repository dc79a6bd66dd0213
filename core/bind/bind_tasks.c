/*
 * bind.tasks: what is asked of one task beyond its state, and of a pool's last hour.
 *   read(id, fn(answer, task | nil, why))     as it was submitted: payload (raw JSON; nil: it is gone) type pool project title tags (JSON) exclusive job
 *                                             kind owner memory_bytes timeout_ms retries priority client_key, and created_ms started_ms ended_ms
 *   pool_curve(name) → json | nil             nil: there is no such pool
 * answer: "ok" "not_found" "unavailable"
 */
#include <string.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/field.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "fleet/fleet.h"
#include "fleet/future.h"
#include "fleet/pool_curve.h"
#include "fleet/store.h"
#include "sys/clock.h"

struct got {
	const struct future *f;
	const struct err *why;
};

static int push_got(lua_State *L, void *data)
{
	const struct got *g = data;
	const struct future *f = g->f;
	lua_pushstring(L, f ? "ok" : g->why ? "unavailable" : "not_found");
	if (!f) {
		lua_pushnil(L);
		lua_pushstring(L, g->why ? g->why->text : NULL);
		return 3;
	}
	const struct field_text texts[] = {
		{ "type", f->type },   { "pool", f->pool },           { "project", f->project },
		{ "title", f->title }, { "tags", f->tags },           { "owner", f->owner },
		{ "kind", f->kind },   { "exclusive", f->exclusive }, { "job", f->job },
	};
	const struct field_int numbers[] = {
		{ "memory_bytes", f->memory_bytes }, { "timeout_ms", f->timeout_ms }, { "retries", f->retries },
		{ "priority", f->priority },         { "created_ms", f->created_ms }, { "started_ms", f->started_ms },
		{ "ended_ms", f->ended_ms },
	};
	lua_createtable(L, 0, 20);
	field_put_texts(L, texts, FIELD_COUNT(texts));
	field_put_ints(L, numbers, FIELD_COUNT(numbers));
	if (f->payload && f->payload_len) {
		lua_pushlstring(L, f->payload, f->payload_len);
		lua_setfield(L, -2, "payload");
	}
	return 2;
}

static void on_read(void *data, struct future *f, const struct err *why)
{
	struct later *later = data;
	later_call(&later, push_got, &(struct got){ f, why && why->text[0] ? why : NULL });
	future_free(&f);
}

/* Of one that has ended the store has more than the memory. */
static int read_task(lua_State *L)
{
	struct fleet *fleet = node_fleet(json_out_app(L)->node);
	const char *id = arg_text(L, 1, NULL);
	struct later *later = later_new(L, 2);
	const struct future *f = strlen(id) < FUTURE_ID_MAX ? fleet_live(fleet, id) : NULL;
	struct err err = { 0 };
	if (f && !f->waiter) {
		later_call(&later, push_got, &(struct got){ f, NULL });
	} else if (strlen(id) >= FUTURE_ID_MAX) {
		later_call(&later, push_got, &(struct got){ NULL, NULL });
	} else if (store_get_task(fleet_store(fleet), id, false, on_read, later) < 0) {
		err_set(&err, "unable to read task %s: the store takes nothing now", id);
		later_call(&later, push_got, &(struct got){ NULL, &err });
	}
	return 0;
}

static int pool_curve(lua_State *L)
{
	struct fleet *fleet = node_fleet(json_out_app(L)->node);
	struct pool *pool = fleet_pool(fleet, arg_text(L, 1, NULL));
	if (!pool)
		return 0;
	struct buf *b = json_out_new(L);
	pool_curve_json(pool->curve, clock_mono_ms(), clock_wall_ms(), b);
	json_out_push(L, b);
	return 1;
}

int bind_tasks_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "read", read_task }, { "pool_curve", pool_curve }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
