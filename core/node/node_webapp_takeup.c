/* node_webapp_takeup: what runs when a backend starts, and what is to run then. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "net/json.h"
#include "node/node_orders.h"
#include "node/node_project.h"
#include "node/node_webapp_inner.h"

#define GRACE_MS  5000
#define KEYS_MOST 1000
#define LOOKS     4 /* each project is read by a process of its own: that many at a time */

void node_webapps_take_row(struct node_webapps *t, const char *process, const char *state, bool is_alive)
{
	struct node_webapp *w = webapp_by_process(t, process);
	struct err err = { 0 };
	if (w) {
		w->is_seen = true;
		if (strcmp(state, "ready") == 0)
			node_webapps_ready(t, process);
		log_info("took up %s: webapp %s of project %s", process, w->name, w->project);
	} else if (is_alive) {
		log_warn("%s: nobody knows which webapp it is; it is stopped", process);
		if (node_orders_stop(t->node, process, "policy", "the backend does not know what it is for", GRACE_MS, &err) < 0)
			log_error("unable to stop %s: %s", process, err.text);
	}
}

/* What is not in the keeper's list was never born, or went with an older keeper. */
static void resume(struct node_webapp *w)
{
	char house[sizeof(w->house)];
	const struct node_facts *f = &w->in->node->facts;
	snprintf(house, sizeof(house), "%.63s:%d", f->boot, f->keeper_pid);
	if (w->process[0] && w->is_seen) {
		webapp_adopt(w);
		webapp_health_begin(w);
		if (w->state == WEBAPP_STOPPING) { /* the order may not have been heard */
			w->is_again = w->is_wanted;
			webapp_stop_process(w, "user", "it is to stop");
		}
		return;
	}
	w->process[0] = '\0';
	w->port = 0;
	webapp_drop_socket(w);
	bool is_given_up = w->state == WEBAPP_FAILED && strcmp(house, w->house) == 0;
	if (strcmp(house, w->house) != 0)
		json_array_clear(w->crashes);
	if (w->is_wanted && !is_given_up)
		webapp_begin(w);
	else if (!is_given_up)
		w->state = WEBAPP_STOPPED;
	webapp_alert(w);
}

static void look_at_next(struct node_webapps *t);

struct look {
	struct node_webapps *t;
	const char *key; /* in t->keys */
};

static void on_look(void *data, enum node_project state, const char *json, size_t len, const struct err *why)
{
	struct look *look = data;
	struct node_webapps *t = look->t;
	const char *key = look->key;
	json_t *project = state == NODE_PROJECT_GOOD ? json_parse_object(json, len, NULL) : NULL, *spec;
	const char *name;
	free(look);
	if (t->is_stopped) {
		json_decref(project);
		return;
	}
	if (state == NODE_PROJECT_FAILED)
		log_warn("webapps that start by themselves are not looked for: %s", why->text);
	json_object_foreach(json_object_get(project, "webapps"), name, spec)
	{
		struct node_webapp *w = json_is_true(json_object_get(spec, "autostart")) && !webapp_find(t, key, name)
						? webapp_get(t, key, name)
						: NULL;
		if (w) {
			w->is_wanted = true;
			webapp_begin(w);
		}
	}
	json_decref(project);
	look_at_next(t);
}

/* An answer may come at once, and ask for the next: what is counted is counted before. */
static void look_at_next(struct node_webapps *t)
{
	struct look *look = t->at < t->nkeys ? malloc(sizeof(*look)) : NULL;
	if (!look)
		return;
	*look = (struct look){ t, t->keys[t->at++] };
	node_projects_ask(t->node->projects, look->key, on_look, look);
}

static void list_projects(struct node_webapps *t)
{
	char path[WEBAPP_DIR_MAX + 16];
	snprintf(path, sizeof(path), "%s/projects", t->dir);
	DIR *dir = opendir(path);
	t->keys = calloc(KEYS_MOST, sizeof(*t->keys));
	for (struct dirent *e; dir && t->keys && t->nkeys < KEYS_MOST && (e = readdir(dir));)
		if (e->d_name[0] != '.' && (t->keys[t->nkeys] = strdup(e->d_name)))
			t->nkeys++;
	if (dir && t->nkeys == KEYS_MOST && readdir(dir))
		log_warn("projects/ has more than %d folders: webapps with autostart in those beyond are not started; start them "
			 "by hand",
			 KEYS_MOST);
	if (dir)
		closedir(dir);
}

void node_webapps_taken_up(struct node_webapps *t)
{
	size_t cursor = 0;
	for (struct node_webapp *w; (w = map_next(t->by_name, &cursor));)
		resume(w);
	list_projects(t);
	for (int i = 0; i < LOOKS; i++)
		look_at_next(t);
}
