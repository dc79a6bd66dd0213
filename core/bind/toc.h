#ifndef DSS_BIND_TOC_H
#define DSS_BIND_TOC_H
#include <stddef.h>
#include <stdint.h>
#include <lua.h>
#include "bind/vm.h"
/* toc: the table of contents of what C offers to Lua: `require "bind.json"` and so on, each for the uses that need it. */
struct toc_entry {
	const char *name;
	lua_CFunction open; /* pushes the table */
	unsigned uses;      /* of enum vm_use, or'ed */
};

const struct toc_entry *toc_at(size_t i); /* NULL past the end */
/* Puts those of `use` into package.preload. Raises for want of memory. */
void toc_register(lua_State *L, unsigned use);

int bind_json_open(lua_State *L);
int bind_files_open(lua_State *L);
int bind_crypt_open(lua_State *L);
int bind_machine_open(lua_State *L);
int bind_log_open(lua_State *L);
int bind_fleet_open(lua_State *L);
int bind_alerts_open(lua_State *L);
int bind_ledger_open(lua_State *L);
int bind_policies_open(lua_State *L);
int bind_console_open(lua_State *L);
int bind_change_open(lua_State *L);
int bind_gate_open(lua_State *L);
int bind_jobs_open(lua_State *L);
int bind_webapps_open(lua_State *L);
int bind_notebooks_open(lua_State *L);
int bind_models_open(lua_State *L);
int bind_macros_open(lua_State *L);
int bind_macro_files_open(lua_State *L);
int bind_soon_open(lua_State *L);
int bind_settings_open(lua_State *L);
int bind_usage_open(lua_State *L);
int bind_tasks_open(lua_State *L);
int bind_logs_open(lua_State *L);
int bind_keys_open(lua_State *L);
int bind_members_open(lua_State *L);
int bind_rights_open(lua_State *L);
int bind_stats_open(lua_State *L);
int bind_board_open(lua_State *L);
int bind_guard_open(lua_State *L);
/* fn is told, from within a call on the loop's thread, of the function that found its state full of what is still held. */
void bind_guard_on_full(void (*fn)(void *data, const char *name), void *data);
/* Of this machine: processors on line, bytes of memory. */
int64_t bind_machine_cores(void);
int64_t bind_machine_bytes(void);
/* Replaces string and table functions of the state by bounded ones. */
void bind_string_install(lua_State *L);
void bind_table_install(lua_State *L); /* called by it */

#endif
