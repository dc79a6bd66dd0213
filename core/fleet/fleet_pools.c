/* fleet_pools: the set of pools in force: taken from the policies, tuned by their functions, shown. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/fleet_inner.h"
#include "fleet/jtext.h"

struct pool *fleet_pool(const struct fleet *fleet, const char *name)
{
	list_each (&fleet->pools, l) {
		struct pool *p = list_of(l, struct pool, link);
		if (strcmp(p->spec->name, name) == 0)
			return p;
	}
	return NULL;
}

struct pool *fleet_pool_or_retired(struct fleet *fleet, const char *name)
{
	struct pool *p = fleet_pool(fleet, name);
	struct pool_spec *spec = p ? NULL : pool_spec_new(name);
	if (p || !spec)
		return p;
	spec->warm_min = spec->warm_max = 0;
	spec->kind = strdup("");
	p = pool_new(spec);
	if (!p || !p->spec->kind) {
		pool_free(&p);
		return NULL;
	}
	p->is_retired = true;
	list_push(&fleet->pools, &p->link);
	return p;
}

static int check_specs(struct pool_spec **specs, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (pool_spec_check(specs[i], err) < 0)
			return -1;
		for (size_t j = 0; j < i; j++)
			if (strcmp(specs[i]->name, specs[j]->name) == 0)
				return err_set(err, "%s: pool \"%s\" was declared before, at %s",
					       specs[i]->source ? specs[i]->source : "?", specs[i]->name,
					       specs[j]->source ? specs[j]->source : "?");
	}
	return 0;
}

/* As the set has them: the first comes first, also where a task names no pool. Those that are gone stand last. */
static void sort_pools(struct fleet *fleet)
{
	struct list sorted = LIST_INIT(sorted);
	for (struct list *l; (l = list_first(&fleet->pools));) {
		struct list *at = sorted.prev;
		list_remove(l);
		while (at != &sorted && list_of(at, struct pool, link)->order > list_of(l, struct pool, link)->order)
			at = at->prev;
		list_insert_after(at, l);
	}
	for (struct list *l; (l = list_first(&sorted));) {
		list_remove(l);
		list_push(&fleet->pools, l);
	}
}

static void warn_of_unlimited(const struct fleet *fleet)
{
	char size[32];
	list_each (&fleet->pools, l) {
		const struct pool *p = list_of(l, struct pool, link);
		if (fleet->budget.total_bytes && !p->is_retired && !p->spec->memory_bytes)
			log_warn("%s: pool \"%s\" has no limits.memory: in the node's memory budget each of its kernels counts "
				 "with the most "
				 "that one took lately, now %s",
				 p->spec->source ? p->spec->source : "?", p->spec->name,
				 text_print_size(budget_kernel_size(p), size, sizeof(size)));
	}
}

int fleet_set_pools(struct fleet *fleet, struct pool_spec **specs, size_t n, struct err *err)
{
	struct list fresh = LIST_INIT(fresh);
	int rc = check_specs(specs, n, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (fleet_pool(fleet, specs[i]->name))
			continue;
		struct pool *p = pool_new(specs[i]);
		specs[i] = NULL;
		if (!p) {
			rc = err_set(err, "unable to make a pool: no memory");
			continue;
		}
		p->order = (int)i;
		list_push(&fresh, &p->link);
	}
	if (rc < 0)
		goto out;
	list_each (&fleet->pools, l) {
		struct pool *p = list_of(l, struct pool, link);
		p->is_retired = true;
		p->order = INT_MAX;
	}
	for (size_t i = 0; i < n; i++) {
		if (!specs[i])
			continue;
		struct pool *p = fleet_pool(fleet, specs[i]->name);
		pool_spec_free(&p->spec);
		p->spec = specs[i];
		p->order = (int)i;
		p->is_retired = false;
		pool_note_ready(p); /* a changed policy may have repaired it: try at once */
		specs[i] = NULL;
	}
	list_each (&fresh, l) {
		list_remove(l);
		list_push(&fleet->pools, l);
	}
	sort_pools(fleet);
	warn_of_unlimited(fleet);
	budget_look_over(fleet);
	fleet_touch(fleet);
out:
	list_each (&fresh, l) {
		struct pool *p = list_of(l, struct pool, link);
		pool_free(&p);
	}
	for (size_t i = 0; i < n; i++)
		pool_spec_free(&specs[i]);
	return rc;
}

void fleet_set_services(struct fleet *fleet, int64_t bytes)
{
	if (bytes == fleet->budget.services_bytes)
		return;
	fleet->budget.services_bytes = bytes;
	fleet_touch(fleet);
	if (fleet->is_started) /* whoever tells may stand behind us in this turn */
		loop_timer_start(fleet->due, 1);
}

int fleet_budget_json(const struct fleet *fleet, struct buf *out)
{
	return budget_json(fleet, out);
}

void fleet_set_policy(struct fleet *fleet, const struct fleet_policy *policy)
{
	fleet->policy = *policy;
}

static void put_numbers(struct pool_spec *s, const struct pool_numbers *n)
{
	s->warm_min = n->warm_min;
	s->warm_max = n->warm_max;
	s->max = n->max;
	s->memory_bytes = n->memory_bytes;
}

int fleet_tune_pool(struct fleet *fleet, const char *name, const struct pool_numbers *n, struct err *err)
{
	struct pool *pool = fleet_pool(fleet, name);
	if (!pool || pool->is_retired)
		return err_set(err, "pool \"%s\" does not exist", name);
	struct pool_spec *s = pool->spec;
	struct pool_numbers old = { s->warm_min, s->warm_max, s->max, s->memory_bytes };
	if (old.warm_min == n->warm_min && old.warm_max == n->warm_max && old.max == n->max && old.memory_bytes == n->memory_bytes)
		return 0;
	put_numbers(s, n);
	if (pool_spec_check(s, err) < 0) {
		put_numbers(s, &old);
		return -1;
	}
	budget_look_over(fleet);
	fleet_touch(fleet);
	return 0;
}

void fleet_each_pool(const struct fleet *fleet, fleet_pool_fn *fn, void *data)
{
	list_each (&fleet->pools, l)
		fn(data, list_of(l, struct pool, link));
}

void fleet_get_counts(const struct fleet *fleet, struct fleet_counts *out)
{
	*out = fleet->counts;
	list_each (&fleet->futures, l) {
		const struct future *f = list_of(l, struct future, in_fleet);
		if (!f->is_void && !f->waiter)
			out->open[f->state <= FUTURE_RUNNING ? f->state : FUTURE_RUNNING]++;
	}
}

int fleet_pools_json(const struct fleet *fleet, struct buf *out)
{
	buf_putc(out, '[');
	list_each (&fleet->pools, l) {
		jtext_next(out);
		pool_json(list_of(l, struct pool, link), out);
	}
	buf_putc(out, ']');
	return out->failed ? -1 : 0;
}

int fleet_kernels_json(const struct fleet *fleet, struct buf *out)
{
	buf_putc(out, '[');
	list_each (&fleet->kernels, l) {
		jtext_next(out);
		kernel_json(list_of(l, struct kernel, in_fleet), out);
	}
	buf_putc(out, ']');
	return out->failed ? -1 : 0;
}
