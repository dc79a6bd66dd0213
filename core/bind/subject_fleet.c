/* subject_fleet: what the fleet knows, as rules see it: kernels, tasks, pools, users, the node. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "base/map.h"
#include "bind/subject_inner.h"
#include "bind/toc.h"
#include "fleet/fleet_verbs.h"
#include "fleet/queue.h"
#include "sys/clock.h"

#define REASONS_MOST 1000 /* a reason why one waits looks through the queue */

struct listing {
	struct subjects *out;
	struct map *by_login; /* of users: index + 1 */
	bool failed;
};

/* --- kernels --- */

static void list_kernels(void *data, const struct pool *pool)
{
	struct listing *l = data;
	list_each (&pool->kernels, at) {
		const struct kernel *k = list_of(at, struct kernel, in_pool);
		if (k->state < KERNEL_STOPPING)
			l->failed |= subjects_add(l->out, k->id) < 0;
	}
}

static int kernels_list(struct subjects *s)
{
	struct listing l = { s, NULL, false };
	fleet_each_pool(s->world.fleet, list_kernels, &l);
	return l.failed ? -1 : 0;
}

static bool kernel_is_there(const struct subjects *s, size_t i, const char **owner)
{
	const struct kernel *k = fleet_kernel(s->world.fleet, s->ids[i]);
	*owner = k ? k->owner : NULL;
	return k && k->pool && k->state < KERNEL_STOPPING;
}

static void push_kernel(lua_State *L, const struct subjects *s, size_t i, int64_t now_ms)
{
	struct fleet *fleet = s->world.fleet;
	const struct kernel *k = fleet_kernel(fleet, s->ids[i]);
	const struct future *f = k->task[0] ? fleet_live(fleet, k->task) : NULL;
	subject_text(L, "id", k->id);
	subject_text(L, "kind", "kernel");
	subject_text(L, "pool", k->pool->spec->name);
	subject_text(L, "variant", k->variant);
	subject_text(L, "node", SUBJECT_NODE_ID);
	subject_text(L, "state", kernel_fsm.states[k->state]);
	subject_text(L, "user", k->owner);
	if (k->pool->spec->run_as)
		subject_text(L, "unix_user", k->pool->spec->run_as);
	subject_text(L, "task", k->task);
	subject_text(L, "project", f ? f->project : NULL);
	subject_text(L, "cause", NULL);
	subject_some_integer(L, "pid", k->pid, k->pid > 0);
	subject_some_integer(L, "memory", k->memory_now_bytes, k->memory_now_bytes >= 0);
	subject_some_integer(L, "peak", k->peak_bytes, k->peak_bytes >= 0);
	subject_some_integer(L, "limit", k->limit_bytes, k->limit_bytes > 0);
	subject_integer(L, "tasks", k->tasks_run);
	if (k->cpu_ms >= 0)
		subject_number(L, "cpu", (double)k->cpu_ms / 1000);
	subject_span(L, "age", k->started_wall_ms, now_ms);
	if (k->state == KERNEL_BUSY || k->state == KERNEL_DRAINING)
		subject_number(L, "idle", 0);
	else if (k->idle_wall_ms)
		subject_span(L, "idle", k->idle_wall_ms, now_ms);
	subject_number(L, "started", (double)k->started_wall_ms / 1000);
	if (k->ready_wall_ms)
		subject_number(L, "ready", (double)k->ready_wall_ms / 1000);
}

static int retire_kernel(const struct subject_world *world, const char *id, const char *why, struct err *err)
{
	return fleet_order_retire(world->fleet, id, why, err);
}

static int kill_kernel(const struct subject_world *world, const char *id, const char *why, struct err *err)
{
	return fleet_order_kill(world->fleet, id, why, err);
}

const struct subject_row subject_kernel = {
	"kernel", kernels_list, kernel_is_there, push_kernel, { { "retire", retire_kernel }, { "kill", kill_kernel } }
};

/* --- tasks --- */

