#ifndef DSS_BIND_PAGES_H
#define DSS_BIND_PAGES_H
#include <lua.h>
/* bind_pages: request.page(name): answers with a file of the web page (gate/pages.h), whatever becomes of it. Upvalue 1: the answer. */
int bind_pages_reply(lua_State *L);
#endif
