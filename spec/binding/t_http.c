/* t_http: the HTTP codec, digests and JSON helpers, for the specs. */
#include <lua.h>
#include <lauxlib.h>
#include <string.h>
#include "net/digest.h"
#include "net/http.h"
#include "net/json.h"
#include "base/utf8.h"

static void push_pairs(lua_State *L, const struct http_pair *pair, size_t n)
{
	lua_createtable(L, (int)n, 0);
	for (size_t i = 0; i < n; i++) {
		lua_createtable(L, 2, 0);
		lua_pushstring(L, pair[i].name);
		lua_rawseti(L, -2, 1);
		lua_pushstring(L, pair[i].value);
		lua_rawseti(L, -2, 2);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

#define SET(name, push) (push, lua_setfield(L, -2, name))

static void push_request(lua_State *L, const struct http_request *r)
{
	SET("method", lua_pushstring(L, r->method));
	SET("target", lua_pushstring(L, r->target));
	SET("path", lua_pushstring(L, r->path));
	SET("host", lua_pushstring(L, r->host));
	SET("minor", lua_pushinteger(L, r->minor));
	SET("keeps_alive", lua_pushboolean(L, r->keeps_alive));
	SET("is_head", lua_pushboolean(L, r->is_head));
	SET("body", lua_pushlstring(L, r->body.data ? r->body.data : "", r->body.len));
	push_pairs(L, r->query, r->nquery);
	lua_setfield(L, -2, "query");
	push_pairs(L, r->field, r->nfields);
	lua_setfield(L, -2, "fields");
	lua_createtable(L, (int)r->nsegments, 0);
	for (size_t i = 0; i < r->nsegments; i++) {
		lua_pushstring(L, r->segment[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "segments");
}

/* parse(bytes, piece = all, body_max = 1 MB) → { step, used, continues, … } */
static int parse(lua_State *L)
{
	static const char *const names[] = { "more", "continue", "done", "bad" };
	size_t len, total = 0, used;
	const char *bytes = luaL_checklstring(L, 1, &len);
	size_t piece = (size_t)luaL_optinteger(L, 2, (lua_Integer)len);
	struct http_parse *p = http_parse_new((size_t)luaL_optinteger(L, 3, 1 << 20));
	struct http_fault fault = { 0 };
	enum http_step step = HTTP_MORE;
	int continues = 0;
	while (total < len && (step == HTTP_MORE || step == HTTP_CONTINUE)) {
		size_t n = piece < len - total ? piece : len - total;
		step = http_parse_feed(p, bytes + total, n, &used, &fault);
		total += used;
		continues += step == HTTP_CONTINUE;
	}
	lua_newtable(L);
	SET("step", lua_pushstring(L, names[step]));
	SET("used", lua_pushinteger(L, (lua_Integer)total));
	SET("continues", lua_pushinteger(L, continues));
	if (step == HTTP_BAD) {
		SET("status", lua_pushinteger(L, fault.status));
		SET("text", lua_pushstring(L, fault.text));
	}
	if (step == HTTP_DONE)
		push_request(L, http_parse_request(p));
	http_parse_free(&p);
	return 1;
}

/* head(status, minor, keeps_alive, length | "chunked", name, value) → bytes | nil, text */
static int head(lua_State *L)
{
	struct http_pair pair = { luaL_optstring(L, 5, "X"), luaL_optstring(L, 6, "") };
	struct http_head h = { .status = (int)luaL_checkinteger(L, 1),
			       .minor = (int)luaL_checkinteger(L, 2),
			       .keeps_alive = lua_toboolean(L, 3),
			       .content_type = "text/plain",
			       .field = &pair,
			       .nfields = lua_isnoneornil(L, 5) ? 0 : 1 };
	struct err err;
	struct buf b;
	h.is_chunked = lua_type(L, 4) == LUA_TSTRING;
	h.content_length = h.is_chunked ? -1 : luaL_checkinteger(L, 4);
	buf_init(&b, 4096);
	if (http_put_head(&b, &h, &err) == 0) {
		lua_pushlstring(L, b.data, b.len);
		buf_fini(&b);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, err.text);
	buf_fini(&b);
	return 2;
}

static int decode(lua_State *L)
{
	char text[256];
	snprintf(text, sizeof(text), "%s", luaL_checkstring(L, 1));
	if (http_decode(text, lua_toboolean(L, 2)) < 0)
		return 0;
	lua_pushstring(L, text);
	return 1;
}

static int encode(lua_State *L)
{
	size_t len;
	const char *s = luaL_checklstring(L, 1, &len);
	struct buf b;
	buf_init(&b, 4096);
	http_put_encoded(&b, s, len);
	lua_pushlstring(L, b.data, b.len);
	buf_fini(&b);
	return 1;
}

static int reason(lua_State *L)
{
	lua_pushstring(L, http_reason((int)luaL_checkinteger(L, 1)));
	return 1;
}

/* --- digests --- */

static int sha256(lua_State *L)
{
	char hex[DIGEST_HEX_SIZE];
	size_t len;
	const char *s = luaL_checklstring(L, 1, &len);
	digest_sha256_hex(s, len, hex);
	lua_pushstring(L, hex);
	return 1;
}

static int hmac(lua_State *L)
{
	char hex[DIGEST_HEX_SIZE];
	size_t key_len, len;
	const char *key = luaL_checklstring(L, 1, &key_len), *s = luaL_checklstring(L, 2, &len);
	digest_hmac_sha256_hex(key, key_len, s, len, hex);
	lua_pushstring(L, hex);
	return 1;
}

static int random_hex(lua_State *L)
{
	char hex[513];
	lua_Integer n = luaL_checkinteger(L, 1);
	luaL_argcheck(L, n >= 0 && n <= 256, 1, "0 to 256");
	if (digest_random_hex(hex, (size_t)n, NULL) < 0)
		return 0;
	lua_pushstring(L, hex);
	return 1;
}

static int from_hex(lua_State *L)
{
	char out[64];
	size_t len;
	const char *hex = luaL_checklstring(L, 1, &len);
	lua_Integer n = luaL_checkinteger(L, 2);
	luaL_argcheck(L, n >= 0 && n <= 64, 2, "0 to 64");
	if (!digest_from_hex(hex, len, out, (size_t)n))
		return 0;
	lua_pushlstring(L, out, (size_t)n);
	return 1;
}

/* --- JSON --- */

static int fails(lua_State *L, const struct err *err)
{
	lua_pushnil(L);
	lua_pushstring(L, err->text);
	return 2;
}

/* json(text) → the compact text of what was read | nil, error */
static int json_again(lua_State *L)
{
	size_t len;
	const char *s = luaL_checklstring(L, 1, &len);
	struct err err;
	struct buf b;
	json_t *value = json_parse(s, len, &err);
	if (value == NULL)
		return fails(L, &err);
	buf_init(&b, 1 << 20);
	json_put(&b, value);
	json_decref(value);
	lua_pushlstring(L, b.data, b.len);
	buf_fini(&b);
	return 1;
}

/* json_get(kind, text, key, is_required, least, most) → value | false (absent) | nil, error */
static int json_get(lua_State *L)
{
	const char *kind = luaL_checkstring(L, 1), *text = luaL_checkstring(L, 2), *key = luaL_checkstring(L, 3), *s = NULL;
	enum json_need need = lua_toboolean(L, 4) ? JSON_REQUIRED : JSON_OPTIONAL;
	struct err err;
	int64_t n = INT64_MIN;
	double d = -1;
	bool truth = false;
	json_t *part = NULL, *obj = json_parse_object(text, strlen(text), &err);
	int rc = 0, pushed = 1;
	if (obj == NULL)
		return fails(L, &err);
	lua_pushboolean(L, false);
	if (strcmp(kind, "text") == 0) {
		if ((rc = json_get_text(obj, key, need, &s, &err)) == 0 && s)
			lua_pushstring(L, s);
	} else if (strcmp(kind, "int") == 0) {
		if ((rc = json_get_int(obj, key, need, luaL_optinteger(L, 5, INT64_MIN), luaL_optinteger(L, 6, INT64_MAX), &n,
				       &err)) == 0 &&
		    n != INT64_MIN)
			lua_pushinteger(L, n);
	} else if (strcmp(kind, "number") == 0) {
		if ((rc = json_get_number(obj, key, need, &d, &err)) == 0)
			lua_pushnumber(L, d);
	} else if (strcmp(kind, "bool") == 0) {
		if ((rc = json_get_bool(obj, key, need, &truth, &err)) == 0)
			lua_pushboolean(L, truth);
	} else {
		rc = strcmp(kind, "object") == 0 ? json_get_object(obj, key, need, &part, &err)
						 : json_get_list(obj, key, need, &part, &err);
		if (rc == 0 && part)
			lua_pushstring(L, json_kind(part));
	}
	if (rc < 0)
		pushed = fails(L, &err);
	json_decref(obj);
	return pushed;
}

/* only_keys(text, word, …) → true | nil, error */
static int only_keys(lua_State *L)
{
	const char *text = luaL_checkstring(L, 1), *words[16] = { NULL };
	struct err err;
	for (int i = 2; i <= lua_gettop(L) && i < 17; i++)
		words[i - 2] = luaL_checkstring(L, i);
	json_t *obj = json_parse_object(text, strlen(text), &err);
	int rc = obj == NULL ? -1 : json_only_keys(obj, words, &err);
	json_decref(obj);
	if (rc < 0)
		return fails(L, &err);
	lua_pushboolean(L, true);
	return 1;
}

static int json_quote(lua_State *L)
{
	size_t len;
	const char *s = luaL_checklstring(L, 1, &len);
	struct buf b;
	buf_init(&b, 4096);
	json_put_text(&b, s, len);
	lua_pushlstring(L, b.data, b.len);
	buf_fini(&b);
	return 1;
}

static int is_utf8(lua_State *L)
{
	size_t len;
	const char *s = luaL_checklstring(L, 1, &len);
	lua_pushboolean(L, utf8_is_valid(s, len));
	return 1;
}

int luaopen_t_http(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "parse", parse },           { "head", head },       { "decode", decode },     { "encode", encode },
		{ "reason", reason },         { "sha256", sha256 },   { "hmac", hmac },         { "random_hex", random_hex },
		{ "from_hex", from_hex },     { "json", json_again }, { "json_get", json_get }, { "only_keys", only_keys },
		{ "json_quote", json_quote }, { "is_utf8", is_utf8 }, { NULL, NULL },
	};
	luaL_newlib(L, words);
	return 1;
}
