/*
 * bind.gate, for Lua: facts { dir, version, control_uid, is_one_user, started_ms, takes_remote_user, remote_admins: login → true },
 * wall_ms(), policies() → is_safe, error text, nginx() → what is wrong with its configuration, webapps_port() → port | nil.
 * The handler itself is dss.api.serve's `take`.
 */
#include "bind/bind_gate.h"
#include <string.h>
#include <lauxlib.h>
#include "base/log.h"
#include "bind/answer.h"
#include "bind/arg.h"
#include "bind/bind_events.h"
#include "bind/bind_pages.h"
#include "bind/call.h"
#include "bind/peer.h"
#include "bind/toc.h"
#include "fleet/jtext.h"
#include "gate/pages.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define BUDGET_MS  2000
#define FIELDS_MAX 20
#define LOGIN_MAX  128

static int collect(lua_State *L)
{
	struct answer *a = luaL_checkudata(L, 1, ANSWER);
	if (a->req)
		gate_reply_error(a->req, 500, NULL, "unable to answer: an error of the server, see run/backend.log");
	a->req = NULL;
	return 0;
}

static void set_fields(lua_State *L, int i, struct gate_request *req)
{
	int n = 0;
	for (lua_pushnil(L); n < FIELDS_MAX && lua_next(L, i); lua_pop(L, 1), n++)
		if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING)
			gate_set_field(req, lua_tostring(L, -2), lua_tostring(L, -1));
	lua_settop(L, i);
}

/* upvalue 1: the answer. status, content_type | nil, body, fields | nil */
static int reply(lua_State *L)
{
	size_t len;
	struct answer *a = luaL_checkudata(L, lua_upvalueindex(1), ANSWER);
	int status = (int)arg_int(L, 1, 100, 599);
	const char *type = lua_isnil(L, 2) ? NULL : arg_text(L, 2, NULL), *body = arg_text(L, 3, &len);
	if (!lua_isnoneornil(L, 4))
		arg_table(L, 4);
	if (!a->req)
		return luaL_error(L, "this request was answered already");
	struct gate_request *req = a->req;
	if (lua_istable(L, 4))
		set_fields(L, 4, req);
	a->req = NULL;
	gate_reply(req, status, type, body, len);
	return 0;
}

static int collect_file(lua_State *L)
{
	struct answer_file *f = luaL_checkudata(L, 1, ANSWER_FILE);
	fds_close(&f->fd);
	return 0;
}

