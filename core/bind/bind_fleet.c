/*
 * bind.fleet: the fleet for the API. Rows are JSON text as C writes it: passed on, not rebuilt. A callback is called once, at once
 * or later.
 *   submit(request, fn(answer, id | nil, is_first, why)) → true | answer, why
 *   get(id, with_result, fn(answer, future | nil, why))     future: id owner state cause ended has_result json error_json,
 *                                                         and facts where policies grant access
 *   whose(id) → owner, has_ended | nil                      at once; nil: not in memory, ask with get
 *   wait(id, seconds, fn())                                 until it has ended or the time is over
 *   list(owner | nil, ended, fn(json | nil, why))           an array
 *   abort(id, by, is_admin_act) → answer, why
 *   free(kernel, why) → true | nil, why not        fleet_order_free
 *   pools() slots() kernels() health() node() → json       processes(fn(json | nil, why)) boxes(the same)
 * answer: "ok" "bad" "not_found" "not_allowed" "unavailable" "conflict"
 */
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/field.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/policies_live.h"
#include "bind/toc.h"
#include "fleet/fleet_verbs.h"

#define WAITERS_MAX 10000
#define WAIT_MAX_S  120

static const char *const answers[] = {
	[FLEET_OK] = "ok",
	[FLEET_BAD] = "bad",
	[FLEET_NOT_FOUND] = "not_found",
	[FLEET_NOT_ALLOWED] = "not_allowed",
	[FLEET_UNAVAILABLE] = "unavailable",
	[FLEET_CONFLICT] = "conflict",
};

static struct fleet *fleet_of(lua_State *L)
{
	return node_fleet(json_out_app(L)->node);
}

/* --- lists --- */

static int give(lua_State *L, int (*write)(const struct fleet *fleet, struct buf *out))
{
	struct fleet *fleet = fleet_of(L);
	struct buf *b = json_out_new(L);
	write(fleet, b);
	json_out_push(L, b);
	return 1;
}

static int pools(lua_State *L)
{
	return give(L, fleet_pools_json);
}

static int slots(lua_State *L)
{
	return give(L, fleet_slots_json);
}

static int kernels(lua_State *L)
{
	return give(L, fleet_kernels_json);
}

/* The node's memory: budget.h has the members. */
static int budget(lua_State *L)
{
	return give(L, fleet_budget_json);
}

static int health(lua_State *L)
{
	struct app *app = json_out_app(L);
	struct buf *b = json_out_new(L);
	node_health_json(app->node, b);
	json_out_push(L, b);
	return 1;
}

/* --- submit --- */

struct submitted {
	enum fleet_answer answer;
	const char *id, *why;
	bool is_first;
};

static int push_submitted(lua_State *L, void *data)
{
	const struct submitted *s = data;
	lua_pushstring(L, answers[s->answer]);
	lua_pushstring(L, s->id);
	lua_pushboolean(L, s->is_first);
	lua_pushstring(L, s->why);
	return 4;
}

static void on_submitted(void *data, enum fleet_answer answer, const char *id, bool is_first, const struct err *why)
{
	struct later *later = data;
	struct submitted s = { answer, id, why && why->text[0] ? why->text : NULL, is_first };
	later_call(&later, push_submitted, &s);
}

static int submit(lua_State *L)
{
	struct err err = { 0 };
	size_t len = 0;
	struct fleet *fleet = fleet_of(L);
	arg_table(L, 1);
	struct fleet_request r = {
		.owner = arg_field_text(L, 1, "owner"),
		.type = arg_field_text(L, 1, "type"),
		.pool = arg_field_text(L, 1, "pool"),
		.project = arg_field_text(L, 1, "project"),
		.title = arg_field_text(L, 1, "title"),
		.client_key = arg_field_text(L, 1, "client_key"),
		.job = arg_field_text(L, 1, "job"),
		.exclusive = arg_field_text(L, 1, "exclusive"),
		.payload = arg_field_bytes(L, 1, "payload", &len),
		.memory_bytes = arg_field_int(L, 1, "memory_bytes", 0),
		.timeout_ms = arg_field_int(L, 1, "timeout_ms", 0),
		.retries = (int)arg_field_int(L, 1, "retries", 0),
		.priority = (int)arg_field_int(L, 1, "priority", 0),
		.tags = arg_field_text(L, 1, "tags"),
	};
	r.payload_len = len;
	luaL_argcheck(L, r.owner && r.type && r.payload, 1, "owner, type and payload are needed");
	struct later *later = later_new(L, 2);
	enum fleet_answer answer = fleet_submit(fleet, &r, on_submitted, later, &err);
	if (answer == FLEET_OK) {
		lua_pushboolean(L, 1);
		return 1;
	}
	later_free(&later);
	lua_pushstring(L, answers[answer]);
	lua_pushstring(L, err.text);
	return 2;
}

/* --- get --- */

struct asked {
	struct later *later;
	struct fleet *fleet;
	bool with_result;
};

struct got {
	const struct asked *asked;
	enum fleet_answer answer;
	const struct future *f;
	const char *why;
};

