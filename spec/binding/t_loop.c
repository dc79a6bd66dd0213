/* t_loop: the event loop and the directory watch, with Lua functions as callbacks, for spec/core/loop_spec.lua. */
#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include "sys/loop.h"
#include "sys/watch.h"

enum kind { IO, TIMER, SIGNAL, WAKE, PREPARE, WATCH };

struct watcher {
	enum kind kind;
	union {
		struct loop_io *io;
		struct loop_timer *timer;
		struct loop_signal *signal;
		struct loop_wake *wake;
		struct loop_prepare *prepare;
		struct watch *watch;
	} is;
	int fn_ref;
};

/* One state for all specs: the loop's callbacks need somewhere to run, and an error somewhere to wait. */
static lua_State *lua;
static struct loop *loop;
static int error_ref = LUA_NOREF;

static void call(struct watcher *w, int value)
{
	lua_rawgeti(lua, LUA_REGISTRYINDEX, w->fn_ref);
	lua_pushinteger(lua, value);
	if (lua_pcall(lua, 1, 0, 0) == LUA_OK)
		return;
	if (error_ref == LUA_NOREF)
		error_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
	else
		lua_pop(lua, 1);
	loop_stop(loop);
}

static void on_io(void *data, int fd, int events)
{
	(void)fd;
	call(data, events);
}

static void on_plain(void *data)
{
	call(data, 0);
}

static void on_signal(void *data, int signo)
{
	call(data, signo);
}

/* --- the loop: one at a time --- */

static int l_open(lua_State *L)
{
	struct err err = { 0 };
	lua = lua_newthread(L); /* a stack of its own, so that calls never meet the caller's */
	lua_setfield(L, LUA_REGISTRYINDEX, "t_loop.thread");
	loop = loop_new(&err);
	lua_pushboolean(L, loop != NULL);
	return 1;
}

static int l_close(lua_State *L)
{
	(void)L;
	loop_free(&loop);
	return 0;
}

static int after_run(lua_State *L)
{
	if (error_ref == LUA_NOREF)
		return 0;
	lua_rawgeti(L, LUA_REGISTRYINDEX, error_ref);
	luaL_unref(L, LUA_REGISTRYINDEX, error_ref);
	error_ref = LUA_NOREF;
	return lua_error(L);
}

static int l_run(lua_State *L)
{
	loop_run(loop);
	return after_run(L);
}

static int l_run_once(lua_State *L)
{
	loop_run_once(loop, lua_toboolean(L, 1));
	return after_run(L);
}

static int l_stop(lua_State *L)
{
	(void)L;
	loop_stop(loop);
	return 0;
}

/* --- watchers --- */

static struct watcher *new_watcher(lua_State *L, enum kind kind, int fn)
{
	luaL_checktype(L, fn, LUA_TFUNCTION);
	struct watcher *w = lua_newuserdatauv(L, sizeof(*w), 0);
	w->kind = kind;
	lua_pushvalue(L, fn);
	w->fn_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	luaL_setmetatable(L, "t_loop.watcher");
	lua_pushvalue(L, -1);
	luaL_ref(L, LUA_REGISTRYINDEX); /* for ever: the loop holds its address */
	return w;
}

static int l_io(lua_State *L)
{
	struct watcher *w = new_watcher(L, IO, 3);
	w->is.io = loop_io_new(loop, (int)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2), on_io, w);
	return 1;
}

static int l_timer(lua_State *L)
{
	struct watcher *w = new_watcher(L, TIMER, 1);
	w->is.timer = loop_timer_new(loop, on_plain, w);
	return 1;
}

static int l_signal(lua_State *L)
{
	struct watcher *w = new_watcher(L, SIGNAL, 2);
	w->is.signal = loop_signal_new(loop, (int)luaL_checkinteger(L, 1), on_signal, w);
	return 1;
}

static int l_wake(lua_State *L)
{
	struct watcher *w = new_watcher(L, WAKE, 1);
	w->is.wake = loop_wake_new(loop, on_plain, w);
	return 1;
}

static int l_prepare(lua_State *L)
{
	struct watcher *w = new_watcher(L, PREPARE, 1);
	w->is.prepare = loop_prepare_new(loop, on_plain, w);
	return 1;
}

/* watch(dir, settle_ms, fn) -> watcher, or nil, text */
static int l_watch(lua_State *L)
{
	struct err err = { 0 };
	struct watcher *w = new_watcher(L, WATCH, 3);
	w->is.watch = watch_new(loop, luaL_checkstring(L, 1), (int)luaL_checkinteger(L, 2), on_plain, w, &err);
	if (w->is.watch != NULL)
		return 1;
	lua_pushnil(L);
	lua_pushstring(L, err.text);
	return 2;
}

static struct watcher *to_watcher(lua_State *L)
{
	return luaL_checkudata(L, 1, "t_loop.watcher");
}

static int w_free(lua_State *L)
{
	struct watcher *w = to_watcher(L);
	switch (w->kind) {
	case IO:
		loop_io_free(&w->is.io);
		break;
	case TIMER:
		loop_timer_free(&w->is.timer);
		break;
	case SIGNAL:
		loop_signal_free(&w->is.signal);
		break;
	case WAKE:
		loop_wake_free(&w->is.wake);
		break;
	case PREPARE:
		loop_prepare_free(&w->is.prepare);
		break;
	case WATCH:
		watch_free(&w->is.watch);
		break;
	}
	return 0;
}

static int w_start(lua_State *L)
{
	loop_timer_start(to_watcher(L)->is.timer, luaL_checkinteger(L, 2));
	return 0;
}

static int w_stop(lua_State *L)
{
	loop_timer_stop(to_watcher(L)->is.timer);
	return 0;
}

static int w_is_running(lua_State *L)
{
	lua_pushboolean(L, loop_timer_is_running(to_watcher(L)->is.timer));
	return 1;
}

static int w_set(lua_State *L)
{
	loop_io_set(to_watcher(L)->is.io, (int)luaL_checkinteger(L, 2));
	return 0;
}

static void *send_wake(void *data)
{
	for (int i = 0; i < 100; i++)
		loop_wake_send(data);
	return NULL;
}

/* send(): a hundred times from another thread, which has ended on return */
static int w_send(lua_State *L)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, send_wake, to_watcher(L)->is.wake) != 0)
		return luaL_error(L, "no thread");
	pthread_join(thread, NULL);
	return 0;
}

int luaopen_t_loop(lua_State *L);
int luaopen_t_loop(lua_State *L)
{
	static const luaL_Reg methods[] = { { "free", w_free }, { "start", w_start },
					    { "stop", w_stop }, { "is_running", w_is_running },
					    { "set", w_set },   { "send", w_send },
					    { NULL, NULL } };
	static const luaL_Reg words[] = { { "open", l_open },         { "close", l_close },   { "run", l_run },
					  { "run_once", l_run_once }, { "stop", l_stop },     { "io", l_io },
					  { "timer", l_timer },       { "signal", l_signal }, { "wake", l_wake },
					  { "prepare", l_prepare },   { "watch", l_watch },   { NULL, NULL } };
	luaL_newmetatable(L, "t_loop.watcher");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	luaL_newlib(L, words);
	return 1;
}
