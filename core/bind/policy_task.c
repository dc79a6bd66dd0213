#include "bind/policy_task.h"
#include <stdio.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/policy_guest.h"
#include "bind/subject.h"
#include "sys/clock.h"

#define PLACE_TRIES 3 /* functions that may hang on one task before it is placed without any */
#define TOO_MANY    "a task falls under more than 16 words slots and box at once: those after the 16th do not count it"
_Static_assert(SLOTS_OF_TASK == 16, "the text says how many");

/* --- whom it is asked about --- */

static const char *id_of(const struct policy_task *t)
{
	return t->g ? t->g->id : t->f->id;
}

static const char *owner_of(const struct policy_task *t)
{
	return t->g ? t->g->user : t->f->owner;
}

static void set_or_empty(lua_State *L, const char *name, const char *value)
{
	lua_pushstring(L, value ? value : "");
	lua_setfield(L, -2, name);
}

void policy_task_push_guest(lua_State *L, const struct guest_facts *g)
{
	policy_guest_push(L, g);
	set_or_empty(L, "user", g->user);
	set_or_empty(L, "project", g->project);
	lua_pushinteger(L, clock_wall_ms() / 1000);
	lua_setfield(L, -2, "unix_s");
}

/* --- slots --- */

struct placing {
	const char *how, *why; /* of dss.model.engine's place */
	const struct policy_task *task;
	struct policy_task_room *room;
	struct slot_place *out;
	size_t n;
};

static int push_placing(lua_State *L, void *data)
{
	const struct placing *p = data;
	if (p->task->g)
		policy_task_push_guest(L, p->task->g);
	else
		subject_push_submitted(L, p->task->f);
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
	const struct policy_task *task = p->task;
	const struct policy_words *w = task->words;
	if (rule < 0 || (size_t)rule >= w->nslots)
		return;
	const struct slot_rule *r = &w->slots[rule];
	if (v[0] && p->n == SLOTS_OF_TASK) {
		/* A task may have more tags, a recipe more resources, than places; more rules are worth an alert. */
		if (!r->each || (strncmp(r->each, "tag:", 4) != 0 && strcmp(r->each, "resource") != 0))
			troubles_note(task->troubles, r->source, r->name, TOO_MANY);
		return;
	}
	struct decision d = { .word = r->word,
			      .name = r->name,
			      .source = r->source,
			      .subject_kind = task->g ? task->g->kind : "task",
			      .subject = id_of(task),
			      .answer = v[0] ? "assign" : "keep",
			      .reason = v[0] ? v[1] : v[4],
			      .threshold = v[2],
			      .inputs = v[3],
			      .outcome = v[0] ? "done" : "failed",
			      .owner = owner_of(task) };
	ledger_note(fleet_ledger(task->fleet), &d);
	if (v[4])
		troubles_note(task->troubles, r->source, r->name, v[4]);
	else
		troubles_over(task->troubles, r->source);
	if (!v[0])
		return;
	char *key = p->room->keys[p->n];
	snprintf(key, sizeof p->room->keys[0], "%s", v[0]);
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

size_t policy_task_place(const struct policy_task *t, struct policy_task_room *room, struct slot_place *out)
{
	struct err err = { 0 };
	struct placing p = { NULL, err.text, t, room, out, 0 };
	struct decide_question q = { t->g ? "place_guest" : "place", push_placing, take_places, 1, &p };
	/* What hangs on this task's words frees it of that limit alone. */
	for (int tries = 0; decide(t->vm, &q, &err) < 0; tries++) {
		p.how = tries < PLACE_TRIES ? "on" : "plain";
		if (tries <= PLACE_TRIES)
			continue;
		troubles_note_at(t->troubles, id_of(t), err.text);
		return 0;
	}
	return p.n;
}

/* --- access --- */

struct access {
	const struct policy_task *task;
	const char *login, *verb;
	bool may;
};

static int push_access(lua_State *L, void *data)
{
	const struct access *a = data;
	lua_pushstring(L, a->login);
	lua_pushstring(L, a->verb);
	subject_push_submitted(L, a->task->f);
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
			      .subject = a->task->f->id,
			      .answer = a->may ? "allow" : "deny",
			      .reason = a->may ? reason : failure,
			      .threshold = lua_tostring(L, first + 3),
			      .inputs = lua_tostring(L, first + 4),
			      .outcome = failure ? "failed" : "done",
			      .owner = a->task->f->owner };
	ledger_note(fleet_ledger(a->task->fleet), &d);
	if (failure)
		troubles_note(a->task->troubles, source, name, failure);
	else
		troubles_over(a->task->troubles, source);
}

bool policy_task_may(const struct policy_task *t, const char *login, const char *verb)
{
	struct err err = { 0 };
	struct access a = { t, login, verb, false };
	struct decide_question q = { "access", push_access, take_access, 6, &a };
	if (decide(t->vm, &q, &err) == 0)
		return a.may;
	troubles_note_at(t->troubles, t->f->id, err.text);
	return false;
}
