#include "keeper/boxes.h"

#include <stdlib.h>
#include <string.h>

#include "keeper/proc.h"

/* Depth: a path has at most as many parts as half of the bytes of desc.box. */
struct box {
	struct list link; /* in parent->boxes */
	struct list boxes, procs;
	struct box *parent; /* NULL: of the first part of a path */
	char path[];
};

int boxes_init(struct boxes *b)
{
	b->by_path = map_new();
	return b->by_path ? 0 : -1;
}

void boxes_fini(struct boxes *b)
{
	map_free(&b->by_path);
}

/* One in which nobody lives goes, and those above it that were there for it alone. */
static void drop_empty(struct boxes *b, struct box *box)
{
	while (box && list_is_empty(&box->procs) && list_is_empty(&box->boxes)) {
		struct box *parent = box->parent;
		map_remove(b->by_path, box->path);
		list_remove(&box->link);
		free(box);
		box = parent;
	}
}

static struct box *box_new(struct boxes *b, const char *path, struct box *parent)
{
	size_t len = strlen(path);
	struct box *box = calloc(1, sizeof(*box) + len + 1);
	if (!box || map_set(b->by_path, path, box) < 0) {
		free(box);
		return NULL;
	}
	memcpy(box->path, path, len + 1);
	list_init(&box->link);
	list_init(&box->boxes);
	list_init(&box->procs);
	box->parent = parent;
	if (parent)
		list_push(&parent->boxes, &box->link);
	return box;
}

/* That box with all above it, made where they are not there. */
static struct box *reach(struct boxes *b, const char *path)
{
	char part[sizeof(((struct desc *)NULL)->box)];
	struct box *box = NULL;
	for (const char *end = path; *end; end += *end == '/') {
		end = strchrnul(end, '/');
		size_t len = (size_t)(end - path);
		memcpy(part, path, len);
		part[len] = '\0';
		struct box *next = map_get(b->by_path, part);
		if (!next && !(next = box_new(b, part, box))) {
			drop_empty(b, box);
			return NULL;
		}
		box = next;
	}
	return box;
}

int boxes_enter(struct boxes *b, struct proc *p)
{
	struct box *box = reach(b, p->desc.box);
	list_init(&p->in_box);
	p->box = box;
	if (!box)
		return p->desc.box[0] ? -1 : 0;
	list_push(&box->procs, &p->in_box);
	return 0;
}

void boxes_leave(struct boxes *b, struct proc *p)
{
	struct box *box = p->box;
	if (!box)
		return;
	p->box = NULL;
	list_remove(&p->in_box);
	drop_empty(b, box);
}

/* --- questions --- */

bool boxes_has(const struct boxes *b, const char *path)
{
	return map_get(b->by_path, path) != NULL;
}

static bool each_in(const struct box *box, bool (*fn)(void *data, struct proc *p), void *data)
{
	list_each (&box->procs, at)
		if (!fn(data, list_of(at, struct proc, in_box)))
			return false;
	return true;
}

static bool each_below(const struct box *box, bool (*fn)(void *data, struct proc *p), void *data)
{
	list_each (&box->boxes, at) {
		const struct box *inner = list_of(at, struct box, link);
		if (!each_in(inner, fn, data) || !each_below(inner, fn, data))
			return false;
	}
	return true;
}

bool boxes_each_in(const struct boxes *b, const char *path, bool (*fn)(void *data, struct proc *p), void *data)
{
	const struct box *box = map_get(b->by_path, path);
	return !box || each_in(box, fn, data);
}

bool boxes_each_below(const struct boxes *b, const char *path, bool (*fn)(void *data, struct proc *p), void *data)
{
	const struct box *box = map_get(b->by_path, path);
	return !box || each_below(box, fn, data);
}

bool boxes_each(const struct boxes *b, const char *path, bool (*fn)(void *data, struct proc *p), void *data)
{
	return boxes_each_in(b, path, fn, data) && boxes_each_below(b, path, fn, data);
}

static bool take_first(void *data, struct proc *p)
{
	*(const struct proc **)data = p;
	return false;
}

const struct proc *boxes_crossing(const struct boxes *b, const char *path)
{
	char above[sizeof(((struct desc *)NULL)->box)];
	const struct proc *found = NULL;
	if (!boxes_each_below(b, path, take_first, &found))
		return found;
	size_t len = strlen(path);
	if (len >= sizeof(above))
		return NULL;
	memcpy(above, path, len + 1);
	for (char *slash; (slash = strrchr(above, '/'));) {
		*slash = '\0';
		if (!boxes_each_in(b, above, take_first, &found))
			return found;
	}
	return NULL;
}
