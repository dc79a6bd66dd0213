#ifndef DSS_FLEET_SETTING_H
#define DSS_FLEET_SETTING_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "fleet/store.h"
/*
 * setting: what was set of a project over the API, beside what its project.lua says; all of it in memory, each change on disk before its
 * callback. What the texts mean is their writers' business (lua/dss/api/settings.lua), but for "variables", "permissions" and "declared":
 *
 *     permissions {"set":{"owner":"LOGIN",…},…}                    what differs from project.lua
 *     variables  {"standard":{…},"removed":["NAME"],"local":{…}}   what differs from project.lua
 *     declared   {…}                                               the variables of project.lua, as it was read last
 *
 * The project "" is the instance; its "variables" is a plain object.
 */
#define SETTING_JSON_MAX  ((size_t)1 << 20)  /* of one */
#define SETTINGS_JSON_MAX ((size_t)64 << 20) /* of all */

struct settings;
struct setting {
	const char *project, *key, *json, *by; /* by: the login, "" = the instance itself */
	int64_t at_ms;
};

/* Loads. Only before the loop runs. Borrows the store until settings_free. */
struct settings *settings_new(struct store *store, struct err *err);
void settings_free(struct settings **settings);

/* NULL: it was never set. Borrowed until it is set again. */
const struct setting *settings_get(const struct settings *settings, const char *project, const char *key);
typedef void setting_fn(void *data, const struct setting *setting);
void settings_each(const struct settings *settings, const char *project, setting_fn *fn, void *data);
/* Copies. json NULL: as if it had never been set. fn (may be NULL) is called once it is on disk and in force. -1: nothing was done. */
int settings_put(struct settings *settings, const struct setting *setting, store_done_fn *fn, void *data, struct err *err);
/* The variables that its project.lua says: in force at once, on disk soon. */
void settings_declare(struct settings *settings, const char *project, const char *json);
/* All of a project. */
int settings_drop(struct settings *settings, const char *project, store_done_fn *fn, void *data, struct err *err);

/* Who was set to own the project, over what its project.lua says. false: nobody was; out is as it was. */
bool settings_owner(const struct settings *settings, const char *project, char *out, size_t room);

/* The project's variables as one object: the instance's, over them project.lua's, over them what was set, over them the local ones. Not typed:
 * every value is a text, as clients expect who do not ask for types. 0, or -1: no memory. */
int settings_variables(const struct settings *settings, const char *project, bool is_typed, struct buf *out);

#endif
