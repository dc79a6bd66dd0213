#include "bind/bind_origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/answer.h"
#include "bind/arg.h"
#include "bind/call.h"
#include "bind/later.h"
#include "gate/tunnel.h"
#include "sys/fds.h"

#define GATE_AT 3 /* of app->gates */

struct origin {
	struct vm *vm;
	struct gate *gate;
	struct tunnel *tunnel;
	struct ref handler;
};

/* Held until it is answered: the answer's userdata, so that `reply` works again where nobody could answer. */
struct passing {
	struct answer *answer;
	struct ref held;
	struct later *fn;
};

struct refusal {
	int status;
	const char *why;
};

static int push_refusal(lua_State *L, void *data)
{
	const struct refusal *r = data;
	lua_pushinteger(L, r->status);
	lua_pushstring(L, r->why);
	return 2;
}

static void release_passing(void *data)
{
	struct passing *p = data;
	later_free(&p->fn);
	ref_drop(&p->held);
	free(p);
}

static void on_passed(void *data, struct gate_request *req, int status, const char *why)
{
	struct passing *p = data;
	struct refusal r = { status, why };
	p->answer->req = req;
	if (req)
		later_call(&p->fn, push_refusal, &r);
	release_passing(p);
}

static void copy_field(lua_State *L, const char *name, char *out, size_t room)
{
	const char *text = arg_field_text(L, 1, name);
	if (text && strlen(text) >= room)
		luaL_error(L, "%s is too long", name);
	snprintf(out, room, "%s", text ? text : "");
}

/* upvalue 1: the answer. target, fn */
static int pass(lua_State *L)
{
	struct answer *a = luaL_checkudata(L, lua_upvalueindex(1), ANSWER);
	const struct app *app = vm_app(vm_of(L));
	struct tunnel *tunnel = app->tunnel;
	struct tunnel_target to = { 0 };
	arg_table(L, 1);
	copy_field(L, "prefix", to.route.prefix, sizeof to.route.prefix);
	copy_field(L, "user", to.route.user, sizeof to.route.user);
	copy_field(L, "socket", to.socket, sizeof to.socket);
	to.route.depth = (size_t)arg_field_int(L, 1, "depth", 0);
	to.route.is_proxied = arg_field_bool(L, 1, "is_proxied", false);
	to.route.strips_authorization = arg_field_bool(L, 1, "strips_authorization", false);
	to.port = (int)arg_field_int(L, 1, "port", 0);
	if (!a->req || !tunnel)
		return luaL_error(L, a->req ? "there is no tunnel" : "this request was answered already");
	snprintf(to.route.peer, sizeof to.route.peer, "%s", a->req->peer);
	void **guard = ref_guard(L, release_passing);
	struct passing *p = *guard = malloc(sizeof *p);
	if (!p)
		return luaL_error(L, "not enough memory");
	*p = (struct passing){ .answer = a, .held = REF_NONE };
	p->fn = later_new(L, 2);
	lua_pushvalue(L, lua_upvalueindex(1));
	ref_take(L, &p->held);
	*guard = NULL; /* the tunnel has it from here on */
	struct gate_request *req = a->req;
	a->req = NULL;
	tunnel_pass(tunnel, req, &to, on_passed, p);
	return 0;
}

static void take(void *data, struct gate_request *req)
{
	struct origin *o = data;
	answer_ask(o->vm, req, &o->handler, "pass", pass);
}

struct origin *origin_new(struct vm *vm, int fd, const struct gate_settings *s, struct err *err)
{
	struct app *app = vm_app(vm);
	struct gate_settings set = *s;
	struct tunnel_settings through;
	struct origin *o = calloc(1, sizeof *o);
	if (!o) {
		err_set(err, "unable to open the webapps' port: not enough memory");
		fds_close(&fd);
		return NULL;
	}
	o->vm = vm;
	o->handler.n = LUA_NOREF;
	set.is_head_only = true;
	tunnel_settings_init(&through);
	if (!(o->gate = gate_new(app->loop, fd, &set, take, o, err)) || !(o->tunnel = tunnel_new(app->loop, &through, err)) ||
	    answer_handler(vm, "dss.api.origin", &o->handler, err) < 0) {
		err_add(err, "unable to open the webapps' port");
		origin_free(&o);
		return NULL;
	}
	app->tunnel = o->tunnel;
	app->gates[GATE_AT] = o->gate;
	return o;
}

void origin_drain(struct origin *o)
{
	if (!o)
		return;
	gate_drain(o->gate);
	tunnel_drain(o->tunnel);
}

size_t origin_waiting(const struct origin *o)
{
	struct gate_stats stats = { 0 };
	if (o)
		gate_get_stats(o->gate, &stats);
	return stats.waiting;
}

void origin_free(struct origin **op)
{
	struct origin *o = *op;
	if (!o)
		return;
	struct app *app = vm_app(o->vm);
	app->tunnel = NULL;
	app->gates[GATE_AT] = NULL;
	tunnel_free(&o->tunnel); /* before the gate, whose connections it has borrowed */
	if (o->gate)
		gate_free(&o->gate);
	ref_drop(&o->handler);
	free(o);
	*op = NULL;
}
