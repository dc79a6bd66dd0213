/* t_wait: a monotonic clock and a pause, for spec/helper.lua. Loaded first: under a sanitizer its runtime was preloaded into this interpreter;
 * programs that the specs start do not get it unless a spec hands DSS_SAN_PRELOAD on (curl, pgrep and others hang in it). */
#include <lua.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <time.h>

static int now(lua_State *L)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	lua_pushnumber(L, (double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
	return 1;
}

static int pause_s(lua_State *L)
{
	double s = luaL_checknumber(L, 1);
	struct timespec ts = { (time_t)s, (long)((s - (double)(time_t)s) * 1e9) };
	nanosleep(&ts, NULL);
	return 0;
}

int luaopen_t_wait(lua_State *L)
{
	static const luaL_Reg words[] = { { "now", now }, { "pause", pause_s }, { NULL, NULL } };
	const char *preload = getenv("LD_PRELOAD");
	if (preload) {
		setenv("DSS_SAN_PRELOAD", preload, 0);
		unsetenv("LD_PRELOAD");
	}
	luaL_newlib(L, words);
	return 1;
}
