/*
 * bind.alerts: the board of alerts (fleet/alerts.h).
 *   list() → JSON text, an array, worst first
 *   raise(key, "note" | "warning" | "error", text, subject | nil, source | nil)
 *   clear(key)
 */
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/json_out.h"
#include "bind/toc.h"
#include "fleet/alerts.h"

static struct alerts *alerts_of(lua_State *L)
{
	return fleet_alerts(node_fleet(json_out_app(L)->node));
}

static int list(lua_State *L)
{
	struct alerts *alerts = alerts_of(L);
	struct buf *b = json_out_new(L);
	alerts_json(alerts, b);
	json_out_push(L, b);
	return 1;
}

static int raise_one(lua_State *L)
{
	static const char *const levels[] = { "note", "warning", "error", NULL };
	const char *key = arg_text(L, 1, NULL), *text = arg_text(L, 3, NULL);
	enum alert_level level = (enum alert_level)luaL_checkoption(L, 2, NULL, levels);
	alerts_raise(alerts_of(L), key, level, luaL_optstring(L, 4, NULL), luaL_optstring(L, 5, NULL), text);
	return 0;
}

static int clear(lua_State *L)
{
	alerts_clear(alerts_of(L), arg_text(L, 1, NULL));
	return 0;
}

int bind_alerts_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "list", list }, { "raise", raise_one }, { "clear", clear }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
