/*
 * bind.settings: what was set of projects over the API (fleet/setting.h). JSON is text. The project "" is the instance.
 *   get(project, key) → json | nil, by, at_ms
 *   put(project, key, json | nil, by, fn(true | nil, why))       nil: as if it had never been set
 *   list(project) → { { key, by, at_ms }, … }                    newest first
 *   drop(project, fn(true | nil, why))
 *   variables(project, typed) → json                             resolved, flat; the project's file was read before
 */
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "base/text.h"
#include "bind/arg.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/toc.h"
#include "fleet/setting.h"

#define LIST_MOST 100

static struct settings *settings_now(lua_State *L)
{
	return node_settings(json_out_app(L)->node);
}

static const char *project_at(lua_State *L, int i)
{
	const char *key = arg_text(L, i, NULL);
	luaL_argcheck(L, *key == '\0' || text_is_id(key, strlen(key)), i, "no project's key");
	return key;
}

static int get(lua_State *L)
{
	const struct settings *t = settings_now(L);
	const struct setting *s = settings_get(t, project_at(L, 1), arg_text(L, 2, NULL));
	if (!s)
		return 0;
	lua_pushstring(L, s->json);
	lua_pushstring(L, s->by);
	lua_pushinteger(L, (lua_Integer)s->at_ms);
	return 3;
}

/* --- writing --- */

static int push_outcome(lua_State *L, void *data)
{
	const struct store_answer *a = data;
	if (a->outcome != STORE_OK)
		return arg_fail(L, a->err.text[0] ? a->err.text : "the store takes nothing now");
	lua_pushboolean(L, 1);
	return 1;
}

static void on_saved(void *data, const struct store_answer *answer)
{
	struct later *later = data;
	later_call(&later, push_outcome, (void *)answer);
}

static void refuse(struct later *later, const struct err *why)
{
	struct store_answer a = { .outcome = STORE_FAILED, .err = *why };
	on_saved(later, &a);
}

static int put(lua_State *L)
{
	struct err err = { 0 };
	struct settings *t = settings_now(L);
	struct setting s = { .project = project_at(L, 1),
			     .key = arg_text(L, 2, NULL),
			     .json = lua_isnil(L, 3) ? NULL : arg_text(L, 3, NULL),
			     .by = arg_text(L, 4, NULL) };
	struct later *later = later_new(L, 5);
	if (settings_put(t, &s, on_saved, later, &err) < 0)
		refuse(later, &err);
	return 0;
}

static int drop(lua_State *L)
{
	struct err err = { 0 };
	struct settings *t = settings_now(L);
	const char *project = project_at(L, 1);
	luaL_argcheck(L, *project, 1, "no project's key");
	struct later *later = later_new(L, 2);
	if (settings_drop(t, project, on_saved, later, &err) < 0)
		refuse(later, &err);
	return 0;
}

/* --- reading --- */

struct all {
	const struct setting *rows[LIST_MOST];
	size_t n;
};

static void add(void *data, const struct setting *s)
{
	struct all *all = data;
	if (all->n < LIST_MOST)
		all->rows[all->n++] = s;
}

static int by_age(const void *a, const void *b)
{
	const struct setting *x = *(const struct setting *const *)a, *y = *(const struct setting *const *)b;
	return x->at_ms < y->at_ms ? 1 : x->at_ms > y->at_ms ? -1 : strcmp(x->key, y->key);
}

static int list(lua_State *L)
{
	struct all all = { .n = 0 };
	const struct settings *t = settings_now(L);
	settings_each(t, project_at(L, 1), add, &all);
	qsort(all.rows, all.n, sizeof all.rows[0], by_age);
	lua_createtable(L, (int)all.n, 0);
	for (size_t i = 0; i < all.n; i++) {
		lua_createtable(L, 0, 3);
		lua_pushstring(L, all.rows[i]->key);
		lua_setfield(L, -2, "key");
		lua_pushstring(L, all.rows[i]->by);
		lua_setfield(L, -2, "by");
		lua_pushinteger(L, (lua_Integer)all.rows[i]->at_ms);
		lua_setfield(L, -2, "at_ms");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int variables(lua_State *L)
{
	const struct settings *t = settings_now(L);
	const char *project = project_at(L, 1);
	bool is_typed = arg_bool(L, 2, true);
	struct buf *b = json_out_new(L);
	settings_variables(t, project, is_typed, b);
	json_out_push(L, b);
	return 1;
}

int bind_settings_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "get", get }, { "put", put }, { "list", list }, { "drop", drop }, { "variables", variables }, { NULL, NULL }
	};
	luaL_newlib(L, words);
	return 1;
}
