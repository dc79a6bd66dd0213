/* node_board_guests: rows of recipes, webapps, notebooks, macros and services. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/guest.h"
#include "fleet/job.h"
#include "node/node_board_inner.h"
#include "node/node_meter.h"
#include "node/node_notebook_session.h"
#include "node/node_webapp.h"

#define REASON_MAX  800
#define MACROS_MOST 1000

/* --- recipes: activities that wait for a place, or have one --- */

static const char *recipe_state(const struct job_activity *a, bool is_waiting)
{
	if (a->is_stopping)
		return "stopping";
	return is_waiting ? "waiting" : a->state == JOB_WAITING ? "starting" : "running";
}

static void look_at_activity(struct node_board *b, const struct job *job, const struct job_activity *a)
{
	char id[BOARD_ID_MAX], parent[BOARD_ID_MAX], why[REASON_MAX] = "";
	struct board_facts facts = BOARD_NO_FACTS;
	int position = 0;
	bool is_same, is_waiting = a->state == JOB_WAITING && guest_why(a->guest, why, sizeof(why), &position);
	const struct guest_facts *g = a->guest ? guest_facts(a->guest) : NULL;
	const char *recipe = json_string_value(json_object_get(a->spec, "recipe"));
	const char *state = recipe_state(a, is_waiting);
	if (board_join(id, BOARD_RECIPE, job->project, job->id, a->id) < 0 ||
	    board_join(parent, BOARD_JOB, job->project, job->id, NULL) < 0)
		return;
	int pid = node_meter_pid(b->node->meter, a->process);
	uint64_t print = board_mix(board_mix(board_mix_text(3, state), (uint64_t)position), (uint64_t)a->started_ms);
	print = board_mix(board_mix_text(board_mix_text(print, why), a->process), (uint64_t)pid);
	struct board_row *row = board_see(b, BOARD_RECIPE, id, job->owner, print, &is_same);
	if (!row)
		return;
	row->is_waiting = is_waiting;
	row->is_busy = !is_waiting;
	board_set_process(row, a->process);
	if (is_same)
		return;
	facts.ref = id + sizeof("recipe:") - 1;
	facts.parent = parent;
	facts.what = recipe ? recipe : a->id;
	facts.project = job->project;
	facts.user = job->owner;
	facts.tags = g ? g->tags : NULL;
	facts.state = state;
	facts.reason = why;
	facts.position = is_waiting ? position : 0;
	facts.since_ms = is_waiting ? guest_since(a->guest) : a->started_ms;
	facts.started_ms = a->started_ms;
	facts.process = a->process;
	facts.pid = pid;
	facts.limit_bytes = g ? g->memory_bytes : 0;
	facts.limit_owner = "the recipe's limits.memory";
	facts.ends = a->is_stopping ? NULL : "abort";
	board_write(b, row, &facts);
}

static void look_at_job(void *data, struct job *job)
{
	for (size_t i = 0; i < job->n; i++) {
		const struct job_activity *a = &job->activities[i];
		if (a->is_alive || a->state == JOB_WAITING || a->state == JOB_RUNNING)
			look_at_activity(data, job, a);
	}
}

/* --- webapps --- */

static void look_at_webapp(void *data, const struct node_webapp_view *v)
{
	struct node_board *b = data;
	char id[BOARD_ID_MAX];
	struct board_facts facts = BOARD_NO_FACTS;
	bool is_same, is_waiting = v->waiting_ms > 0;
	const char *state = is_waiting ? "waiting" : strcmp(v->state, "running") == 0 ? "ready" : v->state;
	if (board_join(id, BOARD_WEBAPP, v->project, v->name, NULL) < 0)
		return;
	int pid = node_meter_pid(b->node->meter, v->process);
	uint64_t print = board_mix(board_mix_text(4, state), (uint64_t)v->started_ms);
	print = board_mix(board_mix(print, (uint64_t)v->ready_ms), (uint64_t)v->limit_bytes);
	print = board_mix(board_mix_text(board_mix_text(print, v->reason), v->process), (uint64_t)pid);
	struct board_row *row = board_see(b, BOARD_WEBAPP, id, v->owner, print, &is_same);
	if (!row)
		return;
	row->is_waiting = is_waiting;
	board_set_process(row, v->process);
	if (is_same)
		return;
	facts.ref = id + sizeof("webapp:") - 1;
	facts.what = v->name;
	facts.project = v->project;
	facts.user = v->owner;
	facts.tags = v->tags;
	facts.state = state;
	facts.reason = v->reason;
	facts.since_ms = is_waiting ? v->waiting_ms : strcmp(state, "ready") == 0 ? v->ready_ms : 0;
	facts.started_ms = v->process[0] ? v->started_ms : 0;
	facts.process = v->process;
	facts.pid = pid;
	facts.limit_bytes = v->limit_bytes;
	facts.limit_owner = "the webapp's limits.memory";
	facts.ends = strcmp(state, "stopping") == 0 ? NULL : "stop";
	board_write(b, row, &facts);
}

