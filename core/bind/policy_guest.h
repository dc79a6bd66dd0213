#ifndef DSS_BIND_POLICY_GUEST_H
#define DSS_BIND_POLICY_GUEST_H
#include <lua.h>
#include "fleet/guest.h"
/*
 * policy_guest: what policies see of a guest, whatever they are asked: kind id user project job activity recipe recipe_type webapp notebook
 * kernel_spec kernel tags resources memory priority. What is not known is absent.
 */
void policy_guest_push(lua_State *L, const struct guest_facts *g); /* a table. May raise */

#endif
