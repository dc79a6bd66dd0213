/* subject_notebook: sessions of notebooks as rules and macros see them: as of the last look (node/node_notebook_session.h). */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "bind/subject_inner.h"
#include "node/node_notebook_session.h"

static struct node_notebooks *notebooks_of(const struct subject_world *world)
{
	return world->node ? node_notebooks(world->node) : NULL;
}

struct listing {
	struct subjects *out;
	bool failed;
};

static void list_one(void *data, const struct notebook_session *session)
{
	struct listing *l = data;
	l->failed |= subjects_add(l->out, session->id) < 0;
}

static int list(struct subjects *s)
{
	struct listing l = { s, false };
	struct node_notebooks *t = notebooks_of(&s->world);
	if (t) {
		node_notebooks_each_session(t, list_one, &l);
		node_notebooks_look_again(t); /* who looks more often than we do sees newer facts the next time */
	}
	return l.failed ? -1 : 0;
}

static bool is_there(const struct subjects *s, size_t i, const char **owner)
{
	struct notebook_session found;
	struct node_notebooks *t = notebooks_of(&s->world);
	if (!t || !node_notebooks_session(t, s->ids[i], &found))
		return false;
	*owner = found.user[0] ? found.user : NULL;
	return true;
}

/* "KEY/a b.ipynb" → "a b" */
static void push_name(lua_State *L, const char *path)
{
	const char *name = strchr(path, '/') ? strchr(path, '/') + 1 : path;
	size_t n = strlen(name);
	if (n > 6 && strcmp(name + n - 6, ".ipynb") == 0)
		n -= 6;
	lua_pushlstring(L, name, n);
	lua_setfield(L, -2, "name");
}

static void push_seconds(lua_State *L, const char *name, int64_t ms)
{
	if (ms >= 0)
		subject_number(L, name, (double)ms / 1000);
}

static void push(lua_State *L, const struct subjects *subjects, size_t i, int64_t now_ms)
{
	struct notebook_session s;
	if (!node_notebooks_session(notebooks_of(&subjects->world), subjects->ids[i], &s))
		return; /* it was there a moment ago; of nobody is anything known */
	bool is_known = s.state != IDLE_UNKNOWN;
	subject_text(L, "id", s.id);
	subject_text(L, "kernel", s.kernel);
	subject_text(L, "notebook", s.path);
	push_name(L, s.path);
	subject_text(L, "project", s.project);
	subject_text(L, "user", s.user);
	subject_text(L, "spec", s.spec);
	subject_text(L, "state", idle_state_name(s.state));
	subject_text(L, "process", s.process);
	subject_some_integer(L, "pid", s.pid, s.pid > 0);
	subject_integer(L, "sessions", s.nsessions);
	subject_some_integer(L, "connections", s.connections, s.connections >= 0);
	if (s.connections >= 0)
		subject_flag(L, "connected", s.connections > 0);
	if (is_known)
		subject_flag(L, "busy", s.state == IDLE_BUSY);
	subject_flag(L, "leased", s.lease_ms > 0);
	if (s.lease_ms > 0)
		subject_span(L, "lease", now_ms, s.lease_ms);
	subject_some_integer(L, "memory", s.memory_bytes, s.memory_bytes >= 0);
	subject_some_integer(L, "peak", s.peak_bytes, s.peak_bytes >= 0);
	subject_some_integer(L, "limit", s.limit_bytes, s.limit_bytes > 0);
	push_seconds(L, "cpu", s.cpu_ms);
	if (s.share >= 0)
		subject_number(L, "share", s.share);
	if (s.started_ms > 0) {
		subject_span(L, "age", s.started_ms, now_ms);
		subject_number(L, "started", (double)s.started_ms / 1000);
	}
	push_seconds(L, "quiet", s.quiet_ms);
	push_seconds(L, "silent", s.silent_ms);
	if (s.work_ms > 0)
		subject_number(L, "worked", (double)s.work_ms / 1000);
}

/* --- verbs: looked at once more, then asked of the server; what became of it is an event --- */

typedef void order_fn(struct node_notebooks *t, const char *session, const char *cause, const char *by, const char *text,
		      node_notebooks_done_fn *fn, void *data);

static int order(const struct subject_world *world, const char *id, const char *why, order_fn *give, struct err *err)
{
	struct notebook_session s;
	struct node_notebooks *t = notebooks_of(world);
	if (!t || !node_notebooks_session(t, id, &s))
		return err_set(err, "it is gone");
	if (s.lease_ms > 0 && give == node_notebooks_unload)
		return err_set(err, "%s keeps it", s.leased_by);
	if (s.state == IDLE_UNKNOWN)
		return err_set(err, "nobody knows what it does now");
	if (node_notebooks_is_ordered(t, s.kernel, give == node_notebooks_interrupt))
		return err_set(err, "it is under way");
	give(t, id, "policy", "", why, NULL, NULL);
	return 0;
}

static int unload(const struct subject_world *world, const char *id, const char *why, struct err *err)
{
	return order(world, id, why, node_notebooks_unload, err);
}

static int interrupt(const struct subject_world *world, const char *id, const char *why, struct err *err)
{
	return order(world, id, why, node_notebooks_interrupt, err);
}

const struct subject_row subject_notebook = {
	.name = "notebook",
	.list = list,
	.is_there = is_there,
	.push = push,
	.verbs = { { "unload", unload }, { "interrupt", interrupt }, { "kill", unload }, { NULL, NULL } },
};
