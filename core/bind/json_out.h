#ifndef DSS_BIND_JSON_OUT_H
#define DSS_BIND_JSON_OUT_H
#include <lua.h>
#include "base/buf.h"
#include "bind/app.h"
#include "bind/later.h"
/* json_out: what a binding hands to Lua as JSON text that C wrote. new and push may raise; the buf is the collector's then. */
#define JSON_OUT_MAX ((size_t)80 << 20)

/* Pushes its guard. Borrowed from the state until the guard is collected. */
struct buf *json_out_new(lua_State *L);
void json_out_push(lua_State *L, const struct buf *b); /* as a text; raises where the buf failed */

/* Calls and frees later: with json as a text, or where it is NULL with nil and why. */
void json_out_later(struct later **later, const struct buf *json, const char *why);

/* The backend that the state belongs to; raises once its fleet is gone. */
struct app *json_out_app(lua_State *L);

#endif
