/*
 * t_fleet: a fleet on a loop of its own whose orders go nowhere but into a log, so that a spec plays keeper and kernels. With a function
 * as open's third argument conversations are real: that function is an HTTP server that plays every kernel.
 */
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/alerts.h"
#include "fleet/fleet.h"
#include "fleet/ledger.h"
#include "fleet/usage.h"
#include "gate/server.h"
#include "net/client.h"
#include "node/node_kernel.h"
#include "t_class.h"
#include "t_fleet.h"
#include "sys/clock.h"
#include "sys/sock.h"

struct bench_guest;
struct bench {
	struct bench_guest *guests;
	struct loop *loop;
	struct fleet *fleet;
	char path[512];
	char **lines;
	size_t n, room;
	bool fails_spawn;
	/* real conversations */
	struct client *client;
	struct node_kernels *kernels;
	struct gate *gate;
	int port, handler; /* handler: reference of the Lua function */
	int place;         /* reference of the function that places tasks at slots */
	lua_State *L;
};

#define KEY "the node's key of this spec"

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

static void usage(void *data, const struct kernel *const *kernels, size_t n)
{
	for (size_t i = 0; i < n; i++)
		note(data, "usage %s", kernels[i]->id);
}

static int send_task(void *data, const struct kernel *k, const struct future *f, struct err *err)
{
	struct bench *b = data;
	char disk[32];
	note(b, "send %s %s %d on-disk=%s", k->id, f->id, f->attempt, on_disk(b, f->id, disk, sizeof(disk)));
	return b->kernels ? node_kernel_send(b->kernels, k, f, err) : 0;
}

static void abort_task(void *data, const struct kernel *k, const char *task)
{
	struct bench *b = data;
	note(b, "abort %s %s", k->id, task);
	if (b->kernels)
		node_kernel_abort(b->kernels, k, task);
}

static void release(void *data, const struct kernel *k, const char *task)
{
	struct bench *b = data;
	char disk[32];
	note(b, "release %s %s on-disk=%s", k->id, task, on_disk(b, task, disk, sizeof(disk)));
	if (b->kernels)
		node_kernel_release(b->kernels, k, task);
}

static void drop(void *data, const char *kernel)
{
	struct bench *b = data;
	note(b, "drop %s", kernel);
	if (b->kernels)
		node_kernel_drop(b->kernels, kernel);
}

static void on_fatal(void *data, const char *text)
{
	note(data, "fatal %s", text);
}

/* --- the HTTP server that plays kernels --- */

/* handler(method, target, body, authorization) -> status, body; false: no answer, ever; "close": the connection is cut. */
static void on_request(void *data, struct gate_request *req)
{
	struct bench *b = data;
	lua_State *L = b->L;
	const char *authorization = http_field(req->http, "authorization");
	int top = lua_gettop(L);
	lua_rawgeti(L, LUA_REGISTRYINDEX, b->handler);
	lua_pushstring(L, req->http->method);
	lua_pushstring(L, req->http->target);
	lua_pushlstring(L, req->http->body.data ? req->http->body.data : "", req->http->body.len);
	lua_pushstring(L, authorization ? authorization : "");
	if (lua_pcall(L, 4, 2, 0) != LUA_OK) {
		note(b, "handler failed: %s", lua_tostring(L, -1));
		gate_reply_error(req, 500, NULL, "the spec's handler failed");
	} else if (lua_isinteger(L, -2)) {
		size_t n;
		const char *body = lua_tolstring(L, -1, &n);
		gate_reply_json(req, (int)lua_tointeger(L, -2), body ? body : "", body ? n : 0);
	}
	lua_settop(L, top);
}

static int play_kernels(struct bench *b, struct err *err)
{
	struct gate_settings settings;
	gate_settings_init(&settings);
	int fd = sock_listen_tcp("127.0.0.1", 0, err);
	if (fd < 0)
		return -1;
	b->port = sock_port(fd);
	b->gate = gate_new(b->loop, fd, &settings, on_request, b, err);
	b->client = client_new(b->loop, 16, err);
	if (!b->gate || !b->client)
		return -1;
	b->kernels = node_kernels_new(b->loop, b->client, KEY, strlen(KEY), err);
	return b->kernels ? 0 : -1;
}

/* --- Lua --- */

static struct bench *check(lua_State *L)
{
	struct bench *b = luaL_checkudata(L, 1, "t_fleet");
	luaL_argcheck(L, b->fleet, 1, "closed");
	return b;
}

#include "t_fleet_guest.h"

