/* fleet_recent: futures that ended lately, still in memory: who waits for an end reads it without the store's thread. */
#include <stdlib.h>
#include <string.h>

#include "fleet/fleet_inner.h"

#define RECENT_MOST       512
#define RECENT_BYTES_MOST ((size_t)2 << 20)
#define ONE_BYTES_MOST    (32 * 1024)

static size_t weigh(const struct future *f)
{
	return f->result_len + (f->error ? strlen(f->error) : 0);
}

static void drop(struct fleet *fleet, struct future *f)
{
	fleet->nrecent--;
	fleet->recent_bytes -= weigh(f);
	map_remove(fleet->recent_by_id, f->id);
	future_free(&f);
}

/* It reads as it will from the store. */
static void settle_down(struct future *f)
{
	future_keep_name(f);
	free(f->message);
	f->message = NULL;
	f->progress = -1;
	f->in_pool = NULL;
	free(f->abort_by);
	f->abort_by = NULL;
	f->abort_cause[0] = 0;
	list_remove(&f->in_active);
	list_remove(&f->in_fleet);
}

void fleet_recent_take(struct fleet *fleet, struct future *f)
{
	map_remove(fleet->futures_by_id, f->id);
	fleet_touch(fleet);
	if (weigh(f) > ONE_BYTES_MOST || map_set(fleet->recent_by_id, f->id, f) < 0) {
		future_free(&f);
		return;
	}
	settle_down(f);
	list_push(&fleet->recent, &f->in_fleet);
	fleet->nrecent++;
	fleet->recent_bytes += weigh(f);
	while (fleet->nrecent > RECENT_MOST || fleet->recent_bytes > RECENT_BYTES_MOST)
		drop(fleet, list_of(list_first(&fleet->recent), struct future, in_fleet));
}

struct future *fleet_recent(const struct fleet *fleet, const char *id)
{
	return map_get(fleet->recent_by_id, id);
}

void fleet_recent_free(struct fleet *fleet)
{
	list_each (&fleet->recent, l)
		drop(fleet, list_of(l, struct future, in_fleet));
}
