/*
 * bind.board: what runs and waits now, as rows (node/node_board.h). login nil = an admin.
 *   rows(login | nil) → json                  an array
 *   macro(run, row | nil)                     a run of a macro: { what, user, project?, state, reason?, started_ms }; nil: it is over
 *   curves(login | nil, ids, points) → json   ids: separated by commas
 *   curve(login | nil, process) → json | nil
 */
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/json_out.h"
#include "bind/toc.h"
#include "node/node_board.h"

static struct node_board *board_of(lua_State *L)
{
	return node_board(json_out_app(L)->node);
}

static const char *login_at(lua_State *L, int i)
{
	return lua_isnoneornil(L, i) ? NULL : arg_text(L, i, NULL);
}

static int rows(lua_State *L)
{
	struct node_board *board = board_of(L);
	const char *login = login_at(L, 1);
	struct buf *b = json_out_new(L);
	node_board_refresh(board);
	node_board_json(board, login, b);
	json_out_push(L, b);
	return 1;
}

static int macro(lua_State *L)
{
	struct node_board *board = board_of(L);
	const char *id = arg_text(L, 1, NULL);
	if (lua_isnoneornil(L, 2)) {
		node_board_drop_macro(board, id);
		return 0;
	}
	arg_table(L, 2);
	struct board_macro m = {
		.id = id,
		.what = arg_field_text(L, 2, "what"),
		.user = arg_field_text(L, 2, "user"),
		.project = arg_field_text(L, 2, "project"),
		.state = arg_field_text(L, 2, "state"),
		.reason = arg_field_text(L, 2, "reason"),
		.started_ms = arg_field_int(L, 2, "started_ms", 0),
	};
	luaL_argcheck(L, m.what && m.user && m.state, 2, "what, user and state are needed");
	node_board_set_macro(board, &m); /* no memory: it is not shown */
	return 0;
}

static int curves(lua_State *L)
{
	struct node_board *board = board_of(L);
	const char *login = login_at(L, 1), *ids = arg_text(L, 2, NULL);
	int points = (int)arg_int(L, 3, 1, 10000);
	struct buf *b = json_out_new(L);
	node_board_curves_json(board, login, ids, points, b);
	json_out_push(L, b);
	return 1;
}

static int curve(lua_State *L)
{
	struct node_board *board = board_of(L);
	const char *login = login_at(L, 1), *process = arg_text(L, 2, NULL);
	struct buf *b = json_out_new(L);
	if (!node_board_curve_json(board, login, process, b))
		return 0;
	json_out_push(L, b);
	return 1;
}

int bind_board_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "rows", rows }, { "macro", macro }, { "curves", curves }, { "curve", curve }, { NULL, NULL }
	};
	luaL_newlib(L, words);
	return 1;
}