/* --- notebooks: a row for each kernel --- */

static const char *notebook_state(const struct notebook_session *s)
{
	return s->state == IDLE_BUSY ? "running" : idle_state_name(s->state);
}

/* "DEMO/notebooks/a b.ipynb" → "a b" */
static void notebook_name(const struct notebook_session *s, char *out, size_t room)
{
	const char *path = s->path;
	size_t len = strlen(s->project);
	if (len && strncmp(path, s->project, len) == 0 && path[len] == '/')
		path += len + 1;
	if (strncmp(path, "notebooks/", 10) == 0)
		path += 10;
	snprintf(out, room, "%s", *path ? path : "a kernel without a notebook");
	char *end = strlen(out) > 6 ? out + strlen(out) - 6 : NULL;
	if (end && strcmp(end, ".ipynb") == 0)
		*end = '\0';
}

static void look_at_notebook(void *data, const struct notebook_session *s)
{
	struct node_board *b = data;
	char id[BOARD_ID_MAX], what[1000];
	struct board_facts facts = BOARD_NO_FACTS;
	bool is_same;
	const char *state = notebook_state(s);
	if (s->state == IDLE_DEAD || board_join(id, BOARD_NOTEBOOK, s->kernel, NULL, NULL) < 0)
		return;
	const struct board_row *known = map_get(b->by_id, id);
	if (known && !known->gone_mono_ms && known->round == b->round)
		return; /* another session on the same kernel */
	const char *reason = s->state == IDLE_UNKNOWN ? s->unknown_why : "";
	/* moments, so that they need not be told each second: both are counted from its last work, or from when its clients left */
	int64_t silent = s->silent_ms > 0 ? s->work_ms : 0;
	int64_t quiet = s->quiet_ms > 0 ? s->work_ms + (s->silent_ms - s->quiet_ms) : 0;
	uint64_t print = board_mix(board_mix_text(5, state), (uint64_t)quiet);
	print = board_mix(board_mix(board_mix(print, (uint64_t)silent), (uint64_t)s->lease_ms), (uint64_t)s->connections);
	print = board_mix(board_mix_text(board_mix_text(print, s->path), s->process), (uint64_t)s->pid);
	print = board_mix_text(board_mix_text(board_mix(print, (uint64_t)s->limit_bytes), s->id), reason);
	struct board_row *row = board_see(b, BOARD_NOTEBOOK, id, s->user, print, &is_same);
	if (!row)
		return;
	row->is_busy = s->state == IDLE_BUSY;
	board_set_process(row, s->process);
	if (is_same)
		return;
	notebook_name(s, what, sizeof(what));
	facts.ref = s->id;
	facts.what = what;
	facts.project = s->project;
	facts.user = s->user;
	facts.state = state;
	facts.reason = reason[0] ? reason : NULL;
	facts.since_ms = silent;
	facts.started_ms = s->started_ms;
	facts.process = s->process;
	facts.pid = s->pid;
	facts.limit_bytes = s->limit_bytes;
	facts.limit_owner = "its own box";
	facts.quiet_ms = quiet;
	facts.silent_ms = silent;
	facts.leased_ms = s->lease_ms;
	facts.connections = s->connections;
	facts.ends = "unload";
	board_write(b, row, &facts);
}

/* --- services --- */

