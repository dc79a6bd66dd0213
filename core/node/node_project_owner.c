#include "node/node_project_owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/json.h"
#include "node/node_project.h"

#define KEPT_MOST 10000

struct owner {
	json_t *tags;
	char login[128];
};

void project_owner_keep(struct map *owners, const char *key, const json_t *data)
{
	const char *login = json_string_value(json_object_get(data, "owner"));
	struct owner *o = map_get(owners, key);
	if (!o && map_count(owners) < KEPT_MOST && (o = calloc(1, sizeof(*o))) && map_set(owners, key, o) < 0) {
		free(o);
		o = NULL;
	}
	if (!o)
		return;
	snprintf(o->login, sizeof(o->login), "%s", login ? login : "");
	json_decref(o->tags);
	o->tags = json_incref(json_object_get(data, "tags"));
}

const char *project_owner_find(const struct map *owners, const char *key, const json_t **tags)
{
	const struct owner *o = map_get(owners, key);
	*tags = o ? o->tags : NULL;
	return o ? o->login : NULL;
}

void project_owners_free(struct map **owners)
{
	size_t cursor = 0;
	for (struct owner *o; *owners && (o = map_next(*owners, &cursor));) {
		json_decref(o->tags);
		free(o);
	}
	map_free(owners);
}

void node_project_mistake(const char *json, size_t len, char *out, size_t room)
{
	json_t *said = json_parse_object(json, len, NULL);
	const json_t *e = json_array_get(json_object_get(said, "errors"), 0);
	const char *file = json_string_value(json_object_get(e, "file")), *text = json_string_value(json_object_get(e, "text"));
	snprintf(out, room, "%s:%lld: %s", file ? file : "project.lua", (long long)json_integer_value(json_object_get(e, "line")),
		 text ? text : "it is wrong");
	json_decref(said);
}
