#include "bind/config.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/call.h"
#include "bind/vm.h"
#include "sys/home.h"

/* The folder of our own programs, without the slash at its end. */
static int own_folder(char *out, size_t room, struct err *err)
{
	if (home_program("dssd", out, room) < 0)
		return err_set(err, "unable to find our own programs: /proc/self/exe does not tell");
	*strrchr(out, '/') = '\0';
	return 0;
}

static int take_text(lua_State *L, int i, struct buf *out)
{
	size_t n;
	const char *s = lua_tolstring(L, i, &n);
	return s ? buf_put(out, s, n) : 0;
}

static struct vm *open_vm(char *share, size_t room, struct err *err)
{
	if (home_share(share, room) < 0) {
		err_set(err, "unable to find lua/dss: neither DSS_SHARE nor a folder near our program has it");
		return NULL;
	}
	return vm_new(&(struct vm_options){ .use = VM_PLAN, .share = share }, err);
}

struct texts {
	const char *dir, *instance, *share, *bin, *web_dir; /* NULL: nil */
};

static int push_texts(lua_State *L)
{
	const struct texts *t = lua_touserdata(L, 1);
	lua_pushstring(L, t->dir);
	lua_pushstring(L, t->instance);
	lua_pushstring(L, t->share);
	lua_pushstring(L, t->bin);
	lua_pushstring(L, t->web_dir);
	return 5;
}

int config_plan(const char *dir, const char *web_dir, struct buf *out, struct err *err)
{
	char share[PATH_MAX], bin[PATH_MAX], instance[64];
	struct texts texts = { dir, instance, share, bin, web_dir };
	int ok = -1;
	if (own_folder(bin, sizeof bin, err) < 0 || home_instance_id(dir, instance, sizeof instance, err) < 0)
		return -1;
	struct vm *vm = open_vm(share, sizeof share, err);
	if (!vm)
		return -1;
	lua_State *L = vm_state(vm);
	if (vm_module(vm, "dss.model.plan", "make", err) < 0)
		goto out;
	lua_pushcfunction(L, push_texts);
	lua_pushlightuserdata(L, &texts);
	if (call_run(vm, 1, 5, NULL, err) < 0 || call_run(vm, 5, 2, NULL, err) < 0)
		goto out;
	ok = lua_isnil(L, -2) ? err_set(err, "%s/config/dss.lua was not taken", dir) : 0;
	if (take_text(L, ok < 0 ? -1 : -2, out) < 0)
		ok = err_set(err, "unable to make the plan: too long");
out:
	if (ok < 0 && call_why(vm) != CALL_OK) {
		buf_puts(out, err->text);
		err_set(err, "%s/config/dss.lua was not taken", dir);
	}
	vm_free(&vm);
	return ok;
}

/* --- for the backend itself --- */

static char **copy_list(lua_State *L, int i)
{
	size_t n = lua_rawlen(L, i);
	char **list = calloc(n + 1, sizeof *list);
	for (size_t k = 0; list && k < n; k++) {
		lua_rawgeti(L, i, (lua_Integer)k + 1);
		list[k] = strdup(lua_tostring(L, -1));
		lua_pop(L, 1);
		if (!list[k])
			return list;
	}
	return list;
}

static char *copy_field(lua_State *L, int table, const char *name)
{
	const char *s = arg_field_text(L, table, name);
	return s ? strdup(s) : NULL;
}

static void fill_jupyter(lua_State *L, int table, struct config_node *c)
{
	const char *host = arg_field_text(L, table, "host");
	c->is_jupyter_ours = arg_field_bool(L, table, "is_ours", false);
	snprintf(c->jupyter_host, sizeof c->jupyter_host, "%s", host ? host : "127.0.0.1");
	c->jupyter_attach = copy_field(L, table, "attach");
	c->jupyter_token_file = copy_field(L, table, "token_file");
	c->is_jupyter_trusted = arg_field_text(L, table, "trust") != NULL; /* "activity", the one word there is */
	lua_getfield(L, table, "leases");
	c->lease_longest_ms = arg_field_int(L, lua_gettop(L), "longest", 0);
	c->leases_each_user = (int)arg_field_int(L, lua_gettop(L), "each_user", 0);
	lua_pop(L, 1);
}

/* out, node table */
static int fill_node(lua_State *L)
{
	struct config_node *c = lua_touserdata(L, 1);
	const char *control = arg_field_text(L, 2, "control_user"), *run = arg_field_text(L, 2, "run_user");
	snprintf(c->control_user, sizeof c->control_user, "%s", control ? control : "");
	snprintf(c->run_user, sizeof c->run_user, "%s", run ? run : "");
	c->port = (int)arg_field_int(L, 2, "port", 0);
	c->is_observe = arg_field_bool(L, 2, "observe", false);
	c->memory_bytes = arg_field_int(L, 2, "memory", 0);
	c->reserve_bytes = arg_field_int(L, 2, "reserve", 0);
	c->is_fronted = arg_field_bool(L, 2, "front", false);
	c->web_dir = copy_field(L, 2, "web_dir");
	c->is_front_tls = arg_field_bool(L, 2, "front_tls", false);
	c->takes_remote_user = arg_field_bool(L, 2, "remote_user", false);
	if (lua_getfield(L, 2, "jupyter") == LUA_TTABLE)
		fill_jupyter(L, lua_gettop(L), c);
	lua_pop(L, 1);
	lua_getfield(L, 2, "hosts");
	c->hosts = copy_list(L, lua_gettop(L));
	if (lua_getfield(L, 2, "remote_admins") == LUA_TTABLE)
		c->remote_admins = copy_list(L, lua_gettop(L));
	return 0;
}

int config_node(const char *dir, struct config_node *out, struct err *err)
{
	char share[PATH_MAX];
	int ok = -1;
	memset(out, 0, sizeof *out);
	struct vm *vm = open_vm(share, sizeof share, err);
	if (!vm)
		return -1;
	lua_State *L = vm_state(vm);
	const char *taken = getenv("DSS_NODE");
	struct texts texts = { dir, taken ? taken : "", "", "", NULL };
	lua_pushcfunction(L, fill_node);
	lua_pushlightuserdata(L, out);
	if (vm_module(vm, "dss.model.plan", "node", err) < 0)
		goto out;
	lua_pushcfunction(L, push_texts);
	lua_pushlightuserdata(L, &texts);
	if (call_run(vm, 1, 2, NULL, err) < 0 || call_run(vm, 2, 2, NULL, err) < 0)
		goto out;
	if (lua_isnil(L, -2)) {
		err_set(err, "%s", lua_tostring(L, -1));
		goto out;
	}
	lua_pop(L, 1);
	ok = call_run(vm, 2, 0, NULL, err);
out:
	vm_free(&vm);
	return ok;
}

void config_node_fini(struct config_node *c)
{
	for (char **h = c->hosts; h && *h; h++)
		free(*h);
	free(c->hosts);
	for (char **r = c->remote_admins; r && *r; r++)
		free(*r);
	free(c->remote_admins);
	free(c->jupyter_attach);
	free(c->jupyter_token_file);
	free(c->web_dir);
	memset(c, 0, sizeof *c);
}
