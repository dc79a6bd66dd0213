/* fleet_read: what is asked about futures, open and ended. */
#include <stdlib.h>
#include <string.h>

#include "fleet/fleet_inner.h"
#include "fleet/queue.h"
#include "sys/clock.h"

void fleet_get_memory(const struct fleet *fleet, struct fleet_memory *out)
{
	const struct budget *b = &fleet->budget;
	*out = (struct fleet_memory){ b->machine_bytes, b->reserve_bytes, b->total_bytes, budget_promise(fleet) };
}

struct get_wait {
	fleet_get_fn *fn;
	void *data;
};

static void on_got(void *data, struct future *f, const struct err *why)
{
	struct get_wait *w = data;
	w->fn(w->data, why ? FLEET_UNAVAILABLE : f ? FLEET_OK : FLEET_NOT_FOUND, f, why);
	future_free(&f);
	free(w);
}

uint64_t fleet_count_ends(const struct fleet *fleet)
{
	uint64_t n = 0;
	for (size_t i = 0; i < sizeof(fleet->counts.ended) / sizeof(fleet->counts.ended[0]); i++)
		n += fleet->counts.ended[i];
	return n;
}

const struct future *fleet_at_hand(const struct fleet *fleet, const char *id)
{
	const struct future *f = fleet_live(fleet, id);
	if (!f)
		f = fleet_recent(fleet, id);
	return f && !f->waiter ? f : NULL;
}

void fleet_get(struct fleet *fleet, const char *id, bool with_result, fleet_get_fn *fn, void *data)
{
	struct err err = { 0 };
	struct future *f = fleet_live(fleet, id);
	if (!f)
		f = fleet_recent(fleet, id);
	if (f && !f->waiter) {
		fn(data, FLEET_OK, f, NULL);
		return;
	}
	struct get_wait *w = malloc(sizeof(*w));
	if (w)
		*w = (struct get_wait){ fn, data };
	if (!w || store_get_task(fleet->store, id, with_result, on_got, w) < 0) {
		free(w);
		err_set(&err, "unable to read task %s: the store takes nothing now", id);
		fn(data, FLEET_UNAVAILABLE, NULL, &err);
	}
}

int fleet_future_json(const struct fleet *fleet, const struct future *f, bool with_result, struct buf *out)
{
	char reason[700];
	int total, position = queue_position(f, &total);
	int64_t mono = clock_mono_ms(), wall = clock_wall_ms();
	int64_t expected = position ? queue_expected_start(f, mono) : 0;
	(void)fleet;
	queue_reason(f, mono, reason, sizeof(reason));
	return future_json(f, with_result, position, reason, expected ? wall + (expected - mono) : 0, wall, out);
}

struct list_wait {
	struct fleet *fleet;
	fleet_list_fn *fn;
	void *data;
	char *owner;
};

static void give_list(struct list_wait *w, struct future **ended, size_t n, const struct err *why)
{
	size_t open = list_count(&w->fleet->futures), at = 0;
	const struct future **all = calloc(open + n + 1, sizeof(*all));
	struct err err = { 0 };
	if (!all) {
		err_set(&err, "no memory");
		w->fn(w->data, NULL, 0, &err);
		return;
	}
	list_each (&w->fleet->futures, l) {
		const struct future *f = list_of(l, struct future, in_fleet);
		if (!f->waiter && !f->is_void && (!w->owner || strcmp(w->owner, f->owner) == 0))
			all[at++] = f;
	}
	for (size_t i = 0; i < n; i++)
		if (!fleet_live(w->fleet, ended[i]->id))
			all[at++] = ended[i];
	w->fn(w->data, all, at, why);
	free(all);
}

static void on_listed(void *data, struct future **f, size_t n, const struct err *why)
{
	struct list_wait *w = data;
	give_list(w, f, n, why);
	for (size_t i = 0; i < n; i++)
		future_free(&f[i]);
	free(w->owner);
	free(w);
}

void fleet_list(struct fleet *fleet, const char *owner, int ended, fleet_list_fn *fn, void *data)
{
	struct list_wait now = { fleet, fn, data, (char *)owner };
	if (ended <= 0) {
		give_list(&now, NULL, 0, NULL);
		return;
	}
	struct err err = { 0 };
	struct list_wait *w = malloc(sizeof(*w));
	if (w)
		*w = (struct list_wait){ fleet, fn, data, owner ? strdup(owner) : NULL };
	if (!w || (owner && !w->owner) || store_list_ended(fleet->store, owner, ended, on_listed, w) < 0) {
		if (w)
			free(w->owner);
		free(w);
		err_set(&err, "unable to read ended tasks: the store takes nothing now");
		give_list(&now, NULL, 0, &err);
	}
}
