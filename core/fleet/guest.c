#include "fleet/guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/guest_inner.h"
#include "fleet/jtext.h"
#include "fleet/usage.h"
#include "sys/clock.h"

static const char *const kinds[GUEST_KINDS] = { "recipe", "webapp", "notebook", "" };

static size_t kind_at(const char *name)
{
	size_t i = 0;
	while (i < GUEST_KINDS - 1 && strcmp(kinds[i], name) != 0)
		i++;
	return i;
}

/* --- facts: a copy in one JSON object, whose texts the facts borrow --- */

static const struct {
	const char *name;
	size_t at;
} texts[] = {
	{ "kind", offsetof(struct guest_facts, kind) },
	{ "id", offsetof(struct guest_facts, id) },
	{ "user", offsetof(struct guest_facts, user) },
	{ "project", offsetof(struct guest_facts, project) },
	{ "job", offsetof(struct guest_facts, job) },
	{ "activity", offsetof(struct guest_facts, activity) },
	{ "recipe", offsetof(struct guest_facts, recipe) },
	{ "task", offsetof(struct guest_facts, task) },
	{ "recipeType", offsetof(struct guest_facts, recipe_type) },
	{ "webapp", offsetof(struct guest_facts, webapp) },
	{ "notebook", offsetof(struct guest_facts, notebook) },
	{ "kernelSpec", offsetof(struct guest_facts, kernel_spec) },
};

static int copy_list(json_t *copy, const char *name, const json_t *list)
{
	return list ? json_object_set_new(copy, name, json_deep_copy(list)) : 0;
}

static int take_facts(struct guest *g, const struct guest_facts *from, const json_t *holds)
{
	g->copy = json_object();
	g->facts = *from;
	for (size_t i = 0; g->copy && i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *s = *(const char *const *)((const char *)from + texts[i].at);
		const char **to = (const char **)((char *)&g->facts + texts[i].at);
		json_t *value = s ? json_string(s) : NULL;
		/* What is no UTF-8 is left out: it names nothing. */
		*to = value ? json_string_value(value) : NULL;
		if (value && json_object_set_new(g->copy, texts[i].name, value) < 0)
			return -1;
	}
	if (!g->copy || copy_list(g->copy, "tags", from->tags) < 0 || copy_list(g->copy, "resources", from->resources) < 0 ||
	    copy_list(g->copy, "holds", holds) < 0)
		return -1;
	g->facts.tags = json_object_get(g->copy, "tags");
	g->facts.resources = json_object_get(g->copy, "resources");
	g->holds = json_object_get(g->copy, "holds");
	g->facts.kind = g->facts.kind ? g->facts.kind : "";
	g->facts.id = g->facts.id ? g->facts.id : "";
	g->kind = kind_at(g->facts.kind);
	g->bytes = from->memory_bytes > 0 ? from->memory_bytes : from->memory_bytes < 0 ? 0 : GUEST_LEAST;
	return 0;
}

const char *guest_title(const struct guest *g, char *out, size_t room)
{
	const struct guest_facts *f = &g->facts;
	const char *name = f->recipe ? f->recipe : f->webapp ? f->webapp : f->activity ? f->activity : f->id;
	snprintf(out, room, "%s \"%s\"", f->kind, name);
	return out;
}

/* --- names that one has alone --- */

const struct guest *guest_holder(const struct guest *g)
{
	size_t i;
	json_t *name;
	json_array_foreach(g->holds, i, name)
	{
		const struct guest *other = json_is_string(name) ? map_get(g->in->holders, json_string_value(name)) : NULL;
		if (other && other != g)
			return other;
	}
	return NULL;
}

static void hold(struct guest *g)
{
	size_t i;
	json_t *name;
	json_array_foreach(g->holds, i, name) if (json_is_string(name) && !map_get(g->in->holders, json_string_value(name)) &&
						  map_set(g->in->holders, json_string_value(name), g) < 0)
		log_error("no memory to remember that %s is in use", json_string_value(name));
}

static bool wants(const struct guest *g, const char *name)
{
	size_t i;
	json_t *v;
	json_array_foreach(g->holds, i, v) if (json_is_string(v) && strcmp(json_string_value(v), name) == 0) return true;
	return false;
}

