/*
 * bind.console: prompts for admins (console.h). Who may ask is checked by dss.api.console.
 *   line({ session | nil, uid, who, line }, fn(t))  → "taken" | refusal, why     t: session | nil, output, prompt, is_error, is_incomplete
 *   complete({ session | nil, uid, who, line }, cursor) → from, words (one a line) | nil, refusal, why
 * refusal: "not_found" "conflict"
 */
#include <stdlib.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/console.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/toc.h"

static const char *const refusals[] = {
	[CONSOLE_TAKEN] = "taken",
	[CONSOLE_NOT_FOUND] = "not_found",
	[CONSOLE_BUSY] = "conflict",
	[CONSOLE_FULL] = "conflict", /* not 503: who asks should not try again for a minute */
};

static void release(void *p)
{
	struct console *console = p;
	console_free(&console);
}

/* upvalue 1: the guard of the console; it goes with this state. */
static struct console *console_of(lua_State *L)
{
	struct app *app = json_out_app(L);
	void **guard = lua_touserdata(L, lua_upvalueindex(1));
	if (!*guard)
		*guard = app->console = console_new(app);
	if (!*guard)
		luaL_error(L, "not enough memory");
	return *guard;
}

static struct console_ask read_ask(lua_State *L, int i)
{
	arg_table(L, i);
	struct console_ask ask = {
		.session = arg_field_text(L, i, "session"),
		.uid = (uid_t)arg_field_int(L, i, "uid", -1),
		.who = arg_field_text(L, i, "who"),
	};
	ask.line = arg_field_bytes(L, i, "line", &ask.len);
	luaL_argcheck(L, ask.who && ask.line, i, "who and line are needed");
	return ask;
}

static int push_answer(lua_State *L, void *data)
{
	const struct console_answer *a = data;
	lua_createtable(L, 0, 5);
	lua_pushstring(L, a->session);
	lua_setfield(L, -2, "session");
	lua_pushlstring(L, a->output, a->len);
	lua_setfield(L, -2, "output");
	lua_pushstring(L, a->prompt);
	lua_setfield(L, -2, "prompt");
	lua_pushboolean(L, a->is_error);
	lua_setfield(L, -2, "is_error");
	lua_pushboolean(L, a->is_incomplete);
	lua_setfield(L, -2, "is_incomplete");
	return 1;
}

static void on_line(void *data, const struct console_answer *a)
{
	struct later *later = data;
	if (a)
		later_call(&later, push_answer, (void *)a);
	else
		later_free(&later);
}

static int line(lua_State *L)
{
	struct err err = { 0 };
	struct console *console = console_of(L);
	const struct console_ask ask = read_ask(L, 1);
	struct later *later = later_new(L, 2);
	enum console_refusal refusal = console_line(console, &ask, on_line, later, &err);
	if (refusal != CONSOLE_TAKEN)
		later_free(&later);
	lua_pushstring(L, refusals[refusal]);
	lua_pushstring(L, err.text);
	return 2;
}

static int complete(lua_State *L)
{
	struct err err = { 0 };
	size_t from = 0;
	const char *words = "";
	struct console *console = console_of(L);
	const struct console_ask ask = read_ask(L, 1);
	size_t cursor = (size_t)arg_int(L, 2, 0, (int64_t)ask.len);
	enum console_refusal refusal = console_complete(console, &ask, cursor, &from, &words, &err);
	if (refusal != CONSOLE_TAKEN) {
		lua_pushnil(L);
		lua_pushstring(L, refusals[refusal]);
		lua_pushstring(L, err.text);
		return 3;
	}
	lua_pushinteger(L, (lua_Integer)from);
	lua_pushstring(L, words);
	return 2;
}

int bind_console_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "line", line }, { "complete", complete }, { NULL, NULL } };
	lua_createtable(L, 0, 2);
	ref_guard(L, release);
	luaL_setfuncs(L, words, 1);
	return 1;
}
