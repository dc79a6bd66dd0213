#include "bind/policy_test.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <lauxlib.h>
#include <lualib.h>
#include "bind/arg.h"
#include "bind/bind_machine.h"
#include "bind/call.h"
#include "bind/decide.h"
#include "bind/field.h"
#include "bind/policies.h"
#include "bind/toc.h"
#include "fleet/fleet.h"
#include "sys/clock.h"
#include "sys/home.h"

#define SET        "dss.policy_set"
#define ERRORS_MAX (256 << 10)
#define DEPTH_MAX  16
#define RESULTS    7 /* the most that a function of the engine answers */

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* --- plain values from one state to another: facts go down, answers come up --- */

/* Raises in `to`, never in `from`: one of the two has no protected call of its own around it. */
static void copy_value(lua_State *from, int i, lua_State *to, int depth)
{
	size_t n;
	const char *s;
	if (depth > DEPTH_MAX || !lua_checkstack(from, 4))
		luaL_error(to, "a value is nested too deep");
	luaL_checkstack(to, 4, NULL);
	switch (lua_type(from, i)) {
	case LUA_TNIL:
		lua_pushnil(to);
		return;
	case LUA_TBOOLEAN:
		lua_pushboolean(to, lua_toboolean(from, i));
		return;
	case LUA_TNUMBER:
		if (lua_isinteger(from, i))
			lua_pushinteger(to, lua_tointeger(from, i));
		else
			lua_pushnumber(to, lua_tonumber(from, i));
		return;
	case LUA_TSTRING:
		s = lua_tolstring(from, i, &n);
		lua_pushlstring(to, s, n);
		return;
	case LUA_TTABLE:
		lua_newtable(to);
		for (lua_pushnil(from); lua_next(from, i); lua_pop(from, 1)) {
			int value = lua_gettop(from);
			copy_value(from, value - 1, to, depth + 1);
			copy_value(from, value, to, depth + 1);
			lua_rawset(to, -3);
		}
		return;
	default:
		luaL_error(to, "a %s is no plain value", lua_typename(from, lua_type(from, i)));
	}
}

struct question {
	lua_State *from;
	int first, n;
};

static int push_question(lua_State *L)
{
	const struct question *q = lua_touserdata(L, 1);
	for (int i = 0; i < q->n; i++)
		copy_value(q->from, q->first + i, L, 0);
	return q->n;
}

/* --- sets --- */

static struct policies *to_set(lua_State *L)
{
	return luaL_checkudata(L, 1, SET);
}

/* What a policy's author reads: it names their line, ours would only be in the way. */
static int raise(lua_State *L, const struct err *err)
{
	lua_pushstring(L, err->text);
	return lua_error(L);
}

static int ask(lua_State *L)
{
	const struct policies *p = to_set(L);
	const char *function = arg_text(L, 2, NULL);
	struct err err = { 0 };
	struct question q = { L, 3, lua_gettop(L) - 2 };
	lua_State *V = vm_state(p->vm);
	lua_settop(V, 0);
	if (vm_module(p->vm, "dss.model.engine", function, &err) < 0)
		return raise(L, &err);
	lua_pushcfunction(V, push_question);
	lua_pushlightuserdata(V, &q);
	if (call_run(p->vm, 1, q.n, NULL, &err) < 0 ||
	    call_run(p->vm, q.n, RESULTS, &(struct call_budget){ DECIDE_BUDGET_MS }, &err) < 0)
		return raise(L, &err);
	for (int i = 1; i <= RESULTS; i++)
		copy_value(V, i, L, 0);
	return RESULTS;
}