/* Two that were taken up may have the same name: the other one holds it then. */
static void pass_on(struct guests *guests, const char *name)
{
	list_each (&guests->placed, l) {
		struct guest *other = list_of(l, struct guest, link);
		if (wants(other, name)) {
			map_set(guests->holders, name, other);
			return;
		}
	}
}

static void let_go_of(struct guest *g)
{
	size_t i;
	json_t *name;
	json_array_foreach(g->holds, i, name)
	{
		const char *s = json_string_value(name);
		if (!s || map_get(g->in->holders, s) != g)
			continue;
		map_remove(g->in->holders, s);
		pass_on(g->in, s);
	}
}

/* --- by id --- */

#define KEY_MAX 400

static void make_key(char key[KEY_MAX], const char *kind, const char *id)
{
	snprintf(key, KEY_MAX, "%s\x1f%s", kind, id);
}

const struct guest *guests_find(const struct guests *guests, const char *kind, const char *id)
{
	char key[KEY_MAX];
	make_key(key, kind, id);
	return map_get(guests->by_id, key);
}

const struct guest_facts *guest_facts(const struct guest *g)
{
	return &g->facts;
}

int64_t guest_since(const struct guest *g)
{
	return g->since_ms;
}

/* Of two with one id the newer one is found. */
static int make_known(struct guest *g)
{
	char key[KEY_MAX];
	make_key(key, g->facts.kind, g->facts.id);
	return map_set(g->in->by_id, key, g);
}

static void make_unknown(struct guest *g)
{
	char key[KEY_MAX];
	if (!g->facts.kind || !g->facts.id)
		return;
	make_key(key, g->facts.kind, g->facts.id);
	if (map_get(g->in->by_id, key) == g)
		map_remove(g->in->by_id, key);
}

/* --- life --- */

static void guest_free(struct guest *g)
{
	list_remove(&g->link);
	list_remove(&g->in_news);
	slots_ticket_free(&g->ticket);
	make_unknown(g);
	json_decref(g->copy);
	free(g);
}

static struct guest *guest_new(struct guests *guests, const struct guest_facts *facts, const json_t *holds)
{
	struct guest *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	list_init(&g->link);
	list_init(&g->in_news);
	g->in = guests;
	g->number = ++guests->count;
	g->since_ms = clock_wall_ms();
	g->asked_mono_ms = clock_mono_ms();
	if (take_facts(g, facts, holds) < 0 || make_known(g) < 0) {
		guest_free(g);
		return NULL;
	}
	/* A webapp is there for days, for others than its owner: it does not push back what the owner asks for. */
	bool counts = g->facts.user && *g->facts.user && strcmp(g->facts.kind, "webapp") != 0 && g->bytes > 0;
	g->user = counts ? usage_user(guests->fleet->usage, g->facts.user) : NULL;
	return g;
}

void guest_count(struct guest *g)
{
	int64_t now = clock_mono_ms();
	list_remove(&g->link);
	list_push(&g->in->placed, &g->link);
	g->state = GUEST_PLACED;
	g->block = GUEST_BLOCK_NONE;
	g->since_ms = clock_wall_ms();
	g->placed_mono_ms = now;
	g->in->placed_bytes[g->kind] += g->bytes;
	slots_enter(g->ticket, g->bytes);
	if (g->user)
		usage_begin(g->user, g->bytes, now);
	hold(g);
}

struct guest *guest_ask(struct guests *guests, const struct guest_facts *facts, const json_t *holds, guest_fn *fn, void *data)
{
	struct guest *g = guest_new(guests, facts, holds);
	if (!g)
		return NULL;
	g->fn = fn;
	g->data = data;
	g->block = GUEST_BLOCK_NEW;
	snprintf(g->why, sizeof(g->why), "it has just asked for a place");
	guest_place(g);
	list_push(&guests->waiting, &g->link);
	guests_touch(guests);
	return g;
}

struct guest *guest_adopt(struct guests *guests, const struct guest_facts *facts, const json_t *holds)
{
	struct guest *g = guest_new(guests, facts, holds);
	if (!g)
		return NULL;
	guest_place(g);
	guest_count(g);
	guests_touch(guests);
	return g;
}

void guest_leave(struct guest **gp)
{
	struct guest *g = *gp;
	if (!g)
		return;
	*gp = NULL;
	struct guests *guests = g->in;
	if (g->state == GUEST_PLACED) {
		guests->placed_bytes[g->kind] -= g->bytes;
		list_remove(&g->link); /* first: it passes nothing on to itself */
		let_go_of(g);
		if (g->user)
			usage_end(g->user, g->bytes, clock_mono_ms());
	}
	guest_free(g);
	guests_touch(guests);
}

