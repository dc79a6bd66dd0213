#include "bind/json_out.h"

#include <lauxlib.h>
#include <stdlib.h>
#include "bind/arg.h"
#include "bind/ref.h"

static void release(void *p)
{
	buf_fini(p);
	free(p);
}

struct buf *json_out_new(lua_State *L)
{
	void **guard = ref_guard(L, release);
	struct buf *b = malloc(sizeof *b);
	if (!b)
		luaL_error(L, "not enough memory");
	buf_init(b, JSON_OUT_MAX);
	*guard = b;
	return b;
}

void json_out_push(lua_State *L, const struct buf *b)
{
	if (b->failed)
		luaL_error(L, "the answer is too long");
	lua_pushlstring(L, b->data ? b->data : "", b->len);
}

struct answer {
	const struct buf *json;
	const char *why;
};

static int push_answer(lua_State *L, void *data)
{
	const struct answer *a = data;
	if (!a->json)
		return arg_fail(L, a->why);
	json_out_push(L, a->json);
	return 1;
}

void json_out_later(struct later **later, const struct buf *json, const char *why)
{
	later_call(later, push_answer, &(struct answer){ json, why });
}

struct app *json_out_app(lua_State *L)
{
	struct app *app = vm_app(vm_of(L));
	if (!app || !app->node)
		luaL_error(L, "the fleet is gone");
	return app;
}
