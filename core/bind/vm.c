#include "bind/vm.h"
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include <lualib.h>
#include "base/log.h"
#include "bind/call.h"
#include "bind/toc.h"
#include "bind/vm_impl.h"

/* Native modules come from Debian's folder alone: the current directory and the environment never name code. */
#define NATIVE_PATH "/usr/lib/x86_64-linux-gnu/lua/5.4/?.so;/usr/lib/aarch64-linux-gnu/lua/5.4/?.so;/usr/lib/lua/5.4/?.so"

/* What even our own ground does without: files by path, and a collector that a call could stop. */
static const char *const never[] = { "dofile", "loadfile", "collectgarbage", "print", "warn", NULL };

static void *allocate(void *data, void *ptr, size_t old, size_t size)
{
	struct vm *vm = data;
	size_t had = ptr ? old : 0;
	if (size == 0) {
		vm->memory_bytes -= had;
		free(ptr);
		return NULL;
	}
	if (size > had && vm->memory_bytes - had + size > vm->memory_max_bytes)
		return call_note_place(vm), NULL; /* Lua collects, tries again, then raises "not enough memory" */
	void *p = realloc(ptr, size);
	if (p)
		vm->memory_bytes += size - had;
	return p;
}

static int panic(lua_State *L)
{
	const char *text = lua_tostring(L, -1);
	log_error("Lua raised outside of a protected call: %s", text ? text : "(no text)");
	return 0; /* liblua aborts */
}

static void keep_only(lua_State *L, const char *library, const char *const *names)
{
	lua_newtable(L);
	lua_getglobal(L, library);
	for (size_t i = 0; names[i]; i++) {
		lua_getfield(L, -1, names[i]);
		lua_setfield(L, -3, names[i]);
	}
	lua_pop(L, 1);
	lua_setglobal(L, library);
}

static void open_libraries(lua_State *L)
{
	static const luaL_Reg libraries[] = {
		{ LUA_GNAME, luaopen_base },       { LUA_LOADLIBNAME, luaopen_package }, { LUA_STRLIBNAME, luaopen_string },
		{ LUA_TABLIBNAME, luaopen_table }, { LUA_MATHLIBNAME, luaopen_math },    { LUA_UTF8LIBNAME, luaopen_utf8 },
		{ LUA_OSLIBNAME, luaopen_os },     { LUA_DBLIBNAME, luaopen_debug },     { NULL, NULL },
	};
	static const char *const os_words[] = { "time", "date", "clock", NULL };
	static const char *const debug_words[] = { "getinfo", "traceback", NULL };

	lua_pushboolean(L, 1);
	lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
	for (const luaL_Reg *l = libraries; l->func; l++) {
		luaL_requiref(L, l->name, l->func, 1);
		lua_pop(L, 1);
	}
	keep_only(L, "os", os_words);
	keep_only(L, "debug", debug_words);
	for (size_t i = 0; never[i]; i++) {
		lua_pushnil(L);
		lua_setglobal(L, never[i]);
	}
	/* package.loaded must not hand out the whole libraries either */
	lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_getglobal(L, "os");
	lua_setfield(L, -2, "os");
	lua_getglobal(L, "debug");
	lua_setfield(L, -2, "debug");
	lua_pop(L, 1);
}

/* share, use → opens all. Runs under call_run, as any of it may raise for want of memory. */
static int set_up(lua_State *L)
{
	const char *share = lua_touserdata(L, 1);
	struct vm *vm = vm_of(L);
	open_libraries(L);
	lua_getglobal(L, "package");
	lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua", share, share);
	lua_setfield(L, -2, "path");
	lua_pushliteral(L, NATIVE_PATH);
	lua_setfield(L, -2, "cpath");
	lua_pop(L, 1);
	if (vm->use != VM_API)
		bind_string_install(L); /* what users write runs here */
	toc_register(L, vm->use);
	return 0;
}

struct vm *vm_new(const struct vm_options *o, struct err *err)
{
	struct vm *vm = calloc(1, sizeof *vm);
	if (!vm) {
		err_set(err, "unable to make a Lua state: not enough memory");
		return NULL;
	}
	vm->use = o->use;
	vm->memory_max_bytes = o->memory_max_bytes ? o->memory_max_bytes : VM_MEMORY_MAX_BYTES;
	vm->app = o->app;
	vm->L = lua_newstate(allocate, vm);
	if (!vm->L) {
		err_set(err, "unable to make a Lua state: not enough memory");
		vm_free(&vm);
		return NULL;
	}
	*(struct vm **)lua_getextraspace(vm->L) = vm;
	lua_atpanic(vm->L, panic);
	lua_pushcfunction(vm->L, set_up);
	lua_pushlightuserdata(vm->L, (void *)o->share);
	/* a string may not be pushed out here, where a raise is not caught */
	if (call_run(vm, 1, 0, &(struct call_budget){ -1 }, err) < 0) {
		err_add(err, "unable to make a Lua state (%s)", vm_use_name(o->use));
		vm_free(&vm);
	}
	return vm;
}

void vm_free(struct vm **vm)
{
	if (!*vm)
		return;
	if ((*vm)->L)
		lua_close((*vm)->L);
	free(*vm);
	*vm = NULL;
}

lua_State *vm_state(const struct vm *vm)
{
	return vm->L;
}
struct vm *vm_of(lua_State *L)
{
	return *(struct vm **)lua_getextraspace(L);
}
enum vm_use vm_use(const struct vm *vm)
{
	return vm->use;
}
void *vm_app(const struct vm *vm)
{
	return vm->app;
}
size_t vm_memory_bytes(const struct vm *vm)
{
	return vm->memory_bytes;
}
size_t vm_memory_max_bytes(const struct vm *vm)
{
	return vm->memory_max_bytes;
}

const char *vm_use_name(enum vm_use use)
{
	switch (use) {
	case VM_PLAN:
		return "plan";
	case VM_POLICY:
		return "policy";
	case VM_API:
		return "api";
	case VM_CONSOLE:
		return "console";
	}
	return "?";
}

static int find_function(lua_State *L)
{
	const char *module = lua_touserdata(L, 1), *name = lua_touserdata(L, 2);
	lua_getglobal(L, "require");
	lua_pushstring(L, module);
	lua_call(L, 1, 1);
	lua_getfield(L, -1, name);
	if (!lua_isfunction(L, -1))
		return luaL_error(L, "module %s has no function %s", module, name);
	return 1;
}

int vm_module(struct vm *vm, const char *module, const char *name, struct err *err)
{
	lua_pushcfunction(vm->L, find_function);
	lua_pushlightuserdata(vm->L, (void *)module);
	lua_pushlightuserdata(vm->L, (void *)name);
	return call_run(vm, 2, 1, &(struct call_budget){ -1 }, err);
}

void vm_preload(lua_State *L, const char *name, lua_CFunction open)
{
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(L, open);
	lua_setfield(L, -2, name);
	lua_pop(L, 1);
}
