#include "bind/bind_pages.h"
#include <lauxlib.h>
#include "bind/answer.h"
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/vm.h"
#include "gate/pages.h"

int bind_pages_reply(lua_State *L)
{
	struct answer *a = luaL_checkudata(L, lua_upvalueindex(1), ANSWER);
	struct app *app = vm_app(vm_of(L));
	const char *name = arg_text(L, 1, NULL);
	if (!a->req)
		return luaL_error(L, "this request was answered already");
	if (!app->pages)
		return luaL_error(L, "there is no page here");
	struct gate_request *req = a->req;
	a->req = NULL;
	pages_reply(app->pages, req, name);
	return 0;
}