/* What grants of the policies are asked with (bind_rights.c), into the table at t. */
static void push_facts(lua_State *L, const struct future *f, int t)
{
	const struct field_text texts[] = { { "id", f->id },       { "user", f->owner }, { "kind", f->kind },
					    { "type", f->type },   { "pool", f->pool },  { "project", f->project },
					    { "title", f->title }, { "tags", f->tags } };
	lua_createtable(L, 0, 10);
	field_put_texts(L, texts, FIELD_COUNT(texts));
	lua_pushinteger(L, f->priority);
	lua_setfield(L, -2, "priority");
	lua_pushinteger(L, f->memory_bytes);
	lua_setfield(L, -2, "memory");
	lua_setfield(L, t, "facts");
}

static int push_got(lua_State *L, void *data)
{
	const struct got *g = data;
	lua_pushstring(L, answers[g->answer]);
	if (!g->f) {
		lua_pushnil(L);
		lua_pushstring(L, g->why);
		return 3;
	}
	const struct future *f = g->f;
	bool is_ended = future_is_ended(f);
	lua_createtable(L, 0, 8);
	int t = lua_gettop(L);
	const struct {
		const char *name, *value;
	} texts[] = {
		{ "id", f->id },
		{ "owner", f->owner },
		{ "state", future_state_name(f->state) },
		{ "cause", f->cause },
	};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		lua_pushstring(L, texts[i].value);
		lua_setfield(L, t, texts[i].name);
	}
	lua_pushboolean(L, is_ended);
	lua_setfield(L, t, "ended");
	lua_pushboolean(L, is_ended && f->state == FUTURE_DONE && f->has_result);
	lua_setfield(L, t, "has_result");
	if (policies_live_has_access(((struct app *)vm_app(vm_of(L)))->live))
		push_facts(L, f, t);
	struct buf *b = json_out_new(L);
	fleet_future_json(g->asked->fleet, f, g->asked->with_result, b);
	json_out_push(L, b);
	lua_setfield(L, t, "json");
	if (is_ended && f->state != FUTURE_DONE) {
		buf_clear(b);
		future_error_json(f, b);
		json_out_push(L, b);
		lua_setfield(L, t, "error_json");
	}
	lua_settop(L, t);
	return 2;
}

static void on_got(void *data, enum fleet_answer answer, const struct future *f, const struct err *why)
{
	struct asked *asked = data;
	struct got g = { asked, answer, f, why && why->text[0] ? why->text : NULL };
	later_call(&asked->later, push_got, &g);
	free(asked);
}

static int get(lua_State *L)
{
	struct fleet *fleet = fleet_of(L);
	const char *id = arg_text(L, 1, NULL);
	bool with_result = arg_bool(L, 2, false);
	struct later *later = later_new(L, 3);
	struct asked *asked = calloc(1, sizeof *asked);
	if (!asked) {
		later_free(&later);
		return luaL_error(L, "not enough memory");
	}
	*asked = (struct asked){ later, fleet, with_result };
	fleet_get(fleet, id, with_result, on_got, asked);
	return 0;
}

static int whose(lua_State *L)
{
	const struct future *f = fleet_at_hand(fleet_of(L), arg_text(L, 1, NULL));
	if (!f)
		return 0;
	lua_pushstring(L, f->owner);
	lua_pushboolean(L, future_is_ended(f));
	return 2;
}

/* --- list --- */

struct listed {
	struct fleet *fleet;
	const struct future *const *rows;
	size_t n;
	const char *why;
};

static int push_listed(lua_State *L, void *data)
{
	const struct listed *l = data;
	if (l->why) {
		lua_pushnil(L);
		lua_pushstring(L, l->why);
		return 2;
	}
	struct buf *b = json_out_new(L);
	buf_putc(b, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			buf_putc(b, ',');
		fleet_future_json(l->fleet, l->rows[i], false, b);
	}
	buf_putc(b, ']');
	json_out_push(L, b);
	return 1;
}

static void on_listed(void *data, const struct future *const *rows, size_t n, const struct err *why)
{
	struct asked *asked = data;
	struct listed l = { asked->fleet, rows, n, why && why->text[0] ? why->text : NULL };
	later_call(&asked->later, push_listed, &l);
	free(asked);
}

static int list(lua_State *L)
{
	struct fleet *fleet = fleet_of(L);
	const char *owner = lua_isnil(L, 1) ? NULL : arg_text(L, 1, NULL);
	int ended = (int)arg_int(L, 2, 0, 10000);
	struct later *later = later_new(L, 3);
	struct asked *asked = calloc(1, sizeof *asked);
	if (!asked) {
		later_free(&later);
		return luaL_error(L, "not enough memory");
	}
	*asked = (struct asked){ later, fleet, false };
	fleet_list(fleet, owner, ended, on_listed, asked);
	return 0;
}

static int abort_future(lua_State *L)
{
	struct err err = { 0 };
	struct fleet *fleet = fleet_of(L);
	const char *id = arg_text(L, 1, NULL), *by = arg_text(L, 2, NULL);
	enum fleet_answer answer = fleet_abort(fleet, id, by, arg_bool(L, 3, false), &err);
	lua_pushstring(L, answers[answer]);
	lua_pushstring(L, err.text);
	return 2;
}

