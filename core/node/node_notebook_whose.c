/*
 * node_notebook_whose: whose a notebook is. The project is the first folder of its path; the user is that project's owner: who was set to be it,
 * else who its project.lua names. Where that file has a mistake it is who was the owner last, as far as anybody knows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/text.h"
#include "fleet/setting.h"
#include "net/json.h"
#include "node/node_notebook_inner.h"
#include "node/node_project.h"

#define NOBODYS "admin" /* without a project, or of one that names no owner */

struct asking {
	struct node_notebooks *t;
	notebook_whose_fn *fn;
	void *data;
	char project[128];
};

/* The first folder of its name, or of where it works: projects/KEY/… */
static void find_project(const struct node_notebooks *t, const char *path, const char *cwd, char *out, size_t room)
{
	char projects[NOTEBOOK_DIR_MAX + 16];
	size_t n = (size_t)snprintf(projects, sizeof(projects), "%s/projects/", t->dir);
	const char *from = strchr(path, '/') ? path : strncmp(cwd, projects, n) == 0 ? cwd + n : "";
	size_t len = strcspn(from, "/");
	out[0] = '\0';
	if (len > 0 && len < room && text_is_id(from, len)) {
		memcpy(out, from, len);
		out[len] = '\0';
	}
}

static void tell(struct asking *a, const struct notebook_whose *w)
{
	a->fn(a->data, w);
	free(a);
}

static void tell_owner(struct asking *a, const char *owner, const json_t *tags)
{
	char user[sizeof(((struct notebook_kernel *)0)->user)];
	snprintf(user, sizeof(user), "%s", owner && *owner ? owner : NOBODYS);
	settings_owner(a->t->node->settings, a->project, user, sizeof(user));
	tell(a, &(struct notebook_whose){ .project = a->project, .user = user, .tags = tags });
}

/* The kernel of that project that was started last. */
static const struct notebook_birth *last_of(const struct node_notebooks *t, const char *project)
{
	const struct notebook_entry *last = NULL;
	size_t cursor = 0;
	for (struct notebook_entry *e; (e = map_next(t->by_id, &cursor));)
		if (e->birth.user[0] && strcmp(e->birth.project, project) == 0 && (!last || e->k.started_ms > last->k.started_ms))
			last = e;
	return last ? &last->birth : NULL;
}

static void tell_bad(struct asking *a, const char *json, size_t len)
{
	char mistake[900], text[1200];
	const json_t *tags = NULL;
	const char *owner = node_projects_last_owner(a->t->node->projects, a->project, &tags);
	const struct notebook_birth *last = owner ? NULL : last_of(a->t, a->project);
	if (owner || last) {
		tell_owner(a, owner ? owner : last->user, owner ? tags : last->tags);
		return;
	}
	node_project_mistake(json, len, mistake, sizeof(mistake));
	snprintf(text, sizeof(text), "nobody knows whose project %s is: its project.lua has a mistake: %s", a->project, mistake);
	tell(a, &(struct notebook_whose){ .project = a->project, .user = "", .refusal = text, .status = 409 });
}

static void on_project(void *data, enum node_project state, const char *json, size_t len, const struct err *why)
{
	struct asking *a = data;
	json_t *project = NULL;
	switch (state) {
	case NODE_PROJECT_FAILED:
		tell(a, &(struct notebook_whose){ .project = a->project, .user = "", .refusal = why->text, .status = 503 });
		return;
	case NODE_PROJECT_BAD:
		tell_bad(a, json, len);
		return;
	case NODE_PROJECT_MISSING:
		tell(a, &(struct notebook_whose){ .project = "", .user = NOBODYS });
		return;
	case NODE_PROJECT_GOOD:
		project = json_parse_object(json, len, NULL);
		tell_owner(a, json_string_value(json_object_get(project, "owner")), json_object_get(project, "tags"));
		json_decref(project);
	}
}

void notebook_ask_whose(struct node_notebooks *t, const char *path, const char *cwd, notebook_whose_fn *fn, void *data)
{
	struct asking *a = calloc(1, sizeof(*a));
	if (!a) {
		fn(data,
		   &(struct notebook_whose){ .project = "", .user = "", .refusal = "the backend has no memory", .status = 503 });
		return;
	}
	*a = (struct asking){ .t = t, .fn = fn, .data = data };
	find_project(t, path, cwd, a->project, sizeof(a->project));
	if (a->project[0])
		node_projects_ask(t->node->projects, a->project, on_project, a);
	else
		on_project(a, NODE_PROJECT_MISSING, NULL, 0, NULL);
}
