#ifndef DSS_BIND_VM_H
#define DSS_BIND_VM_H
#include <stddef.h>
#include <lua.h>
#include "base/err.h"
/*
 * vm: one lua_State with a use, a memory cap and the libraries of that use. Our own code (lua/dss) is its ground: it may
 * `require` from the share folder and the C tables of bind/toc.c. What users write never sees that ground: it is
 * evaluated in an environment that lua/dss/model/sandbox.lua builds.
 *
 *     struct vm *vm = vm_new(&(struct vm_options){ .use = VM_PLAN, .share = "/usr/share/dssd" }, &err);
 *     if (vm_module(vm, "dss.model.plan", "make", &err) == 0) { … push arguments … call_run(vm, 2, 1, NULL, &err); }
 *     vm_free(&vm);
 *
 * Raising code runs under call_run alone; a raise outside of it ends the program.
 */
enum vm_use { VM_PLAN = 1, VM_POLICY = 2, VM_API = 4, VM_CONSOLE = 8 };

struct vm_options {
	enum vm_use use;
	const char *share;       /* the folder that holds lua/dss; borrowed during vm_new */
	size_t memory_max_bytes; /* 0 = VM_MEMORY_MAX_BYTES */
	void *app;               /* what the bindings reach through vm_app; borrowed for the vm's life */
};

#define VM_MEMORY_MAX_BYTES ((size_t)64 << 20)

struct vm;

/* NULL: err says why. Returns owned. */
struct vm *vm_new(const struct vm_options *o, struct err *err);
void vm_free(struct vm **vm);
lua_State *vm_state(const struct vm *vm);
struct vm *vm_of(lua_State *L);
enum vm_use vm_use(const struct vm *vm);
const char *vm_use_name(enum vm_use use);
void *vm_app(const struct vm *vm);
size_t vm_memory_bytes(const struct vm *vm);
size_t vm_memory_max_bytes(const struct vm *vm);

/* Pushes the function `name` of the module. 0, or -1 and nothing is pushed. */
int vm_module(struct vm *vm, const char *module, const char *name, struct err *err);
/* Sets a C table (luaL_newlib style, one value returned by `open`) as package.preload[name]. Call within call_run. */
void vm_preload(lua_State *L, const char *name, lua_CFunction open);

#endif
