#include "node/node_webapp.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "fleet/jtext.h"
#include "fleet/webapp.h"
#include "net/json.h"
#include "node/node_orders.h"
#include "node/node_project.h"
#include "node/node_spawn.h"
#include "node/node_webapp_inner.h"
#include "sys/clock.h"

#define GRACE_MS   5000
#define TAIL_MS    400  /* from a process's end until its last output stands in the log */
#define AGAIN_MS   5000 /* when its project could not be read, or the store takes nothing */
#define DELAY_MOST 60
#define LINES      50
#define KEYS_MOST  1000

/* Who waits for a project, the store or the keeper on behalf of a start. */
struct asking {
	struct node_webapp *w;
	unsigned turn;
	json_t *spec;
};

static void begin(struct node_webapp *w);

/* --- the table --- */

static void make_name(const char *project, const char *name, char out[2 * JOB_NAME_MAX + 2])
{
	snprintf(out, 2 * JOB_NAME_MAX + 2, "%s/%s", project, name);
}

static struct node_webapp *find(struct node_webapps *t, const char *project, const char *name)
{
	char full[2 * JOB_NAME_MAX + 2];
	make_name(project, name, full);
	return map_get(t->by_name, full);
}

static void webapp_free(struct node_webapp *w)
{
	loop_timer_free(&w->timer);
	json_decref(w->crashes);
	json_decref(w->last);
	free(w->reason);
	free(w);
}

static void on_timer(void *data);

static struct node_webapp *get(struct node_webapps *t, const char *project, const char *name)
{
	char full[2 * JOB_NAME_MAX + 2];
	struct node_webapp *w = find(t, project, name);
	if (w || strlen(project) >= JOB_NAME_MAX || strlen(name) >= JOB_NAME_MAX || !(w = calloc(1, sizeof(*w))))
		return w;
	w->in = t;
	snprintf(w->project, sizeof(w->project), "%s", project);
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->cap = WEBAPP_CAP;
	w->crashes = json_array();
	w->timer = loop_timer_new(t->node->loop, on_timer, w);
	make_name(project, name, full);
	if (w->crashes && w->timer && map_set(t->by_name, full, w) == 0)
		return w;
	webapp_free(w);
	return NULL;
}

static struct node_webapp *by_process(struct node_webapps *t, const char *process)
{
	size_t cursor = 0;
	if (strncmp(process, "webapp-", 7) != 0)
		return NULL;
	for (struct node_webapp *w; (w = map_next(t->by_name, &cursor));)
		if (strcmp(w->process, process) == 0)
			return w;
	return NULL;
}

static void take_saved(void *data, const struct webapp_row *row)
{
	struct node_webapp *w = get(data, row->project, row->name);
	if (w)
		webapp_take_saved(w, row);
}

/* --- giving up, trying again --- */

static void give_up(struct node_webapp *w, const char *why)
{
	log_warn("webapp %s of project %s is not started: %s", w->name, w->project, why);
	w->state = WEBAPP_FAILED;
	w->process[0] = '\0';
	webapp_set_reason(w, why);
	webapp_keep(w, NULL, NULL);
}

static void later(struct node_webapp *w, int64_t ms, const char *why)
{
	w->state = WEBAPP_BACKOFF;
	w->process[0] = '\0';
	webapp_set_reason(w, why);
	loop_timer_start(w->timer, ms);
}

/* 0, 1, 2, 4 … 60 s */
static int64_t delay_ms(size_t crashes)
{
	int64_t s = crashes < 2 ? 0 : crashes > 8 ? DELAY_MOST : (int64_t)1 << (crashes - 2);
	return (s < DELAY_MOST ? s : DELAY_MOST) * 1000;
}

static void read_tail(struct node_webapp *w)
{
	if (!w->is_silent)
		return;
	w->is_silent = false;
	if (w->last)
		json_object_set_new(w->last, "lines", webapp_tail(w->in->dir, w, LINES));
	webapp_keep(w, NULL, NULL);
}

static void on_timer(void *data)
{
	struct node_webapp *w = data;
	int64_t since_ms = w->last ? clock_wall_ms() - json_integer_value(json_object_get(w->last, "at")) : 0;
	bool was_silent = w->is_silent;
	if (w->in->is_stopped)
		return;
	read_tail(w);
	if (w->state != WEBAPP_BACKOFF || !w->is_wanted)
		return;
	int64_t left = was_silent ? delay_ms(webapp_count_crashes(w, clock_wall_ms())) - since_ms : 0;
	if (left > 0)
		loop_timer_start(w->timer, left);
	else
		begin(w);
}

/* --- ends --- */

