/* t_fleet: a fleet on a loop of its own whose orders go nowhere but into a log, so that a spec plays keeper and kernels. */
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/fleet.h"
#include "fleet/judge.h"
#include "fleet/queue.h"
#include "net/json.h"
#include "node/node_callback.h"
#include "node/node_kernel.h"
#include "sys/clock.h"

struct bench {
	struct loop *loop;
	struct fleet *fleet;
	char path[512];
	char **lines;
	size_t n, room;
	bool fails_spawn;
	char fatal[512];
};

/* --- the log --- */

static void note(struct bench *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct bench *b, const char *fmt, ...)
{
	char text[2048];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (b->n == b->room) {
		b->room = b->room ? b->room * 2 : 64;
		b->lines = realloc(b->lines, b->room * sizeof(*b->lines));
	}
	b->lines[b->n++] = strdup(text);
}

/* What is on the disk of that task at this very moment, seen by another connection. */
static const char *on_disk(const struct bench *b, const char *id, char *out, size_t room)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	snprintf(out, room, "none");
	if (sqlite3_open_v2(b->path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(db, "SELECT state FROM task WHERE id = ?1", -1, &st, NULL) == SQLITE_OK) {
		sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
		if (sqlite3_step(st) == SQLITE_ROW)
			snprintf(out, room, "%s", (const char *)sqlite3_column_text(st, 0));
	}
	sqlite3_finalize(st);
	sqlite3_close(db);
	return out;
}

/* --- orders --- */

static int spawn(void *data, const struct kernel *k, struct err *err)
{
	struct bench *b = data;
	note(b, "spawn %s %lld", k->id, (long long)k->memory_bytes);
	return b->fails_spawn ? err_set(err, "unable to start %s: no such file", k->id) : 0;
}

static int stop(void *data, const struct kernel *k, const char *cause, const char *text, struct err *err)
{
	(void)err;
	note(data, "stop %s %s: %s", k->id, cause, text);
	return 0;
}

static int label(void *data, const struct kernel *k, struct err *err)
{
	struct buf out;
	(void)err;
	buf_init(&out, 4096);
	kernel_label(k, &out);
	note(data, "label %s %s", k->id, out.data);
	buf_fini(&out);
	return 0;
}

static int limit(void *data, const struct kernel *k, int64_t memory_bytes, struct err *err)
{
	(void)err;
	note(data, "limit %s %lld", k->id, (long long)memory_bytes);
	return 0;
}

static int usage(void *data, const struct kernel *k)
{
	note(data, "usage %s", k->id);
	return 0;
}

static int send_task(void *data, const struct kernel *k, const struct future *f, struct err *err)
{
	char disk[32];
	(void)err;
	note(data, "send %s %s %d on-disk=%s", k->id, f->id, f->attempt, on_disk(data, f->id, disk, sizeof(disk)));
	return 0;
}

static void abort_task(void *data, const struct kernel *k, const char *task) { note(data, "abort %s %s", k->id, task); }

static void release(void *data, const struct kernel *k, const char *task)
{
	char disk[32];
	note(data, "release %s %s on-disk=%s", k->id, task, on_disk(data, task, disk, sizeof(disk)));
}

static void drop(void *data, const char *kernel) { note(data, "drop %s", kernel); }

static void on_fatal(void *data, const char *text)
{
	struct bench *b = data;
	snprintf(b->fatal, sizeof(b->fatal), "%s", text);
	note(b, "fatal %s", text);
}

/* --- Lua --- */

static struct bench *check(lua_State *L)
{
	struct bench *b = luaL_checkudata(L, 1, "t_fleet");
	luaL_argcheck(L, b->fleet, 1, "closed");
	return b;
}

static int fail(lua_State *L, const struct err *err)
{
	lua_pushnil(L);
	lua_pushstring(L, err->text);
	return 2;
}

static int open_bench(lua_State *L)
{
	struct err err = { 0 };
	const char *path = luaL_checkstring(L, 1);
	int64_t grace_ms = luaL_optinteger(L, 2, 0);
	struct bench *b = lua_newuserdatauv(L, sizeof(*b), 0);
	memset(b, 0, sizeof(*b));
	luaL_setmetatable(L, "t_fleet");
	snprintf(b->path, sizeof(b->path), "%s", path);
	b->loop = loop_new(&err);
	if (!b->loop)
		return fail(L, &err);
	struct fleet_config config = {
		.store_path = b->path, .on_fatal = on_fatal, .abort_grace_ms = grace_ms,
		.orders = { b, spawn, stop, label, limit, usage, send_task, abort_task, release, drop },
	};
	b->fleet = fleet_new(b->loop, &config, &err);
	return b->fleet ? 1 : fail(L, &err);
}

