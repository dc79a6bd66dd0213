/*
 * t_ledger: the ledger with a store of its own, for specs and for the bench.
 *   open(store_path, { dir, window_ms, window_bytes, keep_ms, keep_rows }) → l | nil, why
 *   l:note { word, name, source, kind, subject, answer, reason, inputs, threshold, mode, outcome, owner } → seq
 *   l:outcome(seq, outcome, text)  l:version(n)  l:window(ms, bytes)  l:keep(ms, rows)  l:flush()  l:turn()
 *   l:read { word, name, kind, subject, login, would, before, limit } → json | nil, why
 *   l:stats() → table  l:alerts() → json  l:many(n, subjects) → ns each
 */
#include <stdlib.h>
#include "fleet/alerts.h"
#include "fleet/ledger.h"
#include "t_class.h"
#include "t_fleet.h"

struct bench {
	struct loop *loop;
	struct store *store;
	struct ledger *ledger;
	struct alerts *alerts;
};

static struct bench *check(lua_State *L)
{
	struct bench *b = luaL_checkudata(L, 1, "t_ledger");
	luaL_argcheck(L, b->ledger, 1, "closed");
	return b;
}

static int close_bench(lua_State *L)
{
	struct bench *b = luaL_checkudata(L, 1, "t_ledger");
	if (b->ledger)
		ledger_flush(b->ledger);
	alerts_free(&b->alerts);
	store_close(&b->store);
	ledger_free(&b->ledger);
	if (b->loop)
		loop_free(&b->loop);
	return 0;
}

static int open_bench(lua_State *L)
{
	struct err err = { 0 };
	const char *path = luaL_checkstring(L, 1);
	luaL_checktype(L, 2, LUA_TTABLE);
	struct ledger_config config = {
		.dir = field_text(L, 2, "dir"),
		.window_ms = field_int(L, 2, "window_ms", 0),
		.window_most_bytes = field_int(L, 2, "window_bytes", 0),
		.keep_ms = field_int(L, 2, "keep_ms", 0),
		.keep_rows = field_int(L, 2, "keep_rows", 0),
	};
	struct bench *b = lua_newuserdatauv(L, sizeof(*b), 0);
	memset(b, 0, sizeof(*b));
	luaL_setmetatable(L, "t_ledger");
	b->loop = loop_new(&err);
	if (!b->loop || !(b->store = store_open(b->loop, path, NULL, NULL, &err)))
		return fail(L, &err);
	config.store = b->store;
	b->ledger = ledger_new(&config, &err);
	if (!b->ledger)
		return fail(L, &err);
	b->alerts = alerts_new(b->store);
	ledger_set_alerts(b->ledger, b->alerts);
	return 1;
}

static int note(lua_State *L)
{
	struct bench *b = check(L);
	struct decision d = {
		.word = field_text(L, 2, "word"),
		.name = field_text(L, 2, "name"),
		.source = field_text(L, 2, "source"),
		.subject_kind = field_text(L, 2, "kind"),
		.subject = field_text(L, 2, "subject"),
		.answer = field_text(L, 2, "answer"),
		.reason = field_text(L, 2, "reason"),
		.inputs = field_text(L, 2, "inputs"),
		.threshold = field_text(L, 2, "threshold"),
		.mode = field_text(L, 2, "mode"),
		.outcome = field_text(L, 2, "outcome"),
		.owner = field_text(L, 2, "owner"),
	};
	lua_pushinteger(L, ledger_note(b->ledger, &d));
	return 1;
}

static int outcome(lua_State *L)
{
	ledger_outcome(check(L)->ledger, luaL_checkinteger(L, 2), luaL_checkstring(L, 3), luaL_optstring(L, 4, NULL));
	return 0;
}

static int set_version(lua_State *L)
{
	ledger_set_version(check(L)->ledger, luaL_checkinteger(L, 2));
	return 0;
}

