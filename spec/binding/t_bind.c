/* t_bind: Lua states as the daemon makes them, for spec/core/bind_spec.lua, and the C tables that our Lua requires. */
#include <lauxlib.h>
#include <string.h>
#include "bind/call.h"
#include "bind/config.h"
#include "bind/policies.h"
#include "bind/toc.h"
#include "bind/vm.h"

static enum vm_use use_named(lua_State *L, int i)
{
	static const char *const names[] = { "plan", "policy", "api", "console", NULL };
	return 1 << luaL_checkoption(L, i, NULL, names);
}

struct chunk {
	const char *text;
	size_t len;
};

static int load_chunk(lua_State *L)
{
	const struct chunk *c = lua_touserdata(L, 1);
	if (luaL_loadbufferx(L, c->text, c->len, "@spec.lua", "t") != LUA_OK)
		return lua_error(L);
	lua_call(L, 0, 1);
	luaL_tolstring(L, -1, NULL);
	return 1;
}

/* run(use, share, text, time_ms, memory_max) → text of the result, why, stack height | nil, message, why, trace, height */
static int run(lua_State *L)
{
	struct err err = { 0 };
	struct vm_options o = { .use = use_named(L, 1),
				.share = luaL_checkstring(L, 2),
				.memory_max_bytes = (size_t)luaL_optinteger(L, 5, 0) };
	struct chunk c;
	c.text = luaL_checklstring(L, 3, &c.len);
	struct call_budget budget = { (int)luaL_optinteger(L, 4, 0) };
	struct vm *vm = vm_new(&o, &err);
	if (!vm)
		return lua_pushnil(L), lua_pushstring(L, err.text), 2;
	lua_State *V = vm_state(vm);
	lua_pushcfunction(V, load_chunk);
	lua_pushlightuserdata(V, &c);
	int n;
	if (call_run(vm, 1, 1, &budget, &err) == 0) {
		lua_pushstring(L, lua_tostring(V, -1));
		lua_pushinteger(L, call_why(vm));
		lua_pushinteger(L, lua_gettop(V));
		n = 3;
	} else {
		lua_pushnil(L);
		lua_pushstring(L, err.text);
		lua_pushinteger(L, call_why(vm));
		lua_pushstring(L, call_trace(vm));
		lua_pushinteger(L, lua_gettop(V));
		n = 5;
	}
	/* a second call of the same state works: nothing of the first is left */
	lua_settop(V, 0);
	struct chunk second = { "local n = 0 for i = 1, 1e5 do n = n + i end return n", 52 };
	lua_pushcfunction(V, load_chunk);
	lua_pushlightuserdata(V, &second);
	lua_pushboolean(L, call_run(vm, 1, 1, NULL, &err) == 0);
	vm_free(&vm);
	return n + 1;
}

/* policies(dir, share, run_user, from_last) → { {name=, argv0=, warm_min=, source=, run_as=}, … } | nil, errors */
static int load_policies(lua_State *L)
{
	struct policies p;
	struct buf errors;
	struct err err = { 0 };
	buf_init(&errors, 1 << 16);
	if (policies_load(luaL_checkstring(L, 1), luaL_checkstring(L, 2), luaL_optstring(L, 3, ""), lua_toboolean(L, 4), &p,
			  &errors) < 0) {
		lua_pushnil(L);
		lua_pushlstring(L, errors.data ? errors.data : "", errors.len);
		buf_fini(&errors);
		return 2;
	}
	lua_newtable(L);
	for (size_t i = 0; i < p.n; i++) {
		lua_newtable(L);
		lua_pushstring(L, p.specs[i]->name);
		lua_setfield(L, -2, "name");
		lua_pushstring(L, p.specs[i]->argv[0]);
		lua_setfield(L, -2, "argv0");
		lua_pushstring(L, p.specs[i]->run_as);
		lua_setfield(L, -2, "run_as");
		lua_pushstring(L, p.specs[i]->source);
		lua_setfield(L, -2, "source");
		lua_pushinteger(L, p.specs[i]->warm_min);
		lua_setfield(L, -2, "warm_min");
		lua_pushinteger(L, p.specs[i]->memory_bytes);
		lua_setfield(L, -2, "memory_bytes");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	if (lua_toboolean(L, 5) && policies_save(lua_tostring(L, 1), &p, &err) < 0)
		luaL_error(L, "%s", err.text);
	policies_fini(&p);
	buf_fini(&errors);
	return 1;
}

/* Makes `require "bind.json"` and its kin work in this very state. */
static int preload(lua_State *L)
{
	vm_preload(L, "bind.json", bind_json_open);
	vm_preload(L, "bind.files", bind_files_open);
	vm_preload(L, "bind.crypt", bind_crypt_open);
	vm_preload(L, "bind.log", bind_log_open);
	vm_preload(L, "bind.guard", bind_guard_open);
	vm_preload(L, "bind.machine", bind_machine_open);
	return 0;
}

int luaopen_t_bind(lua_State *L)
{
	static const luaL_Reg words[] = { { "run", run }, { "policies", load_policies }, { "preload", preload }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
