#include "bind/policy_words.h"
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/decide.h"

#define HOUR_MS 3600000LL
#define DAY_MS  (24 * HOUR_MS)

void policy_words_defaults(struct policy_words *w)
{
	*w = (struct policy_words){ .retention = { .tasks_ms = 30 * DAY_MS,
						   .results_ms = 7 * DAY_MS,
						   .facts_ms = 30 * DAY_MS,
						   .decisions_ms = 90 * DAY_MS,
						   .ledger_ms = DAY_MS,
						   .ledger_most_bytes = 256 << 20,
						   .job_logs_ms = 30 * DAY_MS,
						   .runs_ms = 30 * DAY_MS,
						   .usage_ms = 90 * DAY_MS,
						   .versions = 200 } };
}

/* --- reading; under call_run: what is made hangs on w at once --- */

static char *copy(lua_State *L, int i, const char *name)
{
	const char *s = arg_field_text(L, i, name);
	char *out = strdup(s ? s : "");
	if (!out)
		luaL_error(L, "not enough memory");
	return out;
}

static int choice(lua_State *L, int i, const char *name, const char *const *words, int n)
{
	const char *s = arg_field_text(L, i, name);
	for (int k = 0; k < n; k++)
		if (s && strcmp(s, words[k]) == 0)
			return k;
	return luaL_error(L, "%s is not known here", s ? s : name);
}

/* The list `name` of the table at i: pushes it and answers its length; *out has room for all of it. */
static size_t open_list(lua_State *L, int i, const char *name, size_t size, void **out)
{
	lua_getfield(L, i, name);
	size_t n = lua_rawlen(L, -1);
	if (n > POLICY_WORDS_MOST)
		luaL_error(L, "%d %s, more than %d", (int)n, name, POLICY_WORDS_MOST);
	if (!(*out = calloc(n + 1, size)))
		luaL_error(L, "not enough memory");
	return n;
}

static void read_rules(lua_State *L, int t, struct policy_words *w)
{
	static const char *const modes[] = { "simulate", "notify", "act" };
	size_t n = open_list(L, t, "rules", sizeof *w->rules, (void **)&w->rules);
	for (int list = lua_gettop(L); w->nrules < n; lua_settop(L, list)) {
		struct rule_spec *r = &w->rules[w->nrules++];
		lua_rawgeti(L, list, (lua_Integer)w->nrules);
		int kind = subject_kind_named(arg_field_text(L, list + 1, "each"));
		luaL_argcheck(L, kind >= 0, 1, "a kind that is not known here");
		r->kind = (enum subject_kind)kind;
		r->mode = (enum rule_mode)choice(L, list + 1, "mode", modes, 3);
		r->every_ms = arg_field_int(L, list + 1, "every_ms", 60000);
		r->warn_ms = arg_field_int(L, list + 1, "warn_ms", 0);
		r->name = copy(L, list + 1, "name");
		r->source = copy(L, list + 1, "source");
	}
}

static void read_events(lua_State *L, int t, struct policy_words *w)
{
	static const char *const modes[] = { "act", "simulate" };
	size_t n = open_list(L, t, "events", sizeof *w->events, (void **)&w->events);
	for (int list = lua_gettop(L); w->nevents < n; lua_settop(L, list)) {
		struct event_spec *e = &w->events[w->nevents++];
		lua_rawgeti(L, list, (lua_Integer)w->nevents);
		e->is_simulated = choice(L, list + 1, "mode", modes, 2) == 1;
		e->name = copy(L, list + 1, "name");
		e->source = copy(L, list + 1, "source");
	}
}

static void read_slots(lua_State *L, int t, struct policy_words *w)
{
	static const char *const words[] = { "slots", "box" };
	size_t n = open_list(L, t, "slots", sizeof *w->slots, (void **)&w->slots);
	for (int list = lua_gettop(L); w->nslots < n; lua_settop(L, list)) {
		struct slot_rule *r = &w->slots[w->nslots++];
		lua_rawgeti(L, list, (lua_Integer)w->nslots);
		r->word = words[choice(L, list + 1, "word", words, 2)];
		r->max = arg_field_int(L, list + 1, "max", -1);
		r->memory_bytes = arg_field_int(L, list + 1, "memory_bytes", 0);
		r->name = copy(L, list + 1, "name");
		r->source = copy(L, list + 1, "source");
		r->each = copy(L, list + 1, "each");
	}
}

static void read_retention(lua_State *L, int t, struct policy_retention *r)
{
	const struct {
		const char *name;
		int64_t *out;
	} fields[] = {
		{ "tasks_ms", &r->tasks_ms },       { "results_ms", &r->results_ms },
		{ "facts_ms", &r->facts_ms },       { "decisions_ms", &r->decisions_ms },
		{ "ledger_ms", &r->ledger_ms },     { "ledger_most_bytes", &r->ledger_most_bytes },
		{ "job_logs_ms", &r->job_logs_ms }, { "runs_ms", &r->runs_ms },
		{ "versions", &r->versions },       { "usage_ms", &r->usage_ms },
	};
	lua_getfield(L, t, "retention");
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		*fields[i].out = arg_field_int(L, lua_gettop(L), fields[i].name, *fields[i].out);
	lua_pop(L, 1);
}

static void take(lua_State *L, int first, void *data)
{
	struct policy_words *w = data;
	arg_table(L, first);
	read_rules(L, first, w);
	read_events(L, first, w);
	read_slots(L, first, w);
	read_retention(L, first, &w->retention);
	w->naccess = (size_t)arg_field_int(L, first, "access", 0);
	w->nboxes = (size_t)arg_field_int(L, first, "boxes", 0);
}

int policy_words_read(struct vm *vm, struct policy_words *w, struct err *err)
{
	struct decide_question q = { "describe", NULL, take, 1, w };
	policy_words_defaults(w);
	if (decide(vm, &q, err) == 0)
		return 0;
	policy_words_fini(w);
	policy_words_defaults(w);
	return -1;
}

void policy_words_fini(struct policy_words *w)
{
	for (size_t i = 0; w->rules && i < w->nrules; i++) {
		free(w->rules[i].name);
		free(w->rules[i].source);
	}
	for (size_t i = 0; w->events && i < w->nevents; i++) {
		free(w->events[i].name);
		free(w->events[i].source);
	}
	for (size_t i = 0; w->slots && i < w->nslots; i++) {
		free((void *)w->slots[i].name);
		free((void *)w->slots[i].source);
		free((void *)w->slots[i].each);
	}
	free(w->rules);
	free(w->events);
	free(w->slots);
	w->rules = NULL;
	w->events = NULL;
	w->slots = NULL;
	w->nrules = w->nevents = w->nslots = w->naccess = w->nboxes = 0;
}
