#include "node/node_notebook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/feed.h"
#include "fleet/fleet.h"
#include "fleet/jtext.h"
#include "net/json.h"
#include "node/node_notebook_inner.h"
#include "node/node_orders.h"
#include "sys/clock.h"
#include "sys/proc.h"

#define GRACE_MS   5000
#define WISH_MS    120000 /* a kernel that goes on so long after it was to end goes on for good */
#define DETAIL_MAX ((size_t)64 << 10)

/* --- the table --- */

static void entry_free(struct notebook_entry *e)
{
	notebook_start_free(&e->start);
	notebook_look_drop(&e->k);
	notebook_birth_free(&e->birth);
	free(e->k.path);
	free(e->k.message);
	free(e);
}

struct notebook_entry *notebook_get(struct node_notebooks *t, const char *kernel)
{
	struct notebook_entry *e = map_get(t->by_id, kernel);
	if (e || strlen(kernel) >= sizeof(e->k.id) || !(e = calloc(1, sizeof(*e))))
		return e;
	e->in = t;
	snprintf(e->k.id, sizeof(e->k.id), "%s", kernel);
	e->k.path = strdup("");
	if (e->k.path && map_set(t->by_id, kernel, e) == 0)
		return e;
	entry_free(e);
	return NULL;
}

struct notebook_entry *notebook_by_process(struct node_notebooks *t, const char *process)
{
	size_t cursor = 0;
	if (strncmp(process, "notebook-", 9) != 0)
		return NULL;
	for (struct notebook_entry *e; (e = map_next(t->by_id, &cursor));)
		if (strcmp(e->k.process, process) == 0 || strcmp(e->before, process) == 0 ||
		    (e->start && strcmp(e->start->process, process) == 0))
			return e;
	return NULL;
}

void notebook_set_text(char **to, const char *text)
{
	char *copy = strdup(text);
	if (!copy)
		return;
	free(*to);
	*to = copy;
}

struct notebook_kernel *node_notebooks_find(struct node_notebooks *t, const char *kernel)
{
	struct notebook_entry *e = map_get(t->by_id, kernel);
	return e ? &e->k : NULL;
}

void node_notebooks_each(struct node_notebooks *t, node_notebooks_fn *fn, void *data)
{
	size_t cursor = 0;
	for (struct notebook_entry *e; (e = map_next(t->by_id, &cursor));)
		fn(data, &e->k);
}

/* --- its row --- */

static void put_detail(const struct notebook_entry *e, struct buf *out)
{
	const struct notebook_kernel *k = &e->k;
	jtext_text(out, "path", k->path);
	jtext_some_text(out, "project", k->project);
	jtext_some_text(out, "user", k->user);
	jtext_some_text(out, "spec", k->spec);
	jtext_int(out, "pid", k->pid);
	jtext_int(out, "startedAt", k->started_ms);
	jtext_some_int(out, "endedAt", e->ended_ms ? e->ended_ms : -1);
	jtext_some_text(out, "cause", k->cause);
	jtext_some_text(out, "message", k->message);
	jtext_some_int(out, "limitBytes", e->limit_bytes ? e->limit_bytes : -1);
	jtext_bool(out, "unwanted", e->is_unwanted);
	jtext_int(out, "wish", e->wish);
	jtext_int(out, "wishAt", e->wish_ms);
	jtext_bool(out, "moving", e->is_moving);
	jtext_some_text(out, "before", e->before);
	jtext_some_text(out, "nonce", e->nonce_hash);
	jtext_member(out, "birth");
	notebook_birth_put(&e->birth, out);
	if (e->start) {
		jtext_member(out, "start");
		notebook_start_put(e->start, out);
	}
	notebook_look_put(k, out);
}

int notebook_keep(const struct notebook_entry *e, store_done_fn *fn, void *data)
{
	struct buf detail;
	buf_init(&detail, DETAIL_MAX);
	buf_putc(&detail, '{');
	put_detail(e, &detail);
	buf_putc(&detail, '}');
	const struct notebook_row row = { e->k.id, e->k.process, detail.data };
	int rc = detail.failed ? -1 : notebook_save(fleet_store(e->in->node->fleet), &row, fn, data);
	buf_fini(&detail);
	if (rc < 0)
		log_error("unable to save the kernel %s of a notebook: the store takes nothing now", e->k.id);
	return rc;
}

/* A row of an older backend has no such member: what its kernel was born as stands in the row itself. */
static void take_birth(struct notebook_entry *e, const json_t *d)
{
	const json_t *birth = json_object_get(d, "birth");
	notebook_birth_read(&e->birth, birth ? birth : d);
	if (!birth)
		notebook_birth_name(&e->birth, e->k.path);
}

