#include "bind/subject.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <lauxlib.h>
#include "base/map.h"
#include "bind/toc.h"
#include "fleet/queue.h"
#include "sys/clock.h"

#define FACTS        28   /* of a kind, about */
#define REASONS_MOST 1000 /* a reason why one waits looks through the queue */
#define NODE_ID      "local"

static const char *const kind_names[SUBJECT_KINDS] = { "kernel", "task", "pool", "user", "node" };

const char *subject_kind_name(enum subject_kind kind)
{
	return kind_names[kind];
}

int subject_kind_named(const char *name)
{
	for (int i = 0; i < SUBJECT_KINDS; i++)
		if (strcmp(kind_names[i], name) == 0)
			return i;
	return -1;
}

/* --- lists --- */

static bool add(struct subjects *s, const char *id)
{
	if (s->n == s->room) {
		size_t room = s->room ? s->room * 2 : 256;
		void *ids = realloc(s->ids, room * sizeof *s->ids);
		if (!ids)
			return false;
		s->ids = ids;
		s->room = room;
	}
	size_t len = strnlen(id, SUBJECT_ID_MAX - 1);
	memcpy(s->ids[s->n], id, len);
	s->ids[s->n++][len] = '\0';
	return true;
}

struct listing {
	struct subjects *out;
	struct map *by_login; /* of users: index + 1 */
	bool failed;
};

static void list_pool(void *data, const struct pool *pool)
{
	struct listing *l = data;
	if (!pool->is_retired)
		l->failed |= !add(l->out, pool->spec->name);
}

static void list_kernels(void *data, const struct pool *pool)
{
	struct listing *l = data;
	list_each (&pool->kernels, at) {
		const struct kernel *k = list_of(at, struct kernel, in_pool);
		if (k->state < KERNEL_STOPPING)
			l->failed |= !add(l->out, k->id);
	}
}

static void list_tasks(void *data, const struct future *const *f, size_t n, const struct err *why)
{
	struct listing *l = data;
	l->failed |= !f && why;
	for (size_t i = 0; f && i < n; i++)
		l->failed |= !add(l->out, f[i]->id);
}

