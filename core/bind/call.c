#include "bind/call.h"
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <lauxlib.h>
#include "bind/crumb.h"
#include "bind/vm_impl.h"
#include "sys/clock.h"

#define LEVELS_MAX 200

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* One timer a thread, made at its first call. The signal comes to that very thread, so that the handler touches a state
 * that nobody else runs. */
static __thread timer_t timer;
static __thread bool has_timer;
static __thread struct vm *volatile running;
static __thread volatile int64_t armed_us; /* when it rings; 0: not at all */

/* The user's line, where there is one: files of ours are named by a path, a user's is "policies/10-pools.lua". */
static void find_line(lua_State *L, lua_Debug *ar)
{
	lua_Debug at;
	for (int level = 0; level < LEVELS_MAX && lua_getstack(L, level, &at); level++) {
		lua_getinfo(L, "Sl", &at);
		bool is_users = at.source[0] == '@' && at.source[1] != '/' && at.source[1] != '.' && at.currentline > 0;
		if (level == 0 || is_users || ar->currentline < 0)
			*ar = at;
		if (is_users)
			return;
	}
}

static void raise_over(lua_State *L, const char *file, int line)
{
	struct vm *vm = vm_of(L);
	if (!vm->is_over) {
		vm->is_over = true;
		snprintf(vm->overtime, sizeof vm->overtime, "%s:%d: used up its time budget of %d ms", file, line, vm->budget_ms);
	}
	lua_pushstring(L, vm->overtime);
	lua_error(L);
}

static bool is_late(const struct vm *vm)
{
	return vm->is_over || (vm->deadline_us && clock_mono_us() >= vm->deadline_us);
}

static void on_time_over(lua_State *L, lua_Debug *ar)
{
	if (!is_late(vm_of(L))) {
		lua_sethook(L, NULL, 0, 0); /* a late signal of a call that is over */
		return;
	}
	find_line(L, ar);
	raise_over(L, ar->short_src, ar->currentline);
}

void call_check_at(lua_State *L, const char *file, int line)
{
	const struct vm *vm = running; /* NULL: a state that is not ours, in specs */
	if (!vm || vm_of(L) != vm || !is_late(vm))
		return;
	lua_sethook(L, on_time_over, LUA_MASKCOUNT, 1); /* the signal may be still on its way */
	lua_Debug ar = { .short_src = "?", .currentline = -1 };
	if (!file)
		on_time_over(L, &ar);
	raise_over(L, file, line);
}

void call_check(lua_State *L)
{
	call_check_at(L, NULL, 0);
}

void call_note_place(struct vm *vm)
{
	lua_Debug ar = { .short_src = "?", .currentline = -1 };
	if (!vm->L || vm->depth == 0)
		return;
	find_line(vm->thread ? vm->thread : vm->L, &ar);
	if (ar.currentline > 0)
		snprintf(vm->short_of_memory, sizeof vm->short_of_memory, "%s:%d", ar.short_src, ar.currentline);
}

const char *call_short_of_memory(lua_State *L)
{
	const struct vm *vm = running;
	return vm && vm_of(L) == vm && vm->short_of_memory[0] ? vm->short_of_memory : NULL;
}

static void set_timer(int64_t at_us)
{
	struct itimerspec at = { .it_value = { at_us / 1000000, (at_us % 1000000) * 1000 } };
	armed_us = at_us;
	timer_settime(timer, TIMER_ABSTIME, &at, NULL);
}

/* lua_sethook is the one function of Lua that a signal handler may call. */
static void on_signal(int signo)
{
	(void)signo;
	struct vm *vm = running;
	int64_t deadline_us = vm ? vm->deadline_us : 0;
	armed_us = 0;
	if (deadline_us && clock_mono_us() >= deadline_us) {
		lua_State *co = vm->thread;
		lua_sethook(vm->L, on_time_over, LUA_MASKCOUNT, 1);
		if (co) /* hooks are each thread's own */
			lua_sethook(co, on_time_over, LUA_MASKCOUNT, 1);
	} else if (deadline_us)
		set_timer(deadline_us); /* it was set for a call that is over */
}

static int make_timer(struct err *err)
{
	if (has_timer)
		return 0;
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGRTMIN + 3, &sa, NULL) < 0)
		return err_sys(err, errno, "unable to watch the time of Lua calls");
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 3 };
	ev.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &ev, &timer) < 0)
		return err_sys(err, errno, "unable to watch the time of Lua calls");
	has_timer = true;
	return 0;
}

void call_thread_end(void)
{
	if (has_timer)
		timer_delete(timer);
	has_timer = false;
}

