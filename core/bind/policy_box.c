#include "bind/policy_box.h"
#include <stdio.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/policy_guest.h"

struct finding {
	const struct policy_box *box;
	const struct guest_facts *g;
	const char *at; /* NULL: it is about to start */
	struct guest_boxes *out;
	struct err why; /* that it cannot be put anywhere */
};

static int push(lua_State *L, void *data)
{
	const struct finding *f = data;
	policy_guest_push(L, f->g);
	if (!f->at)
		return 1;
	lua_pushstring(L, f->at);
	return 2;
}

/* --- the answer --- */

static void take_levels(lua_State *L, int list, struct guest_boxes *out)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, list);
	for (lua_Integer i = 1; i <= n && out->n < GUEST_LEVELS; i++) {
		struct guest_level *l = &out->levels[out->n++];
		lua_rawgeti(L, list, i);
		int at = lua_gettop(L);
		lua_getfield(L, at, "box");
		decide_copy_text(L, -1, l->box, sizeof l->box);
		lua_getfield(L, at, "name");
		decide_copy_text(L, -1, l->name, sizeof l->name);
		lua_getfield(L, at, "source");
		decide_copy_text(L, -1, l->source, sizeof l->source);
		l->memory_bytes = arg_field_int(L, at, "memory", -1);
		l->swap_bytes = arg_field_int(L, at, "swap", -1);
		l->threads = arg_field_int(L, at, "threads", -1);
		l->cpu_milli = arg_field_int(L, at, "cpu_milli", -1);
		lua_settop(L, at - 1);
	}
}

/* The word that put it there, or that could not. */
static void note(lua_State *L, int at, const struct finding *f)
{
	const char *name = arg_field_text(L, at, "name"), *source = arg_field_text(L, at, "source");
	const char *failure = arg_field_text(L, at, "failure"), *inputs = arg_field_text(L, at, "inputs");
	char reason[GUEST_BOX_MAX + 16];
	snprintf(reason, sizeof reason, "put into %s", f->out->box);
	if (failure) {
		name = arg_field_text(L, at, "failure_name");
		source = arg_field_text(L, at, "failure_source");
	}
	if (!name || !source)
		return;
	struct decision d = { .word = "place",
			      .name = name,
			      .source = source,
			      .subject_kind = "process",
			      .subject = f->g->id ? f->g->id : "",
			      .answer = failure ? "keep" : "assign",
			      .reason = failure ? failure : reason,
			      .inputs = inputs,
			      .outcome = failure ? "failed" : "done",
			      .owner = f->g->user };
	ledger_note(fleet_ledger(f->box->fleet), &d);
	if (failure)
		troubles_note(f->box->troubles, source, f->g->id ? f->g->id : "", failure);
	else
		troubles_over(f->box->troubles, source);
}

static void take(lua_State *L, int first, void *data)
{
	struct finding *f = data;
	if (!lua_istable(L, first)) {
		const char *why = lua_tostring(L, first + 1);
		err_set(&f->why, "%s", why ? why : "no answer");
		return;
	}
	if (f->at) {
		take_levels(L, first, f->out);
		return;
	}
	lua_getfield(L, first, "box");
	decide_copy_text(L, -1, f->out->box, sizeof f->out->box);
	lua_getfield(L, first, "levels");
	take_levels(L, lua_gettop(L), f->out);
	note(L, first, f);
}

int policy_box_find(const struct policy_box *b, const struct guest_facts *g, const char *at, struct guest_boxes *out,
		    struct err *err)
{
	struct err why = { 0 };
	struct finding f = { .box = b, .g = g, .at = at, .out = out };
	struct decide_question q = { at ? "box_limits" : "box_guest", push, take, 2, &f };
	out->box[0] = '\0';
	out->n = 0;
	if (decide(b->vm, &q, &why) < 0) {
		troubles_note_at(b->troubles, g->id ? g->id : "", why.text);
		out->n = 0;
		return 1;
	}
	return f.why.text[0] ? err_set(err, "%s", f.why.text) : 0;
}