static void list_tasks(void *data, const struct future *const *f, size_t n, const struct err *why)
{
	struct listing *l = data;
	l->failed |= !f && why;
	for (size_t i = 0; f && i < n; i++)
		l->failed |= subjects_add(l->out, f[i]->id) < 0;
}

static int tasks_list(struct subjects *s)
{
	struct listing l = { s, NULL, false };
	fleet_list(s->world.fleet, NULL, 0, list_tasks, &l);
	return l.failed ? -1 : 0;
}

static bool task_is_there(const struct subjects *s, size_t i, const char **owner)
{
	const struct future *f = fleet_live(s->world.fleet, s->ids[i]);
	*owner = f ? f->owner : NULL;
	return f && future_is_open(f) && !f->is_void;
}

static void push_tags(lua_State *L, const char *tags)
{
	json_t *list = tags ? json_loads(tags, 0, NULL) : NULL;
	if (!lua_checkstack(L, 8)) {
		json_decref(list);
		luaL_error(L, "not enough memory");
	}
	/* a raise for want of memory loses this one list: a set that has used up its 64 MB has other troubles */
	subject_texts(L, "tags", list);
	json_decref(list);
}

void subject_push_submitted(lua_State *L, const struct future *f)
{
	int64_t memory = f->memory_bytes ? f->memory_bytes : f->in_pool ? f->in_pool->spec->memory_bytes : 0;
	lua_createtable(L, 0, 16);
	subject_text(L, "kind", f->kind);
	subject_text(L, "type", f->type);
	subject_text(L, "pool", f->pool);
	subject_text(L, "user", f->owner);
	subject_text(L, "project", f->project);
	if (f->title)
		subject_text(L, "title", f->title);
	subject_integer(L, "priority", f->priority);
	subject_some_integer(L, "memory", memory, memory > 0);
	push_tags(L, f->tags);
	subject_integer(L, "unix_s", clock_wall_ms() / 1000);
}

static void push_task(lua_State *L, const struct subjects *s, size_t i, int64_t now_ms)
{
	const struct future *f = fleet_live(s->world.fleet, s->ids[i]);
	const struct kernel *k = f->on;
	char reason[700] = "";
	if (f->state == FUTURE_QUEUED && f->in_pool && f->in_pool->nwaiting <= REASONS_MOST)
		queue_reason(f, clock_mono_ms(), reason, sizeof reason);
	subject_text(L, "id", f->id);
	subject_text(L, "kind", f->kind);
	subject_text(L, "state", future_state_name(f->state));
	subject_text(L, "type", f->type);
	subject_text(L, "pool", f->pool);
	subject_text(L, "project", f->project);
	subject_text(L, "user", f->owner);
	if (f->title)
		subject_text(L, "title", f->title);
	subject_text(L, "kernel", f->kernel);
	subject_text(L, "cause", f->cause);
	if (f->state != FUTURE_QUEUED || reason[0])
		subject_text(L, "reason", reason);
	subject_text(L, "exclusive", f->exclusive);
	push_tags(L, f->tags);
	subject_integer(L, "attempt", f->attempt);
	subject_integer(L, "priority", f->priority);
	if (f->progress >= 0)
		subject_number(L, "progress", f->progress);
	subject_some_integer(L, "memory", k ? k->memory_now_bytes : -1, k && k->memory_now_bytes >= 0);
	subject_some_integer(L, "peak", k ? k->peak_bytes : -1, k && k->peak_bytes >= 0);
	subject_some_integer(L, "limit", k ? k->limit_bytes : -1, k && k->limit_bytes > 0);
	subject_span(L, "age", f->created_ms, now_ms);
	if (f->state == FUTURE_QUEUED || f->started_ms)
		subject_span(L, "waiting", f->created_ms, f->state == FUTURE_QUEUED ? now_ms : f->started_ms);
	if (f->state != FUTURE_QUEUED && f->started_ms)
		subject_span(L, "running", f->started_ms, now_ms);
	subject_number(L, "submitted", (double)f->created_ms / 1000);
	subject_flag(L, "alive", true);
}

