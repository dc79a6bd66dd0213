#ifndef DSS_BIND_REF_H
#define DSS_BIND_REF_H
#include <lua.h>
#include "bind/vm.h"
/* ref: a Lua value that C keeps between calls, and memory of C that a raise must not leak. */
struct ref {
	struct vm *vm;
	int n; /* LUA_NOREF = holds nothing */
};

#define REF_NONE                                                                                                                   \
	{                                                                                                                          \
		NULL, LUA_NOREF_VALUE                                                                                              \
	}
#define LUA_NOREF_VALUE (-2)

/* Pops the value on top. May raise. */
void ref_take(lua_State *L, struct ref *ref);
/* Pushes it (nil if it holds nothing). */
void ref_push(const struct ref *ref);
void ref_drop(struct ref *ref);

/* A userdata on top of the stack that calls release(p) when it is collected or ref_guard_now is called. Make it before p
 * exists (*slot = NULL), then set *slot. May raise. */
void **ref_guard(lua_State *L, void (*release)(void *p));
void ref_guard_now(void **slot);

#endif