static int set_window(lua_State *L)
{
	ledger_set_window(check(L)->ledger, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
	return 0;
}

static int set_keep(lua_State *L)
{
	ledger_set_keep(check(L)->ledger, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
	return 0;
}

static int flush(lua_State *L)
{
	ledger_flush(check(L)->ledger);
	return 0;
}

static int turn(lua_State *L)
{
	loop_run_once(check(L)->loop, false);
	return 0;
}

struct got {
	lua_State *L;
	int values;
};

static void on_read(void *data, const struct buf *out, const struct err *why)
{
	struct got *g = data;
	g->values = out ? 1 : 2;
	if (out) {
		lua_pushlstring(g->L, out->data, out->len);
		return;
	}
	lua_pushnil(g->L);
	lua_pushstring(g->L, why->text);
}

static int read_rows(lua_State *L)
{
	struct bench *b = check(L);
	struct ledger_query q = {
		.word = field_text(L, 2, "word"),
		.name = field_text(L, 2, "name"),
		.subject_kind = field_text(L, 2, "kind"),
		.subject = field_text(L, 2, "subject"),
		.login = field_text(L, 2, "login"),
		.only_would = field_int(L, 2, "would", 0) != 0,
		.before_seq = field_int(L, 2, "before", 0),
		.limit = (int)field_int(L, 2, "limit", 100),
	};
	struct got g = { L, 0 };
	if (ledger_read(b->ledger, &q, on_read, &g) < 0)
		return luaL_error(L, "no memory");
	int64_t deadline = clock_mono_ms() + 30000;
	while (!g.values && clock_mono_ms() < deadline)
		loop_run_once(b->loop, false);
	return g.values ? g.values : luaL_error(L, "waited 30 s for a read");
}

static int stats(lua_State *L)
{
	struct ledger_stats s;
	ledger_get_stats(check(L)->ledger, &s);
	const struct {
		const char *name;
		int64_t value;
	} all[] = { { "noted", s.noted }, { "lost", s.lost },    { "segments", s.segments }, { "segment_bytes", s.segment_bytes },
		    { "rows", s.rows },   { "folded", s.folded } };
	lua_newtable(L);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		lua_pushinteger(L, all[i].value);
		lua_setfield(L, -2, all[i].name);
	}
	return 1;
}

static int alerts(lua_State *L)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	alerts_json(check(L)->alerts, &out);
	lua_pushlstring(L, out.data, out.len);
	buf_fini(&out);
	return 1;
}

/* What a rule that looks at kernels notes, n times over so many of them. */
static int many(lua_State *L)
{
	struct bench *b = check(L);
	int64_t n = luaL_checkinteger(L, 2), subjects = luaL_checkinteger(L, 3);
	char subject[32], inputs[200];
	struct decision d = { .word = "rule",
			      .name = "idle kernels",
			      .source = "policies/30-rules.lua:4",
			      .subject_kind = "kernel",
			      .subject = subject,
			      .answer = "keep",
			      .reason = "it was idle for 12 min",
			      .inputs = inputs,
			      .threshold = "idle > 2h" };
	int64_t spent_us = 0;
	for (int64_t i = 0; i < n;) {
		int64_t stop = i + 64 < n ? i + 64 : n;
		snprintf(inputs, sizeof(inputs), "{\"idle\":%lld,\"memory\":734003200,\"kind\":\"kernel\",\"tasks\":12}",
			 (long long)(i % 7200));
		int64_t from = clock_mono_us();
		for (; i < stop; i++) {
			snprintf(subject, sizeof(subject), "fek-%lld", (long long)(i % subjects));
			ledger_note(b->ledger, &d);
		}
		spent_us += clock_mono_us() - from;
	}
	lua_pushnumber(L, (double)spent_us * 1000 / (double)n);
	return 1;
}

int luaopen_t_ledger(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "note", note },        { "outcome", outcome }, { "version", set_version }, { "window", set_window },
		{ "keep", set_keep },    { "flush", flush },     { "turn", turn },           { "read", read_rows },
		{ "stats", stats },      { "alerts", alerts },   { "many", many },           { "close", close_bench },
		{ "__gc", close_bench }, { NULL, NULL },
	};
	static const luaL_Reg words[] = { { "open", open_bench }, { NULL, NULL } };
	t_class(L, "t_ledger", methods);
	luaL_newlib(L, words);
	return 1;
}