static int abort_task(const struct subject_world *world, const char *id, const char *why, struct err *err)
{
	return fleet_order_abort(world->fleet, id, why, err);
}

const struct subject_row subject_task = { "task", tasks_list, task_is_there, push_task, { { "abort", abort_task } } };

/* --- pools --- */

static void list_pool(void *data, const struct pool *pool)
{
	struct listing *l = data;
	if (!pool->is_retired)
		l->failed |= subjects_add(l->out, pool->spec->name) < 0;
}

static int pools_list(struct subjects *s)
{
	struct listing l = { s, NULL, false };
	fleet_each_pool(s->world.fleet, list_pool, &l);
	return l.failed ? -1 : 0;
}

static bool pool_is_there(const struct subjects *s, size_t i, const char **owner)
{
	(void)owner;
	return fleet_pool(s->world.fleet, s->ids[i]) != NULL;
}

static void push_pool(lua_State *L, const struct subjects *of, size_t i, int64_t now_ms)
{
	const struct pool *pool = fleet_pool(of->world.fleet, of->ids[i]);
	const struct pool_spec *s = pool->spec;
	(void)now_ms;
	int idle = 0, starting = 0, stopping = 0, busy = pool_count_busy(pool);
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		idle += k->state == KERNEL_IDLE;
		starting += k->state == KERNEL_STARTING;
		stopping += k->state == KERNEL_STOPPING;
	}
	subject_text(L, "id", s->name);
	subject_text(L, "name", s->name);
	subject_text(L, "kind", s->kind);
	subject_text(L, "about", s->about);
	subject_text(L, "source", s->source);
	subject_text(L, "failure", pool->failure);
	subject_integer(L, "max", s->max);
	subject_integer(L, "warm_min", s->warm_min);
	subject_integer(L, "warm_max", s->warm_max);
	subject_integer(L, "alive", pool_count_alive(pool));
	subject_integer(L, "starting", starting);
	subject_integer(L, "idle", idle);
	subject_integer(L, "busy", busy);
	subject_integer(L, "running", busy);
	subject_integer(L, "stopping", stopping);
	subject_integer(L, "waiting", (int64_t)pool->nwaiting);
	subject_integer(L, "failed_starts", pool->failed_starts);
	subject_number(L, "demand", pool_demand(pool, clock_mono_ms()));
	subject_some_integer(L, "limit", s->memory_bytes, s->memory_bytes > 0);
	subject_some_integer(L, "limit_max", pool_spec_memory_most(s), pool_spec_memory_most(s) > 0);
	subject_some_integer(L, "heap", s->heap_bytes, s->heap_bytes > 0);
	subject_flag(L, "retired", pool->is_retired);
}

const struct subject_row subject_pool = { "pool", pools_list, pool_is_there, push_pool, { { NULL, NULL } } };

/* --- users --- */

static struct subject_user *user_named(struct listing *l, const char *login)
{
	struct subjects *s = l->out;
	uintptr_t at = (uintptr_t)map_get(l->by_login, login);
	if (at)
		return &s->users[at - 1];
	size_t room = s->room;
	if (subjects_add(s, login) < 0 || map_set(l->by_login, login, (void *)(uintptr_t)s->n) < 0)
		goto fail;
	if (!s->users || room != s->room) {
		void *users = realloc(s->users, s->room * sizeof *s->users);
		if (!users)
			goto fail;
		s->users = users;
	}
	s->users[s->n - 1] = (struct subject_user){ .running = 0 };
	return &s->users[s->n - 1];
fail:
	l->failed = true;
	return NULL;
}

static void sum_tasks(void *data, const struct future *const *f, size_t n, const struct err *why)
{
	struct listing *l = data;
	l->failed |= !f && why;
	for (size_t i = 0; f && i < n; i++) {
		struct subject_user *u = user_named(l, f[i]->owner);
		if (u && f[i]->state == FUTURE_QUEUED)
			u->waiting++;
		else if (u)
			u->running++;
	}
}

