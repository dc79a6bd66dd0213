/*
 * bind.keys: the keys of the API (fleet/keys.h).
 *   fix(user, is_admin, secret)                      one that no store holds
 *   find(secret) → { id, user, is_admin } | nil
 *   make(user, label | nil, is_admin, fn(row | nil, why)) → secret | nil, why     the secret works once fn was called with a row
 *   revoke(id, fn(row | nil, why)) → true | nil, why                              revoked before: fn is called at once
 *   get(id) → row | nil         list(user | nil) → rows, oldest first
 * A row: id user label is_admin created_ms revoked_ms last_used_ms; what is not is nil.
 */
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/bind_events.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "fleet/keys.h"

static struct keys *keys_of(lua_State *L)
{
	struct app *app = vm_app(vm_of(L));
	if (!app || !app->keys) {
		luaL_error(L, "the keys are gone");
		return NULL; /* never comes here */
	}
	return app->keys;
}

static void set_ms(lua_State *L, const char *name, int64_t ms)
{
	if (!ms)
		return;
	lua_pushinteger(L, (lua_Integer)ms);
	lua_setfield(L, -2, name);
}

static void push_row(lua_State *L, const struct key *k)
{
	lua_createtable(L, 0, 7);
	lua_pushstring(L, k->id);
	lua_setfield(L, -2, "id");
	lua_pushstring(L, k->user);
	lua_setfield(L, -2, "user");
	lua_pushstring(L, k->label);
	lua_setfield(L, -2, "label");
	lua_pushboolean(L, k->is_admin);
	lua_setfield(L, -2, "is_admin");
	set_ms(L, "created_ms", k->created_ms);
	set_ms(L, "revoked_ms", k->revoked_ms);
	set_ms(L, "last_used_ms", k->last_used_ms);
}

static int fix(lua_State *L)
{
	struct err err = { 0 };
	size_t len;
	const char *user = arg_text(L, 1, NULL), *secret = arg_text(L, 3, &len);
	if (keys_add_fixed(keys_of(L), user, arg_bool(L, 2, false), secret, len, &err) < 0)
		return arg_fail(L, err.text);
	lua_pushboolean(L, 1);
	return 1;
}

static int find(lua_State *L)
{
	size_t len;
	const char *secret = arg_text(L, 1, &len);
	const struct key *k = keys_find(keys_of(L), secret, len);
	if (!k)
		return 0;
	push_row(L, k);
	return 1;
}

/* --- make and revoke --- */

struct outcome {
	const struct key *key;
	const char *why;
};

static int push_outcome(lua_State *L, void *data)
{
	const struct outcome *o = data;
	if (o->why)
		return arg_fail(L, o->why);
	push_row(L, o->key);
	return 1;
}

static void on_saved(void *data, const struct key *k, const struct err *why)
{
	struct later *later = data;
	struct outcome o = { k, why ? why->text : NULL };
	later_call(&later, push_outcome, &o);
}

static int make(lua_State *L)
{
	struct err err = { 0 };
	char secret[KEY_SECRET_MAX];
	struct keys *keys = keys_of(L);
	const char *user = arg_text(L, 1, NULL), *label = lua_isnil(L, 2) ? NULL : arg_text(L, 2, NULL);
	bool is_admin = arg_bool(L, 3, false);
	struct later *later = later_new(L, 4);
	if (keys_make(keys, user, label, is_admin, secret, on_saved, later, &err) < 0) {
		later_free(&later);
		return arg_fail(L, err.text);
	}
	lua_pushstring(L, secret);
	explicit_bzero(secret, sizeof secret);
	return 1;
}

struct revoking {
	struct app *app;
	struct later *later;
};

/* A stream was asked for with a key once, and is not asked again: it ends with it. */
static void on_revoked(void *data, const struct key *k, const struct err *why)
{
	struct revoking *r = data;
	if (!why && k && r->app->events)
		events_let_go(r->app->events, k->user);
	on_saved(r->later, k, why);
	free(r);
}

static int revoke(lua_State *L)
{
	struct err err = { 0 };
	struct keys *keys = keys_of(L);
	const char *id = arg_text(L, 1, NULL);
	struct later *later = later_new(L, 2);
	struct revoking *r = malloc(sizeof *r);
	if (r)
		*r = (struct revoking){ vm_app(vm_of(L)), later };
	int rc = r ? keys_revoke(keys, id, on_revoked, r, &err) : err_set(&err, "no memory");
	if (rc < 0) {
		free(r);
		later_free(&later);
		return arg_fail(L, err.text);
	}
	if (rc > 0)
		on_revoked(r, keys_get(keys, id), NULL);
	lua_pushboolean(L, 1);
	return 1;
}

/* --- reads --- */

static int get(lua_State *L)
{
	const struct key *k = keys_get(keys_of(L), arg_text(L, 1, NULL));
	if (!k)
		return 0;
	push_row(L, k);
	return 1;
}

static int list(lua_State *L)
{
	const char *user = lua_isnoneornil(L, 1) ? NULL : arg_text(L, 1, NULL);
	const struct list *all = keys_list(keys_of(L));
	lua_Integer n = 0;
	lua_newtable(L);
	list_each (all, l) {
		const struct key *k = list_of(l, struct key, link);
		if (!k->id[0] || (user && strcmp(user, k->user) != 0))
			continue;
		push_row(L, k);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

int bind_keys_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "fix", fix }, { "find", find }, { "make", make }, { "revoke", revoke },
					  { "get", get }, { "list", list }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
