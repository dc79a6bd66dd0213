#ifndef DSS_SPEC_T_FLEET_GUEST_H
#define DSS_SPEC_T_FLEET_GUEST_H
/* t_fleet_guest: recipes and webapps of t_fleet's fleet. What is told of them stands in its log: "placed ID", "refused ID why". */
#include <jansson.h>

#include "fleet/guest.h"

#define GUESTS 256

struct bench_guest {
	char id[64];
	struct guest *g;
	struct bench *b;
};

static struct bench_guest *guest_slot(struct bench *b, const char *id)
{
	struct bench_guest *free_one = NULL;
	for (size_t i = 0; i < GUESTS; i++) {
		struct bench_guest *at = &b->guests[i];
		if (at->g && strcmp(at->id, id) == 0)
			return at;
		if (!at->g && !free_one)
			free_one = at;
	}
	if (free_one) {
		snprintf(free_one->id, sizeof(free_one->id), "%s", id);
		free_one->b = b;
	}
	return free_one;
}

static void on_guest(void *data, struct guest *g, const struct err *why)
{
	struct bench_guest *at = data;
	(void)g;
	if (why)
		note(at->b, "refused %s %s", at->id, why->text);
	else
		note(at->b, "placed %s", at->id);
	if (why)
		guest_leave(&at->g);
}

static json_t *read_texts(lua_State *L, int at, const char *name)
{
	json_t *list = NULL;
	lua_getfield(L, at, name);
	if (lua_istable(L, -1)) {
		list = json_array();
		for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TSTRING; i++) {
			json_array_append_new(list, json_string(lua_tostring(L, -1)));
			lua_pop(L, 1);
		}
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return list;
}

static int enter(lua_State *L, bool is_at_work)
{
	struct bench *b = check(L);
	luaL_checktype(L, 2, LUA_TTABLE);
	struct bench_guest *at = guest_slot(b, field_text(L, 2, "id"));
	luaL_argcheck(L, at && !at->g, 2, "one of that id is there");
	json_t *tags = read_texts(L, 2, "tags"), *holds = read_texts(L, 2, "holds");
	const char *kind = field_text(L, 2, "kind");
	struct guest_facts facts = {
		.kind = kind ? kind : "recipe",
		.id = at->id,
		.user = field_text(L, 2, "user"),
		.project = field_text(L, 2, "project"),
		.job = field_text(L, 2, "job"),
		.activity = field_text(L, 2, "activity"),
		.recipe = field_text(L, 2, "recipe"),
		.tags = tags,
		.memory_bytes = field_int(L, 2, "memory", -1),
		.priority = (int)field_int(L, 2, "priority", 0),
	};
	b->L = L;
	at->g = is_at_work ? guest_adopt(fleet_guests(b->fleet), &facts, holds)
			   : guest_ask(fleet_guests(b->fleet), &facts, holds, on_guest, at);
	json_decref(tags);
	json_decref(holds);
	lua_pushboolean(L, at->g != NULL);
	return 1;
}

/* ask{id, kind, user, project, job, activity, recipe, memory (-1: none of its own), priority, tags, holds} */
static int guest_asks(lua_State *L)
{
	return enter(L, false);
}

static int guest_adopts(lua_State *L)
{
	return enter(L, true);
}

static int guest_leaves(lua_State *L)
{
	struct bench_guest *at = guest_slot(check(L), luaL_checkstring(L, 2));
	if (at)
		guest_leave(&at->g);
	return 0;
}

/* why(id) -> reason, position; nil: it does not wait */
static int guest_waits(lua_State *L)
{
	struct bench_guest *at = guest_slot(check(L), luaL_checkstring(L, 2));
	char why[800];
	int position = 0;
	if (!at || !at->g || !guest_why(at->g, why, sizeof(why), &position))
		return 0;
	lua_pushstring(L, why);
	lua_pushinteger(L, position);
	return 2;
}

static int guests_told(lua_State *L)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	guests_json(fleet_guests(check(L)->fleet), &out);
	lua_pushlstring(L, out.data, out.len);
	buf_fini(&out);
	return 1;
}

#endif