static void take_saved(void *data, const struct notebook_row *row)
{
	struct notebook_entry *e = notebook_get(data, row->kernel);
	json_t *d = e ? json_parse_object(row->detail, strlen(row->detail), NULL) : NULL;
	if (!d)
		return;
	struct notebook_kernel *k = &e->k;
	const char *path = json_string_value(json_object_get(d, "path")),
		   *message = json_string_value(json_object_get(d, "message"));
	snprintf(k->process, sizeof(k->process), "%s", row->process);
	notebook_set_text(&k->path, path ? path : "");
	json_copy_text(d, "project", k->project, sizeof(k->project));
	json_copy_text(d, "user", k->user, sizeof(k->user));
	json_copy_text(d, "spec", k->spec, sizeof(k->spec));
	json_copy_text(d, "cause", k->cause, sizeof(k->cause));
	json_copy_text(d, "before", e->before, sizeof(e->before));
	if (message)
		notebook_set_text(&k->message, message);
	k->pid = (int)json_integer_value(json_object_get(d, "pid"));
	k->started_ms = json_integer_value(json_object_get(d, "startedAt"));
	e->ended_ms = json_integer_value(json_object_get(d, "endedAt"));
	e->limit_bytes = json_integer_value(json_object_get(d, "limitBytes"));
	e->is_unwanted = json_is_true(json_object_get(d, "unwanted"));
	e->wish = (enum notebook_wish)json_integer_value(json_object_get(d, "wish"));
	e->wish_ms = json_integer_value(json_object_get(d, "wishAt"));
	e->is_moving = json_is_true(json_object_get(d, "moving"));
	json_copy_text(d, "nonce", e->nonce_hash, sizeof(e->nonce_hash));
	take_birth(e, d);
	e->start = notebook_start_again(e, json_object_get(d, "start"));
	notebook_look_take(k, d);
	json_decref(d);
}

void notebook_forget(struct notebook_entry *e)
{
	guest_leave(&e->guest);
	if (notebook_remove(fleet_store(e->in->node->fleet), e->k.id, NULL, NULL) < 0)
		log_error("unable to forget the kernel %s of a notebook: the store takes nothing now", e->k.id);
	map_remove(e->in->by_id, e->k.id);
	entry_free(e);
}

bool notebook_forget_old(struct notebook_entry *e, int64_t now)
{
	bool is_old = !e->k.is_alive && !e->k.process[0] && !e->start && now - e->ended_ms > DEAD_KEPT_MS;
	if (is_old)
		notebook_forget(e);
	return is_old;
}

bool notebook_is_dead(const struct notebook_entry *e, int64_t now)
{
	return !e->k.is_alive && !e->start && now - e->ended_ms >= STARTS_AGAIN_MS;
}

/* --- ends --- */

enum notebook_wish notebook_wish_of(const struct notebook_entry *e)
{
	return clock_wall_ms() - e->wish_ms < WISH_MS ? e->wish : NOTEBOOK_GOES_ON;
}

/* is_now: of its process now; else of the one before a restart, or of one that never got its place: the kernel's own words are not about those. */
static int note_end(const struct notebook_entry *e, const struct judge_end *end, bool is_now, store_done_fn *fn, void *data)
{
	struct buf detail;
	const struct notebook_kernel *k = &e->k;
	const struct notebook_start *s = e->start && strcmp(e->start->process, end->id) == 0 ? e->start : NULL;
	const char *user = s ? s->birth.user : k->user;
	buf_init(&detail, DETAIL_MAX);
	buf_putc(&detail, '{');
	jtext_text(&detail, "notebook", s ? s->path : k->path);
	jtext_some_text(&detail, "project", s ? s->birth.project : k->project);
	jtext_some_text(&detail, "session", notebook_session_of(e->in, k->id));
	jtext_text(&detail, "process", end->id);
	jtext_text(&detail, "cause", is_now ? k->cause : end->cause);
	jtext_some_text(&detail, "message", is_now ? k->message : NULL);
	jtext_some_int(&detail, "peakBytes", end->peak_bytes);
	jtext_some_int(&detail, "limitBytes", end->limit_bytes);
	buf_putc(&detail, '}');
	struct store_fact fact = { "notebook.ended", k->id,        detail.failed ? NULL : detail.data,
				   end->wall_ms,     end->mono_ms, user[0] ? user : FEED_OWN_ADMIN };
	int rc = store_add_fact(fleet_store(e->in->node->fleet), &fact, fn, data);
	buf_fini(&detail);
	return rc;
}