static int open_bench(lua_State *L)
{
	struct err err = { 0 };
	const char *path = luaL_checkstring(L, 1);
	int64_t grace_ms = luaL_optinteger(L, 2, 0);
	bool has_handler = lua_isfunction(L, 3);
	int64_t memory_bytes = luaL_optinteger(L, 4, 0), reserve_bytes = luaL_optinteger(L, 5, 0);
	lua_settop(L, 3);
	struct bench *b = lua_newuserdatauv(L, sizeof(*b), 0);
	memset(b, 0, sizeof(*b));
	luaL_setmetatable(L, "t_fleet");
	snprintf(b->path, sizeof(b->path), "%s", path);
	b->loop = loop_new(&err);
	if (!b->loop)
		return fail(L, &err);
	b->handler = b->place = LUA_NOREF;
	b->guests = calloc(GUESTS, sizeof(*b->guests));
	if (has_handler) {
		lua_pushvalue(L, 3);
		b->handler = luaL_ref(L, LUA_REGISTRYINDEX);
		if (play_kernels(b, &err) < 0)
			return fail(L, &err);
	}
	struct fleet_config config = {
		.store_path = b->path,
		.on_fatal = on_fatal,
		.abort_grace_ms = grace_ms,
		.memory_bytes = memory_bytes,
		.reserve_bytes = reserve_bytes,
		.orders = { b, spawn, stop, label, limit, usage, send_task, abort_task, release, drop },
	};
	b->fleet = fleet_new(b->loop, &config, &err);
	if (!b->fleet)
		return fail(L, &err);
	if (b->kernels)
		node_kernels_set_fleet(b->kernels, b->fleet);
	return 1;
}

static int close_bench(lua_State *L)
{
	struct bench *b = luaL_checkudata(L, 1, "t_fleet");
	if (b->kernels)
		node_kernels_free(&b->kernels);
	if (b->client)
		client_free(&b->client);
	gate_free(&b->gate);
	fleet_free(&b->fleet);
	free(b->guests);
	b->guests = NULL;
	luaL_unref(L, LUA_REGISTRYINDEX, b->handler);
	luaL_unref(L, LUA_REGISTRYINDEX, b->place);
	b->place = LUA_NOREF;
	b->handler = LUA_NOREF;
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
	b->L = L; /* a request's handler runs on whoever turns the loop */
	loop_run_once(b->loop, false);
	return 0;
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

/* The list at the top of the stack, with the function's own copy below. */
static size_t read_places(lua_State *L, struct slot_place *out)
{
	size_t n = 0;
	for (; n < SLOTS_OF_TASK && lua_rawgeti(L, -1, (lua_Integer)n + 1) == LUA_TTABLE; n++) {
		lua_rawgeti(L, -1, 1);
		lua_rawgeti(L, -2, 2);
		lua_rawgeti(L, -3, 3);
		out[n] = (struct slot_place){ (int)lua_tointeger(L, -3) - 1, lua_tostring(L, -2), luaL_optinteger(L, -1, -1) };
		lua_pop(L, 4);
	}
	lua_pop(L, 2);
	return n;
}

/* The same function's answer for {kind, user, project, job, id}. */
static size_t place_guest(void *data, const struct guest_facts *g, struct slot_place *out)
{
	struct bench *b = data;
	lua_State *L = b->L;
	const char *const fields[][2] = {
		{ "kind", g->kind }, { "user", g->user }, { "project", g->project }, { "job", g->job }, { "id", g->id }
	};
	lua_rawgeti(L, LUA_REGISTRYINDEX, b->place);
	lua_createtable(L, 0, 5);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		lua_pushstring(L, fields[i][1]);
		lua_setfield(L, -2, fields[i][0]);
	}
	lua_call(L, 1, 1);
	return read_places(L, out);
}

/* The function's answer for {owner, project, title, pool}: a list of {rule, key, max?}; rule counts from 1. */
static size_t place(void *data, const struct future *f, struct slot_place *out)
{
	struct bench *b = data;
	lua_State *L = b->L;
	lua_rawgeti(L, LUA_REGISTRYINDEX, b->place);
	lua_createtable(L, 0, 4);
	lua_pushstring(L, f->owner);
	lua_setfield(L, -2, "owner");
	lua_pushstring(L, f->project);
	lua_setfield(L, -2, "project");
	lua_pushstring(L, f->title);
	lua_setfield(L, -2, "title");
	lua_pushstring(L, f->pool);
	lua_setfield(L, -2, "pool");
	lua_call(L, 1, 1);
	return read_places(L, out);
}

