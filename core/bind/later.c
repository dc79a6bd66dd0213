#include "bind/later.h"
#include <stdlib.h>
#include <lauxlib.h>
#include "base/log.h"
#include "bind/call.h"

#define BUDGET_MS 2000

struct later {
	struct ref fn;
};

struct delivery {
	const struct ref *fn;
	later_push_fn *push;
	void *data;
};

struct later *later_new(lua_State *L, int i)
{
	luaL_checktype(L, i, LUA_TFUNCTION);
	lua_pushvalue(L, i);
	int n = luaL_ref(L, LUA_REGISTRYINDEX);
	struct later *later = calloc(1, sizeof *later);
	if (!later) {
		luaL_unref(L, LUA_REGISTRYINDEX, n);
		luaL_error(L, "not enough memory");
		return NULL;
	}
	later->fn = (struct ref){ vm_of(L), n };
	return later;
}

static int deliver(lua_State *L)
{
	struct delivery *d = lua_touserdata(L, 1);
	int n = d->push ? d->push(L, d->data) : 0; /* may leave guards below what it hands over */
	ref_push(d->fn);
	lua_insert(L, -(n + 1));
	lua_call(L, n, 0);
	return 0;
}

void later_call(struct later **later, later_push_fn *push, void *data)
{
	struct later *l = *later;
	struct err err = { 0 };
	if (!l)
		return;
	*later = NULL;
	struct vm *vm = l->fn.vm;
	lua_State *L = vm_state(vm);
	struct delivery d = { &l->fn, push, data };
	int top = lua_gettop(L);
	if (!lua_checkstack(L, 8)) {
		log_error("unable to call Lua: not enough memory");
	} else {
		lua_pushcfunction(L, deliver);
		lua_pushlightuserdata(L, &d);
		if (call_run(vm, 1, 0, &(struct call_budget){ BUDGET_MS }, &err) < 0) {
			log_error("%s; %s", err.text, call_trace(vm));
			ref_drop(&l->fn);
			lua_gc(L, LUA_GCCOLLECT); /* a request that this call was to answer is answered by its collection */
		}
	}
	lua_settop(L, top);
	later_free(&l);
}

static int push_text(lua_State *L, void *data)
{
	lua_pushstring(L, data);
	return 1;
}

void later_tell(struct later **later, const char *text)
{
	later_call(later, push_text, (void *)text);
}

void later_free(struct later **later)
{
	if (!*later)
		return;
	ref_drop(&(*later)->fn);
	free(*later);
	*later = NULL;
}
