/*
 * bind.guard, for the states that evaluate what users write (lua/dss/model/guard.lua, sandbox.lua):
 *   compile(text, chunkname, env) → function | nil, message   text chunks only; ends with the call's time like everything else
 *   enter(source, word, name, hash), leave()                  the crumb of what runs now (bind/crumb.h)
 *   is_quarantined(source, word, hash) → bool
 *   rest(source, word, name, hash, why)                       why nil: it is called again
 *   full(name)                                                a function of that name found no memory: see bind_guard_on_full
 *   hash(text) → SHA-256 as hexadecimal text
 *   now_ms() → monotonic clock
 *   short_of_memory() → "file:line" where memory was refused last, or nil
 *   keys(t) → list of t's keys: numbers, texts, the rest, each in order
 * With DSS_SPECS=1 also crash() and hang(), which do just that, for the specs of what follows.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/call.h"
#include "bind/crumb.h"
#include "bind/quarantine.h"
#include "bind/toc.h"
#include "net/digest.h"
#include "sys/clock.h"

/* Long chains of `and` or `elseif` cost the compiler the square of their length: its time is looked at after each piece. */
#define PIECE_BYTES 256

struct pieces {
	const char *text, *name;
	size_t len, at;
	int line; /* at the end of what was read */
};

static const char *next_piece(lua_State *L, void *data, size_t *size)
{
	struct pieces *p = data;
	call_check_at(L, p->name, p->line);
	size_t left = p->len - p->at;
	*size = left < PIECE_BYTES ? left : PIECE_BYTES;
	const char *piece = p->text + p->at;
	p->at += *size;
	for (size_t i = 0; i < *size; i++)
		p->line += piece[i] == '\n';
	return *size ? piece : NULL;
}

static int compile(lua_State *L)
{
	struct pieces p = { .line = 1 };
	p.text = arg_text(L, 1, &p.len);
	const char *name = arg_text(L, 2, NULL);
	p.name = name + (*name == '@');
	luaL_checkany(L, 3);
	lua_settop(L, 3);
	if (lua_load(L, next_piece, &p, name, "t") != LUA_OK) {
		lua_pushnil(L);
		lua_insert(L, -2);
		return 2;
	}
	lua_pushvalue(L, 3);
	lua_setupvalue(L, -2, 1);
	return 1;
}

static int enter(lua_State *L)
{
	crumb_enter(arg_text(L, 1, NULL), arg_text(L, 2, NULL), luaL_optstring(L, 3, ""), luaL_optstring(L, 4, ""));
	return 0;
}

static int leave(lua_State *L)
{
	(void)L;
	crumb_leave();
	return 0;
}

static int is_quarantined(lua_State *L)
{
	lua_pushboolean(L, quarantine_has(arg_text(L, 1, NULL), arg_text(L, 2, NULL), luaL_optstring(L, 3, NULL)));
	return 1;
}

static int rest(lua_State *L)
{
	quarantine_rest(arg_text(L, 1, NULL), arg_text(L, 2, NULL), luaL_optstring(L, 3, ""), luaL_optstring(L, 4, ""),
			luaL_optstring(L, 5, NULL));
	return 0;
}

static struct {
	void (*fn)(void *data, const char *name);
	void *data;
} on_full;

void bind_guard_on_full(void (*fn)(void *data, const char *name), void *data)
{
	on_full.fn = fn;
	on_full.data = data;
}

/* What one function keeps in its file's locals is missing to all the others. */
static int full(lua_State *L)
{
	const char *name = arg_text(L, 1, NULL);
	struct vm *vm = vm_of(L);
	lua_gc(L, LUA_GCCOLLECT);
	if (on_full.fn && crumb_thread() == 0 && vm_memory_bytes(vm) > vm_memory_max_bytes(vm) / 4 * 3)
		on_full.fn(on_full.data, name);
	return 0;
}

static int hash(lua_State *L)
{
	char hex[DIGEST_HEX_SIZE];
	size_t len;
	const char *text = arg_text(L, 1, &len);
	digest_sha256_hex(text, len, hex);
	lua_pushstring(L, hex);
	return 1;
}

