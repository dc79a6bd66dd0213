/* bind.log: records on the program's log: debug(text), info(text), warn(text), error(text). */
#include <lauxlib.h>
#include "base/log.h"
#include "bind/arg.h"
#include "bind/toc.h"

static int at(lua_State *L, enum log_level level)
{
	log_at(level, "%s", arg_text(L, 1, NULL));
	return 0;
}

static int debug(lua_State *L)
{
	return at(L, LOG_DEBUG);
}
static int info(lua_State *L)
{
	return at(L, LOG_INFO);
}
static int warn(lua_State *L)
{
	return at(L, LOG_WARN);
}
static int error(lua_State *L)
{
	return at(L, LOG_ERROR);
}

int bind_log_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "debug", debug }, { "info", info }, { "warn", warn }, { "error", error }, { NULL, NULL }
	};
	luaL_newlib(L, words);
	return 1;
}
