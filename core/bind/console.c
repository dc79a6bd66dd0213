#include "bind/console.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <lauxlib.h>
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "bind/call.h"
#include "bind/console_changes.h"
#include "bind/ref.h"
#include "sys/clock.h"
#include "sys/home.h"

#define STATES_MAX (2 * CONSOLE_SESSIONS) /* with those that are over and wait for an answer */
#define WHO_MAX    256
#define ID_MAX     33
#define NOTHING                                                                                                                    \
	(struct ref)                                                                                                               \
	{                                                                                                                          \
		NULL, LUA_NOREF                                                                                                    \
	}

struct console_session {
	struct list link;
	struct console *in;
	char id[ID_MAX], who[WHO_MAX];
	uid_t uid;
	struct vm *vm;
	struct ref line, complete;       /* Lua functions */
	struct loop_timer *step, *timer; /* the line goes on; it has waited too long, or the session was idle */
	int64_t last_ms;                 /* monotonic: when its last line ended */
	int asks;                        /* answers that are still to come into its state */
	bool may_write, is_over;
	/* the line that runs */
	bool is_running, is_error, is_incomplete;
	lua_State *co;
	struct ref co_ref;
	int left_ms;
	console_fn *fn;
	void *data;
	struct buf out;
};

struct console {
	struct app *app;
	char share[PATH_MAX];
	struct list sessions;
	struct changes changes;
	struct buf words;
};

struct console *console_new(struct app *app)
{
	struct console *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->app = app;
	list_init(&c->sessions);
	buf_init(&c->words, CONSOLE_OUTPUT_MAX);
	if (home_share(c->share, sizeof c->share) < 0) /* it was found at the start */
		c->share[0] = '\0';
	return c;
}

/* --- sessions --- */

static void free_session(struct console_session *s)
{
	if (s->fn)
		s->fn(s->data, NULL);
	list_remove(&s->link);
	loop_timer_free(&s->step);
	loop_timer_free(&s->timer);
	if (s->vm)
		vm_free(&s->vm);
	buf_fini(&s->out);
	free(s);
}

void console_free(struct console **console)
{
	struct console *c = *console;
	if (!c)
		return;
	for (struct list *l; (l = list_first(&c->sessions));)
		free_session(list_of(l, struct console_session, link));
	changes_fini(&c->changes);
	buf_fini(&c->words);
	free(c);
	*console = NULL;
}

static void end_session(struct console_session *s)
{
	s->is_over = true;
	loop_timer_stop(s->timer);
	if (s->asks == 0) /* not from within its own state */
		loop_timer_start(s->step, 0);
}

static int open_words(lua_State *L)
{
	struct console_session *s = lua_touserdata(L, 1);
	lua_getglobal(L, "require");
	lua_pushliteral(L, "dss.console.session");
	lua_call(L, 1, 1);
	lua_getfield(L, -1, "line");
	ref_take(L, &s->line);
	lua_getfield(L, -1, "complete");
	ref_take(L, &s->complete);
	return 0;
}

static int open_state(struct console_session *s, struct err *err)
{
	struct vm_options o = {
		.use = VM_CONSOLE, .share = s->in->share, .memory_max_bytes = CONSOLE_MEMORY_BYTES, .app = s->in->app
	};
	if (!(s->vm = vm_new(&o, err)))
		return -1;
	lua_pushcfunction(vm_state(s->vm), open_words);
	lua_pushlightuserdata(vm_state(s->vm), s);
	return call_run(s->vm, 1, 0, &(struct call_budget){ -1 }, err);
}

static void on_step(void *data);
static void on_timer(void *data);

static struct console_session *make_session(struct console *c, const struct console_ask *ask, struct err *err)
{
	unsigned char random[(ID_MAX - 1) / 2];
	struct console_session *s = calloc(1, sizeof *s);
	if (!s) {
		err_set(err, "unable to open a session: not enough memory");
		return NULL;
	}
	s->in = c;
	s->uid = ask->uid;
	s->line = s->complete = s->co_ref = NOTHING;
	list_push(&c->sessions, &s->link);
	buf_init(&s->out, CONSOLE_OUTPUT_MAX);
	s->step = loop_timer_new(c->app->loop, on_step, s);
	s->timer = loop_timer_new(c->app->loop, on_timer, s);
	if (!s->step || !s->timer || getrandom(random, sizeof random, 0) != sizeof random) {
		err_set(err, "unable to open a session: not enough memory");
	} else if (open_state(s, err) == 0) {
		for (size_t i = 0; i < sizeof random; i++)
			snprintf(s->id + 2 * i, 3, "%02x", random[i]);
		return s;
	}
	free_session(s);
	return NULL;
}

/* Room for one more: those who left without a word must not lock others out. */
static bool make_room(struct console *c)
{
	struct console_session *spare = NULL;
	int64_t now = clock_mono_ms();
	int open = 0, states = 0;
	list_each (&c->sessions, l) {
		struct console_session *s = list_of(l, struct console_session, link);
		states++;
		open += !s->is_over;
		if (!s->is_over && !s->is_running && now - s->last_ms >= CONSOLE_SPARE_MS &&
		    (!spare || s->last_ms < spare->last_ms))
			spare = s;
	}
	if (states >= STATES_MAX)
		return false;
	if (open < CONSOLE_SESSIONS)
		return true;
	if (spare)
		end_session(spare);
	return spare != NULL;
}