static void look_at_service(void *data, const char *name, int pid, int64_t started_ms)
{
	struct node_board *b = data;
	char id[BOARD_ID_MAX];
	struct board_facts facts = BOARD_NO_FACTS;
	bool is_same;
	if (strcmp(name, "keeper") == 0)
		pid = b->node->facts.keeper_pid;
	if (board_join(id, BOARD_SERVICE, name, NULL, NULL) < 0)
		return;
	struct board_row *row =
		board_see(b, BOARD_SERVICE, id, NULL, board_mix(board_mix(6, (uint64_t)pid), (uint64_t)started_ms), &is_same);
	if (!row)
		return;
	board_set_process(row, name);
	if (is_same)
		return;
	facts.ref = facts.what = facts.process = name;
	facts.state = pid ? "ready" : "stopped";
	facts.since_ms = facts.started_ms = started_ms;
	facts.pid = pid;
	board_write(b, row, &facts);
}

/* --- macros --- */

struct macro {
	struct list link;
	struct board_macro m; /* texts: owned, in one piece behind it */
	char text[];
};

static struct macro *find_macro(struct node_board *b, const char *id)
{
	list_each (&b->macros, l) {
		struct macro *m = list_of(l, struct macro, link);
		if (strcmp(m->m.id, id) == 0)
			return m;
	}
	return NULL;
}

static void forget_macro(struct node_board *b, struct macro *m)
{
	list_remove(&m->link);
	free(m);
	b->nmacros--;
}

int node_board_set_macro(struct node_board *b, const struct board_macro *from)
{
	const char *const texts[] = { from->id, from->what, from->user, from->project, from->state, from->reason };
	size_t len = 0, n = sizeof(texts) / sizeof(texts[0]);
	struct macro *old = find_macro(b, from->id);
	if (!old && b->nmacros >= MACROS_MOST)
		return -1;
	for (size_t i = 0; i < n; i++)
		len += texts[i] ? strlen(texts[i]) + 1 : 0;
	struct macro *m = calloc(1, sizeof(*m) + len);
	if (!m)
		return -1;
	const char **const to[] = { &m->m.id, &m->m.what, &m->m.user, &m->m.project, &m->m.state, &m->m.reason };
	char *p = m->text;
	for (size_t i = 0; i < n; i++) {
		if (!texts[i])
			continue;
		len = strlen(texts[i]) + 1;
		*to[i] = memcpy(p, texts[i], len);
		p += len;
	}
	m->m.started_ms = from->started_ms;
	if (old)
		forget_macro(b, old);
	list_push(&b->macros, &m->link);
	b->nmacros++;
	return 0;
}

void node_board_drop_macro(struct node_board *b, const char *id)
{
	char row[BOARD_ID_MAX];
	struct macro *m = find_macro(b, id);
	if (!m)
		return;
	if (board_join(row, BOARD_MACRO, id, NULL, NULL) == 0)
		board_ended(b, BOARD_MACRO, m->m.user, row);
	forget_macro(b, m);
}

void board_forget_macros(struct node_board *b)
{
	list_each (&b->macros, l)
		free(list_of(l, struct macro, link));
	list_init(&b->macros);
	b->nmacros = 0;
}

static void look_at_macro(struct node_board *b, const struct board_macro *m)
{
	char id[BOARD_ID_MAX];
	struct board_facts facts = BOARD_NO_FACTS;
	bool is_same;
	if (board_join(id, BOARD_MACRO, m->id, NULL, NULL) < 0)
		return;
	uint64_t print = board_mix_text(board_mix_text(7, m->state), m->reason);
	struct board_row *row = board_see(b, BOARD_MACRO, id, m->user, print, &is_same);
	if (!row)
		return;
	row->is_busy = true;
	if (is_same)
		return;
	facts.ref = m->id;
	facts.what = m->what;
	facts.project = m->project;
	facts.user = m->user;
	facts.state = m->state ? m->state : "running";
	facts.reason = m->reason;
	facts.since_ms = facts.started_ms = facts.submitted_ms = m->started_ms;
	facts.ends = strcmp(facts.state, "stopping") == 0 ? NULL : "abort";
	board_write(b, row, &facts);
}

void board_look_at_guests(struct node_board *b)
{
	struct node *n = b->node;
	jobs_each(node_jobs(n), look_at_job, b);
	node_webapps_each_view(n->webapps, look_at_webapp, b);
	if (node_notebooks_url(n->notebooks)[0])
		node_notebooks_look_again(n->notebooks);
	node_notebooks_each_session(n->notebooks, look_at_notebook, b);
	node_meter_each_service(n->meter, look_at_service, b);
	list_each (&b->macros, l)
		look_at_macro(b, &list_of(l, struct macro, link)->m);
}
