/* node_notebook_session: sessions as others see them: what the server told last, joined with what is known of kernels. */
#include "node/node_notebook_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/text.h"
#include "node/node_notebook_look.h"
#include "sys/clock.h"

#define LIST_MAX ((size_t)16 << 20)

/* --- what the server told --- */

void look_free_sessions(struct look_session *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(s[i].path);
	free(s);
}

static int index_sessions(struct look_session *s, size_t n, struct map **by_id, struct map **by_kernel)
{
	*by_id = map_new();
	*by_kernel = map_new();
	bool is_good = *by_id && *by_kernel;
	for (size_t i = 0; i < n && is_good; i++)
		is_good = map_set(*by_id, s[i].id, &s[i]) == 0 &&
			  (map_get(*by_kernel, s[i].kernel) || map_set(*by_kernel, s[i].kernel, &s[i]) == 0);
	if (is_good)
		return 0;
	map_free(by_id);
	map_free(by_kernel);
	return -1;
}

int look_set_sessions(struct notebook_look *l, struct look_session *sessions, size_t n, struct err *err)
{
	struct map *by_id, *by_kernel;
	if (index_sessions(sessions, n, &by_id, &by_kernel) < 0)
		return err_set(err, "no memory");
	look_free_sessions(l->sessions, l->n);
	map_free(&l->by_id);
	map_free(&l->by_kernel);
	l->sessions = sessions;
	l->n = n;
	l->by_id = by_id;
	l->by_kernel = by_kernel;
	return 0;
}

void look_forget_sessions(struct notebook_look *l, const char *kernel)
{
	size_t kept = 0;
	if (!l->by_kernel || !map_remove(l->by_kernel, kernel))
		return;
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->sessions[i].kernel, kernel) == 0) {
			map_remove(l->by_id, l->sessions[i].id);
			free(l->sessions[i].path);
		} else {
			if (map_get(l->by_kernel, l->sessions[i].kernel) == &l->sessions[i])
				map_set(l->by_kernel, l->sessions[i].kernel, &l->sessions[kept]); /* replaces: takes no memory */
			map_set(l->by_id, l->sessions[i].id, &l->sessions[kept]);
			l->sessions[kept++] = l->sessions[i];
		}
	l->n = kept;
}

/* --- one --- */

/* The project is the first folder of the path. */
static const char *project_of(const char *path, char *room, size_t size)
{
	size_t n = strcspn(path, "/");
	if (!path[n] || n >= size || !text_is_id(path, n))
		return "";
	memcpy(room, path, n);
	room[n] = 0;
	return room;
}

/* A backend that has not asked the keeper yet knows of no process. */
enum idle_state look_gone(const struct notebook_look *l, const struct notebook_entry *e, int64_t now)
{
	if (!l->t->node->facts.is_taken_up)
		return IDLE_UNKNOWN;
	return notebook_is_dead(e, now) ? IDLE_DEAD : IDLE_STARTING;
}

/* Why nobody knows what it does. */
static const char *unknown_why(const struct notebook_look *l, const struct notebook_entry *e, const struct look_kernel *k)
{
	if (l->why[0])
		return "the notebook server cannot be asked";
	if (e && !e->k.is_alive)
		return "not looked at yet: the backend has just started";
	if (k && k->is_unheard)
		return "not looked at yet: the notebook server has just started, and the kernel has not answered it";
	return !k || k->idle.looked_ms == 0 ? "not looked at yet" : "";
}

static void fill(struct notebook_look *l, const struct look_session *said, const struct notebook_entry *e, struct look_kernel *k,
		 char *project, size_t project_size, struct notebook_session *out)
{
	int64_t now = clock_wall_ms();
	*out = (struct notebook_session){ .id = said ? said->id
						: e  ? e->k.id
						     : k->id,
					  .path = said ? said->path
						  : e  ? e->k.path
						       : "",
					  .user = e   ? e->k.user
						  : k ? k->process.user
						      : "",
					  .process = e ? e->k.process : "",
					  .born_project = "",
					  .born_user = "",
					  .is_gone = said && said->is_gone && !l->why[0],
					  .spec = e && e->k.spec[0] ? e->k.spec
						  : k               ? k->spec
								    : "",
					  .pid = e   ? (e->k.is_alive ? e->k.pid : 0)
						 : k ? k->process.pid
						     : 0,
					  .nsessions = k && k->nsessions ? k->nsessions
						       : said            ? 1
									 : 0,
					  .limit_bytes = e ? e->limit_bytes : 0,
					  .started_ms = e ? e->k.started_ms : 0,
					  .leased_by = k ? k->leased_by : "",
					  .unknown_why = unknown_why(l, e, k),
					  .memory_bytes = -1,
					  .peak_bytes = -1,
					  .cpu_ms = -1,
					  .share = -1,
					  .connections = -1,
					  .quiet_ms = -1,
					  .silent_ms = -1 };
	out->kernel = said ? said->kernel : out->id;
	/* As it was told at the door: the server's list of sessions is a file that users' code can write. */
	out->project = e && e->k.project[0] ? e->k.project : project_of(out->path, project, project_size);
	if (e)
		notebook_born(e, &out->born_project, &out->born_user);
	if (e && !e->k.is_alive)
		out->state = look_gone(l, e, now);
	if (!k)
		return;
	if (!e || e->k.is_alive) {
		out->memory_bytes = k->memory_bytes;
		out->peak_bytes = k->peak_bytes;
		out->cpu_ms = k->cpu_ms;
		out->state = l->why[0] ? IDLE_UNKNOWN : idle_state(&k->idle, now);
	}
	if (out->state != IDLE_UNKNOWN && out->state != IDLE_DEAD) {
		out->connections = k->idle.connections;
		out->quiet_ms = idle_quiet(&k->idle, now);
		out->silent_ms = idle_silent(&k->idle, now);
	}
	out->share = k->idle.is_measured ? k->idle.share : -1;
	out->work_ms = k->idle.work_ms;
	out->lease_ms = k->lease_ms > now ? k->lease_ms : 0;
	if (!e && (k->process.pid || k->idle.is_trusted)) /* of a trusted one: since it is known */
		out->started_ms = k->idle.started_ms;
}