static struct console_session *find(struct console *c, const struct console_ask *ask)
{
	list_each (&c->sessions, l) {
		struct console_session *s = list_of(l, struct console_session, link);
		if (!s->is_over && s->uid == ask->uid && strcmp(s->id, ask->session) == 0)
			return s;
	}
	return NULL;
}

static enum console_refusal get_session(struct console *c, const struct console_ask *ask, struct console_session **out,
					struct err *err)
{
	if (ask->session && !(*out = find(c, ask))) {
		err_set(err, "this session is over: nobody typed for %d min, or the backend was started anew",
			CONSOLE_IDLE_MS / 60000);
		return CONSOLE_NOT_FOUND;
	}
	if (!ask->session && !make_room(c)) {
		err_set(err, "%d sessions are open, and no more may be: end one of them", CONSOLE_SESSIONS);
		return CONSOLE_FULL;
	}
	if (!ask->session && !(*out = make_session(c, ask, err)))
		return CONSOLE_FULL;
	snprintf((*out)->who, sizeof(*out)->who, "%s", ask->who);
	return CONSOLE_TAKEN;
}

/* --- a line --- */

static void finish(struct console_session *s)
{
	console_fn *fn = s->fn;
	if (!s->is_running)
		return;
	s->is_running = false;
	s->fn = NULL;
	s->co = NULL;
	ref_drop(&s->co_ref);
	s->last_ms = clock_mono_ms();
	if (!s->is_over)
		loop_timer_start(s->timer, CONSOLE_IDLE_MS);
	struct console_answer a = {
		.session = s->is_over ? NULL : s->id,
		.output = s->out.data ? s->out.data : "",
		.len = s->out.len,
		.prompt = s->may_write ? "dss!> " : "dss> ",
		.is_error = s->is_error,
		.is_incomplete = s->is_incomplete,
	};
	fn(s->data, &a);
	buf_clear(&s->out);
}

static void fail(struct console_session *s, const char *text)
{
	buf_clear(&s->out);
	buf_puts(&s->out, text);
	s->is_error = true;
	s->is_incomplete = false;
	finish(s);
}

/* session, line | nil → true: it is through. Goes on with the line, or begins it. */
static int go_on(lua_State *L)
{
	struct console_session *s = lua_touserdata(L, 1);
	const struct console_ask *ask = lua_touserdata(L, 2);
	int n = 0;
	if (ask) {
		s->co = lua_newthread(L);
		ref_take(L, &s->co_ref);
		ref_push(&s->line);
		lua_xmove(L, s->co, 1);
		lua_pushlstring(s->co, ask->line, ask->len);
		n = 1;
	}
	int status = call_resume(L, s->co, n, &n);
	if (status == LUA_YIELD) {
		lua_pop(s->co, n);
		lua_pushboolean(L, 0);
		return 1;
	}
	size_t len = 0;
	const char *text = n >= 1 ? lua_tolstring(s->co, -n, &len) : NULL;
	if (text)
		buf_put(&s->out, text, len);
	s->is_error = n >= 2 && lua_toboolean(s->co, -n + 1);
	s->is_incomplete = n >= 3 && lua_toboolean(s->co, -n + 2);
	if (n >= 4 && lua_toboolean(s->co, -n + 3))
		end_session(s);
	lua_pushboolean(L, 1);
	return 1;
}

static void tell_fault(struct console_session *s, const struct err *err)
{
	char text[ERR_TEXT_MAX + 200];
	enum call_fault why = call_why(s->vm);
	if (why == CALL_TIME) {
		const char *end = strstr(err->text, "used up its time");
		snprintf(text, sizeof text, "%.*sstopped: a line may compute for %d ms; the node goes on",
			 end ? (int)(end - err->text) : 0, err->text, CONSOLE_LINE_MS);
	} else {
		const char *used = err->text[0] == '/' ? strstr(err->text, "used up") : NULL; /* a deep recursion hides the line */
		snprintf(text, sizeof text, "%s", used ? used : err->text);
	}
	ref_drop(&s->co_ref);
	s->co = NULL;
	if (why == CALL_MEMORY) {
		lua_gc(vm_state(s->vm), LUA_GCCOLLECT);
		if (vm_memory_bytes(s->vm) > CONSOLE_MEMORY_BYTES / 2) {
			snprintf(text + strlen(text), sizeof text - strlen(text), "; what this session held is gone with it");
			end_session(s);
		}
	}
	fail(s, text);
}

