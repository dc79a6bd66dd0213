#ifndef DSS_BIND_ARG_H
#define DSS_BIND_ARG_H
#include <stdbool.h>
#include <stdint.h>
#include <lua.h>
/*
 * arg: checks of what Lua hands to C. Misuse raises with the caller's line; the world failing is told with arg_fail, which
 * answers nil and a message. Check all arguments, then act: nothing owned may be held while these run.
 */
const char *arg_text(lua_State *L, int i, size_t *len); /* a string (no number); len may be NULL, then no NUL inside */
int64_t arg_int(lua_State *L, int i, int64_t least, int64_t most);
bool arg_bool(lua_State *L, int i, bool otherwise);
void arg_table(lua_State *L, int i);
/* Fields of the table at i; NULL or `otherwise` where nil. The text lives as long as the table holds it. */
const char *arg_field_text(lua_State *L, int i, const char *name);
const char *arg_field_bytes(lua_State *L, int i, const char *name, size_t *len);
int64_t arg_field_int(lua_State *L, int i, const char *name, int64_t otherwise);
bool arg_field_bool(lua_State *L, int i, const char *name, bool otherwise);
/* Returns 2: nil, message. */
int arg_fail(lua_State *L, const char *text);

#endif