static void sum_kernels(void *data, const struct pool *pool)
{
	struct listing *l = data;
	list_each (&pool->kernels, at) {
		const struct kernel *k = list_of(at, struct kernel, in_pool);
		struct subject_user *u = k->owner && k->state < KERNEL_GONE ? user_named(l, k->owner) : NULL;
		if (!u)
			continue;
		u->kernels++;
		u->memory_bytes += k->memory_now_bytes > 0 ? k->memory_now_bytes : 0;
		u->limit_bytes += k->limit_bytes;
		u->cpu_ms += k->cpu_ms > 0 ? k->cpu_ms : 0;
	}
}

static int users_list(struct subjects *s)
{
	struct listing l = { s, map_new(), false };
	if (!l.by_login)
		return -1;
	fleet_list(s->world.fleet, NULL, 0, sum_tasks, &l);
	fleet_each_pool(s->world.fleet, sum_kernels, &l);
	map_free(&l.by_login);
	return l.failed ? -1 : 0;
}

static bool user_is_there(const struct subjects *s, size_t i, const char **owner)
{
	*owner = s->ids[i];
	return true;
}

static void push_user(lua_State *L, const struct subjects *s, size_t i, int64_t now_ms)
{
	const struct subject_user *u = &s->users[i];
	(void)now_ms;
	subject_text(L, "id", s->ids[i]);
	subject_text(L, "name", s->ids[i]);
	subject_integer(L, "running", u->running);
	subject_integer(L, "waiting", u->waiting);
	subject_integer(L, "kernels", u->kernels);
	subject_integer(L, "memory", u->memory_bytes);
	subject_integer(L, "limit", u->limit_bytes);
	subject_number(L, "cpu", (double)u->cpu_ms / 1000);
}

const struct subject_row subject_user = { "user", users_list, user_is_there, push_user, { { NULL, NULL } } };

/* --- the node --- */

static int node_list(struct subjects *s)
{
	return subjects_add(s, SUBJECT_NODE_ID);
}

static bool node_is_there(const struct subjects *s, size_t i, const char **owner)
{
	(void)s;
	(void)i;
	(void)owner;
	return true;
}

static void sum_memory(void *data, const struct pool *pool)
{
	int64_t *sums = data; /* bytes, kernels */
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		sums[0] += k->memory_now_bytes > 0 ? k->memory_now_bytes : 0;
		sums[1] += k->state < KERNEL_GONE;
	}
}

static int64_t available_bytes(void)
{
	char line[128];
	long long kb = -1;
	FILE *f = fopen("/proc/meminfo", "re");
	while (f && kb < 0 && fgets(line, sizeof line, f))
		if (sscanf(line, "MemAvailable: %lld kB", &kb) != 1)
			kb = -1;
	if (f)
		fclose(f);
	return kb < 0 ? -1 : (int64_t)kb * 1024;
}

static void push_node(lua_State *L, const struct subjects *s, size_t i, int64_t now_ms)
{
	struct fleet *fleet = s->world.fleet;
	(void)i;
	(void)now_ms;
	int64_t sums[2] = { 0, 0 }, available = available_bytes();
	double load;
	struct fleet_counts counts;
	fleet_get_counts(fleet, &counts);
	fleet_each_pool(fleet, sum_memory, sums);
	subject_text(L, "id", SUBJECT_NODE_ID);
	subject_integer(L, "cores", bind_machine_cores());
	subject_some_integer(L, "total", bind_machine_bytes(), bind_machine_bytes() > 0);
	subject_some_integer(L, "free", available, available >= 0);
	subject_integer(L, "memory", sums[0]);
	if (getloadavg(&load, 1) == 1)
		subject_number(L, "load", load);
	subject_integer(L, "kernels", sums[1]);
	subject_integer(L, "running", counts.open[1] + counts.open[2]);
	subject_integer(L, "waiting", counts.open[0]);
}

const struct subject_row subject_node = { "node", node_list, node_is_there, push_node, { { NULL, NULL } } };