/* set_slots({{name, each, max, memory, word}, …}, place) */
static int set_slots(lua_State *L)
{
	struct bench *b = check(L);
	struct slot_rule rules[16];
	struct err err = { 0 };
	size_t n = (size_t)lua_rawlen(L, 2);
	luaL_argcheck(L, n <= 16, 2, "too many");
	lua_settop(L, 3);
	if (!lua_isnil(L, 3)) {
		luaL_unref(L, LUA_REGISTRYINDEX, b->place);
		lua_pushvalue(L, 3);
		b->place = luaL_ref(L, LUA_REGISTRYINDEX);
		struct fleet_policy policy = { .data = b, .place = place, .place_guest = place_guest };
		fleet_set_policy(b->fleet, &policy);
	}
	b->L = L;
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(L, 2, (lua_Integer)i + 1); /* stays on the stack, and with it its texts */
		int at = lua_gettop(L);
		const char *word = field_text(L, at, "word");
		rules[i] =
			(struct slot_rule){ word ? word : "slots",     field_text(L, at, "name"),   "policies/20.lua:7",
					    field_text(L, at, "each"), field_int(L, at, "max", -1), field_int(L, at, "memory", 0) };
	}
	if (fleet_set_slots(b->fleet, rules, n, &err) < 0)
		return fail(L, &err);
	lua_pushboolean(L, true);
	return 1;
}

/* used(task, bytes, ms): its owner used that just now */
static int used(lua_State *L)
{
	const struct future *f = fleet_live(check(L)->fleet, luaL_checkstring(L, 2));
	luaL_argcheck(L, f, 2, "no open task");
	usage_add(f->user, luaL_checkinteger(L, 3), luaL_checkinteger(L, 4), 0, clock_mono_ms());
	return 0;
}

/* seconds of kernels at work, GB·s, of the owner of an open task */
static int use_of(lua_State *L)
{
	const struct future *f = fleet_live(check(L)->fleet, luaL_checkstring(L, 2));
	luaL_argcheck(L, f, 2, "no open task");
	lua_pushnumber(L, usage_seconds(f->user, clock_mono_ms()));
	lua_pushnumber(L, usage_gb_seconds(f->user, clock_mono_ms()));
	return 2;
}

static void on_decided(void *data, const struct buf *out, const struct err *why)
{
	struct buf *to = data;
	buf_puts(to, out ? out->data : why->text);
}

/* decided(task) -> what the queue decided of it: json, newest first */
static int decided(lua_State *L)
{
	struct bench *b = check(L);
	struct ledger_query q = { .word = "queue", .subject_kind = "task", .subject = luaL_checkstring(L, 2), .limit = 100 };
	struct buf out;
	buf_init(&out, 1 << 20);
	ledger_flush(fleet_ledger(b->fleet));
	int64_t deadline = clock_mono_ms() + 10000;
	if (ledger_read(fleet_ledger(b->fleet), &q, on_decided, &out) == 0)
		while (!out.len && clock_mono_ms() < deadline)
			loop_run_once(b->loop, false);
	lua_pushlstring(L, out.data ? out.data : "", out.len);
	buf_fini(&out);
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
		.owner = owner ? owner : "ann",
		.type = type ? type : "python",
		.pool = field_text(L, 2, "pool"),
		.title = field_text(L, 2, "title"),
		.project = field_text(L, 2, "project"),
		.client_key = field_text(L, 2, "client_key"),
		.payload = payload,
		.payload_len = strlen(payload),
		.memory_bytes = field_int(L, 2, "memory", 0),
		.timeout_ms = field_int(L, 2, "timeout_ms", 0),
		.retries = (int)field_int(L, 2, "retries", 0),
		.priority = (int)field_int(L, 2, "priority", 0),
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
	b->L = L;
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
	const char *what = luaL_checkstring(L, 2), *kernel = luaL_checkstring(L, 3), *task = luaL_checkstring(L, 4),
		   *json = luaL_optstring(L, 6, "{}");
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
	struct kernel *k = fleet_take_up(check(L)->fleet, luaL_checkstring(L, 2), (int)luaL_checkinteger(L, 3), lua_toboolean(L, 4),
					 lua_tostring(L, 5), clock_wall_ms(), &err);
	if (!k)
		return fail(L, &err);
	lua_pushstring(L, kernel_fsm.states[k->state]);
	lua_pushstring(L, k->task);
	return 2;
}

/* follow(kernel): what node does with a busy kernel that was taken up */
static int follow(lua_State *L)
{
	struct bench *b = check(L);
	struct err err = { 0 };
	struct kernel *k = fleet_kernel(b->fleet, luaL_checkstring(L, 2));
	struct future *f = k ? fleet_live(b->fleet, k->task) : NULL;
	luaL_argcheck(L, f, 2, "no kernel with a task");
	return node_kernel_follow(b->kernels, k, f, &err) < 0 ? fail(L, &err) : 0;
}