static struct subject_user *user_named(struct listing *l, const char *login)
{
	struct subjects *s = l->out;
	uintptr_t at = (uintptr_t)map_get(l->by_login, login);
	if (at)
		return &s->users[at - 1];
	size_t room = s->room;
	if (!add(s, login) || map_set(l->by_login, login, (void *)(uintptr_t)s->n) < 0)
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

static void list_users(struct fleet *fleet, struct listing *l)
{
	l->by_login = map_new();
	if (!l->by_login) {
		l->failed = true;
		return;
	}
	fleet_list(fleet, NULL, 0, sum_tasks, l);
	fleet_each_pool(fleet, sum_kernels, l);
	map_free(&l->by_login);
}

int subjects_list(struct fleet *fleet, enum subject_kind kind, struct subjects *out)
{
	struct listing l = { out, NULL, false };
	out->kind = kind;
	out->n = 0;
	free(out->users); /* it goes with the room that ids had then */
	out->users = NULL;
	switch (kind) {
	case SUBJECT_KERNEL:
		fleet_each_pool(fleet, list_kernels, &l);
		break;
	case SUBJECT_TASK:
		fleet_list(fleet, NULL, 0, list_tasks, &l);
		break;
	case SUBJECT_POOL:
		fleet_each_pool(fleet, list_pool, &l);
		break;
	case SUBJECT_USER:
		list_users(fleet, &l);
		break;
	default:
		l.failed |= !add(out, NODE_ID);
	}
	return l.failed ? -1 : 0;
}

void subjects_fini(struct subjects *s)
{
	free(s->ids);
	free(s->users);
	*s = (struct subjects){ .n = 0 };
}

bool subject_is_there(struct fleet *fleet, const struct subjects *s, size_t i, const char **owner)
{
	const struct kernel *k;
	const struct future *f;
	*owner = NULL;
	switch (s->kind) {
	case SUBJECT_KERNEL:
		k = fleet_kernel(fleet, s->ids[i]);
		*owner = k ? k->owner : NULL;
		return k && k->pool && k->state < KERNEL_STOPPING;
	case SUBJECT_TASK:
		f = fleet_live(fleet, s->ids[i]);
		*owner = f ? f->owner : NULL;
		return f && future_is_open(f) && !f->is_void;
	case SUBJECT_POOL:
		return fleet_pool(fleet, s->ids[i]) != NULL;
	case SUBJECT_USER:
		*owner = s->ids[i];
		return true;
	default:
		return true;
	}
}

/* --- facts --- */

static void text(lua_State *L, const char *name, const char *value)
{
	lua_pushstring(L, value ? value : "");
	lua_setfield(L, -2, name);
}

static void integer(lua_State *L, const char *name, int64_t value)
{
	lua_pushinteger(L, value);
	lua_setfield(L, -2, name);
}

static void some_integer(lua_State *L, const char *name, int64_t value, bool is_known)
{
	if (is_known)
		integer(L, name, value);
}

static void number(lua_State *L, const char *name, double value)
{
	lua_pushnumber(L, value);
	lua_setfield(L, -2, name);
}

static void flag(lua_State *L, const char *name, bool value)
{
	lua_pushboolean(L, value);
	lua_setfield(L, -2, name);
}

static void span(lua_State *L, const char *name, int64_t from_ms, int64_t till_ms)
{
	number(L, name, till_ms > from_ms ? (double)(till_ms - from_ms) / 1000 : 0);
}

static void clock_now(lua_State *L, int64_t now_ms)
{
	integer(L, "unix_s", now_ms / 1000);
}

static void push_tags(lua_State *L, const char *tags)
{
	json_t *list = tags ? json_loads(tags, 0, NULL) : NULL;
	size_t n = json_array_size(list);
	if (!lua_checkstack(L, 4)) {
		json_decref(list);
		luaL_error(L, "not enough memory");
	}
	/* a raise for want of memory loses this one list: a set that has used up its 64 MB has other troubles */
	lua_createtable(L, (int)n, 0);
	for (size_t i = 0; i < n; i++) {
		lua_pushstring(L, json_string_value(json_array_get(list, i)));
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	json_decref(list);
	lua_setfield(L, -2, "tags");
}

static void push_kernel(lua_State *L, struct fleet *fleet, const struct kernel *k, int64_t now_ms)
{
	const struct future *f = k->task[0] ? fleet_live(fleet, k->task) : NULL;
	text(L, "id", k->id);
	text(L, "kind", "kernel");
	text(L, "pool", k->pool->spec->name);
	text(L, "variant", k->variant);
	text(L, "node", NODE_ID);
	text(L, "state", kernel_fsm.states[k->state]);
	text(L, "user", k->owner);
	if (k->pool->spec->run_as)
		text(L, "unix_user", k->pool->spec->run_as);
	text(L, "task", k->task);
	text(L, "project", f ? f->project : NULL);
	text(L, "cause", NULL);
	some_integer(L, "pid", k->pid, k->pid > 0);
	some_integer(L, "memory", k->memory_now_bytes, k->memory_now_bytes >= 0);
	some_integer(L, "peak", k->peak_bytes, k->peak_bytes >= 0);
	some_integer(L, "limit", k->limit_bytes, k->limit_bytes > 0);
	integer(L, "tasks", k->tasks_run);
	if (k->cpu_ms >= 0)
		number(L, "cpu", (double)k->cpu_ms / 1000);
	span(L, "age", k->started_wall_ms, now_ms);
	if (k->state == KERNEL_BUSY || k->state == KERNEL_DRAINING)
		number(L, "idle", 0);
	else if (k->idle_wall_ms)
		span(L, "idle", k->idle_wall_ms, now_ms);
	number(L, "started", (double)k->started_wall_ms / 1000);
	if (k->ready_wall_ms)
		number(L, "ready", (double)k->ready_wall_ms / 1000);
}

void subject_push_submitted(lua_State *L, const struct future *f)
{
	int64_t memory = f->memory_bytes ? f->memory_bytes : f->in_pool ? f->in_pool->spec->memory_bytes : 0;
	lua_createtable(L, 0, 16);
	text(L, "kind", f->kind);
	text(L, "type", f->type);
	text(L, "pool", f->pool);
	text(L, "user", f->owner);
	text(L, "project", f->project);
	if (f->title)
		text(L, "title", f->title);
	integer(L, "priority", f->priority);
	some_integer(L, "memory", memory, memory > 0);
	push_tags(L, f->tags);
	clock_now(L, clock_wall_ms());
}

static void push_task(lua_State *L, const struct future *f, int64_t now_ms)
{
	const struct kernel *k = f->on;
	char reason[700] = "";
	if (f->state == FUTURE_QUEUED && f->in_pool && f->in_pool->nwaiting <= REASONS_MOST)
		queue_reason(f, clock_mono_ms(), reason, sizeof reason);
	text(L, "id", f->id);
	text(L, "kind", f->kind);
	text(L, "state", future_state_name(f->state));
	text(L, "type", f->type);
	text(L, "pool", f->pool);
	text(L, "project", f->project);
	text(L, "user", f->owner);
	if (f->title)
		text(L, "title", f->title);
	text(L, "kernel", f->kernel);
	text(L, "cause", f->cause);
	if (f->state != FUTURE_QUEUED || reason[0])
		text(L, "reason", reason);
	text(L, "exclusive", f->exclusive);
	push_tags(L, f->tags);
	integer(L, "attempt", f->attempt);
	integer(L, "priority", f->priority);
	if (f->progress >= 0)
		number(L, "progress", f->progress);
	some_integer(L, "memory", k ? k->memory_now_bytes : -1, k && k->memory_now_bytes >= 0);
	some_integer(L, "peak", k ? k->peak_bytes : -1, k && k->peak_bytes >= 0);
	some_integer(L, "limit", k ? k->limit_bytes : -1, k && k->limit_bytes > 0);
	span(L, "age", f->created_ms, now_ms);
	if (f->state == FUTURE_QUEUED || f->started_ms)
		span(L, "waiting", f->created_ms, f->state == FUTURE_QUEUED ? now_ms : f->started_ms);
	if (f->state != FUTURE_QUEUED && f->started_ms)
		span(L, "running", f->started_ms, now_ms);
	number(L, "submitted", (double)f->created_ms / 1000);
	flag(L, "alive", true);
}

static void push_pool(lua_State *L, const struct pool *pool)
{
	const struct pool_spec *s = pool->spec;
	int idle = 0, starting = 0, stopping = 0, busy = pool_count_busy(pool);
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		idle += k->state == KERNEL_IDLE;
		starting += k->state == KERNEL_STARTING;
		stopping += k->state == KERNEL_STOPPING;
	}
	text(L, "id", s->name);
	text(L, "name", s->name);
	text(L, "kind", s->kind);
	text(L, "about", s->about);
	text(L, "source", s->source);
	text(L, "failure", pool->failure);
	integer(L, "max", s->max);
	integer(L, "warm_min", s->warm_min);
	integer(L, "warm_max", s->warm_max);
	integer(L, "alive", pool_count_alive(pool));
	integer(L, "starting", starting);
	integer(L, "idle", idle);
	integer(L, "busy", busy);
	integer(L, "running", busy);
	integer(L, "stopping", stopping);
	integer(L, "waiting", (int64_t)pool->nwaiting);
	integer(L, "failed_starts", pool->failed_starts);
	number(L, "demand", pool_demand(pool, clock_mono_ms()));
	some_integer(L, "limit", s->memory_bytes, s->memory_bytes > 0);
	some_integer(L, "limit_max", pool_spec_memory_most(s), pool_spec_memory_most(s) > 0);
	some_integer(L, "heap", s->heap_bytes, s->heap_bytes > 0);
	flag(L, "retired", pool->is_retired);
}

static void push_user(lua_State *L, const char *login, const struct subject_user *u)
{
	text(L, "id", login);
	text(L, "name", login);
	integer(L, "running", u->running);
	integer(L, "waiting", u->waiting);
	integer(L, "kernels", u->kernels);
	integer(L, "memory", u->memory_bytes);
	integer(L, "limit", u->limit_bytes);
	number(L, "cpu", (double)u->cpu_ms / 1000);
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

static void push_node(lua_State *L, struct fleet *fleet)
{
	int64_t sums[2] = { 0, 0 }, available = available_bytes();
	double load;
	struct fleet_counts counts;
	fleet_get_counts(fleet, &counts);
	fleet_each_pool(fleet, sum_memory, sums);
	text(L, "id", NODE_ID);
	integer(L, "cores", bind_machine_cores());
	some_integer(L, "total", bind_machine_bytes(), bind_machine_bytes() > 0);
	some_integer(L, "free", available, available >= 0);
	integer(L, "memory", sums[0]);
	if (getloadavg(&load, 1) == 1)
		number(L, "load", load);
	integer(L, "kernels", sums[1]);
	integer(L, "running", counts.open[1] + counts.open[2]);
	integer(L, "waiting", counts.open[0]);
}

void subject_push(lua_State *L, struct fleet *fleet, const struct subjects *s, size_t i)
{
	int64_t now_ms = clock_wall_ms();
	lua_createtable(L, 0, FACTS);
	switch (s->kind) {
	case SUBJECT_KERNEL:
		push_kernel(L, fleet, fleet_kernel(fleet, s->ids[i]), now_ms);
		break;
	case SUBJECT_TASK:
		push_task(L, fleet_live(fleet, s->ids[i]), now_ms);
		break;
	case SUBJECT_POOL:
		push_pool(L, fleet_pool(fleet, s->ids[i]));
		break;
	case SUBJECT_USER:
		push_user(L, s->ids[i], &s->users[i]);
		break;
	default:
		push_node(L, fleet);
	}
	clock_now(L, now_ms);
}
