/*
 * bind.macros: macros for the API: the policies are asked, what they answer is carried out and noted. JSON goes from state to state as text. A callback is
 * called once, later.
 *   list() → json                                           what there is (lua/dss/model/macros.lua)
 *   params(name, sent, is_admin) → json | nil, why          typed, with defaults
 *   judge(name, params, ctx, rows) → json | nil, why        some rows of a macro with `each`
 *   whole(name, params, ctx) → bytes | nil, why             one without
 *   note(decision)                                          into the ledger: name source subject_kind subject owner answer reason inputs mode outcome
 *   rows(kind, project | nil) → { facts, … }, is_cut | nil  of what rules know (subject.h), up to 10,000; nil: there is no such kind
 *   order(kind, verb, id, why) → true | nil, why            as rules do
 *   logs(project | nil, after, fn(json | nil, next | nil, why))   fleet/joblog.h
 *   remove_log(project, name, changed_ms, fn(why | nil))
 *   save(run, is_new, fn(why | nil))                        a run as a task of kind macro: id owner project title payload state cause error result …
 *   make_id() → id
 *   on_rule(fn(rule, "NAME {params}"))                      called once, by the next rule that runs a macro
 *   share() → folder of our runtimes
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "base/text.h"
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/decide.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/policies_live.h"
#include "bind/rule_runs.h"
#include "bind/subject.h"
#include "bind/toc.h"
#include "fleet/fleet_verbs.h"
#include "fleet/joblog.h"
#include "sys/clock.h"
#include "sys/home.h"

#define ARGS_MOST 4
#define ROWS_MOST 10000

/* --- asked of the policies: texts and a flag in, two texts out --- */

struct asked {
	const char *texts[ARGS_MOST];
	size_t lens[ARGS_MOST];
	int n;
	int flag; /* -1 = none; else the last argument */
	struct buf out, why;
	bool has_out;
};

static int push_asked(lua_State *L, void *data)
{
	const struct asked *a = data;
	for (int i = 0; i < a->n; i++)
		lua_pushlstring(L, a->texts[i], a->lens[i]);
	if (a->flag >= 0)
		lua_pushboolean(L, a->flag);
	return a->n + (a->flag >= 0);
}

static void take_text(lua_State *L, int i, struct buf *out)
{
	size_t len = 0;
	const char *s = lua_type(L, i) == LUA_TSTRING ? lua_tolstring(L, i, &len) : NULL;
	if (s)
		buf_put(out, s, len);
}

static void take_asked(lua_State *L, int first, void *data)
{
	struct asked *a = data;
	a->has_out = lua_type(L, first) == LUA_TSTRING;
	take_text(L, first, &a->out);
	take_text(L, first + 1, &a->why);
}

static void release_asked(void *p)
{
	struct asked *a = p;
	buf_fini(&a->out);
	buf_fini(&a->why);
	free(a);
}

/* The state's arguments from 1 to n are texts. */
static int ask(lua_State *L, const char *function, int n, int flag)
{
	struct app *app = json_out_app(L);
	struct err err = { 0 };
	void **guard = ref_guard(L, release_asked);
	struct asked *a = *guard = calloc(1, sizeof *a);
	if (!a)
		return luaL_error(L, "not enough memory");
	buf_init(&a->out, JSON_OUT_MAX);
	buf_init(&a->why, JSON_OUT_MAX);
	a->n = n;
	a->flag = flag;
	for (int i = 0; i < n; i++)
		a->texts[i] = arg_text(L, i + 1, &a->lens[i]);
	struct vm *vm = app->live ? policies_live_vm(app->live) : NULL;
	struct decide_question q = { function, push_asked, take_asked, 2, a };
	if (!vm)
		return arg_fail(L, "no set of policies is in force yet");
	if (decide(vm, &q, &err) < 0)
		return arg_fail(L, err.text);
	if (!a->has_out || a->out.failed)
		return arg_fail(L, a->out.failed ? "not enough memory" : a->why.len ? a->why.data : "it answered nothing");
	lua_pushlstring(L, a->out.data ? a->out.data : "", a->out.len);
	return 1;
}

static int list(lua_State *L)
{
	return ask(L, "macro_list", 0, -1);
}

static int params(lua_State *L)
{
	return ask(L, "macro_params", 2, arg_bool(L, 3, false));
}

static int judge(lua_State *L)
{
	return ask(L, "macro_judge", 4, -1);
}

static int whole(lua_State *L)
{
	return ask(L, "macro_whole", 3, -1);
}

/* --- told, carried out --- */

