/*
 * bind.policies: the set of policies in force, its versions, and a look at one that is not in force.
 *   current() → { version, is_last, is_observe, is_writable, text = JSON [{name, text}], errors = JSON [{file, line, text}] }
 *   versions(limit, fn(json | nil, why))               newest first
 *   version(n, fn(text | nil, why))                    as it was taken: JSON [{name, text}]; nil, nil: there is no such one
 *   check(text, fn(json)) → true | nil, why            a JSON list of {name, text}, evaluated as a set of its own and not taken
 *   put({ text = JSON [{name, text}], by, note?, overwrites? }, fn(status, { version, text, kept?, errors? })) → true | nil, why
 *       makes policies/ that set and waits until it is in force: "taken" "conflict" "differs" "not_allowed" "refused" "failed" (policy_put.h)
 *   reload()                                           looks at policies/ now
 */
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/policy_put.h"
#include "bind/policy_set.h"
#include "bind/toc.h"
#include "fleet/versions.h"

#define LIST_MAX 10000

static struct app *app_with_set(lua_State *L)
{
	struct app *app = json_out_app(L);
	if (!app->policy_set || !app->versions)
		luaL_error(L, "the policies are not there yet");
	return app;
}

static int current(lua_State *L)
{
	const struct app *app = app_with_set(L);
	const struct buf *text = policy_set_text(app->policy_set);
	lua_createtable(L, 0, 4);
	int t = lua_gettop(L);
	lua_pushinteger(L, versions_now(app->versions));
	lua_setfield(L, t, "version");
	lua_pushboolean(L, policy_set_is_last(app->policy_set));
	lua_setfield(L, t, "is_last");
	lua_pushboolean(L, app->is_observe);
	lua_setfield(L, t, "is_observe");
	lua_pushboolean(L, policy_set_is_writable(app->policy_set));
	lua_setfield(L, t, "is_writable");
	lua_pushlstring(L, text->len ? text->data : "[]", text->len ? text->len : 2);
	lua_setfield(L, t, "text");
	struct buf *b = json_out_new(L);
	policy_set_errors_json(app->policy_set, b);
	json_out_push(L, b);
	lua_setfield(L, t, "errors");
	lua_settop(L, t);
	return 1;
}

/* --- answers that come later --- */

struct answer {
	const struct buf *out;
	const char *why;
};

static int push_answer(lua_State *L, void *data)
{
	const struct answer *a = data;
	if (a->out)
		lua_pushlstring(L, a->out->data ? a->out->data : "", a->out->len);
	else
		lua_pushnil(L);
	lua_pushstring(L, a->why);
	return 2;
}

static void on_read(void *data, const struct buf *out, const struct err *why)
{
	struct later *later = data;
	later_call(&later, push_answer, &(struct answer){ out, why ? why->text : NULL });
}

static int refuse(lua_State *L, struct later *later, const char *why)
{
	later_free(&later);
	return arg_fail(L, why);
}

static int list(lua_State *L)
{
	struct versions *versions = app_with_set(L)->versions;
	int limit = (int)arg_int(L, 1, 1, LIST_MAX);
	struct later *later = later_new(L, 2);
	if (versions_list(versions, limit, on_read, later) < 0)
		return refuse(L, later, "the store takes nothing now");
	lua_pushboolean(L, 1);
	return 1;
}

static int one(lua_State *L)
{
	struct versions *versions = app_with_set(L)->versions;
	int64_t n = arg_int(L, 1, 1, INT64_MAX);
	struct later *later = later_new(L, 2);
	if (versions_get(versions, n, on_read, later) < 0)
		return refuse(L, later, "the store takes nothing now");
	lua_pushboolean(L, 1);
	return 1;
}

static void on_checked(void *data, const struct buf *json)
{
	on_read(data, json, NULL);
}

static int check(lua_State *L)
{
	struct err err = { 0 };
	size_t len;
	struct policy_set *set = app_with_set(L)->policy_set;
	const char *text = arg_text(L, 1, &len);
	struct later *later = later_new(L, 2);
	if (policy_set_check(set, text, len, on_checked, later, &err) < 0)
		return refuse(L, later, err.text);
	lua_pushboolean(L, 1);
	return 1;
}

/* --- another set --- */

static int push_put(lua_State *L, void *data)
{
	static const char *const statuses[] = { "taken", "conflict", "differs", "not_allowed", "refused", "failed" };
	const struct policy_put_answer *a = data;
	lua_pushstring(L, statuses[a->status]);
	lua_createtable(L, 0, 4);
	lua_pushinteger(L, a->version);
	lua_setfield(L, -2, "version");
	lua_pushstring(L, a->text);
	lua_setfield(L, -2, "text");
	if (a->kept[0]) {
		lua_pushstring(L, a->kept);
		lua_setfield(L, -2, "kept");
	}
	lua_pushstring(L, a->errors);
	lua_setfield(L, -2, "errors");
	return 2;
}

static void on_put(void *data, const struct policy_put_answer *a)
{
	struct later *later = data;
	struct policy_put_answer copy = *a;
	later_call(&later, push_put, &copy);
}

static int put(lua_State *L)
{
	struct err err = { 0 };
	struct policy_put *to = policy_set_put(app_with_set(L)->policy_set);
	luaL_checktype(L, 1, LUA_TTABLE);
	struct policy_put_ask ask = { .overwrites = arg_field_bool(L, 1, "overwrites", false) };
	ask.by = arg_field_text(L, 1, "by");
	ask.note = arg_field_text(L, 1, "note");
	ask.texts = arg_field_text(L, 1, "text");
	if (!ask.by || !ask.texts)
		return luaL_error(L, "text and by are wanted");
	ask.len = strlen(ask.texts); /* JSON: a NUL stands there escaped */
	struct later *later = later_new(L, 2);
	if (policy_put_start(to, &ask, on_put, later, &err) < 0)
		return refuse(L, later, err.text);
	lua_pushboolean(L, 1);
	return 1;
}

static int reload(lua_State *L)
{
	policy_set_reload(app_with_set(L)->policy_set);
	return 0;
}

int bind_policies_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "current", current }, { "versions", list }, { "version", one }, { "check", check },
					  { "put", put },         { "reload", reload }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
