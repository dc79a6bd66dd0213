/* t_words: the small pure words of fleet and node, JSON, and SQL on a closed or open store. */
#include <sqlite3.h>

#include "fleet/queue.h"
#include "net/digest.h"
#include "net/json.h"
#include "node/node_callback.h"
#include "node/node_change.h"
#include "node/node_kernel.h"
#include "t_fleet.h"

/* judge({end}, {pool}, {memory=, timeout_ms=, attempt=, retries=, samples={ {wall_ms, bytes}, … }}) -> text, JSON */
static int judge(lua_State *L)
{
	struct judge_end end;
	struct kernel k = { 0 };
	struct buf text, json;
	read_end(L, 1, &end);
	struct pool_spec *spec = read_spec(L, 2);
	judge_refine(&end, spec);
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
		.end = &end,
		.pool = spec,
		.kernel = &k,
		.memory_bytes = field_int(L, 3, "memory", 0),
		.timeout_ms = field_int(L, 3, "timeout_ms", 0),
		.attempt = (int)field_int(L, 3, "attempt", 1),
		.retries = (int)field_int(L, 3, "retries", 0),
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
		json_object_foreach((json_t *)v, key, member)
		{
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
	case JSON_STRING:
		lua_pushlstring(L, json_string_value(v), json_string_length(v));
		break;
	case JSON_INTEGER:
		lua_pushinteger(L, json_integer_value(v));
		break;
	case JSON_REAL:
		lua_pushnumber(L, json_real_value(v));
		break;
	case JSON_NULL:
		lua_pushnil(L);
		break;
	default:
		lua_pushboolean(L, json_is_true(v));
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

/* hmac(key, text) -> hex */
static int hmac(lua_State *L)
{
	size_t n, m;
	char hex[DIGEST_HEX_SIZE];
	const char *key = luaL_checklstring(L, 1, &n), *text = luaL_checklstring(L, 2, &m);
	digest_hmac_sha256_hex(key, n, text, m, hex);
	lua_pushstring(L, hex);
	return 1;
}

static void on_change(void *data, const struct err *why)
{
	lua_pushstring(data, why ? why->text : "done");
}

/* change(key, project.lua | nil) -> what is said where no keeper is there to order it from */
static int change(lua_State *L)
{
	struct node node = { 0 };
	struct node_changes *changes;
	const char *key = luaL_checkstring(L, 1), *text = luaL_optstring(L, 2, NULL);
	node.loop = loop_new(NULL);
	changes = node.loop ? node_changes_new(&node, "/nonexistent") : NULL;
	if (!changes)
		return luaL_error(L, "no memory");
	node_changes_order(changes, key, text, true, on_change, L);
	node_changes_free(&changes);
	loop_free(&node.loop);
	return 1;
}

int luaopen_t_words(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "judge", judge },   { "ordinal", ordinal },   { "backoff_ms", backoff_ms },
		{ "token", token },   { "read_url", read_url }, { "raw_member", raw_member },
		{ "sql", sql },       { "parse", parse },       { "hmac", hmac },
		{ "change", change }, { NULL, NULL },
	};
	luaL_newlib(L, words);
	return 1;
}
