#ifndef DSS_NODE_NODE_PROJECT_OWNER_H
#define DSS_NODE_NODE_PROJECT_OWNER_H
#include <jansson.h>
#include "base/map.h"
/* node_project_owner: who each project.lua named as owner when it was read without a mistake last: for what goes on, or begins, while it has one. A map
 * by the project's key, whose values are this file's. */

/* data: what a good one says. Without memory the one before stays. */
void project_owner_keep(struct map *owners, const char *key, const json_t *data);
/* NULL: never read. "" = it named nobody. tags: NULL = none. Borrowed. */
const char *project_owner_find(const struct map *owners, const char *key, const json_t **tags);
void project_owners_free(struct map **owners);

#endif