static bool is_oom(const char *cause)
{
	return strncmp(cause, "oom_", 4) == 0;
}

/* Its row stays for a while where its owner did not end it himself. */
static void end_kernel(struct notebook_entry *e, const struct judge_end *end)
{
	struct notebook_kernel *k = &e->k;
	char text[1600];
	enum notebook_wish wish = notebook_wish_of(e);
	bool is_wished = wish != NOTEBOOK_GOES_ON && !is_oom(end->cause);
	k->is_alive = false;
	k->process[0] = '\0';
	e->nonce_hash[0] = '\0';
	e->ended_ms = clock_wall_ms();
	guest_leave(&e->guest);
	snprintf(k->cause, sizeof(k->cause), "%s", is_wished ? "user" : end->cause);
	if (is_wished)
		snprintf(text, sizeof(text), "%s", wish == NOTEBOOK_RESTARTS ? "It was restarted." : "It was shut down.");
	else
		notebook_tell_end(e, end, text, sizeof(text));
	notebook_set_text(&k->message, text);
	if (is_oom(end->cause))
		log_warn("%s", text);
	else
		log_info("kernel %s: %s", k->id, text);
}

bool node_notebooks_ended(struct node_notebooks *t, const struct judge_end *end, store_done_fn *fn, void *data)
{
	struct notebook_entry *e = notebook_by_process(t, end->id);
	if (!e)
		return false;
	bool is_now = strcmp(e->k.process, end->id) == 0,
	     is_last = notebook_wish_of(e) == NOTEBOOK_SHUTS_DOWN || strcmp(end->cause, "shutdown") == 0;
	if (strcmp(e->before, end->id) == 0)
		e->before[0] = '\0';
	if (is_now)
		end_kernel(e, end);
	/* -1: not acknowledged, the next backend hears it again */
	note_end(e, end, is_now, fn, data);
	e->wish = is_now ? NOTEBOOK_GOES_ON : e->wish;
	if (e->start && strcmp(e->start->process, end->id) == 0)
		notebook_start_free(&e->start); /* it went while it was being boxed */
	if (!e->start && !e->k.is_alive && (is_now ? is_last : !e->ended_ms))
		notebook_forget(e);
	else
		notebook_keep(e, NULL, NULL);
	node_notebooks_look(t);
	return true;
}

int node_notebooks_end(struct node_notebooks *t, const char *kernel, const char *cause, const char *text, struct err *err)
{
	struct notebook_entry *e = map_get(t->by_id, kernel);
	if (!e || !e->k.process[0])
		return err_set(err, "unable to end the kernel %s: it is not running", kernel);
	e->is_unwanted = true;
	int rc = node_orders_stop(t->node, e->k.process, cause, text, GRACE_MS, err);
	if (rc < 0) /* it goes on: its user may restart it */
		e->is_unwanted = false;
	notebook_keep(e, NULL, NULL);
	return rc;
}

/* --- taking up --- */

void node_notebooks_served(struct node_notebooks *t, int pid)
{
	t->server_pid = pid;
	t->server_started_ms = pid ? notebook_started_at(proc_start_ticks(pid)) : 0;
	if (t->node->facts.is_taken_up) /* before, a process that came with its nonce may stand in a row that is not read yet */
		notebook_starts_look(t);
	node_notebooks_look(t);
}

void node_notebooks_take_row(struct node_notebooks *t, const char *process, int pid, bool is_alive)
{
	struct notebook_entry *e = notebook_by_process(t, process);
	struct err err = { 0 };
	if (!e) {
		if (!is_alive)
			return;
		log_warn("%s: nobody knows which notebook's kernel it is; it is stopped", process);
		if (node_orders_stop(t->node, process, "policy", "the backend does not know what it is for", GRACE_MS, &err) < 0)
			log_error("unable to stop %s: %s", process, err.text);
		return;
	}
	if (strcmp(e->before, process) == 0)
		return;                                          /* its end is on its way */
	if (e->start && strcmp(e->start->process, process) == 0) /* the backend went when it had ordered its box */
		notebook_start_become(e->start, pid);
	e->k.pid = pid;
	e->k.is_alive = true;
	e->ended_ms = 0;
	e->is_seen = true;
	log_info("took up %s: kernel %s of notebook \"%s\"", process, e->k.id, e->k.path);
}