static struct notebook_entry *entry_of(const struct notebook_look *l, const char *kernel)
{
	return (struct notebook_entry *)node_notebooks_find(l->t, kernel);
}

static bool has_session(const struct notebook_look *l, const char *kernel)
{
	return l->by_kernel && map_get(l->by_kernel, kernel);
}

const char *notebook_session_of(const struct node_notebooks *t, const char *kernel)
{
	const struct look_session *s = t->look && t->look->by_kernel ? map_get(t->look->by_kernel, kernel) : NULL;
	return s ? s->id : NULL;
}

void node_notebooks_each_session(struct node_notebooks *t, notebook_session_fn *fn, void *data)
{
	struct notebook_look *l = t->look;
	struct notebook_session s;
	char project[128];
	size_t cursor = 0;
	for (size_t i = 0; l && i < l->n; i++) {
		fill(l, &l->sessions[i], entry_of(l, l->sessions[i].kernel), look_find(l, l->sessions[i].kernel), project,
		     sizeof(project), &s);
		fn(data, &s);
	}
	/* kernels that no session is told of, alone */
	for (struct notebook_entry *e; l && (e = map_next(t->by_id, &cursor));) {
		if (!e->k.is_alive || has_session(l, e->k.id))
			continue;
		fill(l, NULL, e, e->k.look, project, sizeof(project), &s);
		fn(data, &s);
	}
	cursor = 0;
	for (struct look_kernel *k; l && (k = map_next(l->others, &cursor));) {
		if (has_session(l, k->id))
			continue;
		fill(l, NULL, NULL, k, project, sizeof(project), &s);
		fn(data, &s);
	}
}

bool node_notebooks_session(struct node_notebooks *t, const char *id, struct notebook_session *out)
{
	static char project[128]; /* as long as the loop does not go on, nobody else asks */
	struct notebook_look *l = t->look;
	if (!l)
		return false;
	const struct look_session *said = l->by_id ? map_get(l->by_id, id) : NULL;
	if (!said && l->by_kernel)
		said = map_get(l->by_kernel, id);
	const char *kernel = said ? said->kernel : id;
	struct notebook_entry *e = entry_of(l, kernel);
	struct look_kernel *k = look_find(l, kernel);
	if (!said && !k && !(e && e->k.is_alive))
		return false;
	fill(l, said, e, k, project, sizeof(project), out);
	return true;
}

/* --- who asks --- */

static void put_row(void *data, const struct notebook_session *s)
{
	look_put_session(s, data);
}

void look_answer_askers(struct notebook_look *l)
{
	struct buf out;
	struct err err = { 0 };
	struct look_asker *next = l->askers;
	if (!next)
		return;
	l->askers = NULL;
	buf_init(&out, LIST_MAX);
	buf_putc(&out, '[');
	node_notebooks_each_session(l->t, put_row, &out);
	buf_putc(&out, ']');
	if (l->why[0])
		look_say_why(l, err.text, sizeof(err.text));
	if (out.failed)
		err_set(&err, "no memory for the list of notebooks");
	for (struct look_asker *a; (a = next);) {
		next = a->next;
		a->fn(a->data, out.failed ? NULL : &out, err.text[0] ? &err : NULL);
		free(a);
	}
	buf_fini(&out);
}

void node_notebooks_list(struct node_notebooks *t, node_notebooks_list_fn *fn, void *data)
{
	struct notebook_look *l = t->look;
	struct err err = { 0 };
	struct look_asker *a = l && !t->is_stopped ? calloc(1, sizeof(*a)) : NULL;
	if (!a) {
		err_set(&err, "unable to list the notebooks: %s", t->is_stopped ? "the backend ends" : "no memory");
		fn(data, NULL, &err);
		return;
	}
	*a = (struct look_asker){ fn, data, NULL };
	look_for(l, a);
}