static void crashed(struct node_webapp *w, const struct judge_end *end)
{
	char text[2000];
	int64_t now = clock_wall_ms();
	bool is_late = w->state == WEBAPP_STARTING && strcmp(end->cause, "start_failed") == 0;
	webapp_note_crash(w, end, now);
	json_array_append_new(w->crashes, json_integer(now));
	size_t n = webapp_count_crashes(w, now);
	w->state = is_late || n >= (size_t)(w->cap > 0 ? w->cap : 1) ? WEBAPP_FAILED : WEBAPP_BACKOFF;
	if (w->state == WEBAPP_FAILED && !is_late) {
		snprintf(text, sizeof(text), "It ended %zu times within 10 minutes and is not started again. The last time: %s", n,
			 w->reason ? w->reason : "");
		webapp_set_reason(w, text);
	}
	log_warn("webapp %s of project %s: %s", w->name, w->project, w->reason ? w->reason : "it ended");
	loop_timer_start(w->timer, TAIL_MS);
}

static void end_process(struct node_webapp *w, const struct judge_end *end, store_done_fn *fn, void *data)
{
	bool is_again = w->is_again;
	w->process[0] = '\0';
	w->port = 0;
	w->is_again = false;
	if (w->state == WEBAPP_STOPPING)
		w->state = WEBAPP_STOPPED;
	else if (strcmp(end->cause, "shutdown") == 0)
		w->state = WEBAPP_STOPPED; /* and wanted: the next start of the instance starts it */
	else
		crashed(w, end);
	if (is_again)
		w->state = WEBAPP_STARTING;
	webapp_keep(w, fn, data); /* not taken: not acknowledged, the next backend hears it again */
	if (is_again)
		begin(w);
}

bool node_webapps_ended(struct node_webapps *t, const struct judge_end *end, store_done_fn *fn, void *data)
{
	struct node_webapp *w = by_process(t, end->id);
	if (!w)
		return false;
	end_process(w, end, fn, data);
	return true;
}

void node_webapps_ready(struct node_webapps *t, const char *process)
{
	struct node_webapp *w = by_process(t, process);
	if (!w || w->state != WEBAPP_STARTING)
		return;
	w->state = WEBAPP_RUNNING;
	w->ready_ms = clock_wall_ms();
	webapp_set_reason(w, NULL);
	log_info("webapp %s of project %s answers on port %d", w->name, w->project, w->port);
	webapp_keep(w, NULL, NULL);
}

/* --- a start: the project, the row, the order --- */

static bool is_over(const struct asking *a)
{
	return a->turn != a->w->turn || a->w->in->is_stopped;
}

static void asking_free(struct asking *a)
{
	json_decref(a->spec);
	free(a);
}

/* There is no process, and there will be none. */
static void end_unborn(struct node_webapp *w, const char *text)
{
	struct judge_end end = { .code = -1, .signal = -1, .peak_bytes = -1, .limit_bytes = -1 };
	snprintf(end.cause, sizeof(end.cause), "unborn");
	snprintf(end.text, sizeof(end.text), "%s", text);
	end_process(w, &end, NULL, NULL);
}

static void on_spawned(void *data, const struct wire_view *msg)
{
	struct asking *a = data;
	if (msg->type == WIRE_fail && !is_over(a))
		end_unborn(a->w, wire_get_text(msg, WF_text));
	asking_free(a);
}

static void on_row(void *data, const struct store_answer *answer)
{
	struct asking *a = data;
	struct node_webapp *w = a->w;
	struct err err = { 0 };
	if (is_over(a)) {
		asking_free(a);
		return;
	}
	if (w->state != WEBAPP_STARTING) { /* somebody wished otherwise meanwhile: there was nothing to stop yet */
		end_unborn(w, "it was stopped before it was started");
	} else if (answer->outcome != STORE_OK) {
		later(w, AGAIN_MS, answer->err.text);
	} else if (webapp_order(w->in->node, w, a->spec, w->in->dir, on_spawned, a, &err) < 0) {
		end_unborn(w, err.text);
	} else {
		return; /* on_spawned frees it */
	}
	asking_free(a);
}

static void order(struct asking *a, const json_t *project)
{
	struct node_webapp *w = a->w;
	struct node *n = w->in->node;
	struct err err = { 0 };
	char text[400];
	a->spec = json_incref(json_object_get(json_object_get(project, "webapps"), w->name));
	if (!a->spec) {
		snprintf(text, sizeof(text), "projects/%s/project.lua has no webapp %s", w->project, w->name);
		give_up(w, text);
	} else if (webapp_cannot(a->spec, &err) || (w->port = webapp_free_port(&err)) < 0) {
		give_up(w, err.text);
	} else {
		webapp_copy_member(project, "owner", w->owner, sizeof(w->owner));
		if (!w->owner[0])
			snprintf(w->owner, sizeof(w->owner), "admin");
		w->cap = (int)json_integer_value(json_object_get(a->spec, "crashes"));
		w->starts++;
		snprintf(w->house, sizeof(w->house), "%.63s:%d", n->facts.boot, n->facts.keeper_pid);
		snprintf(w->process, sizeof(w->process), "webapp-%lld-%lld", (long long)n->facts.epoch, (long long)++w->in->last);
		if (webapp_keep(w, on_row, a) == 0)
			return; /* on_row frees it */
		later(w, AGAIN_MS, "the store takes nothing now");
	}
	asking_free(a);
}

