/*
 * t_board: node/node_board.h for specs: the board of a node in which nothing is, and looks that see what they are told.
 *   new() → board
 *   board:look({ { id, what, memory_bytes, tags | nil }, … })   tasks of the user "bob", each in a process of its own; who was there and is not named is gone
 *   board:place() → place                                from the start
 *   board:put(place, most_bytes, login | nil) → text, is_more   as a follower gets it; nil: an admin
 *   board:ended(owner, project, job)                     told by where jobs end
 *   board:note(topic), board:topics(), board:topics_since(rev) → numbers
 *   board:find(rev) → place | nil                        of who comes back with it
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include "node/node_board_inner.h"

#define BOARD "t_board"
#define PLACE "t_board.place"

struct world {
	struct node *node;
	struct node_board *board;
	int64_t mono_ms;
};

static struct world *world_at(lua_State *L)
{
	return luaL_checkudata(L, 1, BOARD);
}

static int make(lua_State *L)
{
	struct world *w = lua_newuserdatauv(L, sizeof *w, 0);
	*w = (struct world){ .node = calloc(1, sizeof *w->node), .mono_ms = 1000 };
	luaL_setmetatable(L, BOARD);
	w->node->curves = curves_new();
	w->node->facts.epoch = 7;
	w->board = node_board_new(w->node);
	return 1;
}

static int collect(lua_State *L)
{
	struct world *w = world_at(L);
	node_board_free(&w->board);
	curves_free(&w->node->curves);
	free(w->node);
	return 0;
}

/* The row on top of the stack. */
static const char *member(lua_State *L, int i)
{
	lua_rawgeti(L, -1, i);
	const char *s = lua_tostring(L, -1);
	lua_pop(L, 1); /* its table holds it */
	return s;
}

static void see(lua_State *L, struct world *w)
{
	struct board_facts facts = BOARD_NO_FACTS;
	bool is_same;
	const char *id = member(L, 1), *what = member(L, 2);
	int64_t memory = strtoll(member(L, 3), NULL, 10);
	json_t *tags = member(L, 4) ? json_pack("[s]", member(L, 4)) : NULL;
	curves_add(w->node->curves, id, &(struct curve_reading){ memory, memory, -1, -1 }, w->mono_ms);
	struct board_row *row = board_see(w->board, BOARD_FUTURE, id, "bob", board_mix_text(1, what), &is_same);
	board_set_process(row, id);
	facts.what = what;
	facts.tags = tags;
	facts.ref = id;
	if (!is_same)
		board_write(w->board, row, &facts);
	json_decref(tags);
}

static int look(lua_State *L)
{
	struct world *w = world_at(L);
	w->mono_ms += 1000;
	board_begin(w->board, w->mono_ms);
	for (int i = 1; i <= (int)lua_rawlen(L, 2); i++) {
		lua_rawgeti(L, 2, i);
		see(L, w);
		lua_pop(L, 1);
	}
	board_end(w->board);
	return 0;
}

static int place(lua_State *L)
{
	struct board_place *p = lua_newuserdatauv(L, sizeof *p, 0);
	*p = BOARD_FROM_START;
	luaL_setmetatable(L, PLACE);
	return 1;
}

static int put(lua_State *L)
{
	struct world *w = world_at(L);
	struct board_place *p = luaL_checkudata(L, 2, PLACE);
	struct buf out;
	buf_init(&out, 64 << 20);
	bool is_more = node_board_put(w->board, luaL_optstring(L, 4, NULL), p, (size_t)luaL_checkinteger(L, 3), &out);
	lua_pushlstring(L, out.data ? out.data : "", out.len);
	lua_pushboolean(L, is_more);
	buf_fini(&out);
	return 2;
}

static int ended(lua_State *L)
{
	node_board_job_ended(world_at(L)->board, luaL_checkstring(L, 2), luaL_checkstring(L, 3), luaL_checkstring(L, 4));
	return 0;
}

static int note(lua_State *L)
{
	node_board_note(world_at(L)->board, (unsigned)luaL_checkinteger(L, 2));
	return 0;
}

static int topics(lua_State *L)
{
	lua_pushinteger(L, node_board_take_topics(world_at(L)->board));
	return 1;
}

static int topics_since(lua_State *L)
{
	lua_pushinteger(L, node_board_topics_since(world_at(L)->board, luaL_checkinteger(L, 2)));
	return 1;
}

static int find(lua_State *L)
{
	struct world *w = world_at(L);
	int64_t rev = luaL_checkinteger(L, 2);
	place(L);
	if (node_board_find(w->board, w->node->facts.epoch, rev, luaL_checkudata(L, -1, PLACE)))
		return 1;
	return 0;
}

int luaopen_t_board(lua_State *L);
int luaopen_t_board(lua_State *L)
{
	static const luaL_Reg words[] = { { "new", make }, { NULL, NULL } }, methods[] = { { "look", look },
											   { "place", place },
											   { "put", put },
											   { "ended", ended },
											   { "note", note },
											   { "topics", topics },
											   { "topics_since", topics_since },
											   { "find", find },
											   { "__gc", collect },
											   { NULL, NULL } };
	luaL_newmetatable(L, PLACE);
	luaL_newmetatable(L, BOARD);
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	luaL_newlib(L, words);
	return 1;
}