static int close_bench(lua_State *L)
{
	struct bench *b = luaL_checkudata(L, 1, "t_fleet");
	fleet_free(&b->fleet);
	if (b->loop)
		loop_free(&b->loop);
	for (size_t i = 0; i < b->n; i++)
		free(b->lines[i]);
	free(b->lines);
	b->lines = NULL;
	b->n = b->room = 0;
	return 0;
}

static int take_lines(lua_State *L)
{
	struct bench *b = check(L);
	lua_createtable(L, (int)b->n, 0);
	for (size_t i = 0; i < b->n; i++) {
		lua_pushstring(L, b->lines[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
		free(b->lines[i]);
	}
	b->n = 0;
	return 1;
}

static int turn(lua_State *L)
{
	struct bench *b = check(L);
	loop_run_once(b->loop, false);
	return 0;
}

static int64_t field_int(lua_State *L, int at, const char *name, int64_t otherwise)
{
	lua_getfield(L, at, name);
	int64_t v = lua_isnil(L, -1) ? otherwise : luaL_checkinteger(L, -1);
	lua_pop(L, 1);
	return v;
}

/* Stays on the stack: valid as long as the table is. */
static const char *field_text(lua_State *L, int at, const char *name)
{
	lua_getfield(L, at, name);
	const char *s = lua_tostring(L, -1);
	lua_pop(L, 1);
	return s;
}

static struct pool_spec *read_spec(lua_State *L, int at)
{
	struct pool_spec *s = pool_spec_new(field_text(L, at, "name"));
	const char *run_as = field_text(L, at, "run_as"), *source = field_text(L, at, "source"), *argv0 = field_text(L, at, "argv0");
	s->kind = strdup("python");
	s->source = strdup(source ? source : "policies/10-pools.lua:4");
	s->run_as = run_as ? strdup(run_as) : NULL;
	s->argv = calloc(2, sizeof(char *));
	s->argv[0] = strdup(argv0 ? argv0 : "/bin/true");
	s->memory_bytes = field_int(L, at, "memory", 0);
	s->memory_max_bytes = field_int(L, at, "memory_max", 0);
	s->heap_bytes = field_int(L, at, "heap", 0);
	s->warm_min = (int)field_int(L, at, "warm_min", 1);
	s->warm_max = (int)field_int(L, at, "warm_max", 8);
	s->max = (int)field_int(L, at, "max", 16);
	s->recycle_after_tasks = field_int(L, at, "after_tasks", 1);
	s->ready_within_ms = field_int(L, at, "ready_within_ms", 60000);
	return s;
}

static int set_pools(lua_State *L)
{
	struct bench *b = check(L);
	struct pool_spec *specs[16];
	struct err err = { 0 };
	size_t n = (size_t)lua_rawlen(L, 2);
	luaL_argcheck(L, n <= 16, 2, "too many");
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(L, 2, (lua_Integer)i + 1);
		specs[i] = read_spec(L, lua_gettop(L));
		lua_pop(L, 1);
	}
	if (fleet_set_pools(b->fleet, specs, n, &err) < 0)
		return fail(L, &err);
	lua_pushboolean(L, true);
	return 1;
}

static int start(lua_State *L)
{
	fleet_start(check(L)->fleet);
	return 0;
}

static void submitted(void *data, enum fleet_answer answer, const char *id, bool is_first, const struct err *why)
{
	char disk[32];
	if (answer == FLEET_OK)
		note(data, "submitted %s %s on-disk=%s", id, is_first ? "first" : "known", on_disk(data, id, disk, sizeof(disk)));
	else
		note(data, "unavailable %s", why ? why->text : "?");
}

static int submit(lua_State *L)
{
	static const char *const answers[] = { "ok", "bad", "not_found", "not_allowed", "unavailable" };
	struct bench *b = check(L);
	struct err err = { 0 };
	const char *payload = field_text(L, 2, "payload"), *owner = field_text(L, 2, "owner"), *type = field_text(L, 2, "type");
	payload = payload ? payload : "{}";
	struct fleet_request r = {
		.owner = owner ? owner : "ann", .type = type ? type : "python", .pool = field_text(L, 2, "pool"), .title = field_text(L, 2, "title"),
		.project = field_text(L, 2, "project"), .client_key = field_text(L, 2, "client_key"), .payload = payload, .payload_len = strlen(payload),
		.memory_bytes = field_int(L, 2, "memory", 0), .timeout_ms = field_int(L, 2, "timeout_ms", 0), .retries = (int)field_int(L, 2, "retries", 0),
	};
	enum fleet_answer answer = fleet_submit(b->fleet, &r, submitted, b, &err);
	lua_pushstring(L, answers[answer]);
	lua_pushstring(L, err.text);
	return 2;
}

struct got {
	bool is_there;
	enum fleet_answer answer;
	struct buf json, error;
	struct fleet *fleet;
	bool with_result;
};

static void on_got(void *data, enum fleet_answer answer, const struct future *f, const struct err *why)
{
	struct got *g = data;
	(void)why;
	g->is_there = true;
	g->answer = answer;
	if (!f)
		return;
	fleet_future_json(g->fleet, f, g->with_result, &g->json);
	future_error_json(f, &g->error);
}

/* get(id, with_result) -> state JSON, error JSON; or nil */
static int get(lua_State *L)
{
	struct bench *b = check(L);
	struct got g = { .fleet = b->fleet, .with_result = lua_toboolean(L, 3) };
	buf_init(&g.json, 1 << 20);
	buf_init(&g.error, 1 << 20);
	fleet_get(b->fleet, luaL_checkstring(L, 2), g.with_result, on_got, &g);
	int64_t deadline = clock_mono_ms() + 10000;
	while (!g.is_there && clock_mono_ms() < deadline)
		loop_run_once(b->loop, false);
	if (g.answer != FLEET_OK || !g.is_there) {
		lua_pushnil(L);
		lua_pushinteger(L, g.is_there ? (int)g.answer : -1);
	} else {
		lua_pushlstring(L, g.json.data, g.json.len);
		lua_pushlstring(L, g.error.data, g.error.len);
	}
	buf_fini(&g.json);
	buf_fini(&g.error);
	return 2;
}

static int abort_one(lua_State *L)
{
	struct bench *b = check(L);
	lua_pushinteger(L, fleet_abort(b->fleet, luaL_checkstring(L, 2), luaL_checkstring(L, 3), lua_toboolean(L, 4), NULL));
	return 1;
}

static int ready(lua_State *L)
{
	struct err err = { 0 };
	if (fleet_kernel_ready(check(L)->fleet, luaL_checkstring(L, 2), luaL_optstring(L, 3, "http://127.0.0.1:4711"), &err) < 0)
		return fail(L, &err);
	lua_pushboolean(L, true);
	return 1;
}

static int accepted(lua_State *L)
{
	fleet_task_accepted(check(L)->fleet, luaL_checkstring(L, 2), luaL_checkstring(L, 3), (int)luaL_checkinteger(L, 4));
	return 0;
}

/* tell("done" | "failed" | "aborted" | "unplaced", kernel, task, attempt, json) */
static int tell(lua_State *L)
{
	struct fleet *f = check(L)->fleet;
	const char *what = luaL_checkstring(L, 2), *kernel = luaL_checkstring(L, 3), *task = luaL_checkstring(L, 4), *json = luaL_optstring(L, 6, "{}");
	int attempt = (int)luaL_checkinteger(L, 5);
	if (strcmp(what, "done") == 0)
		fleet_task_done(f, kernel, task, attempt, json, strlen(json));
	else if (strcmp(what, "failed") == 0)
		fleet_task_failed(f, kernel, task, attempt, json, strlen(json));
	else if (strcmp(what, "aborted") == 0)
		fleet_task_aborted(f, kernel, task, attempt, json, strlen(json));
	else
		fleet_task_unplaced(f, kernel, task, attempt, json);
	return 0;
}

static void read_end(lua_State *L, int at, struct judge_end *e)
{
	const struct { const char *name; char *to; size_t room; } texts[] = {
		{ "id", e->id, sizeof(e->id) }, { "cause", e->cause, sizeof(e->cause) }, { "text", e->text, sizeof(e->text) },
		{ "limit_owner", e->limit_owner, sizeof(e->limit_owner) }, { "victim_of", e->victim_of, sizeof(e->victim_of) },
		{ "peak_source", e->peak_source, sizeof(e->peak_source) }, { "cgroup", e->cgroup, sizeof(e->cgroup) },
	};
	memset(e, 0, sizeof(*e));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *s = field_text(L, at, texts[i].name);
		snprintf(texts[i].to, texts[i].room, "%s", s ? s : "");
	}
	e->code = (int)field_int(L, at, "code", -1);
	e->signal = (int)field_int(L, at, "signal", -1);
	e->peak_bytes = field_int(L, at, "peak", -1);
	e->limit_bytes = field_int(L, at, "limit", -1);
	e->wall_ms = field_int(L, at, "wall_ms", clock_wall_ms());
}