static void run(struct console_session *s, const struct console_ask *ask)
{
	lua_State *L = vm_state(s->vm);
	struct err err = { 0 };
	int64_t since_ms = clock_mono_ms();
	lua_pushcfunction(L, go_on);
	lua_pushlightuserdata(L, s);
	lua_pushlightuserdata(L, (void *)ask);
	if (call_run(s->vm, 2, 1, &(struct call_budget){ s->left_ms > 0 ? s->left_ms : 1 }, &err) < 0) {
		tell_fault(s, &err);
		return;
	}
	bool is_through = lua_toboolean(L, -1);
	lua_pop(L, 1);
	s->left_ms -= (int)(clock_mono_ms() - since_ms);
	if (is_through)
		finish(s);
	else if (ask) /* it waits */
		loop_timer_start(s->timer, CONSOLE_WAIT_MS);
}

static void on_step(void *data)
{
	struct console_session *s = data;
	if (s->is_running && !s->is_over)
		run(s, NULL);
	else if (s->is_over && !s->is_running && s->asks == 0)
		free_session(s);
}

static void on_timer(void *data)
{
	struct console_session *s = data;
	char text[160];
	if (!s->is_running) {
		end_session(s);
		return;
	}
	snprintf(text, sizeof text, "given up: the store or the keeper did not answer within %d s", CONSOLE_WAIT_MS / 1000);
	fail(s, text);
}

enum console_refusal console_line(struct console *console, const struct console_ask *ask, console_fn *fn, void *data,
				  struct err *err)
{
	struct console_session *s = NULL;
	enum console_refusal refusal = get_session(console, ask, &s, err);
	if (refusal != CONSOLE_TAKEN)
		return refusal;
	if (s->is_running) {
		err_set(err, "this session still works on the line before");
		return CONSOLE_BUSY;
	}
	s->is_running = true;
	s->is_error = s->is_incomplete = false;
	s->left_ms = CONSOLE_LINE_MS;
	s->fn = fn;
	s->data = data;
	loop_timer_stop(s->timer);
	run(s, ask);
	return CONSOLE_TAKEN;
}

/* --- completion --- */

struct completing {
	struct console_session *s;
	const struct console_ask *ask;
	size_t cursor, *from;
};

static int complete(lua_State *L)
{
	const struct completing *c = lua_touserdata(L, 1);
	size_t len;
	ref_push(&c->s->complete);
	lua_pushlstring(L, c->ask->line, c->ask->len);
	lua_pushinteger(L, (lua_Integer)c->cursor);
	lua_call(L, 2, 2);
	*c->from = (size_t)luaL_checkinteger(L, -2);
	const char *words = luaL_checklstring(L, -1, &len);
	buf_put(&c->s->in->words, words, len);
	return 0;
}

enum console_refusal console_complete(struct console *console, const struct console_ask *ask, size_t cursor, size_t *from,
				      const char **words, struct err *err)
{
	struct console_session *s = NULL;
	struct err ignored = { 0 };
	enum console_refusal refusal = get_session(console, ask, &s, err);
	if (refusal != CONSOLE_TAKEN)
		return refusal;
	struct completing c = { s, ask, cursor, from };
	lua_State *L = vm_state(s->vm);
	*from = cursor;
	buf_clear(&console->words);
	lua_pushcfunction(L, complete);
	lua_pushlightuserdata(L, &c);
	if (call_run(s->vm, 1, 0, &(struct call_budget){ CONSOLE_LINE_MS }, &ignored) < 0 || console->words.failed) {
		log_debug("no completion: %s", ignored.text);
		buf_clear(&console->words);
	}
	s->last_ms = clock_mono_ms();
	if (!s->is_running)
		loop_timer_start(s->timer, CONSOLE_IDLE_MS);
	*words = console->words.data && console->words.len ? console->words.data : "";
	return CONSOLE_TAKEN;
}

/* --- for the words --- */

struct console_session *console_session_of(lua_State *L)
{
	const struct vm *vm = vm_of(L);
	const struct app *app = vm_app(vm);
	if (app && app->console)
		list_each (&app->console->sessions, l) {
			struct console_session *s = list_of(l, struct console_session, link);
			if (s->vm == vm)
				return s;
		}
	luaL_error(L, "there is no session");
	return NULL;
}

const char *console_who(const struct console_session *s)
{
	return s->who;
}

bool console_may_write(const struct console_session *s)
{
	return s->may_write;
}

void console_allow(struct console_session *s, bool may_write)
{
	if (may_write != s->may_write)
		log_info("console: %s %s", s->who, may_write ? "may change things now (:write)" : "is read-only again");
	s->may_write = may_write;
}

void console_asked(struct console_session *s)
{
	s->asks++;
}

void console_told(struct console_session *s)
{
	if (s->asks > 0)
		s->asks--;
	loop_timer_start(s->step, 0);
}

void console_note(struct console_session *s, const char *what, const char *subject, const char *before, const char *after)
{
	changes_note(&s->in->changes, s->in->app, s->who, what, subject, before, after);
}

size_t console_count_changes(const struct console_session *s, size_t *forgotten)
{
	*forgotten = s->in->changes.forgotten;
	return s->in->changes.n;
}

const struct console_change *console_change_at(const struct console_session *s, size_t i)
{
	return changes_at(&s->in->changes, i);
}
