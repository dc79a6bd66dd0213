#include "node/node_notebook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/jtext.h"
#include "node/node_notebook_inner.h"
#include "node/node_orders.h"

#define GRACE_MS 5000

/* --- the table --- */

static void entry_free(struct notebook_entry *e)
{
	notebook_look_drop(&e->k);
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
		if (strcmp(e->k.process, process) == 0)
			return e;
	return NULL;
}

int notebook_keep(const struct notebook_entry *e, store_done_fn *fn, void *data)
{
	(void)e;
	(void)fn;
	(void)data;
	return 0;
}

void notebook_forget(struct notebook_entry *e)
{
	map_remove(e->in->by_id, e->k.id);
	entry_free(e);
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

/* --- what the keeper tells --- */

bool node_notebooks_ended(struct node_notebooks *t, const struct judge_end *end, store_done_fn *fn, void *data)
{
	struct notebook_entry *e = notebook_by_process(t, end->id);
	if (!e)
		return false;
	(void)fn;
	(void)data;
	return false;
}

void node_notebooks_take_row(struct node_notebooks *t, const char *process, const char *state, bool is_alive)
{
	(void)t;
	(void)process;
	(void)state;
	(void)is_alive;
}

void node_notebooks_taken_up(struct node_notebooks *t)
{
	(void)t;
}

int node_notebooks_end(struct node_notebooks *t, const char *kernel, const char *cause, const char *text, struct err *err)
{
	struct notebook_kernel *k = node_notebooks_find(t, kernel);
	if (!k || !k->process[0])
		return err_set(err, "unable to end the kernel %s: it is not running", kernel);
	return node_orders_stop(t->node, k->process, cause, text, GRACE_MS, err);
}

void node_notebooks_put_row(struct node_notebooks *t, const char *process, struct buf *out)
{
	const struct notebook_entry *e = notebook_by_process(t, process);
	if (!e)
		return;
	jtext_text(out, "user", e->k.user);
	jtext_text(out, "project", e->k.project);
	jtext_text(out, "notebook", e->k.path);
	jtext_text(out, "kernelId", e->k.id);
	jtext_text(out, "kernelSpec", e->k.spec);
}

/* --- set-up --- */

struct node_notebooks *node_notebooks_new(struct node *n, const char *dir, struct err *err)
{
	struct node_notebooks *t = calloc(1, sizeof(*t));
	if (t) {
		t->node = n;
		t->by_id = map_new();
		if (strlen(dir) < sizeof(t->dir))
			snprintf(t->dir, sizeof(t->dir), "%s", dir);
	}
	if (!t || !t->by_id || !t->dir[0]) {
		err_set(err, "unable to load the notebooks: %s", t && t->by_id ? "the folder's name is too long" : "no memory");
		node_notebooks_free(&t);
		return NULL;
	}
	if (notebook_look_new(t, err) < 0)
		node_notebooks_free(&t);
	return t;
}

void node_notebooks_stop(struct node_notebooks *t)
{
	t->is_stopped = true;
	notebook_look_stop(t);
}

void node_notebooks_free(struct node_notebooks **tp)
{
	struct node_notebooks *t = *tp;
	size_t cursor = 0;
	if (!t)
		return;
	for (struct notebook_entry *e; t->by_id && (e = map_next(t->by_id, &cursor));)
		entry_free(e);
	notebook_look_free(t);
	map_free(&t->by_id);
	free(t);
	*tp = NULL;
}