struct ended {
	struct bench *bench;
	char id[64];
};

static void on_ended(void *data, const struct store_answer *answer)
{
	struct ended *e = data;
	(void)answer;
	note(e->bench, "acknowledge %s", e->id);
	free(e);
}

static int ended(lua_State *L)
{
	struct bench *b = check(L);
	struct judge_end end;
	read_end(L, 2, &end);
	struct ended *e = malloc(sizeof(*e));
	e->bench = b;
	snprintf(e->id, sizeof(e->id), "%.63s", end.id);
	fleet_kernel_ended(b->fleet, &end, on_ended, e);
	return 0;
}

static int take_up(lua_State *L)
{
	struct err err = { 0 };
	struct kernel *k = fleet_take_up(check(L)->fleet, luaL_checkstring(L, 2), (int)luaL_checkinteger(L, 3), lua_toboolean(L, 4), lua_tostring(L, 5),
					 clock_wall_ms(), &err);
	if (!k)
		return fail(L, &err);
	lua_pushstring(L, kernel_fsm.states[k->state]);
	lua_pushstring(L, k->task);
	return 2;
}

static int taken_up(lua_State *L)
{
	fleet_taken_up(check(L)->fleet);
	return 0;
}

static int json_of(lua_State *L, int (*fn)(const struct fleet *, struct buf *))
{
	struct buf out;
	buf_init(&out, 1 << 20);
	fn(check(L)->fleet, &out);
	lua_pushlstring(L, out.data, out.len);
	buf_fini(&out);
	return 1;
}

