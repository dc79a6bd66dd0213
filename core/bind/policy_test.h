#ifndef DSS_BIND_POLICY_TEST_H
#define DSS_BIND_POLICY_TEST_H
#include <lua.h>
/*
 * policy_test: `dssd test DIR`: users' specs of their policies, run by busted in a Lua state with all of its libraries, as whoever calls. What
 * the specs say stands in lua/dss/test; the sets that they try are loaded and asked as the backend does it, each in a state of its own.
 * Needs no backend.
 */

/* Exit code: 0 all passed, 1 some failed or nothing could be run, 2 usage. A spec that failed ends the program itself, with 1. */
int policy_test_main(int argc, char **argv);

/*
 * bind.sets, for lua/dss/test alone; upvalue 1: our share folder.
 *   load(texts, cores, bytes) → set | nil, errors     texts: a JSON list of { name, text }; cores, bytes: 0 = this machine's
 *   set:pools() → list of tables, by the names of core/fleet/pool.h
 *   set:ask(function, …) → 7 values                   of dss.model.engine, within a decision's time; raises what it raises. Plain values only
 *   set:spent(pool, { id, tasks, age_ms, memory }) → what the numbers of recycle.* say, or nil
 */
int policy_test_open(lua_State *L);

#endif
