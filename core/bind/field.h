#ifndef DSS_BIND_FIELD_H
#define DSS_BIND_FIELD_H
#include <stddef.h>
#include <stdint.h>
#include <lua.h>
/*
 * field: several fields at once for the table on top of the stack, which stays there. Borrows all; raises where Lua has no memory.
 *
 *     lua_createtable(L, 0, 2);
 *     field_put_texts(L, (struct field_text[]){ { "type", f->type }, { "pool", f->pool } }, 2);
 */
struct field_text {
	const char *name, *value; /* value NULL: there is no such field */
};
struct field_int {
	const char *name;
	int64_t value;
};

void field_put_texts(lua_State *L, const struct field_text *fields, size_t n);
void field_put_ints(lua_State *L, const struct field_int *fields, size_t n);

#define FIELD_COUNT(fields) (sizeof(fields) / sizeof((fields)[0]))

#endif