static int free_kernel(lua_State *L)
{
	struct err err = { 0 };
	const char *id = arg_text(L, 1, NULL), *why = arg_text(L, 2, NULL);
	if (fleet_order_free(fleet_of(L), id, why, &err) < 0)
		return arg_fail(L, err.text);
	lua_pushboolean(L, 1);
	return 1;
}

/* --- processes --- */

static void on_processes(void *data, const struct buf *json, const struct err *why)
{
	struct later *later = data;
	json_out_later(&later, json, why ? why->text : "the keeper does not answer");
}

static int processes(lua_State *L)
{
	struct app *app = json_out_app(L);
	struct later *later = later_new(L, 1);
	node_processes(app->node, on_processes, later);
	return 0;
}
static int boxes(lua_State *L)
{
	struct app *app = json_out_app(L);
	struct later *later = later_new(L, 1);
	node_boxes_json(app->node, on_processes, later);
	return 0;
}

/* --- wait: looked at after each turn of the loop in which a future ended --- */

struct waiter {
	struct list link;
	struct waiters *in;
	struct later *later;
	struct loop_timer *timer;
	char id[FUTURE_ID_MAX];
};

struct waiters {
	struct app *app;
	struct loop_prepare *prepare;
	struct list list;
	size_t count;
	uint64_t ends;      /* of the fleet at the last look */
	bool has_newcomers; /* since then */
};

static void end_waiter(struct waiter *w, bool is_called)
{
	struct later *later = w->later;
	list_remove(&w->link);
	w->in->count--;
	loop_timer_free(&w->timer);
	free(w);
	if (is_called)
		later_call(&later, NULL, NULL);
	else
		later_free(&later);
}

static void on_wait_over(void *data)
{
	end_waiter(data, true);
}

static bool is_over(const struct waiters *all, const char *id)
{
	const struct future *f = fleet_live(node_fleet(all->app->node), id);
	return !f || future_is_ended(f) || all->app->is_ending;
}

static void look_at_waiters(void *data)
{
	struct waiters *all = data;
	struct list ended;
	uint64_t ends = fleet_count_ends(node_fleet(all->app->node));
	if (ends == all->ends && !all->has_newcomers && !all->app->is_ending)
		return;
	all->ends = ends;
	all->has_newcomers = false;
	list_init(&ended);
	list_each (&all->list, p)
		if (is_over(all, list_of(p, struct waiter, link)->id)) {
			list_remove(p);
			list_push(&ended, p);
		}
	/* each call may add waiters to the other list */
	for (struct list *p; (p = list_first(&ended));)
		end_waiter(list_of(p, struct waiter, link), true);
}

static void release_waiters(void *p)
{
	struct waiters *all = p;
	for (struct list *w; (w = list_first(&all->list));)
		end_waiter(list_of(w, struct waiter, link), false);
	loop_prepare_free(&all->prepare);
	free(all);
}

/* upvalue 1: the guard of struct waiters */
static int wait(lua_State *L)
{
	struct app *app = json_out_app(L);
	void **guard = lua_touserdata(L, lua_upvalueindex(1));
	size_t len;
	const char *id = arg_text(L, 1, &len);
	int64_t seconds = arg_int(L, 2, 0, WAIT_MAX_S);
	if (!*guard) {
		struct waiters *made = calloc(1, sizeof *made);
		if (!made)
			return luaL_error(L, "not enough memory");
		list_init(&made->list);
		made->app = app;
		made->prepare = loop_prepare_new(app->loop, look_at_waiters, made);
		*guard = made;
	}
	struct waiters *all = *guard;
	struct later *later = later_new(L, 3);
	struct waiter *w = calloc(1, sizeof *w);
	struct loop_timer *timer = w && all->prepare ? loop_timer_new(app->loop, on_wait_over, w) : NULL;
	if (!timer || len >= sizeof w->id || all->count >= WAITERS_MAX) {
		loop_timer_free(&timer);
		free(w);
		later_call(&later, NULL, NULL); /* answered as it stands */
		return 0;
	}
	memcpy(w->id, id, len + 1);
	w->in = all;
	w->later = later;
	w->timer = timer;
	list_push(&all->list, &w->link);
	all->count++;
	all->has_newcomers = true;
	loop_timer_start(timer, seconds * 1000);
	return 0;
}

int bind_fleet_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "submit", submit },      { "get", get },
		{ "whose", whose },        { "list", list },
		{ "abort", abort_future }, { "free", free_kernel },
		{ "pools", pools },        { "kernels", kernels },
		{ "health", health },      { "processes", processes },
		{ "boxes", boxes },        { "node", budget },
		{ "slots", slots },        { NULL, NULL },
	};
	luaL_newlib(L, words);
	ref_guard(L, release_waiters);
	lua_pushcclosure(L, wait, 1);
	lua_setfield(L, -2, "wait");
	return 1;
}
