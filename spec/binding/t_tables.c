/* t_tables: the state tables and the wire's message table as they stand in the code, for spec/style/tables_spec.lua. */
#include <lauxlib.h>
#include <lua.h>

#include "base/fsm.h"
#include "fleet/future.h"
#include "fleet/kernel.h"
#include "keeper/proc.h"
#include "keeper/service.h"
#include "keeper/wire.h"

static void set_text(lua_State *L, const char *name, const char *value)
{
	lua_pushstring(L, value);
	lua_setfield(L, -2, name);
}

/* machine(name) -> { {state=, event=, next=, action=}, … } or nil */
static int machine(lua_State *L)
{
	const struct {
		const char *name;
		const struct fsm *fsm;
	} all[] = {
		{ "process", &proc_fsm },
		{ "service", &service_fsm },
		{ "kernel", &kernel_fsm },
		{ "future", &future_fsm },
	};
	static const char *const names[] = { "process", "service", "kernel", "future", NULL };
	const struct fsm *fsm = all[luaL_checkoption(L, 1, NULL, names)].fsm;
	lua_createtable(L, (int)fsm->nrows, 0);
	for (size_t i = 0; i < fsm->nrows; i++) {
		const struct fsm_row *r = &fsm->rows[i];
		lua_createtable(L, 0, 4);
		set_text(L, "state", fsm->states[r->state]);
		set_text(L, "event", fsm->events[r->event]);
		set_text(L, "next", fsm->states[r->next]);
		set_text(L, "action", r->action);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* messages() -> { {number=, name=, from=, to=, required=}, … } */
static int messages(lua_State *L)
{
	const struct wire_message_info *m;
	lua_newtable(L);
	for (size_t i = 0; (m = wire_message_at(i)); i++) {
		lua_createtable(L, 0, 5);
		lua_pushinteger(L, m->number);
		lua_setfield(L, -2, "number");
		set_text(L, "name", m->name);
		set_text(L, "from", m->from);
		set_text(L, "to", m->to);
		set_text(L, "required", m->required);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

int luaopen_t_tables(lua_State *L)
{
	static const luaL_Reg words[] = { { "machine", machine }, { "messages", messages }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