static void first_mistake(const char *json, size_t len, char *out, size_t room)
{
	json_t *said = json_parse_object(json, len, NULL);
	const json_t *e = json_array_get(json_object_get(said, "errors"), 0);
	const char *file = json_string_value(json_object_get(e, "file")), *text = json_string_value(json_object_get(e, "text"));
	snprintf(out, room, "%s:%lld: %s", file ? file : "project.lua", (long long)json_integer_value(json_object_get(e, "line")),
		 text ? text : "it is wrong");
	json_decref(said);
}

static void on_project(void *data, enum node_project state, const char *json, size_t len, const struct err *why)
{
	struct asking *a = data;
	struct node_webapp *w = a->w;
	char text[1000];
	if (is_over(a)) {
		asking_free(a);
		return;
	}
	if (state == NODE_PROJECT_GOOD) {
		json_t *project = json_parse_object(json, len, NULL);
		order(a, project);
		json_decref(project);
		return;
	}
	if (state == NODE_PROJECT_FAILED) {
		later(w, AGAIN_MS, why->text);
	} else if (state == NODE_PROJECT_BAD) {
		first_mistake(json, len, text, sizeof(text));
		give_up(w, text);
	} else {
		give_up(w, why->text);
	}
	asking_free(a);
}

static void begin(struct node_webapp *w)
{
	struct asking *a = w->in->node->is_draining ? NULL : calloc(1, sizeof(*a));
	w->turn++;
	loop_timer_stop(w->timer);
	if (!a) {
		later(w, AGAIN_MS, "the backend starts nothing now");
		return;
	}
	*a = (struct asking){ .w = w, .turn = w->turn };
	w->state = WEBAPP_STARTING;
	w->process[0] = '\0';
	w->started_ms = clock_wall_ms();
	w->ready_ms = 0;
	node_projects_ask(w->in->node->projects, w->project, on_project, a);
}

/* --- wishes --- */

static void stop_process(struct node_webapp *w, const char *cause, const char *text)
{
	struct err err = { 0 };
	if (node_orders_stop(w->in->node, w->process, cause, text, GRACE_MS, &err) < 0)
		log_error("unable to stop %s: %s", w->process, err.text);
}

int node_webapps_start(struct node_webapps *t, const char *project, const char *name, struct err *err)
{
	struct node_webapp *w = get(t, project, name);
	if (!w)
		return err_set(err, "unable to start webapp %s: no memory", name);
	if (!t->node->facts.is_taken_up || t->is_stopped)
		return err_set(err, "unable to start webapp %s: the backend is starting or ending", name);
	read_tail(w);
	w->is_wanted = true;
	json_array_clear(w->crashes);
	webapp_set_reason(w, NULL);
	if (!w->process[0]) {
		begin(w);
		webapp_keep(w, NULL, NULL);
		return 0;
	}
	w->is_again = true;
	if (w->state == WEBAPP_STOPPING)
		return webapp_keep(w, NULL, NULL);
	w->state = WEBAPP_STOPPING;
	stop_process(w, "user", "it is restarted");
	return webapp_keep(w, NULL, NULL);
}

void node_webapps_halt(struct node_webapps *t, const char *project, const char *name, const char *by, const char *cause)
{
	char text[300];
	struct node_webapp *w = find(t, project, name);
	if (!w)
		return;
	read_tail(w);
	w->is_wanted = w->is_again = false;
	webapp_set_reason(w, NULL);
	if (w->process[0] && w->state != WEBAPP_STOPPING) {
		w->state = WEBAPP_STOPPING;
		snprintf(text, sizeof(text), "stopped by %.200s", by);
		stop_process(w, cause, text);
	} else if (!w->process[0]) {
		w->turn++;
		loop_timer_stop(w->timer);
		w->state = WEBAPP_STOPPED;
	}
	webapp_keep(w, NULL, NULL);
}

/* --- taking up --- */