static void on_read(void *data)
{
	struct bench *b = data;
	note(b, "read to the end");
}

/* finish(kernel): its process has ended */
static int finish(lua_State *L)
{
	struct bench *b = check(L);
	node_kernel_finish(b->kernels, luaL_checkstring(L, 2), on_read, b);
	return 0;
}

static int url(lua_State *L)
{
	lua_pushfstring(L, "http://127.0.0.1:%d", check(L)->port);
	return 1;
}

/* tokens(id) -> task token of that kernel */
static int task_token(lua_State *L)
{
	char out[KERNEL_TOKEN_MAX];
	kernel_task_token(KEY, strlen(KEY), luaL_checkstring(L, 1), out);
	lua_pushstring(L, out);
	return 1;
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

static int pools(lua_State *L)
{
	return json_of(L, fleet_pools_json);
}
static int slots(lua_State *L)
{
	return json_of(L, fleet_slots_json);
}
static int kernels(lua_State *L)
{
	return json_of(L, fleet_kernels_json);
}

static int budget(lua_State *L)
{
	return json_of(L, fleet_budget_json);
}

static int services(lua_State *L)
{
	fleet_set_services(check(L)->fleet, luaL_checkinteger(L, 2));
	return 0;
}

static int alerts(lua_State *L)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	alerts_json(fleet_alerts(check(L)->fleet), &out);
	lua_pushlstring(L, out.data, out.len);
	buf_fini(&out);
	return 1;
}

static void on_decisions(void *data, const struct buf *out, const struct err *why)
{
	struct got *g = data;
	g->is_there = true;
	buf_puts(&g->json, out ? out->data : why->text);
}

/* decisions(word) -> JSON, newest first */
static int decisions(lua_State *L)
{
	struct bench *b = check(L);
	struct got g = { .fleet = b->fleet };
	struct ledger_query q = { .word = luaL_checkstring(L, 2), .limit = 1000 };
	buf_init(&g.json, 1 << 20);
	int64_t deadline = clock_mono_ms() + 10000;
	if (ledger_read(fleet_ledger(b->fleet), &q, on_decisions, &g) == 0)
		while (!g.is_there && clock_mono_ms() < deadline)
			loop_run_once(b->loop, false);
	lua_pushlstring(L, g.json.data ? g.json.data : "", g.json.len);
	buf_fini(&g.json);
	return 1;
}

/* expect(pool, in_ms, count) */
static int expect(lua_State *L)
{
	struct fleet *fleet = check(L)->fleet;
	struct pool *pool = fleet_pool(fleet, luaL_checkstring(L, 2));
	luaL_argcheck(L, pool, 2, "no such pool");
	pool_expect(pool, clock_mono_ms() + luaL_checkinteger(L, 3), luaL_checkinteger(L, 4));
	return 0;
}

static int fail_spawns(lua_State *L)
{
	check(L)->fails_spawn = lua_toboolean(L, 2);
	return 0;
}

static int usage_told(lua_State *L)
{
	fleet_kernel_usage(check(L)->fleet, luaL_checkstring(L, 2), luaL_checkinteger(L, 3), luaL_checkinteger(L, 3),
			   luaL_optinteger(L, 4, -1));
	return 0;
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
		{ "close", close_bench },
		{ "lines", take_lines },
		{ "turn", turn },
		{ "set_pools", set_pools },
		{ "start", start },
		{ "submit", submit },
		{ "get", get },
		{ "abort", abort_one },
		{ "ready", ready },
		{ "accepted", accepted },
		{ "tell", tell },
		{ "ended", ended },
		{ "take_up", take_up },
		{ "taken_up", taken_up },
		{ "pools", pools },
		{ "kernels", kernels },
		{ "follow", follow },
		{ "finish", finish },
		{ "url", url },
		{ "fail_spawns", fail_spawns },
		{ "usage", usage_told },
		{ "__gc", close_bench },
		{ "budget", budget },
		{ "services", services },
		{ "alerts", alerts },
		{ "decisions", decisions },
		{ "expect", expect },
		{ "set_slots", set_slots },
		{ "slots", slots },
		{ "used", used },
		{ "use_of", use_of },
		{ "decided", decided },
		{ "ask", guest_asks },
		{ "adopt", guest_adopts },
		{ "leave", guest_leaves },
		{ "why", guest_waits },
		{ "guests", guests_told },
		{ NULL, NULL },
	};
	static const luaL_Reg words[] = {
		{ "open", open_bench },
		{ "die", die },
		{ "task_token", task_token },
		{ NULL, NULL },
	};
	t_class(L, "t_fleet", methods);
	luaL_newlib(L, words);
	return 1;
}