static int now_ms(lua_State *L)
{
	lua_pushinteger(L, clock_mono_ms());
	return 1;
}

static int short_of_memory(lua_State *L)
{
	lua_pushstring(L, call_short_of_memory(L));
	return 1;
}

/* --- keys in order --- */

struct key {
	int rank; /* 1 a number, 2 a text, 3 another */
	int at;   /* in the list; keeps the order of equals */
	lua_Number number;
	lua_Integer integer;
	bool is_integer;
	const char *text;
	size_t len;
};

static int compare_numbers(const struct key *a, const struct key *b)
{
	if (a->is_integer && b->is_integer)
		return (a->integer > b->integer) - (a->integer < b->integer);
	return (a->number > b->number) - (a->number < b->number);
}

static int compare_keys(const void *va, const void *vb)
{
	const struct key *a = va, *b = vb;
	int c = a->rank - b->rank;
	if (c == 0 && a->rank == 1)
		c = compare_numbers(a, b);
	if (c == 0 && a->rank != 1) {
		c = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
		c = c ? c : (a->len > b->len) - (a->len < b->len);
	}
	return c ? c : a->at - b->at;
}

static void read_key(lua_State *L, struct key *k)
{
	int isint;
	switch (lua_type(L, -1)) {
	case LUA_TNUMBER:
		k->rank = 1;
		k->number = lua_tonumber(L, -1);
		k->integer = lua_tointegerx(L, -1, &isint);
		k->is_integer = lua_isinteger(L, -1) && isint;
		break;
	case LUA_TSTRING:
		k->rank = 2;
		k->text = lua_tolstring(L, -1, &k->len);
		break;
	case LUA_TBOOLEAN:
		k->rank = 3;
		k->text = lua_toboolean(L, -1) ? "true" : "false";
		k->len = strlen(k->text);
		break;
	default: /* by its kind: an address would make another order in every run */
		k->rank = 3;
		k->text = luaL_typename(L, -1);
		k->len = strlen(k->text);
	}
}

static int keys(lua_State *L)
{
	lua_Integer n = 0;
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1))
		n++;
	if (n > CALL_ELEMENTS_MAX)
		return luaL_error(L, "more than %d elements", CALL_ELEMENTS_MAX);
	lua_createtable(L, (int)n, 0); /* 2: unordered; keeps the texts alive */
	struct key *list = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *list, 0);
	memset(list, 0, (size_t)(n + 1) * sizeof *list);
	int i = 0;
	for (lua_pushnil(L); i < n && lua_next(L, 1); i++) {
		lua_pop(L, 1);
		read_key(L, &list[i]);
		list[i].at = i + 1;
		lua_pushvalue(L, -1);
		lua_rawseti(L, 2, i + 1);
	}
	lua_settop(L, 3);
	call_check(L);
	qsort(list, (size_t)i, sizeof *list, compare_keys);
	lua_createtable(L, i, 0);
	for (int k = 0; k < i; k++) {
		lua_rawgeti(L, 2, list[k].at);
		lua_rawseti(L, 4, k + 1);
	}
	return 1;
}

/* --- for specs --- */

static int crash(lua_State *L)
{
	(void)L;
	raise(SIGSEGV); /* to this very thread: to the process, it would go on for a moment */
	return 0;
}

/* A hook cannot interrupt C: only the keeper ends this. */
static int hang(lua_State *L)
{
	(void)L;
	for (;;)
		pause();
	return 0;
}

int bind_guard_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "compile", compile }, { "enter", enter },
					  { "leave", leave },     { "is_quarantined", is_quarantined },
					  { "rest", rest },       { "full", full },
					  { "hash", hash },       { "now_ms", now_ms },
					  { "keys", keys },       { "short_of_memory", short_of_memory },
					  { NULL, NULL } };
	static const luaL_Reg for_specs[] = { { "crash", crash }, { "hang", hang }, { NULL, NULL } };
	const char *specs = getenv("DSS_SPECS");
	luaL_newlib(L, words);
	if (specs && strcmp(specs, "1") == 0)
		luaL_setfuncs(L, for_specs, 0);
	return 1;
}
