#include "bind/toc.h"

#define ALL (VM_PLAN | VM_POLICY | VM_API | VM_CONSOLE)

static const struct toc_entry entries[] = {
	{ "bind.json", bind_json_open, ALL },
	{ "bind.files", bind_files_open, VM_PLAN | VM_POLICY | VM_API },
	{ "bind.log", bind_log_open, ALL },
	{ "bind.guard", bind_guard_open, VM_PLAN | VM_POLICY | VM_CONSOLE },
	{ "bind.machine", bind_machine_open, VM_POLICY | VM_CONSOLE },
	{ "bind.crypt", bind_crypt_open, VM_API | VM_CONSOLE },
	{ "bind.fleet", bind_fleet_open, VM_API | VM_CONSOLE },
	{ "bind.alerts", bind_alerts_open, VM_API | VM_CONSOLE },
	{ "bind.ledger", bind_ledger_open, VM_API | VM_CONSOLE },
	{ "bind.policies", bind_policies_open, VM_API | VM_CONSOLE },
	{ "bind.console", bind_console_open, VM_API },
	{ "bind.change", bind_change_open, VM_CONSOLE },
	{ "bind.gate", bind_gate_open, VM_API },
	{ "bind.jobs", bind_jobs_open, VM_API },
	{ "bind.webapps", bind_webapps_open, VM_API },
	{ "bind.notebooks", bind_notebooks_open, VM_API },
	{ "bind.models", bind_models_open, VM_API },
	{ "bind.macros", bind_macros_open, VM_API },
	{ "bind.macro_files", bind_macro_files_open, VM_API },
	{ "bind.soon", bind_soon_open, VM_API },
	{ "bind.settings", bind_settings_open, VM_API },
	{ "bind.usage", bind_usage_open, VM_API },
	{ "bind.tasks", bind_tasks_open, VM_API },
	{ "bind.logs", bind_logs_open, VM_API },
	{ "bind.rights", bind_rights_open, VM_API },
	{ "bind.keys", bind_keys_open, VM_API },
	{ "bind.members", bind_members_open, VM_API },
	{ "bind.stats", bind_stats_open, VM_API },
	{ "bind.board", bind_board_open, VM_API },
};

const struct toc_entry *toc_at(size_t i)
{
	return i < sizeof entries / sizeof entries[0] ? &entries[i] : NULL;
}

void toc_register(lua_State *L, unsigned use)
{
	const struct toc_entry *e;
	for (size_t i = 0; (e = toc_at(i)); i++)
		if (e->uses & use)
			vm_preload(L, e->name, e->open);
}