/* Most calls are over in microseconds: the timer of an earlier one is left running and serves the next, two system calls less each. */
static void arm(int64_t deadline_us)
{
	int64_t at_us = armed_us;
	if (!at_us || at_us > deadline_us)
		set_timer(deadline_us);
}

static int add_trace(lua_State *L)
{
	struct vm *vm = vm_of(L);
	const char *text = lua_tostring(L, 1);
	if (!text) {
		if (luaL_callmeta(L, 1, "__tostring"))
			text = lua_tostring(L, -1);
		else
			text = lua_pushfstring(L, "(an error of type %s)", luaL_typename(L, 1));
	}
	luaL_traceback(L, L, NULL, 1);
	snprintf(vm->trace, sizeof vm->trace, "%s", lua_tostring(L, -1));
	lua_pushstring(L, text ? text : "(no text)");
	return 1;
}

static void tell(struct vm *vm, int status, struct err *err)
{
	vm->why = vm->is_over ? CALL_TIME : status == LUA_ERRMEM ? CALL_MEMORY : CALL_RAISED;
	if (vm->why == CALL_TIME)
		err_set(err, "%s", vm->overtime);
	else if (vm->why == CALL_MEMORY)
		err_set(err, "%s%sused up its memory of %zu MB", vm->short_of_memory, vm->short_of_memory[0] ? ": " : "",
			vm->memory_max_bytes >> 20);
	else
		err_set(err, "%s", lua_type(vm->L, -1) == LUA_TSTRING ? lua_tostring(vm->L, -1) : "(no text)");
}

int call_run(struct vm *vm, int nargs, int nresults, const struct call_budget *budget, struct err *err)
{
	lua_State *L = vm->L;
	int base = lua_gettop(L) - nargs; /* the function's place */
	struct vm *outer_vm = running;
	int64_t outer_us = vm->deadline_us;
	int outer_ms = vm->budget_ms, ms = budget && budget->time_ms ? budget->time_ms : CALL_BUDGET_MS;

	int crumbs = crumb_depth();

	assert(base >= 1 && nresults >= 0);
	if (!lua_checkstack(L, nresults + 4) || make_timer(err) < 0) {
		lua_settop(L, base - 1);
		vm->why = CALL_MEMORY;
		return err_set(err, "unable to call Lua: not enough memory or timers");
	}
	int64_t deadline_us = ms < 0 ? 0 : clock_mono_us() + (int64_t)ms * 1000;
	bool is_own = deadline_us && (!outer_us || deadline_us < outer_us);
	if (vm->depth++ == 0) {
		vm->is_over = false;
		vm->why = CALL_OK;
		vm->trace[0] = '\0';
		vm->short_of_memory[0] = '\0';
	}
	if (is_own)
		vm->deadline_us = deadline_us, vm->budget_ms = ms;
	running = vm;
	if (vm->deadline_us)
		arm(vm->deadline_us);

	lua_pushcfunction(L, add_trace);
	lua_insert(L, base);
	int status = lua_pcall(L, nargs, nresults, base);

	running = NULL;
	lua_sethook(L, NULL, 0, 0);
	crumb_back_to(crumbs);
	bool is_over_of_own = vm->is_over && is_own;
	if (status != LUA_OK)
		tell(vm, status, err);
	if (is_over_of_own && outer_us)
		vm->is_over = false; /* the outer call has time left */
	vm->deadline_us = outer_us;
	vm->budget_ms = outer_ms;
	vm->depth--;
	running = outer_vm;
	if (outer_vm && outer_vm->deadline_us)
		arm(outer_vm->deadline_us);
	if (status != LUA_OK) {
		lua_settop(L, base - 1);
		return -1;
	}
	lua_remove(L, base);
	assert(lua_gettop(L) == base - 1 + nresults);
	return 0;
}

int call_resume(lua_State *L, lua_State *co, int nargs, int *nresults)
{
	struct vm *vm = vm_of(L);
	lua_State *outer = vm->thread;
	vm->thread = co;
	if (is_late(vm)) /* the signal came before co was known */
		lua_sethook(co, on_time_over, LUA_MASKCOUNT, 1);
	int status = lua_resume(co, L, nargs, nresults);
	vm->thread = outer;
	lua_sethook(co, NULL, 0, 0);
	if (status == LUA_OK || status == LUA_YIELD)
		return status;
	call_check(L); /* a handler may have swallowed why it ended */
	lua_xmove(co, L, 1);
	return lua_error(L);
}

enum call_fault call_why(const struct vm *vm)
{
	return vm->why;
}
const char *call_trace(const struct vm *vm)
{
	return vm->trace;
}
