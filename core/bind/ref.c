#include "bind/ref.h"
#include <lauxlib.h>

#define GUARD "dss.guard"

struct guard {
	void *p; /* first: ref_guard hands out its address */
	void (*release)(void *p);
};

void ref_take(lua_State *L, struct ref *ref)
{
	ref->vm = vm_of(L);
	ref->n = luaL_ref(L, LUA_REGISTRYINDEX);
}

void ref_push(const struct ref *ref)
{
	lua_rawgeti(vm_state(ref->vm), LUA_REGISTRYINDEX, ref->n);
}

void ref_drop(struct ref *ref)
{
	if (ref->vm && ref->n >= 0)
		luaL_unref(vm_state(ref->vm), LUA_REGISTRYINDEX, ref->n);
	ref->vm = NULL;
	ref->n = LUA_NOREF;
}

static int collect(lua_State *L)
{
	ref_guard_now(lua_touserdata(L, 1));
	return 0;
}

void **ref_guard(lua_State *L, void (*release)(void *p))
{
	struct guard *g = lua_newuserdatauv(L, sizeof *g, 0);
	g->p = NULL;
	g->release = release;
	if (luaL_newmetatable(L, GUARD)) {
		lua_pushcfunction(L, collect);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return &g->p;
}

void ref_guard_now(void **slot)
{
	struct guard *g = (struct guard *)slot;
	if (g->p)
		g->release(g->p);
	g->p = NULL;
}
