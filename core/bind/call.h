#ifndef DSS_BIND_CALL_H
#define DSS_BIND_CALL_H
#include <lua.h>
#include "base/err.h"
#include "bind/vm.h"
/*
 * call: the one protected call of the code base.
 *
 * A call has a time budget. A timer of the calling thread sets a hook when it is over; the hook then runs at every
 * instruction, so that no pcall in the called code can swallow it, and is removed before call_run returns. A call within a
 * call never has more time than the outer one has left. The hook cannot interrupt C: functions that may run long there are
 * bounded by themselves (bind_string.c, bind_table.c), and look at the clock with call_check.
 */
#define CALL_BUDGET_MS 1000
/* What one function of ours makes for a user at most: bytes of a text, elements of a list. */
#define CALL_TEXT_MAX     (1 << 20)
#define CALL_ELEMENTS_MAX 1000000

struct call_budget {
	int time_ms; /* 0 = CALL_BUDGET_MS, -1 = no limit (start-up of our own code) */
};

enum call_fault { CALL_OK, CALL_RAISED, CALL_TIME, CALL_MEMORY };

/* Calls the function below its nargs arguments on the stack. 0: they are replaced by exactly nresults values. -1: by nothing, and
 * err holds "file:line: message"; call_why and call_trace tell more until the next call. budget may be NULL. */
int call_run(struct vm *vm, int nargs, int nresults, const struct call_budget *budget, struct err *err);
/* Within a call: goes on with the coroutine co, nargs values on its stack; the call's time and memory are its own. LUA_OK or LUA_YIELD, with
 * *nresults values on co's stack; what it raised is raised here. */
int call_resume(lua_State *L, lua_State *co, int nargs, int *nresults);
enum call_fault call_why(const struct vm *vm);
const char *call_trace(const struct vm *vm);
/* For C functions that take long: raises what the hook would once the call's time is over. */
void call_check(lua_State *L);
/* The same where no function of the user's runs yet: the place is told. */
void call_check_at(lua_State *L, const char *file, int line);
/* "file:line" of the user's code where memory was last refused in this call; NULL: nowhere. */
const char *call_short_of_memory(lua_State *L);
/* Before a thread that called ends: its timer goes. */
void call_thread_end(void);

#endif