static int note(lua_State *L)
{
	struct app *app = json_out_app(L);
	arg_table(L, 1);
	struct decision d = {
		.word = "macro",
		.name = arg_field_text(L, 1, "name"),
		.source = arg_field_text(L, 1, "source"),
		.subject_kind = arg_field_text(L, 1, "subject_kind"),
		.subject = arg_field_text(L, 1, "subject"),
		.answer = arg_field_text(L, 1, "answer"),
		.reason = arg_field_text(L, 1, "reason"),
		.inputs = arg_field_text(L, 1, "inputs"),
		.mode = arg_field_text(L, 1, "mode"),
		.outcome = arg_field_text(L, 1, "outcome"),
		.owner = arg_field_text(L, 1, "owner"),
	};
	const char *text = arg_field_text(L, 1, "text");
	luaL_argcheck(L, d.name && d.source && d.subject_kind && d.subject && d.answer, 1,
		      "name, source, subject and answer are needed");
	struct ledger *ledger = fleet_ledger(node_fleet(app->node));
	int64_t seq = ledger_note(ledger, &d);
	if (text && seq)
		ledger_outcome(ledger, seq, d.outcome ? d.outcome : "failed", text);
	return 0;
}

static void release_subjects(void *p)
{
	subjects_fini(p);
	free(p);
}

static struct subject_world world_of(lua_State *L)
{
	struct app *app = json_out_app(L);
	return (struct subject_world){ node_fleet(app->node), app->node };
}

/* The facts on top of the stack. */
static bool is_of(lua_State *L, const char *project)
{
	if (!project)
		return true;
	const char *said = lua_getfield(L, -1, "project") == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
	bool is = said && strcmp(said, project) == 0;
	lua_pop(L, 1);
	return is;
}

static int rows(lua_State *L)
{
	struct subject_world world = world_of(L);
	int kind = subject_kind_named(arg_text(L, 1, NULL)), n = 0;
	const char *owner, *project = lua_isnoneornil(L, 2) ? NULL : arg_text(L, 2, NULL);
	bool is_cut = false;
	if (kind < 0)
		return 0;
	void **guard = ref_guard(L, release_subjects);
	struct subjects *s = *guard = calloc(1, sizeof *s);
	if (!s || subjects_list(&world, (enum subject_kind)kind, s) < 0)
		return luaL_error(L, "not enough memory");
	lua_newtable(L);
	for (size_t i = 0; i < s->n && !is_cut; i++)
		if (subject_is_there(s, i, &owner)) {
			subject_push(L, s, i);
			if (!is_of(L, project))
				lua_pop(L, 1);
			else if ((is_cut = n == ROWS_MOST))
				lua_pop(L, 1);
			else
				lua_rawseti(L, -2, ++n);
		}
	lua_pushboolean(L, is_cut);
	return 2;
}

static int order(lua_State *L)
{
	struct err err = { 0 };
	struct subject_world world = world_of(L);
	int kind = subject_kind_named(arg_text(L, 1, NULL));
	const char *verb = arg_text(L, 2, NULL), *id = arg_text(L, 3, NULL), *said = arg_text(L, 4, NULL);
	char why[900];
	luaL_argcheck(L, kind >= 0, 1, "no such kind");
	snprintf(why, sizeof why, FLEET_BY_RULE "of %s", said);
	if (subject_order(&world, (enum subject_kind)kind, verb, id, why, &err) < 0)
		return arg_fail(L, err.text);
	lua_pushboolean(L, 1);
	return 1;
}

static void tell_why(void *data, const char *why)
{
	struct later *later = data;
	later_tell(&later, why);
}

/* --- logs in jobs/ --- */

struct listed {
	const struct buf *json;
	const char *next, *why;
};

static int push_listed(lua_State *L, void *data)
{
	const struct listed *l = data;
	if (l->json)
		lua_pushlstring(L, l->json->data, l->json->len);
	else
		lua_pushnil(L);
	lua_pushstring(L, l->next);
	lua_pushstring(L, l->why);
	return 3;
}

static void on_listed(void *data, const struct buf *json, const char *next, const struct err *why)
{
	struct later *later = data;
	struct listed l = { json, next, why ? why->text : NULL };
	later_call(&later, push_listed, &l);
}

static int logs(lua_State *L)
{
	struct app *app = json_out_app(L);
	const char *project = lua_isnil(L, 1) ? NULL : arg_text(L, 1, NULL);
	const char *after = arg_text(L, 2, NULL);
	struct later *later = later_new(L, 3);
	if (joblog_list(fleet_store(node_fleet(app->node)), app->dir, project, after, on_listed, later) == 0)
		return 0;
	struct listed l = { .why = "the store takes nothing now" };
	later_call(&later, push_listed, &l);
	return 0;
}

static int remove_log(lua_State *L)
{
	struct app *app = json_out_app(L);
	const char *project = arg_text(L, 1, NULL), *name = arg_text(L, 2, NULL);
	int64_t changed_ms = arg_int(L, 3, 0, INT64_MAX);
	luaL_argcheck(L, text_is_id(project, strlen(project)), 1, "no project's key");
	luaL_argcheck(L, text_is_id(name, strlen(name)), 2, "no name of a log");
	struct later *later = later_new(L, 4);
	if (joblog_remove(fleet_store(node_fleet(app->node)), app->dir, project, name, changed_ms, tell_why, later) < 0)
		tell_why(later, "the store takes nothing now");
	return 0;
}

