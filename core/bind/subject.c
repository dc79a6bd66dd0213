#include "bind/subject.h"
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/subject_inner.h"
#include "sys/clock.h"

#define FACTS 28 /* of a kind, about */

static const struct subject_row *const rows[SUBJECT_KINDS] = {
	[SUBJECT_KERNEL] = &subject_kernel, [SUBJECT_TASK] = &subject_task,         [SUBJECT_POOL] = &subject_pool,
	[SUBJECT_USER] = &subject_user,     [SUBJECT_NODE] = &subject_node,         [SUBJECT_RECIPE] = &subject_recipe,
	[SUBJECT_WEBAPP] = &subject_webapp, [SUBJECT_NOTEBOOK] = &subject_notebook,
};

const char *subject_kind_name(enum subject_kind kind)
{
	return rows[kind]->name;
}

int subject_kind_named(const char *name)
{
	for (int i = 0; name && i < SUBJECT_KINDS; i++)
		if (strcmp(rows[i]->name, name) == 0)
			return i;
	return -1;
}

/* --- lists --- */

int subjects_add(struct subjects *s, const char *id)
{
	if (s->n == s->room) {
		size_t room = s->room ? s->room * 2 : 256;
		void *ids = realloc(s->ids, room * sizeof *s->ids);
		if (!ids)
			return -1;
		s->ids = ids;
		s->room = room;
	}
	size_t len = strnlen(id, SUBJECT_ID_MAX - 1);
	memcpy(s->ids[s->n], id, len);
	s->ids[s->n++][len] = '\0';
	return 0;
}

int subjects_list(const struct subject_world *world, enum subject_kind kind, struct subjects *out)
{
	out->kind = kind;
	out->world = *world;
	out->n = 0;
	free(out->users); /* it goes with the room that ids had then */
	out->users = NULL;
	return rows[kind]->list(out);
}

void subjects_fini(struct subjects *s)
{
	free(s->ids);
	free(s->users);
	*s = (struct subjects){ .n = 0 };
}

/* --- one of them --- */

bool subject_is_there(const struct subjects *s, size_t i, const char **owner)
{
	*owner = NULL;
	return rows[s->kind]->is_there(s, i, owner);
}

void subject_push(lua_State *L, const struct subjects *s, size_t i)
{
	int64_t now_ms = clock_wall_ms();
	lua_createtable(L, 0, FACTS);
	rows[s->kind]->push(L, s, i, now_ms);
	subject_integer(L, "unix_s", now_ms / 1000);
}

int subject_order(const struct subject_world *world, enum subject_kind kind, const char *verb, const char *id, const char *why,
		  struct err *err)
{
	for (const struct subject_verb *v = rows[kind]->verbs; v->name; v++)
		if (strcmp(v->name, verb) == 0)
			return v->order(world, id, why, err);
	return err_set(err, "there is no verb %s of a %s", verb, rows[kind]->name);
}

/* --- facts --- */

void subject_text(lua_State *L, const char *name, const char *value)
{
	lua_pushstring(L, value ? value : "");
	lua_setfield(L, -2, name);
}

void subject_some_text(lua_State *L, const char *name, const char *value)
{
	if (value)
		subject_text(L, name, value);
}

void subject_integer(lua_State *L, const char *name, int64_t value)
{
	lua_pushinteger(L, value);
	lua_setfield(L, -2, name);
}

void subject_some_integer(lua_State *L, const char *name, int64_t value, bool is_known)
{
	if (is_known)
		subject_integer(L, name, value);
}

void subject_number(lua_State *L, const char *name, double value)
{
	lua_pushnumber(L, value);
	lua_setfield(L, -2, name);
}

void subject_flag(lua_State *L, const char *name, bool value)
{
	lua_pushboolean(L, value);
	lua_setfield(L, -2, name);
}

void subject_span(lua_State *L, const char *name, int64_t from_ms, int64_t till_ms)
{
	subject_number(L, name, till_ms > from_ms ? (double)(till_ms - from_ms) / 1000 : 0);
}

void subject_texts(lua_State *L, const char *name, const json_t *list)
{
	size_t n = json_array_size(list);
	luaL_checkstack(L, 4, NULL);
	lua_createtable(L, (int)n, 0);
	for (size_t i = 0; i < n; i++) {
		lua_pushstring(L, json_string_value(json_array_get(list, i)));
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, name);
}
