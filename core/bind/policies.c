#include "bind/policies.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/call.h"
#include "bind/vm.h"
#include "net/digest.h"
#include "net/json.h"
#include "sys/fds.h"
#include "sys/home.h"

#define LAST      "db/policies.last"
#define TEXT_MAX  (16 << 20)
#define POOLS_MAX 1000
#define LOAD_MS   2000

/* --- a flat Lua table → pool_spec; runs under call_run, what it makes hangs on `out` at once --- */

static void take_text(lua_State *L, int i, const char *name, char **out)
{
	const char *s = arg_field_text(L, i, name);
	if (s && !(*out = strdup(s)))
		luaL_error(L, "not enough memory");
}

static void take_list(lua_State *L, int i, const char *name, char ***out)
{
	lua_getfield(L, i, name);
	if (!lua_isnil(L, -1)) {
		int list = lua_gettop(L);
		size_t n = lua_rawlen(L, list);
		*out = calloc(n + 1, sizeof **out);
		for (size_t k = 0; *out && k < n; k++) {
			lua_rawgeti(L, list, (lua_Integer)k + 1);
			const char *s = arg_text(L, lua_gettop(L), NULL);
			(*out)[k] = strdup(s);
			if (!(*out)[k])
				luaL_error(L, "not enough memory");
			lua_pop(L, 1);
		}
		if (!*out)
			luaL_error(L, "not enough memory");
	}
	lua_pop(L, 1);
}

static void take_spec(lua_State *L, int i, struct pool_spec *spec)
{
	const struct {
		const char *name;
		char **out;
	} texts[] = {
		{ "about", &spec->about },   { "source", &spec->source }, { "kind", &spec->kind },
		{ "run_as", &spec->run_as }, { "cwd", &spec->cwd },
	};
	const struct {
		const char *name;
		char ***out;
	} lists[] = {
		{ "argv", &spec->argv },
		{ "env", &spec->env },
		{ "types", &spec->types },
		{ "path", &spec->path },
	};
	const struct {
		const char *name;
		int64_t *out;
	} numbers[] = {
		{ "heap_bytes", &spec->heap_bytes },
		{ "memory_bytes", &spec->memory_bytes },
		{ "memory_max_bytes", &spec->memory_max_bytes },
		{ "swap_bytes", &spec->swap_bytes },
		{ "threads", &spec->threads },
		{ "recycle_after_tasks", &spec->recycle_after_tasks },
		{ "recycle_age_ms", &spec->recycle_age_ms },
		{ "recycle_memory_bytes", &spec->recycle_memory_bytes },
		{ "ready_within_ms", &spec->ready_within_ms },
		{ "grace_ms", &spec->grace_ms },
	};
	for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++)
		take_text(L, i, texts[k].name, texts[k].out);
	for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++)
		take_list(L, i, lists[k].name, lists[k].out);
	for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
		*numbers[k].out = arg_field_int(L, i, numbers[k].name, *numbers[k].out);
	spec->is_live = arg_field_bool(L, i, "is_live", false);
	spec->has_recycle = arg_field_bool(L, i, "has_recycle", false);
	spec->warm_min = (int)arg_field_int(L, i, "warm_min", spec->warm_min);
	spec->warm_max = (int)arg_field_int(L, i, "warm_max", spec->warm_max);
	spec->max = (int)arg_field_int(L, i, "max", spec->max);
	lua_getfield(L, i, "ready_for");
	spec->ready_for = lua_tonumber(L, -1);
	lua_pop(L, 1);
}

static int take_specs(lua_State *L)
{
	struct policies *p = lua_touserdata(L, 1);
	size_t n = lua_rawlen(L, 2);
	if (n > POOLS_MAX)
		return luaL_error(L, "%d pools, more than %d", (int)n, POOLS_MAX);
	p->specs = calloc(n + 1, sizeof *p->specs);
	if (!p->specs)
		return luaL_error(L, "not enough memory");
	for (; p->n < n; p->n++) {
		lua_rawgeti(L, 2, (lua_Integer)p->n + 1);
		p->specs[p->n] = pool_spec_new(arg_field_text(L, 3, "name"));
		if (!p->specs[p->n])
			return luaL_error(L, "not enough memory");
		take_spec(L, 3, p->specs[p->n]);
		lua_settop(L, 2);
	}
	return 0;
}

/* --- loading --- */

struct request {
	const char *dir, *share, *run_user;
	char bin[PATH_MAX]; /* the folder of our programs; "" = not known */
	const char *texts;  /* NULL: those of dir */
	bool is_last;       /* what is in quarantine is left out, it does not refuse the set */
	size_t len;
};

static int push_request(lua_State *L)
{
	const struct request *r = lua_touserdata(L, 1);
	if (r->texts)
		lua_pushlstring(L, r->texts, r->len);
	else
		lua_pushstring(L, r->dir);
	lua_pushstring(L, r->share);
	if (r->run_user[0])
		lua_pushstring(L, r->run_user);
	else
		lua_pushnil(L);
	if (r->bin[0])
		lua_pushstring(L, r->bin);
	else
		lua_pushnil(L);
	return 4;
}

/* The hashes of the set's files: the loop's thread compares them, and should not have to make them. */
static int note_files(struct policies *out, struct err *err)
{
	json_t *rows = json_parse(out->text.data ? out->text.data : "[]", out->text.data ? out->text.len : 2, err), *row;
	size_t n = json_array_size(rows), i;
	out->files = rows ? calloc(n + 1, sizeof *out->files) : NULL;
	if (!out->files) {
		json_decref(rows);
		return err_add(err, "unable to keep the policies");
	}
	json_array_foreach(rows, i, row)
	{
		const char *text = json_string_value(json_object_get(row, "text")),
			   *name = json_string_value(json_object_get(row, "name"));
		if (!text || !name || !(out->files[i].name = strdup(name)))
			break;
		out->nfiles = i + 1;
		digest_sha256_hex(text, json_string_length(json_object_get(row, "text")), out->files[i].hash);
	}
	json_decref(rows);
	return out->nfiles == n ? 0 : err_set(err, "unable to keep the policies: not enough memory");
}

