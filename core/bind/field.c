#include "bind/field.h"

void field_put_texts(lua_State *L, const struct field_text *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		lua_pushstring(L, fields[i].value);
		lua_setfield(L, -2, fields[i].name);
	}
}

void field_put_ints(lua_State *L, const struct field_int *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		lua_pushinteger(L, (lua_Integer)fields[i].value);
		lua_setfield(L, -2, fields[i].name);
	}
}
