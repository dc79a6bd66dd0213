/*
 * bind.rights: what the policies' word `access` grants. may(login, verb, task) → true | false; task: { id, user, kind, type, pool, project?,
 * title?, tags? (JSON text), priority, memory? }, as bind.fleet hands it out in `facts` where there is such a word.
 */
#include <stdio.h>
#include <lauxlib.h>
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/policies_live.h"
#include "bind/toc.h"

static int may(lua_State *L)
{
	struct app *app = vm_app(vm_of(L));
	const char *login = arg_text(L, 1, NULL), *verb = arg_text(L, 2, NULL);
	struct future f = { .created_ms = 0 };
	const struct {
		const char *name;
		char **out;
	} texts[] = { { "user", &f.owner },      { "kind", &f.kind },   { "type", &f.type }, { "pool", &f.pool },
		      { "project", &f.project }, { "title", &f.title }, { "tags", &f.tags } };
	arg_table(L, 3);
	const char *id = arg_field_text(L, 3, "id");
	luaL_argcheck(L, id && snprintf(f.id, sizeof f.id, "%s", id) < (int)sizeof f.id, 3, "no id of a task");
	/* borrowed from the table, which lives as long as this call */
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		*texts[i].out = (char *)arg_field_text(L, 3, texts[i].name);
	f.priority = (int)arg_field_int(L, 3, "priority", 0);
	f.memory_bytes = arg_field_int(L, 3, "memory", 0);
	luaL_argcheck(L, f.owner && f.kind && f.type && f.pool, 3, "user, kind, type and pool are needed");
	lua_pushboolean(L, app && app->live && policies_live_may(app->live, login, verb, &f));
	return 1;
}

int bind_rights_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "may", may }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