static int collect_garbage(lua_State *L)
{
	lua_gc(L, LUA_GCCOLLECT);
	return 0;
}

static int evaluate(struct vm *vm, const struct request *r, struct policies *out, struct buf *errors, struct err *err)
{
	lua_State *L = vm_state(vm);
	size_t n;
	if (vm_module(vm, "dss.model.load", r->is_last ? "last" : r->texts ? "texts" : "folder", err) < 0)
		return -1;
	lua_pushcfunction(L, push_request);
	lua_pushlightuserdata(L, (void *)r);
	if (call_run(vm, 1, 4, NULL, err) < 0 || call_run(vm, 4, 2, &(struct call_budget){ LOAD_MS }, err) < 0)
		return -1;
	const char *text = lua_tolstring(L, -1, &n);
	if (lua_isnil(L, -2)) {
		if (text && buf_put(errors, text, n) < 0) {
			size_t room = errors->max > errors->len ? errors->max - errors->len - 1 : 0;
			errors->failed = false; /* the first of too many */
			buf_put(errors, text, n < room ? n : room);
		}
		return -1;
	}
	if (text && buf_put(&out->text, text, n) < 0)
		return err_set(err, "unable to keep the policies: together they are longer than %d MB", TEXT_MAX >> 20);
	lua_pop(L, 1);
	lua_pushcfunction(L, take_specs);
	lua_insert(L, -2);
	lua_pushlightuserdata(L, out);
	lua_insert(L, -2);
	if (call_run(vm, 2, 0, NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < out->n; i++)
		if (pool_spec_check(out->specs[i], err) < 0)
			return -1;
	/* now, where nobody waits: whoever frees the set frees little */
	lua_pushcfunction(L, collect_garbage);
	if (call_run(vm, 0, 0, &(struct call_budget){ -1 }, err) < 0)
		return -1;
	return note_files(out, err);
}

static int load(struct request *r, struct policies *out, struct buf *errors)
{
	struct err err = { 0 };
	if (home_program("dssd", r->bin, sizeof r->bin) == 0)
		*strrchr(r->bin, '/') = '\0';
	else
		r->bin[0] = '\0';
	struct vm *vm = vm_new(&(struct vm_options){ .use = VM_POLICY, .share = r->share }, &err);
	int ok = vm ? evaluate(vm, r, out, errors, &err) : -1;
	if (ok < 0 && errors->len == 0) {
		bool is_of_all = vm && call_why(vm) == CALL_MEMORY;
		buf_printf(errors, "%s%s", is_of_all ? "policies:1: " : "", err.text);
	}
	out->vm = vm;
	if (ok < 0)
		policies_fini(out);
	return ok;
}

static void init(struct policies *out)
{
	memset(out, 0, sizeof *out);
	buf_init(&out->text, TEXT_MAX);
}

int policies_load_texts(const char *share, const char *run_user, const char *texts, size_t len, struct policies *out,
			struct buf *errors)
{
	struct request r = { .share = share, .run_user = run_user, .texts = texts, .len = len };
	init(out);
	return load(&r, out, errors);
}

static int load_last(const char *dir, const char *share, const char *run_user, struct policies *out, struct buf *errors)
{
	char path[PATH_MAX];
	struct err err = { 0 };
	char *text = malloc(TEXT_MAX);
	int ok = -1;
	init(out);
	ssize_t n = -1;
	if (!text || snprintf(path, sizeof path, "%s/" LAST, dir) >= (int)sizeof path)
		err_set(&err, "unable to read the last good policies: not enough memory");
	else
		n = fds_read_file(path, text, TEXT_MAX, &err);
	if (n < 0)
		buf_puts(errors, err.text);
	else
		ok = load(
			&(struct request){ .share = share, .run_user = run_user, .texts = text, .len = (size_t)n, .is_last = true },
			out, errors);
	free(text);
	return ok;
}

int policies_load(const char *dir, const char *share, const char *run_user, bool from_last, struct policies *out,
		  struct buf *errors)
{
	struct request r = { .dir = dir, .share = share, .run_user = run_user };
	if (from_last)
		return load_last(dir, share, run_user, out, errors);
	init(out);
	return load(&r, out, errors);
}

const char *policies_hash(const struct policies *p, const char *file)
{
	for (size_t i = 0; i < p->nfiles; i++)
		if (strcmp(p->files[i].name, file) == 0)
			return p->files[i].hash;
	return NULL;
}

int policies_save(const char *dir, const struct policies *p, struct err *err)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof path, "%s/" LAST, dir) >= (int)sizeof path)
		return err_set(err, "unable to save the policies: the path is too long");
	return fds_replace_file(path, p->text.data, p->text.len, 0600, err);
}

void policies_forget(struct policies *p)
{
	p->n = 0;
	p->specs[0] = NULL;
}

void policies_fini(struct policies *p)
{
	/* take_specs may have raised while it filled the one after the last counted */
	for (size_t i = 0; p->specs && (i < p->n || p->specs[i]); i++)
		pool_spec_free(&p->specs[i]);
	free(p->specs);
	for (size_t i = 0; p->files && i < p->nfiles; i++)
		free(p->files[i].name);
	free(p->files);
	buf_fini(&p->text);
	vm_free(&p->vm);
	memset(p, 0, sizeof *p);
}
