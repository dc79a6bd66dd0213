/*
 * bind.notebooks: sessions of notebooks for the API (node/node_notebook_session.h). Who may do what is decided there. A callback is called once,
 * at once or later.
 *   list(fn(json | nil, why))                             after a fresh look; why with json: the server cannot be asked
 *   find(session) → { id, kernel, path, project, user, state, lease_ms, connections } | nil      as of the last look
 *   unload(session, cause, by, text, fn(why_not | nil)[, even_leased])   even_leased: a policy's also ends one that its user keeps
 *   interrupt(session, cause, by, text, fn(why_not | nil))
 *   keep(session, until_ms, by) → true | nil, message     0: no longer
 *   leases(login) → how many it holds                     quota() → how long at most, in ms, and how many of each user
 *   ask(method, path, body | nil, fn(status | nil, body or why))     a request to the server; path: escaped, below /api/
 *   has_server() → there is one that can be asked, whether it answers now or not
 *   ends(word, login | nil, fn(json | nil, why))         facts of ends of a notebook's kernels, newest first (fleet/notebook_ends.h); nil: an admin, all
 *   link() → url, token | nil, message                    of the server; for admins alone
 */
#include <string.h>
#include <lauxlib.h>
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "fleet/notebook_ends.h"
#include "node/node_notebook_session.h"

#define TOKEN_ROOM 1000
#define ASK_MS     20000
#define ANSWER_MAX ((size_t)64 << 20)

static struct node_notebooks *notebooks_now(lua_State *L)
{
	return node_notebooks(json_out_app(L)->node);
}

/* --- lists --- */

struct listed {
	const struct buf *json;
	const struct err *why;
};

static int push_list(lua_State *L, void *data)
{
	const struct listed *l = data;
	if (l->json)
		json_out_push(L, l->json);
	else
		lua_pushnil(L);
	lua_pushstring(L, l->why ? l->why->text : NULL);
	return 2;
}

static void on_list(void *data, const struct buf *json, const struct err *why)
{
	struct later *later = data;
	later_call(&later, push_list, &(struct listed){ json, why });
}

static int list(lua_State *L)
{
	struct node_notebooks *t = notebooks_now(L);
	struct later *later = later_new(L, 1);
	node_notebooks_list(t, on_list, later);
	return 0;
}

static void set_text(lua_State *L, const char *name, const char *text)
{
	lua_pushstring(L, text);
	lua_setfield(L, -2, name);
}

static void set_int(lua_State *L, const char *name, int64_t value)
{
	lua_pushinteger(L, value);
	lua_setfield(L, -2, name);
}

static int find(lua_State *L)
{
	struct notebook_session s;
	if (!node_notebooks_session(notebooks_now(L), arg_text(L, 1, NULL), &s))
		return 0;
	lua_createtable(L, 0, 8);
	set_text(L, "id", s.id);
	set_text(L, "kernel", s.kernel);
	set_text(L, "path", s.path);
	set_text(L, "project", s.project);
	set_text(L, "user", s.user);
	set_text(L, "state", idle_state_name(s.state));
	set_int(L, "lease_ms", s.lease_ms);
	set_int(L, "connections", s.connections);
	return 1;
}

static void on_ends(void *data, const struct buf *out, const struct err *why)
{
	struct later *later = data;
	json_out_later(&later, out, why ? why->text : NULL);
}

static int ends(lua_State *L)
{
	struct store *store = fleet_store(node_fleet(json_out_app(L)->node));
	const struct notebook_ends_query q = { .word = arg_text(L, 1, NULL),
					       .login = lua_isnil(L, 2) ? NULL : arg_text(L, 2, NULL),
					       .limit = NOTEBOOK_ENDS_MOST };
	struct err err = { 0 };
	struct later *later = later_new(L, 3);
	if (notebook_ends_read(store, &q, on_ends, later) < 0) {
		err_set(&err, "the store takes nothing now");
		on_ends(later, NULL, &err);
	}
	return 0;
}

/* --- orders --- */

static void on_done(void *data, const char *why_not)
{
	struct later *later = data;
	later_tell(&later, why_not);
}

typedef void order_fn(struct node_notebooks *t, const char *session, const char *cause, const char *by, const char *text,
		      node_notebooks_done_fn *fn, void *data);