static int pools(lua_State *L) { return json_of(L, fleet_pools_json); }
static int kernels(lua_State *L) { return json_of(L, fleet_kernels_json); }

static int fail_spawns(lua_State *L)
{
	check(L)->fails_spawn = lua_toboolean(L, 2);
	return 0;
}

static int usage_told(lua_State *L)
{
	fleet_kernel_usage(check(L)->fleet, luaL_checkstring(L, 2), luaL_checkinteger(L, 3), luaL_checkinteger(L, 3));
	return 0;
}

/* --- pure words --- */

/* judge({end}, {pool}, {memory=, timeout_ms=, attempt=, retries=, samples={ {wall_ms, bytes}, … }}) -> text, JSON */
static int judge(lua_State *L)
{
	struct judge_end end;
	struct kernel k = { 0 };
	struct buf text, json;
	read_end(L, 1, &end);
	struct pool_spec *spec = read_spec(L, 2);
	lua_getfield(L, 3, "samples");
	for (lua_Integer i = 1; lua_istable(L, -1) && i <= (lua_Integer)lua_rawlen(L, -1); i++) {
		lua_rawgeti(L, -1, i);
		lua_rawgeti(L, -1, 1);
		lua_rawgeti(L, -2, 2);
		kernel_add_sample(&k, lua_tointeger(L, -2), lua_tointeger(L, -1));
		lua_pop(L, 3);
	}
	lua_pop(L, 1);
	struct judge_case c = {
		.end = &end, .pool = spec, .kernel = &k, .memory_bytes = field_int(L, 3, "memory", 0), .timeout_ms = field_int(L, 3, "timeout_ms", 0),
		.attempt = (int)field_int(L, 3, "attempt", 1), .retries = (int)field_int(L, 3, "retries", 0),
	};
	buf_init(&text, 8192);
	buf_init(&json, 65536);
	judge_text(&c, &text);
	judge_error(&c, &json);
	lua_pushlstring(L, text.data, text.len);
	lua_pushlstring(L, json.data, json.len);
	buf_fini(&text);
	buf_fini(&json);
	pool_spec_free(&spec);
	return 2;
}

static int ordinal(lua_State *L)
{
	char out[16];
	lua_pushstring(L, queue_ordinal((int)luaL_checkinteger(L, 1), out, sizeof(out)));
	return 1;
}

static int backoff_ms(lua_State *L)
{
	lua_pushinteger(L, pool_backoff_ms((int)luaL_checkinteger(L, 1)));
	return 1;
}

