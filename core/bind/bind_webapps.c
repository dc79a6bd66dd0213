/*
 * bind.webapps: the processes of webapps for the API. Who may do what is decided there.
 *   state(project, name) → json | nil                       node/node_webapp.h; nil: nobody ever wanted it to run
 *   start(project, name) → true | nil, message              starts it, or anew
 *   stop(project, name, by, is_admin)
 *   address(project, name) → { state, process, reason, port | socket }; fields that are not there are nil
 *   sign(text) → hexadecimal text, under the node's key, for passes of webapps          random() → 32 hexadecimal digits
 */
#include <string.h>
#include <lauxlib.h>
#include "base/text.h"
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/json_out.h"
#include "bind/toc.h"
#include "node/node_webapp.h"

static struct node_webapps *webapps_now(lua_State *L)
{
	const char *key = arg_text(L, 1, NULL), *name = arg_text(L, 2, NULL);
	luaL_argcheck(L, text_is_id(key, strlen(key)), 1, "no project's key");
	luaL_argcheck(L, text_is_id(name, strlen(name)), 2, "no webapp's name");
	return node_webapps(json_out_app(L)->node);
}

static int state(lua_State *L)
{
	struct node_webapps *t = webapps_now(L);
	struct buf *b = json_out_new(L);
	if (!node_webapps_json(t, arg_text(L, 1, NULL), arg_text(L, 2, NULL), b))
		return 0;
	json_out_push(L, b);
	return 1;
}

static int start(lua_State *L)
{
	struct node_webapps *t = webapps_now(L);
	struct err err = { 0 };
	if (node_webapps_start(t, arg_text(L, 1, NULL), arg_text(L, 2, NULL), &err) < 0)
		return arg_fail(L, err.text[0] ? err.text : "the store takes nothing now");
	lua_pushboolean(L, 1);
	return 1;
}

static int stop(lua_State *L)
{
	struct node_webapps *t = webapps_now(L);
	node_webapps_halt(t, arg_text(L, 1, NULL), arg_text(L, 2, NULL), arg_text(L, 3, NULL),
			  lua_toboolean(L, 4) ? "admin" : "user");
	return 0;
}

static void set_text(lua_State *L, const char *name, const char *text)
{
	if (!text || !*text)
		return;
	lua_pushstring(L, text);
	lua_setfield(L, -2, name);
}

static int address(lua_State *L)
{
	struct node_webapp_address a;
	struct node_webapps *t = webapps_now(L);
	node_webapps_address(t, arg_text(L, 1, NULL), arg_text(L, 2, NULL), &a);
	lua_createtable(L, 0, 5);
	set_text(L, "state", a.state);
	set_text(L, "process", a.process);
	set_text(L, "reason", a.reason);
	set_text(L, "socket", a.socket);
	if (a.port > 0) {
		lua_pushinteger(L, a.port);
		lua_setfield(L, -2, "port");
	}
	return 1;
}

static int sign(lua_State *L)
{
	size_t len;
	char hex[DIGEST_HEX_SIZE];
	const char *text = arg_text(L, 1, &len);
	node_webapps_sign(node_webapps(json_out_app(L)->node), text, len, hex);
	lua_pushstring(L, hex);
	return 1;
}

static int random_text(lua_State *L)
{
	char hex[33];
	struct err err = { 0 };
	if (digest_random_hex(hex, 16, &err) < 0)
		return luaL_error(L, "%s", err.text);
	lua_pushstring(L, hex);
	return 1;
}

int bind_webapps_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "state", state }, { "start", start },        { "stop", stop }, { "address", address },
					  { "sign", sign },   { "random", random_text }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
