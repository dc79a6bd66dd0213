#ifndef DSS_SPEC_T_FLEET_H
#define DSS_SPEC_T_FLEET_H
/* t_fleet: what the bindings t_fleet and t_words read from Lua tables in the same way. */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fleet/judge.h"
#include "fleet/pool.h"
#include "sys/clock.h"

static inline int fail(lua_State *L, const struct err *err)
{
	lua_pushnil(L);
	lua_pushstring(L, err->text);
	return 2;
}

static inline int64_t field_int(lua_State *L, int at, const char *name, int64_t otherwise)
{
	lua_getfield(L, at, name);
	int64_t v = lua_isnil(L, -1) ? otherwise : luaL_checkinteger(L, -1);
	lua_pop(L, 1);
	return v;
}

/* Stays on the stack: valid as long as the table is. */
static inline const char *field_text(lua_State *L, int at, const char *name)
{
	lua_getfield(L, at, name);
	const char *s = lua_tostring(L, -1);
	lua_pop(L, 1);
	return s;
}

static inline struct pool_spec *read_spec(lua_State *L, int at)
{
	struct pool_spec *s = pool_spec_new(field_text(L, at, "name"));
	const char *run_as = field_text(L, at, "run_as"), *source = field_text(L, at, "source"),
		   *argv0 = field_text(L, at, "argv0"), *kind = field_text(L, at, "kind");
	s->kind = strdup(kind ? kind : "python");
	s->source = strdup(source ? source : "policies/10-pools.lua:4");
	s->run_as = run_as ? strdup(run_as) : NULL;
	s->argv = calloc(2, sizeof(char *));
	s->argv[0] = strdup(argv0 ? argv0 : "/bin/true");
	s->memory_bytes = field_int(L, at, "memory", 0);
	s->memory_max_bytes = field_int(L, at, "memory_max", 0);
	s->heap_bytes = field_int(L, at, "heap", 0);
	s->warm_min = (int)field_int(L, at, "warm_min", 1);
	s->warm_max = (int)field_int(L, at, "warm_max", 8);
	s->max = (int)field_int(L, at, "max", 16);
	s->recycle_after_tasks = field_int(L, at, "after_tasks", 1);
	s->ready_within_ms = field_int(L, at, "ready_within_ms", 60000);
	s->is_fifo = field_int(L, at, "fifo", 0);
	s->recycle_age_ms = field_int(L, at, "age_ms", 0);
	s->ready_for = (double)field_int(L, at, "ready_for_10000", 0) / 10000;
	return s;
}

static inline void read_end(lua_State *L, int at, struct judge_end *e)
{
	const struct {
		const char *name;
		char *to;
		size_t room;
	} texts[] = {
		{ "id", e->id, sizeof(e->id) },
		{ "cause", e->cause, sizeof(e->cause) },
		{ "text", e->text, sizeof(e->text) },
		{ "limit_owner", e->limit_owner, sizeof(e->limit_owner) },
		{ "victim_of", e->victim_of, sizeof(e->victim_of) },
		{ "peak_source", e->peak_source, sizeof(e->peak_source) },
		{ "cgroup", e->cgroup, sizeof(e->cgroup) },
	};
	memset(e, 0, sizeof(*e));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *s = field_text(L, at, texts[i].name);
		snprintf(texts[i].to, texts[i].room, "%s", s ? s : "");
	}
	e->code = (int)field_int(L, at, "code", -1);
	e->signal = (int)field_int(L, at, "signal", -1);
	e->peak_bytes = field_int(L, at, "peak", -1);
	e->limit_bytes = field_int(L, at, "limit", -1);
	e->wall_ms = field_int(L, at, "wall_ms", clock_wall_ms());
}

#endif