/* --- what others see --- */

bool guest_is_waiting(const struct guest *g)
{
	return g && g->state == GUEST_WAITING;
}

/* shares: what is promised to whom, where somebody asks for many at once; else NULL. */
static bool say_why(const struct guest *g, const struct budget_shares *shares, char *why, size_t room)
{
	if (!guest_is_waiting(g))
		return false;
	if (g->in->fleet->is_draining)
		snprintf(why, room, "the instance is draining: nothing new is started");
	else if (g->block == GUEST_BLOCK_MEMORY)
		budget_guest_why(g->in->fleet, shares, g->bytes, why, room);
	else
		snprintf(why, room, "%s", g->why);
	return true;
}

bool guest_why(const struct guest *g, char *why, size_t room, int *position)
{
	if (!say_why(g, NULL, why, room))
		return false;
	if (position)
		*position = guest_position(g);
	return true;
}

int64_t guests_promise(const struct guests *guests, const char *kind)
{
	int64_t sum = 0;
	for (size_t i = 0; guests && i < GUEST_KINDS; i++)
		if (!kind || kind_at(kind) == i)
			sum += guests->placed_bytes[i];
	return sum;
}

void guests_each(const struct guests *guests, guests_fn *fn, void *data)
{
	const struct list *const lists[] = { &guests->placed, &guests->waiting };
	for (size_t i = 0; i < 2; i++)
		list_each (lists[i], l) {
			const struct guest *g = list_of(l, struct guest, link);
			fn(data, &g->facts, g->state == GUEST_WAITING, g->since_ms);
		}
}

static void put_guest(const struct guest *g, const struct budget_shares *shares, struct buf *out)
{
	char why[GUEST_WHY];
	jtext_next(out);
	buf_putc(out, '{');
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		jtext_some_text(out, texts[i].name, json_string_value(json_object_get(g->copy, texts[i].name)));
	jtext_some_int(out, "limitBytes", g->facts.memory_bytes > 0 ? g->facts.memory_bytes : -1);
	jtext_int(out, "countsBytes", g->bytes);
	jtext_int(out, "priority", g->facts.priority);
	jtext_text(out, "state", g->state == GUEST_WAITING ? "waiting" : "placed");
	if (say_why(g, shares, why, sizeof(why))) {
		jtext_text(out, "reason", why);
		jtext_int(out, "position", guest_position(g));
	}
	jtext_int(out, "since", g->since_ms);
	buf_putc(out, '}');
}

int guests_json(struct guests *guests, struct buf *out)
{
	struct budget_shares shares;
	budget_read_shares(guests->fleet, &shares);
	guests_number(guests);
	buf_putc(out, '[');
	list_each (&guests->placed, l)
		put_guest(list_of(l, struct guest, link), &shares, out);
	list_each (&guests->waiting, l)
		put_guest(list_of(l, struct guest, link), &shares, out);
	buf_putc(out, ']');
	guests->is_numbered = false;
	return out->failed ? -1 : 0;
}

void guests_touch(struct guests *guests)
{
	guests->is_dirty = true;
	fleet_touch(guests->fleet);
}

/* --- set-up --- */

struct guests *guests_new(struct fleet *fleet)
{
	struct guests *guests = calloc(1, sizeof(*guests));
	if (!guests)
		return NULL;
	guests->fleet = fleet;
	list_init(&guests->waiting);
	list_init(&guests->placed);
	list_init(&guests->news);
	guests->holders = map_new();
	guests->by_id = map_new();
	if (!guests->holders || !guests->by_id)
		guests_free(&guests);
	return guests;
}

void guests_free(struct guests **gp)
{
	struct guests *guests = *gp;
	if (!guests)
		return;
	struct list *const lists[] = { &guests->news, &guests->placed, &guests->waiting };
	list_each (lists[0], l) { /* refused ones are in no other list */
		struct guest *g = list_of(l, struct guest, in_news);
		if (g->state == GUEST_REFUSED)
			guest_free(g);
	}
	for (size_t i = 1; i < 3; i++)
		list_each (lists[i], l)
			guest_free(list_of(l, struct guest, link));
	map_free(&guests->holders);
	map_free(&guests->by_id);
	free(guests);
	*gp = NULL;
}