void node_webapps_take_row(struct node_webapps *t, const char *process, const char *state, bool is_alive)
{
	struct node_webapp *w = by_process(t, process);
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
		if (w->state == WEBAPP_STOPPING) { /* the order may not have been heard */
			w->is_again = w->is_wanted;
			stop_process(w, "user", "it is to stop");
		}
		return;
	}
	w->process[0] = '\0';
	w->port = 0;
	bool is_given_up = w->state == WEBAPP_FAILED && strcmp(house, w->house) == 0;
	if (strcmp(house, w->house) != 0)
		json_array_clear(w->crashes);
	if (w->is_wanted && !is_given_up)
		begin(w);
	else if (!is_given_up)
		w->state = WEBAPP_STOPPED;
}

static void look_at_next(struct node_webapps *t);

static void on_look(void *data, enum node_project state, const char *json, size_t len, const struct err *why)
{
	struct node_webapps *t = data;
	json_t *project = state == NODE_PROJECT_GOOD ? json_parse_object(json, len, NULL) : NULL, *spec;
	const char *name;
	if (t->is_stopped) {
		json_decref(project);
		return;
	}
	if (state == NODE_PROJECT_FAILED)
		log_warn("webapps that start by themselves are not looked for: %s", why->text);
	json_object_foreach(json_object_get(project, "webapps"), name, spec)
	{
		struct node_webapp *w = json_is_true(json_object_get(spec, "autostart")) && !find(t, t->keys[t->at], name)
						? get(t, t->keys[t->at], name)
						: NULL;
		if (w) {
			w->is_wanted = true;
			begin(w);
		}
	}
	json_decref(project);
	t->at++;
	look_at_next(t);
}

/* One after the other: each is read by a process of its own. */
static void look_at_next(struct node_webapps *t)
{
	if (t->at < t->nkeys)
		node_projects_ask(t->node->projects, t->keys[t->at], on_look, t);
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
	if (dir)
		closedir(dir);
}

void node_webapps_taken_up(struct node_webapps *t)
{
	size_t cursor = 0;
	for (struct node_webapp *w; (w = map_next(t->by_name, &cursor));)
		resume(w);
	list_projects(t);
	look_at_next(t);
}

/* --- what others ask --- */

bool node_webapps_json(struct node_webapps *t, const char *project, const char *name, struct buf *out)
{
	struct node_webapp *w = find(t, project, name);
	if (!w)
		return false;
	webapp_count_crashes(w, clock_wall_ms());
	buf_putc(out, '{');
	jtext_text(out, "state", webapp_states[w->state]);
	jtext_text(out, "wanted", w->is_wanted ? "running" : "stopped");
	jtext_some_text(out, "processId", w->process);
	if (w->process[0] && w->port > 0)
		jtext_int(out, "port", w->port);
	webapp_put_detail(w, out);
	buf_putc(out, '}');
	return true;
}

void node_webapps_put_row(struct node_webapps *t, const char *process, struct buf *out)
{
	const struct node_webapp *w = by_process(t, process);
	if (!w)
		return;
	jtext_text(out, "user", w->owner);
	jtext_text(out, "project", w->project);
	jtext_text(out, "webApp", w->name);
	jtext_int(out, "port", w->port);
}

const char *node_webapps_ticket(struct node_webapps *t, const char *ticket)
{
	char process[JOB_PROCESS_MAX];
	if (!node_spawn_read_ticket(t->node, ticket, process))
		return NULL;
	const struct node_webapp *w = by_process(t, process);
	return w ? w->owner : NULL;
}

/* --- set-up --- */

struct node_webapps *node_webapps_new(struct node *n, const char *dir, struct err *err)
{
	struct node_webapps *t = calloc(1, sizeof(*t));
	if (t) {
		t->node = n;
		t->by_name = map_new();
		if (strlen(dir) < sizeof(t->dir))
			snprintf(t->dir, sizeof(t->dir), "%s", dir);
	}
	if (!t || !t->by_name || !t->dir[0]) {
		err_set(err, "unable to load the webapps: %s", t && t->by_name ? "the folder's name is too long" : "no memory");
		node_webapps_free(&t);
		return NULL;
	}
	if (webapp_load(fleet_store(n->fleet), take_saved, t, err) < 0)
		node_webapps_free(&t);
	return t;
}

void node_webapps_stop(struct node_webapps *t)
{
	t->is_stopped = true;
}

void node_webapps_free(struct node_webapps **tp)
{
	struct node_webapps *t = *tp;
	size_t cursor = 0;
	if (!t)
		return;
	for (struct node_webapp *w; t->by_name && (w = map_next(t->by_name, &cursor));)
		webapp_free(w);
	map_free(&t->by_name);
	for (size_t i = 0; i < t->nkeys; i++)
		free(t->keys[i]);
	free(t->keys);
	free(t);
	*tp = NULL;
}