static void put_texts(lua_State *L, const char *name, char *const *list)
{
	if (!list)
		return;
	lua_newtable(L);
	for (lua_Integer i = 0; list[i]; i++) {
		lua_pushstring(L, list[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, name);
}

static void push_spec(lua_State *L, const struct pool_spec *s)
{
	const struct field_text texts[] = {
		{ "name", s->name }, { "about", s->about }, { "source", s->source }, { "kind", s->kind }
	};
	const struct field_int numbers[] = {
		{ "heap_bytes", s->heap_bytes },
		{ "memory_bytes", s->memory_bytes },
		{ "memory_max_bytes", pool_spec_memory_most(s) },
		{ "swap_bytes", s->swap_bytes },
		{ "threads", s->threads },
		{ "warm_min", s->warm_min },
		{ "warm_max", s->warm_max },
		{ "max", s->max },
		{ "recycle_after_tasks", s->recycle_after_tasks },
		{ "recycle_age_ms", s->recycle_age_ms },
		{ "recycle_memory_bytes", s->recycle_memory_bytes },
		{ "ready_within_ms", s->ready_within_ms },
		{ "grace_ms", s->grace_ms },
	};
	lua_createtable(L, 0, 22);
	field_put_texts(L, texts, FIELD_COUNT(texts));
	field_put_ints(L, numbers, FIELD_COUNT(numbers));
	put_texts(L, "argv", s->argv);
	put_texts(L, "types", s->types);
	put_texts(L, "path", s->path);
	lua_pushnumber(L, s->ready_for);
	lua_setfield(L, -2, "ready_for");
	lua_pushboolean(L, s->has_recycle);
	lua_setfield(L, -2, "has_recycle");
}

static int pools(lua_State *L)
{
	const struct policies *p = to_set(L);
	lua_createtable(L, (int)p->n, 0);
	for (size_t i = 0; i < p->n; i++) {
		push_spec(L, p->specs[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* A kernel of that pool, idle after a task, while nobody waits. */
static int spent(lua_State *L)
{
	const struct policies *p = to_set(L);
	const char *name = arg_text(L, 2, NULL);
	struct pool pool = { .nwaiting = 0 };
	struct kernel k = { .pool = &pool, .state = KERNEL_IDLE };
	arg_table(L, 3);
	const char *id = arg_field_text(L, 3, "id");
	snprintf(k.id, sizeof k.id, "%s", id ? id : "");
	k.tasks_run = arg_field_int(L, 3, "tasks", 0);
	k.memory_now_bytes = arg_field_int(L, 3, "memory", -1);
	list_init(&pool.kernels);
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->specs[i]->name, name) == 0)
			pool.spec = p->specs[i];
	luaL_argcheck(L, pool.spec != NULL, 2, "no such pool");
	lua_pushstring(L, fleet_kernel_why_spent(&k, arg_field_int(L, 3, "age_ms", 0)));
	return 1;
}

static int fini(lua_State *L)
{
	policies_fini(to_set(L));
	return 0;
}

static int fail_load(lua_State *L, struct buf *errors)
{
	lua_pushnil(L);
	lua_pushlstring(L, errors->data ? errors->data : "", errors->len);
	buf_fini(errors);
	return 2;
}

static int load(lua_State *L)
{
	size_t len;
	const char *texts = arg_text(L, 1, &len), *share = lua_tostring(L, lua_upvalueindex(1));
	struct policies fresh, *p;
	struct buf errors;
	bind_machine_pretend(arg_int(L, 2, 0, INT_MAX), arg_int(L, 3, 0, INT64_MAX));
	p = lua_newuserdatauv(L, sizeof *p, 0);
	memset(p, 0, sizeof *p);
	luaL_setmetatable(L, SET);
	buf_init(&errors, ERRORS_MAX);
	if (policies_load_texts(share, "", texts, len, &fresh, &errors) < 0)
		return fail_load(L, &errors);
	*p = fresh;
	buf_fini(&errors);
	return 1;
}

int policy_test_open(lua_State *L)
{
	static const luaL_Reg methods[] = { { "ask", ask }, { "pools", pools }, { "spent", spent }, { NULL, NULL } };
	static const luaL_Reg words[] = { { "load", load }, { NULL, NULL } };
	luaL_newmetatable(L, SET);
	lua_pushcfunction(L, fini);
	lua_setfield(L, -2, "__gc");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_newtable(L);
	lua_pushvalue(L, lua_upvalueindex(1));
	luaL_setfuncs(L, words, 1);
	return 1;
}

/* --- the program --- */

struct request {
	char dir[PATH_MAX], share[PATH_MAX];
	char **options; /* busted's; NULL-terminated */
};

static void set_path(lua_State *L, const char *share)
{
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "path");
	lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s", share, share, lua_tostring(L, -1));
	lua_setfield(L, -3, "path");
	lua_pop(L, 2);
}

/* request → exit code */
static int run(lua_State *L)
{
	const struct request *r = lua_touserdata(L, 1);
	luaL_openlibs(L);
	set_path(L, r->share);
	toc_register(L, VM_POLICY);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushstring(L, r->share);
	lua_pushcclosure(L, policy_test_open, 1);
	lua_setfield(L, -2, "bind.sets");
	lua_pop(L, 1);
	lua_getglobal(L, "require");
	lua_pushliteral(L, "dss.test.run");
	lua_call(L, 1, 1);
	lua_pushstring(L, r->dir);
	lua_newtable(L);
	for (lua_Integer i = 0; r->options[i]; i++) {
		lua_pushstring(L, r->options[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_call(L, 2, 1);
	return 1;
}

static int trace(lua_State *L)
{
	luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
	return 1;
}

/* The specs are their author's programs: no vm, no budget. */
static int run_protected(const struct request *r)
{
	lua_State *L = luaL_newstate();
	int code = EXIT_FAILED;
	if (!L)
		return fputs("dssd: unable to make a Lua state: not enough memory\n", stderr), EXIT_FAILED;
	*(struct vm **)lua_getextraspace(L) = NULL; /* what asks for its vm finds none */
	lua_pushcfunction(L, trace);
	lua_pushcfunction(L, run);
	lua_pushlightuserdata(L, (void *)r);
	if (lua_pcall(L, 1, 1, 1) == LUA_OK)
		code = (int)lua_tointeger(L, -1);
	else
		fprintf(stderr, "dssd: unable to run the specs: %s\n", lua_tostring(L, -1));
	lua_close(L);
	call_thread_end();
	return fflush(stdout) == 0 ? code : EXIT_FAILED;
}

int policy_test_main(int argc, char **argv)
{
	static struct request r;
	char share[PATH_MAX];
	if (argc < 2 || argv[1][0] == '-' || (argc > 2 && strcmp(argv[2], "--") != 0))
		return fputs("usage: dssd test DIR [-- OPTIONS OF BUSTED]\n", stderr), EXIT_USAGE;
	if (!realpath(argv[1], r.dir)) {
		fprintf(stderr, "dssd: unable to find the folder %s: %s\n", argv[1], strerror(errno));
		return EXIT_USAGE;
	}
	if (home_share(share, sizeof share) < 0 || !realpath(share, r.share))
		return fputs("dssd: unable to find our own files; set DSS_SHARE to their folder\n", stderr), EXIT_FAILED;
	r.options = argv + (argc > 2 ? 3 : 2);
	return run_protected(&r);
}