static void resume(struct notebook_entry *e, int64_t now)
{
	if (e->is_seen) {
		const struct guest_facts facts = notebook_facts(&e->birth, e->k.process, e->limit_bytes);
		e->guest = guest_adopt(fleet_guests(e->in->node->fleet), &facts, NULL);
		if (e->is_moving)
			notebook_move(e, NULL);
		return;
	}
	if (e->k.process[0]) { /* it went with an older keeper, and its end with it */
		e->k.process[0] = '\0';
		e->ended_ms = now;
		snprintf(e->k.cause, sizeof(e->k.cause), "%s", "unknown");
		notebook_set_text(&e->k.message, "It ended while nobody looked: the node was stopped.");
		notebook_keep(e, NULL, NULL); /* else each backend would find it anew, and none would forget it */
	}
	e->k.is_alive = false;
	e->before[0] = '\0';
	notebook_forget_old(e, now);
}

void node_notebooks_taken_up(struct node_notebooks *t)
{
	size_t cursor = 0, n = 0;
	int64_t now = clock_wall_ms();
	struct notebook_entry **all = NULL, **more;
	for (struct notebook_entry *e; (e = map_next(t->by_id, &cursor));) { /* some are forgotten meanwhile */
		if (!(more = realloc(all, (n + 1) * sizeof(*all))))
			break;
		all = more;
		all[n++] = e;
	}
	for (size_t i = 0; i < n; i++)
		resume(all[i], now);
	free(all);
	notebook_starts_look(t);
	node_notebooks_look(t);
}

void notebook_born(const struct notebook_entry *e, const char **project, const char **user)
{
	bool is_moved = e->birth.user[0] && (strcmp(e->birth.project, e->k.project) != 0 || strcmp(e->birth.user, e->k.user) != 0);
	*project = is_moved ? e->birth.project : "";
	*user = is_moved ? e->birth.user : "";
}

void node_notebooks_put_row(struct node_notebooks *t, const char *process, struct buf *out)
{
	const struct notebook_entry *e = notebook_by_process(t, process);
	if (!e)
		return;
	const struct notebook_start *s = e->start && strcmp(e->start->process, process) == 0 ? e->start : NULL;
	jtext_text(out, "user", s ? s->birth.user : e->k.user);
	jtext_some_text(out, "project", s ? s->birth.project : e->k.project);
	jtext_text(out, "notebook", s ? s->path : e->k.path);
	jtext_text(out, "kernelId", e->k.id);
	jtext_text(out, "kernelSpec", s ? s->birth.spec : e->k.spec);
	const char *born_project = "", *born_user = "";
	if (!s)
		notebook_born(e, &born_project, &born_user);
	jtext_some_text(out, "bornProject", born_project);
	jtext_some_text(out, "bornUser", born_user);
}

const char *node_notebooks_owner(struct node_notebooks *t, const char *process)
{
	const struct notebook_entry *e = notebook_by_process(t, process);
	return !e ? NULL : e->start && strcmp(e->start->process, process) == 0 ? e->start->birth.user : e->k.user;
}

/* --- set-up --- */

static int take_config(struct node_notebooks *t, const struct node_config *c, struct err *err)
{
	const char *url = c->jupyter_url ? c->jupyter_url : "", *token = c->jupyter_token ? c->jupyter_token : "";
	if (strlen(c->dir) >= sizeof(t->dir) || strlen(url) >= sizeof(t->url) || strlen(token) >= sizeof(t->token_file))
		return err_set(err, "unable to load the notebooks: a path is too long");
	strcpy(t->dir, c->dir);
	strcpy(t->url, url);
	strcpy(t->token_file, token);
	t->is_ours = c->is_jupyter_ours;
	t->is_attached = url[0] && !t->is_ours;
	return 0;
}

struct node_notebooks *node_notebooks_new(struct node *n, const struct node_config *config, struct err *err)
{
	struct node_notebooks *t = calloc(1, sizeof(*t));
	if (t) {
		t->node = n;
		t->by_id = map_new();
	}
	if (!t || !t->by_id)
		err_set(err, "unable to load the notebooks: no memory");
	else if (take_config(t, config, err) == 0 && notebook_look_new(t, err) == 0 &&
		 notebook_load(fleet_store(n->fleet), take_saved, t, err) == 0 && notebook_door_new(t, err) == 0)
		return t;
	node_notebooks_free(&t);
	return NULL;
}

void node_notebooks_stop(struct node_notebooks *t)
{
	t->is_stopped = true;
	notebook_door_stop(t);
	notebook_look_stop(t);
}

void node_notebooks_free(struct node_notebooks **tp)
{
	struct node_notebooks *t = *tp;
	size_t cursor = 0;
	if (!t)
		return;
	notebook_door_stop(t);
	for (struct notebook_entry *e; t->by_id && (e = map_next(t->by_id, &cursor));)
		entry_free(e);
	notebook_look_free(t);
	map_free(&t->by_id);
	free(t);
	*tp = NULL;
}