/* --- runs in the store --- */

static void on_saved(void *data, const struct store_answer *answer)
{
	tell_why(data, answer->outcome == STORE_OK ? NULL : answer->err.text[0] ? answer->err.text : "the disk is full");
}

static void release_future(void *p)
{
	struct future *f = p;
	future_free(&f);
}

static char *copied(lua_State *L, const char *name, size_t *len)
{
	size_t n = 0;
	const char *s = arg_field_bytes(L, 1, name, &n);
	char *out = s ? malloc(n + 1) : NULL;
	if (s && !out)
		luaL_error(L, "not enough memory");
	if (out) {
		memcpy(out, s, n);
		out[n] = '\0';
	}
	if (len)
		*len = n;
	return out;
}

static int save(lua_State *L)
{
	struct app *app = json_out_app(L);
	arg_table(L, 1);
	bool is_new = arg_bool(L, 2, false);
	const char *id = arg_field_text(L, 1, "id"), *cause = arg_field_text(L, 1, "cause"), *state = arg_field_text(L, 1, "state");
	luaL_argcheck(L, id && strlen(id) < FUTURE_ID_MAX && state && future_state_named(state) >= 0, 1, "id and state are needed");
	void **guard = ref_guard(L, release_future);
	struct future *f = *guard = future_new();
	if (!f)
		return luaL_error(L, "not enough memory");
	snprintf(f->id, sizeof f->id, "%s", id);
	f->owner = copied(L, "owner", NULL);
	f->project = copied(L, "project", NULL);
	f->title = copied(L, "title", NULL);
	f->kind = strdup("macro");
	f->type = strdup("macro");
	f->pool = strdup("macros");
	f->payload = copied(L, "payload", &f->payload_len);
	f->error = copied(L, "error", NULL);
	f->result = copied(L, "result", &f->result_len);
	f->has_result = f->result != NULL;
	f->state = (enum future_state)future_state_named(state);
	f->attempt = 1;
	snprintf(f->cause, sizeof f->cause, "%s", cause ? cause : "");
	f->created_ms = f->started_ms = arg_field_int(L, 1, "started_ms", 0);
	f->ended_ms = arg_field_int(L, 1, "ended_ms", 0);
	luaL_argcheck(L, f->owner && f->kind && f->type && f->pool && f->payload, 1, "owner and payload are needed");
	struct later *later = later_new(L, 3);
	struct store *store = fleet_store(node_fleet(app->node));
	int rc = is_new ? store_insert_task(store, f, on_saved, later) : store_update_task(store, f, on_saved, later);
	if (rc < 0)
		tell_why(later, "the store takes nothing now");
	return 0;
}

static int make_id(lua_State *L)
{
	char id[FUTURE_ID_MAX];
	struct err err = { 0 };
	if (future_make_id(id, &err) < 0)
		return luaL_error(L, "%s", err.text);
	lua_pushstring(L, id);
	return 1;
}

/* --- rules that run one --- */

struct ruled {
	const char *rule, *what;
};

static int push_ruled(lua_State *L, void *data)
{
	const struct ruled *r = data;
	lua_pushstring(L, r->rule);
	lua_pushstring(L, r->what);
	return 2;
}

static int on_ruled(void *data, const char *rule, const char *what, struct err *err)
{
	struct later **waits = data, *later = *waits;
	struct ruled r = { rule, what };
	if (!later)
		return err_set(err, "the API takes no macros now");
	*waits = NULL; /* it asks for the next one itself */
	later_call(&later, push_ruled, &r);
	return 0;
}

static void release_waits(void *p)
{
	later_free(p);
	free(p);
}

/* upvalue 1: the guard of who waits for a rule: a struct later *, NULL = nobody */
static int on_rule(lua_State *L)
{
	struct app *app = json_out_app(L);
	struct later **waits = *(void **)lua_touserdata(L, lua_upvalueindex(1)), *later = later_new(L, 1);
	later_free(waits);
	*waits = later;
	if (app->live)
		rule_runs_on_macro(policies_live_rules(app->live), on_ruled, waits);
	return 0;
}

static int share(lua_State *L)
{
	char path[PATH_MAX];
	if (home_share(path, sizeof path) < 0)
		return 0;
	lua_pushstring(L, path);
	return 1;
}

int bind_macros_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "list", list },       { "params", params }, { "judge", judge }, { "whole", whole }, { "note", note },
		{ "rows", rows },       { "order", order },   { "logs", logs },   { "save", save },   { "remove_log", remove_log },
		{ "make_id", make_id }, { "share", share },   { NULL, NULL },
	};
	luaL_newlib(L, words);
	void **guard = ref_guard(L, release_waits);
	*guard = calloc(1, sizeof(struct later *));
	if (!*guard)
		return luaL_error(L, "not enough memory");
	lua_pushcclosure(L, on_rule, 1);
	lua_setfield(L, -2, "on_rule");
	return 1;
}