struct answer_file *answer_file_new(lua_State *L)
{
	struct answer_file *f = lua_newuserdatauv(L, sizeof *f, 0);
	*f = (struct answer_file){ .fd = -1 };
	if (luaL_newmetatable(L, ANSWER_FILE)) {
		lua_pushcfunction(L, collect_file);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return f;
}

/* upvalue 1: the answer. status, content_type, file, fields | nil */
static int send_file(lua_State *L)
{
	struct answer *a = luaL_checkudata(L, lua_upvalueindex(1), ANSWER);
	int status = (int)arg_int(L, 1, 100, 599);
	const char *type = arg_text(L, 2, NULL);
	struct answer_file *f = luaL_checkudata(L, 3, ANSWER_FILE);
	if (!lua_isnoneornil(L, 4))
		arg_table(L, 4);
	if (!a->req)
		return luaL_error(L, "this request was answered already");
	luaL_argcheck(L, f->fd >= 0, 3, "this file was sent already");
	struct gate_request *req = a->req;
	if (lua_istable(L, 4))
		set_fields(L, 4, req);
	a->req = NULL;
	int fd = f->fd;
	f->fd = -1;
	gate_reply_file(req, status, type, fd, 0, f->bytes);
	return 0;
}

/* Who it is that the stream is for, and what answers. */
static void put_hello(const struct app *app, const char *user, bool is_admin, struct buf *out)
{
	buf_init(out, 4096);
	buf_puts(out, ",\"user\":");
	jtext_put(out, user);
	jtext_bool(out, "isAdmin", is_admin);
	jtext_text(out, "version", app->version);
	jtext_text(out, "instance", node_facts(app->node)->instance);
	jtext_int(out, "now", clock_wall_ms());
	jtext_text(out, "uiVersion", app->pages ? pages_version(app->pages) : "");
}

/*
 * upvalue 1: the answer. order → true | nil, why. Answers it as a stream of events. order: login | nil = an admin, user, is_admin; epoch | nil,
 * seq: of the last fact seen; board: wants it; board_epoch | nil, board_rev: what it was told of it.
 */
static int follow(lua_State *L)
{
	struct err err = { 0 };
	struct buf hello;
	struct answer *a = luaL_checkudata(L, lua_upvalueindex(1), ANSWER);
	struct app *app = vm_app(vm_of(L));
	arg_table(L, 1);
	struct events_order order = {
		.login = arg_field_text(L, 1, "login"),
		.after = { arg_field_int(L, 1, "epoch", -1), arg_field_int(L, 1, "seq", 0) },
		.wants_board = arg_field_bool(L, 1, "board", false),
		.rev = { arg_field_int(L, 1, "board_epoch", -1), arg_field_int(L, 1, "board_rev", 0) },
	};
	const char *user = arg_field_text(L, 1, "user");
	bool is_admin = arg_field_bool(L, 1, "is_admin", false);
	order.user = user;
	order.has_after = order.after[0] >= 0;
	order.has_rev = order.rev[0] >= 0;
	if (!a->req)
		return luaL_error(L, "this request was answered already");
	put_hello(app, user ? user : "", is_admin, &hello);
	order.hello = hello.failed ? NULL : hello.data;
	int code = app->events ? events_follow(app->events, a->req, &order, &err) : err_set(&err, "there are no events");
	buf_fini(&hello);
	if (code < 0)
		return arg_fail(L, err.text);
	a->req = NULL;
	lua_pushboolean(L, 1);
	return 1;
}

static void push_pairs(lua_State *L, const struct http_pair *pairs, size_t n)
{
	lua_createtable(L, 0, (int)n);
	for (size_t i = n; i-- > 0;) { /* the first of a name wins */
		lua_pushstring(L, pairs[i].value);
		lua_setfield(L, -2, pairs[i].name);
	}
}

static void set_text(lua_State *L, const char *name, const char *value)
{
	lua_pushstring(L, value);
	lua_setfield(L, -2, name);
}

static char passed; /* marks a request that nginx passed on: its peer is nginx, and says nothing about who asks */

/* uid, is_boxed, login where it is neither root nor the control user. */
static void push_peer(lua_State *L, const struct gate_request *req)
{
	const struct app *app = vm_app(vm_of(L));
	char login[LOGIN_MAX];
	lua_pushinteger(L, (lua_Integer)req->uid);
	lua_setfield(L, -2, "uid");
	bool is_boxed = req->uid == app->run_uid || peer_is_boxed(req->pid, node_facts(app->node)->instance, app->keeper);
	lua_pushboolean(L, is_boxed);
	lua_setfield(L, -2, "is_boxed");
	if (!is_boxed && req->uid != 0 && req->uid != app->control_uid && peer_login(req->uid, login, sizeof login))
		set_text(L, "login", login);
}

static void push_request(lua_State *L, const struct gate_request *req)
{
	const struct http_request *h = req->http;
	lua_createtable(L, 0, 16);
	set_text(L, "method", h->method);
	set_text(L, "path", h->path);
	set_text(L, "target", h->target);
	set_text(L, "peer", req->peer);
	lua_createtable(L, (int)h->nsegments, 0);
	for (size_t i = 0; i < h->nsegments; i++) {
		lua_pushstring(L, h->segment[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "segments");
	push_pairs(L, h->query, h->nquery);
	lua_setfield(L, -2, "query");
	push_pairs(L, h->field, h->nfields);
	lua_setfield(L, -2, "fields");
	lua_pushlstring(L, h->body.data ? h->body.data : "", h->body.len);
	lua_setfield(L, -2, "body");
	if (req->data == &passed) {
		set_text(L, "peer", "nginx");
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, "is_passed");
	} else if (req->uid != (uid_t)-1) {
		push_peer(L, req);
	}
}

struct asked {
	struct gate_request *req, *mine; /* mine NULL: Lua owns the answer */
	const struct ref *handler;
	const char *name;
	lua_CFunction fn;
};

static int take(lua_State *L)
{
	struct asked *asked = lua_touserdata(L, 1);
	struct gate_request *req = asked->req;
	ref_push(asked->handler);
	push_request(L, req);
	struct answer *a = lua_newuserdatauv(L, sizeof *a, 0);
	a->req = NULL;
	luaL_setmetatable(L, ANSWER);
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, reply, 1);
	lua_setfield(L, -3, "reply");
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, send_file, 1);
	lua_setfield(L, -3, "send_file");
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, bind_pages_reply, 1);
	lua_setfield(L, -3, "page");
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, asked->fn, 1);
	lua_setfield(L, -3, asked->name);
	a->req = req;
	asked->mine = NULL;
	lua_pop(L, 1);
	lua_call(L, 1, 0);
	return 0;
}

