/*
 * bind.change: what the words of a console's session change, and what they wait by (console.h). What changes raises in a session that is
 * read-only, and answers true, or nil and why.
 *   writing(on | nil) → bool                    may it change things?
 *   who() → text                                wall_ms() → ms since 1970
 *   tune(pool, { max, warm_min, warm_max, memory })      numbers in force until policies are loaded the next time; each may be absent
 *   stop(kernel, why)  retire(kernel, why)  abort(task, why)  reload()
 *   changes() → a list { at_ms, version, who, what, subject, before, after }, forgotten      before, after: JSON
 *   above(fn) → text                            the line of our own code that stands above the function: its help
 *   ask()  told()  wait()                       an answer is to come; it came; wait until one does
 */
#include <stdio.h>
#include <string.h>
#include <lauxlib.h>
#include "bind/arg.h"
#include "bind/console.h"
#include "bind/json_out.h"
#include "bind/policy_set.h"
#include "bind/toc.h"
#include "fleet/fleet_verbs.h"
#include "fleet/jtext.h"
#include "sys/clock.h"

#define TEXT_MAX       600
#define LINE_MAX_BYTES 1024

static struct fleet *fleet_of(lua_State *L)
{
	return node_fleet(json_out_app(L)->node);
}

static struct console_session *writer(lua_State *L)
{
	struct console_session *s = console_session_of(L);
	if (!console_may_write(s))
		luaL_error(L, "read-only: type :write first");
	return s;
}

static int writing(lua_State *L)
{
	struct console_session *s = console_session_of(L);
	if (!lua_isnoneornil(L, 1))
		console_allow(s, arg_bool(L, 1, false));
	lua_pushboolean(L, console_may_write(s));
	return 1;
}

static int who(lua_State *L)
{
	lua_pushstring(L, console_who(console_session_of(L)));
	return 1;
}

static int wall_ms(lua_State *L)
{
	lua_pushinteger(L, clock_wall_ms());
	return 1;
}

static int done(lua_State *L)
{
	lua_pushboolean(L, 1);
	return 1;
}

/* --- numbers of a pool --- */

static void put_numbers(struct buf *b, const struct pool_numbers *n, const struct pool_numbers *other)
{
	const struct {
		const char *name;
		int64_t value, other;
	} all[] = {
		{ "max", n->max, other->max },
		{ "warm.min", n->warm_min, other->warm_min },
		{ "warm.max", n->warm_max, other->warm_max },
		{ "limits.memory", n->memory_bytes, other->memory_bytes },
	};
	buf_putc(b, '{');
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (all[i].value != all[i].other)
			jtext_int(b, all[i].name, all[i].value);
	buf_putc(b, '}');
}

static struct pool *tunable(lua_State *L, const char *name, struct err *err)
{
	struct pool *pool = fleet_pool(fleet_of(L), name);
	if (!pool || pool->is_retired)
		err_set(err, "pool \"%s\" does not exist", name);
	else if (pool->spec->is_live)
		err_set(err,
			"functions of %s say the numbers of pool \"%s\" and would put them back within a second: change them there",
			pool->spec->source ? pool->spec->source : "its policy", name);
	else
		return pool;
	return NULL;
}

static int tune(lua_State *L)
{
	struct err err = { 0 };
	struct console_session *s = writer(L);
	const char *name = arg_text(L, 1, NULL);
	arg_table(L, 2);
	struct pool *pool = tunable(L, name, &err);
	if (!pool)
		return arg_fail(L, err.text);
	const struct pool_spec *spec = pool->spec;
	const struct pool_numbers old = { spec->warm_min, spec->warm_max, spec->max, spec->memory_bytes };
	const struct pool_numbers fresh = {
		.warm_min = (int)arg_field_int(L, 2, "warm_min", old.warm_min),
		.warm_max = (int)arg_field_int(L, 2, "warm_max", old.warm_max),
		.max = (int)arg_field_int(L, 2, "max", old.max),
		.memory_bytes = arg_field_int(L, 2, "memory", old.memory_bytes),
	};
	char subject[160], before[256], after[256];
	struct buf *b = json_out_new(L);
	put_numbers(b, &old, &fresh);
	snprintf(before, sizeof before, "%s", b->failed || !b->data ? "{}" : b->data);
	buf_clear(b);
	put_numbers(b, &fresh, &old);
	snprintf(after, sizeof after, "%s", b->failed || !b->data ? "{}" : b->data);
	if (strcmp(after, "{}") == 0)
		return done(L);
	if (fleet_tune_pool(fleet_of(L), name, &fresh, &err) < 0)
		return arg_fail(L, err.text);
	snprintf(subject, sizeof subject, "pool %s", name);
	console_note(s, "set", subject, before, after);
	return done(L);
}

/* --- orders --- */

enum order { STOP, RETIRE, ABORT };

