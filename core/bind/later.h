#ifndef DSS_BIND_LATER_H
#define DSS_BIND_LATER_H
#include <stdint.h>
#include "bind/ref.h"
/*
 * later: a Lua function that C calls once, now or some turns later. What it is called with is pushed by a function of C that runs in
 * the same protected call, so that nothing raises outside of it.
 */
struct later;

/* Takes the function at stack index i (checked). Raises for misuse or want of memory. Returns owned. */
struct later *later_new(lua_State *L, int i);
/* Pushes what the Lua function gets and returns how many. */
typedef int later_push_fn(lua_State *L, void *data);
/* Calls and frees it; a raise is logged with its traceback. */
void later_call(struct later **later, later_push_fn *push, void *data);
/* The same with one text; NULL: nil. */
void later_tell(struct later **later, const char *text);
void later_free(struct later **later);

#endif