void answer_ask(struct vm *vm, struct gate_request *req, const struct ref *handler, const char *name, lua_CFunction fn)
{
	lua_State *L = vm_state(vm);
	struct err err = { 0 };
	struct asked asked = { req, req, handler, name, fn };
	if (lua_checkstack(L, 8)) {
		lua_pushcfunction(L, take);
		lua_pushlightuserdata(L, &asked);
		if (call_run(vm, 1, 0, &(struct call_budget){ BUDGET_MS }, &err) == 0)
			return;
		log_error("%s; %s", err.text, call_trace(vm));
	}
	if (asked.mine)
		gate_reply_error(asked.mine, 500, NULL, "unable to answer: an error of the server, see run/backend.log");
	else
		lua_gc(L, LUA_GCCOLLECT); /* answers it, if nobody did or can any more */
}

void bind_gate_take(void *data, struct gate_request *req)
{
	struct app *app = vm_app(data);
	answer_ask(data, req, &app->handler, "follow", follow);
}

/* The socket's file lets nobody else come near; were it opened by mistake, still only nginx's user and root are heard. */
void bind_gate_take_passed(void *data, struct gate_request *req)
{
	const struct app *app = vm_app(data);
	if (req->uid != 0 && req->uid != app->control_uid) {
		gate_reply_error(req, 403, NULL, "uid %d is not nginx: this socket is for what it passes on", (int)req->uid);
		return;
	}
	req->data = &passed;
	bind_gate_take(data, req);
}

static int webapps_port(lua_State *L)
{
	const struct app *app = vm_app(vm_of(L));
	if (app->webapps_port <= 0)
		return 0;
	lua_pushinteger(L, app->webapps_port);
	return 1;
}

static int wall_ms(lua_State *L)
{
	lua_pushinteger(L, clock_wall_ms());
	return 1;
}

static int policies(lua_State *L)
{
	const struct app *app = vm_app(vm_of(L));
	lua_pushboolean(L, app->is_safe);
	lua_pushstring(L, app->policies);
	return 2;
}

static int nginx(lua_State *L)
{
	const struct app *app = vm_app(vm_of(L));
	lua_pushstring(L, app->nginx);
	return 1;
}

static void push_list(lua_State *L, const char *const *list)
{
	lua_newtable(L);
	for (int i = 0; list && list[i]; i++) {
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, list[i]);
	}
}

int bind_gate_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "wall_ms", wall_ms },
					  { "policies", policies },
					  { "nginx", nginx },
					  { "webapps_port", webapps_port },
					  { NULL, NULL } };
	const struct app *app = vm_app(vm_of(L));
	if (luaL_newmetatable(L, ANSWER)) {
		lua_pushcfunction(L, collect);
		lua_setfield(L, -2, "__gc");
	}
	lua_pop(L, 1);
	luaL_newlib(L, words);
	lua_createtable(L, 0, 5);
	set_text(L, "dir", app->dir);
	set_text(L, "version", app->version);
	lua_pushinteger(L, (lua_Integer)app->control_uid);
	lua_setfield(L, -2, "control_uid");
	lua_pushboolean(L, app->is_one_user);
	lua_setfield(L, -2, "is_one_user");
	lua_pushboolean(L, app->takes_remote_user);
	lua_setfield(L, -2, "takes_remote_user");
	push_list(L, app->remote_admins);
	lua_setfield(L, -2, "remote_admins");
	lua_pushinteger(L, app->started_wall_ms);
	lua_setfield(L, -2, "started_ms");
	lua_setfield(L, -2, "facts");
	return 1;
}

/* ref, function */
static int take_handler(lua_State *L)
{
	ref_take(L, lua_touserdata(L, 1));
	return 0;
}

int answer_handler(struct vm *vm, const char *module, struct ref *handler, struct err *err)
{
	lua_State *L = vm_state(vm);
	if (vm_module(vm, module, "take", err) < 0)
		return -1;
	lua_pushcfunction(L, take_handler);
	lua_insert(L, -2);
	lua_pushlightuserdata(L, handler);
	lua_insert(L, -2);
	return call_run(vm, 2, 0, NULL, err);
}

int bind_gate_start(struct vm *vm, struct err *err)
{
	struct app *app = vm_app(vm);
	return answer_handler(vm, "dss.api.serve", &app->handler, err);
}

void bind_gate_stop(struct vm *vm)
{
	struct app *app = vm_app(vm);
	ref_drop(&app->handler);
}
