/*
 * bind.soon: soon(ms, fn): fn is called once, so many milliseconds later (0: in the next turn of the loop, when others had theirs). What waits goes with the
 * state.
 */
#include <limits.h>
#include <stdlib.h>
#include <lauxlib.h>
#include "base/list.h"
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/toc.h"

struct soon {
	struct list link; /* of those that wait */
	struct loop_timer *timer;
	struct later *later;
};

static void soon_free(struct soon *s)
{
	list_remove(&s->link);
	loop_timer_free(&s->timer);
	later_free(&s->later);
	free(s);
}

static void on_soon(void *data)
{
	struct soon *s = data;
	struct later *later = s->later;
	s->later = NULL;
	soon_free(s);
	later_call(&later, NULL, NULL);
}

static void release_waits(void *p)
{
	struct list *waits = p;
	for (struct list *l; (l = list_first(waits));)
		soon_free(list_of(l, struct soon, link));
	free(waits);
}

/* upvalue 1: the guard of the list of those that wait */
static int soon(lua_State *L)
{
	struct app *app = json_out_app(L);
	struct list *waits = *(void **)lua_touserdata(L, lua_upvalueindex(1));
	int64_t ms = arg_int(L, 1, 0, INT_MAX);
	struct later *later = later_new(L, 2);
	struct soon *s = calloc(1, sizeof *s);
	if (!s || !(s->timer = loop_timer_new(app->loop, on_soon, s))) {
		free(s);
		later_free(&later);
		return luaL_error(L, "not enough memory");
	}
	s->later = later;
	list_push(waits, &s->link);
	loop_timer_start(s->timer, ms);
	return 0;
}

int bind_soon_open(lua_State *L)
{
	void **guard = ref_guard(L, release_waits);
	struct list *waits = malloc(sizeof *waits);
	if (!waits)
		return luaL_error(L, "not enough memory");
	list_init(waits);
	*guard = waits;
	lua_pushcclosure(L, soon, 1);
	return 1;
}