static int order(lua_State *L, order_fn *give)
{
	struct node_notebooks *t = notebooks_now(L);
	const char *session = arg_text(L, 1, NULL), *cause = arg_text(L, 2, NULL), *by = arg_text(L, 3, NULL),
		   *text = arg_text(L, 4, NULL);
	luaL_argcheck(L, strcmp(cause, "user") == 0 || strcmp(cause, "admin") == 0 || strcmp(cause, "policy") == 0, 2, "no cause");
	struct later *later = later_new(L, 5);
	give(t, session, cause, by, text, on_done, later);
	return 0;
}

static int unload(lua_State *L)
{
	luaL_argexpected(L, lua_isnoneornil(L, 6) || lua_isboolean(L, 6), 6, "boolean");
	return order(L, lua_toboolean(L, 6) ? node_notebooks_unload_leased : node_notebooks_unload);
}

static int interrupt(lua_State *L)
{
	return order(L, node_notebooks_interrupt);
}

static int keep(lua_State *L)
{
	struct err err = { 0 };
	struct node_notebooks *t = notebooks_now(L);
	const char *session = arg_text(L, 1, NULL), *by = arg_text(L, 3, NULL);
	if (node_notebooks_keep(t, session, arg_int(L, 2, 0, INT64_MAX), by, &err) < 0)
		return arg_fail(L, err.text);
	lua_pushboolean(L, 1);
	return 1;
}

static int leases(lua_State *L)
{
	lua_pushinteger(L, node_notebooks_leases(notebooks_now(L), arg_text(L, 1, NULL)));
	return 1;
}

static int quota(lua_State *L)
{
	struct notebook_quota q = node_notebooks_quota(notebooks_now(L));
	lua_pushinteger(L, q.longest_ms);
	lua_pushinteger(L, q.each_user);
	return 2;
}

/* --- the server --- */

static int push_answer(lua_State *L, void *data)
{
	const struct client_answer *a = data;
	if (a->outcome != CLIENT_OK)
		return arg_fail(L, a->error ? a->error : "no answer");
	lua_pushinteger(L, a->status);
	lua_pushlstring(L, a->body, a->len);
	return 2;
}

static void on_answer(void *data, const struct client_answer *a)
{
	struct later *later = data;
	later_call(&later, push_answer, (void *)a);
}

static int push_refusal(lua_State *L, void *data)
{
	return arg_fail(L, ((const struct err *)data)->text);
}

static int ask(lua_State *L)
{
	size_t len = 0;
	struct err err = { 0 };
	struct node_notebooks *t = notebooks_now(L);
	const char *method = arg_text(L, 1, NULL), *path = arg_text(L, 2, NULL),
		   *body = lua_isnil(L, 3) ? NULL : arg_text(L, 3, &len);
	luaL_argcheck(L, strncmp(path, "/api/", 5) == 0, 2, "no path below /api/");
	for (const char *p = path; *p; p++)
		luaL_argcheck(L, *p > 0x20 && *p < 0x7f && *p != '#', 2, "the path is not escaped");
	struct later *later = later_new(L, 4);
	const struct client_order o = {
		.method = method, .body = body, .body_len = len, .timeout_ms = ASK_MS, .answer_max = ANSWER_MAX
	};
	if (!node_notebooks_ask(t, &o, path, on_answer, later, &err))
		later_call(&later, push_refusal, &err);
	return 0;
}

static int has_server(lua_State *L)
{
	lua_pushboolean(L, node_notebooks_url(notebooks_now(L))[0] != '\0');
	return 1;
}

static int link_of(lua_State *L)
{
	char token[TOKEN_ROOM];
	struct err err = { 0 };
	const struct node_notebooks *t = notebooks_now(L);
	if (!node_notebooks_url(t)[0])
		return arg_fail(L, "there is no notebook server: config/dss.lua names none");
	if (node_notebooks_token(t, token, sizeof token, &err) < 0)
		return arg_fail(L, err.text);
	lua_pushstring(L, node_notebooks_url(t));
	lua_pushstring(L, token);
	explicit_bzero(token, sizeof token);
	return 2;
}

int bind_notebooks_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "list", list },     { "find", find },
					  { "unload", unload }, { "interrupt", interrupt },
					  { "keep", keep },     { "leases", leases },
					  { "quota", quota },   { "ask", ask },
					  { "link", link_of },  { "has_server", has_server },
					  { "ends", ends },     { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
