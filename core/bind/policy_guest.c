#include "bind/policy_guest.h"

static void set_text(lua_State *L, const char *name, const char *value)
{
	if (!value)
		return;
	lua_pushstring(L, value);
	lua_setfield(L, -2, name);
}

static void set_list(lua_State *L, const char *name, const json_t *list)
{
	size_t i;
	json_t *v;
	lua_createtable(L, (int)json_array_size(list), 0);
	json_array_foreach(list, i, v) if (json_is_string(v))
	{
		lua_pushstring(L, json_string_value(v));
		lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	}
	lua_setfield(L, -2, name);
}

void policy_guest_push(lua_State *L, const struct guest_facts *g)
{
	lua_createtable(L, 0, 17);
	set_text(L, "kind", g->kind);
	set_text(L, "id", g->id);
	set_text(L, "user", g->user);
	set_text(L, "project", g->project);
	set_text(L, "job", g->job);
	set_text(L, "activity", g->activity);
	set_text(L, "recipe", g->recipe);
	set_text(L, "recipe_type", g->recipe_type);
	set_text(L, "webapp", g->webapp);
	set_text(L, "notebook", g->notebook);
	set_text(L, "kernel_spec", g->kernel_spec);
	set_text(L, "kernel", g->notebook ? g->id : NULL);
	set_list(L, "tags", g->tags);
	set_list(L, "resources", g->resources);
	if (g->memory_bytes > 0) {
		lua_pushinteger(L, g->memory_bytes);
		lua_setfield(L, -2, "memory");
	}
	lua_pushinteger(L, g->priority);
	lua_setfield(L, -2, "priority");
}