static int give(lua_State *L, enum order order, struct err *err)
{
	char text[TEXT_MAX];
	struct fleet *fleet = fleet_of(L);
	const char *id = arg_text(L, 1, NULL), *why = arg_text(L, 2, NULL);
	snprintf(text, sizeof text, "%s, at the console: %s", console_who(console_session_of(L)), why);
	if (order == RETIRE)
		return fleet_order_retire(fleet, id, text, err);
	if (order == ABORT)
		return fleet_abort_as(fleet, id, "admin", text, err) == FLEET_OK ? 0 : -1;
	const struct kernel *k = fleet_kernel(fleet, id);
	if (!k || k->state >= KERNEL_STOPPING)
		return err_set(err, "kernel %s is gone, or stopping already", id);
	fleet_kernel_stop(fleet, id, "admin", text);
	return k->state == KERNEL_STOPPING ? 0 : err_set(err, "kernel %s cannot be stopped now", id);
}

/* State of the kernel or task before. */
static void put_before(struct fleet *fleet, enum order order, const char *id, struct buf *b)
{
	const struct future *f = order == ABORT ? fleet_live(fleet, id) : NULL;
	const struct kernel *k = order == ABORT ? NULL : fleet_kernel(fleet, id);
	buf_putc(b, '{');
	if (f)
		jtext_text(b, "state", future_state_name(f->state));
	if (k)
		jtext_text(b, "state", kernel_fsm.states[k->state]);
	if (k && k->task[0])
		jtext_text(b, "task", k->task);
	buf_putc(b, '}');
}

static int order_one(lua_State *L, enum order order, const char *what, const char *kind)
{
	struct err err = { 0 };
	size_t len;
	struct console_session *s = writer(L);
	const char *id = arg_text(L, 1, NULL), *why = arg_text(L, 2, &len);
	char subject[160];
	luaL_argcheck(L, len > 0 && len <= 300, 2, "say why, in up to 300 bytes");
	struct buf *before = json_out_new(L), *after = json_out_new(L);
	put_before(fleet_of(L), order, id, before);
	buf_putc(after, '{');
	jtext_text(after, "why", why);
	buf_putc(after, '}');
	if (give(L, order, &err) < 0)
		return arg_fail(L, err.text[0] ? err.text : "it is not there");
	snprintf(subject, sizeof subject, "%s %s", kind, id);
	console_note(s, what, subject, before->failed ? NULL : before->data, after->failed ? NULL : after->data);
	return done(L);
}

static int stop(lua_State *L)
{
	return order_one(L, STOP, "stop", "kernel");
}
static int retire(lua_State *L)
{
	return order_one(L, RETIRE, "retire", "kernel");
}
static int abort_task(lua_State *L)
{
	return order_one(L, ABORT, "abort", "task");
}

static int reload(lua_State *L)
{
	struct console_session *s = writer(L);
	struct app *app = json_out_app(L);
	if (!app->policy_set)
		return arg_fail(L, "the policies are not there yet");
	policy_set_reload(app->policy_set);
	console_note(s, "reload", "policies", NULL, NULL);
	return done(L);
}

/* --- the list --- */

static void set_text(lua_State *L, const char *name, const char *value)
{
	lua_pushstring(L, value);
	lua_setfield(L, -2, name);
}

static int changes(lua_State *L)
{
	const struct console_session *s = console_session_of(L);
	size_t forgotten, n = console_count_changes(s, &forgotten);
	lua_createtable(L, (int)n, 0);
	for (size_t i = 0; i < n; i++) {
		const struct console_change *c = console_change_at(s, i);
		lua_createtable(L, 0, 7);
		lua_pushinteger(L, c->wall_ms);
		lua_setfield(L, -2, "at_ms");
		lua_pushinteger(L, c->version);
		lua_setfield(L, -2, "version");
		set_text(L, "who", c->who);
		set_text(L, "what", c->what);
		set_text(L, "subject", c->subject);
		set_text(L, "before", c->before);
		set_text(L, "after", c->after);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_pushinteger(L, (lua_Integer)forgotten);
	return 2;
}

/* --- help --- */

/* Of our own files alone: users' chunks are named by no path. */
static int above(lua_State *L)
{
	lua_Debug ar;
	char line[LINE_MAX_BYTES] = "";
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 1);
	lua_getinfo(L, ">S", &ar);
	FILE *f = ar.what[0] == 'L' && strncmp(ar.source, "@/", 2) == 0 ? fopen(ar.source + 1, "re") : NULL;
	int n = 1;
	while (f && n < ar.linedefined && fgets(line, sizeof line, f))
		n += strchr(line, '\n') != NULL;
	if (f)
		fclose(f);
	lua_pushlstring(L, line, strcspn(line, "\n"));
	return 1;
}

/* --- waiting --- */

static int ask(lua_State *L)
{
	console_asked(console_session_of(L));
	return 0;
}

static int told(lua_State *L)
{
	console_told(console_session_of(L));
	return 0;
}

static int wait(lua_State *L)
{
	if (!lua_isyieldable(L))
		return luaL_error(
			L,
			"this cannot be asked from within a function that Lua itself calls (table.sort, string.gsub): ask before");
	return lua_yield(L, 0);
}

int bind_change_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "writing", writing }, { "who", who },          { "wall_ms", wall_ms }, { "tune", tune },       { "stop", stop },
		{ "retire", retire },   { "abort", abort_task }, { "reload", reload },   { "changes", changes }, { "above", above },
		{ "ask", ask },         { "told", told },        { "wait", wait },       { NULL, NULL },
	};
	luaL_newlib(L, words);
	return 1;
}