static int token(lua_State *L)
{
	char a[KERNEL_TOKEN_MAX], b[KERNEL_TOKEN_MAX];
	size_t n;
	const char *key = luaL_checklstring(L, 1, &n), *id = luaL_checkstring(L, 2);
	kernel_token(key, n, id, a);
	kernel_task_token(key, n, id, b);
	lua_pushstring(L, a);
	lua_pushstring(L, b);
	return 2;
}

static int read_url(lua_State *L)
{
	char url[KERNEL_URL_MAX];
	if (!node_callback_read_url(luaL_checkstring(L, 1), url, sizeof(url)))
		return 0;
	lua_pushstring(L, url);
	return 1;
}

static int raw_member(lua_State *L)
{
	size_t n, len;
	const char *json = luaL_checklstring(L, 1, &n), *at;
	if (!node_kernel_raw_member(json, n, luaL_checkstring(L, 2), &at, &len))
		return 0;
	lua_pushlstring(L, at, len);
	return 1;
}

/* sql(path, statement) -> { first column of each row as text }; or nil, why */
static int sql(lua_State *L)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	const char *rest = luaL_checkstring(L, 2);
	int rc = sqlite3_open(luaL_checkstring(L, 1), &db);
	lua_newtable(L);
	sqlite3_busy_timeout(db, 5000);
	while (rc == SQLITE_OK && *rest) {
		rc = sqlite3_prepare_v2(db, rest, -1, &st, &rest);
		if (rc != SQLITE_OK || !st)
			break;
		while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
			lua_pushstring(L, (const char *)sqlite3_column_text(st, 0));
			lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
		}
		sqlite3_finalize(st);
		st = NULL;
		rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
	}
	if (rc != SQLITE_OK) {
		lua_pushnil(L);
		lua_pushstring(L, sqlite3_errmsg(db));
	}
	sqlite3_close(db);
	return rc == SQLITE_OK ? 1 : 2;
}

static void push_json(lua_State *L, const json_t *v)
{
	const char *key;
	json_t *member;
	luaL_checkstack(L, 8, "too deep");
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		lua_newtable(L);
		json_object_foreach((json_t *)v, key, member) {
			push_json(L, member);
			lua_setfield(L, -2, key);
		}
		break;
	case JSON_ARRAY:
		lua_newtable(L);
		for (size_t i = 0; i < json_array_size(v); i++) {
			push_json(L, json_array_get(v, i));
			lua_rawseti(L, -2, (lua_Integer)i + 1);
		}
		break;
	case JSON_STRING: lua_pushlstring(L, json_string_value(v), json_string_length(v)); break;
	case JSON_INTEGER: lua_pushinteger(L, json_integer_value(v)); break;
	case JSON_REAL: lua_pushnumber(L, json_real_value(v)); break;
	case JSON_NULL: lua_pushnil(L); break;
	default: lua_pushboolean(L, json_is_true(v));
	}
}

/* parse(text) -> value; nil, why. Strict: duplicate keys and trailing bytes are errors. */
static int parse(lua_State *L)
{
	size_t n;
	struct err err = { 0 };
	const char *text = luaL_checklstring(L, 1, &n);
	json_t *v = json_parse(text, n, &err);
	if (!v)
		return fail(L, &err);
	push_json(L, v);
	json_decref(v);
	return 1;
}

static int die(lua_State *L)
{
	(void)L;
	raise(SIGKILL);
	return 0;
}

int luaopen_t_fleet(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "close", close_bench }, { "lines", take_lines }, { "turn", turn }, { "set_pools", set_pools }, { "start", start },
		{ "submit", submit }, { "get", get }, { "abort", abort_one }, { "ready", ready }, { "accepted", accepted }, { "tell", tell },
		{ "ended", ended }, { "take_up", take_up }, { "taken_up", taken_up }, { "pools", pools }, { "kernels", kernels },
		{ "fail_spawns", fail_spawns }, { "usage", usage_told }, { "__gc", close_bench }, { NULL, NULL },
	};
	static const luaL_Reg words[] = {
		{ "open", open_bench }, { "judge", judge }, { "ordinal", ordinal }, { "backoff_ms", backoff_ms }, { "token", token },
		{ "read_url", read_url }, { "raw_member", raw_member }, { "sql", sql }, { "parse", parse }, { "die", die }, { NULL, NULL },
	};
	luaL_newmetatable(L, "t_fleet");
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	luaL_newlib(L, words);
	return 1;
}
