/*
 * bind.macros: macros for the API: the policies are asked, what they answer is carried out and noted. JSON goes from state to state as text. A callback is
 * called once, later.
 *   list() → json                                           what there is (lua/dss/model/macros.lua)
 *   params(name, sent, is_admin) → json | nil, why          typed, with defaults
 *   judge(name, params, ctx, rows) → json | nil, why        some rows of a macro with `each`
 *   whole(name, params, ctx) → bytes | nil, why             one without
 *   note(decision)                                          into the ledger: name source subject_kind subject owner answer reason inputs mode outcome
 *   rows(kind) → { facts, … } | nil                         of what rules know (subject.h), up to 10,000; nil: there is no such kind
 *   order(kind, verb, id, why) → true | nil, why            as rules do
 *   logs(project | nil, from, fn(json | nil, next | why))   fleet/joblog.h     remove_log(project, name, changed_ms, fn(why | nil))
 *   save(run, is_new, fn(why | nil))                        a run as a task of kind macro: id owner project title payload state cause error result …
 *   make_id() → id                                          soon(ms, fn)
 *   diagnose(id, fn(why | nil)) → true | nil, why           run/macros/ID.tar.gz by a process of its own; stop(id) kills it
 *   file(id) → bytes, size | nil    drop(id)                tidy(ms): files that are older go
 *   on_rule(fn(rule, "NAME {params}"))                      called once, by the next rule that runs a macro
 *   share() → folder of our runtimes
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <lauxlib.h>
#include "base/list.h"
#include "base/text.h"
#include "bind/app.h"
#include "bind/arg.h"
#include "bind/decide.h"
#include "bind/helper.h"
#include "bind/json_out.h"
#include "bind/later.h"
#include "bind/policies_live.h"
#include "bind/rule_runs.h"
#include "bind/subject.h"
#include "bind/toc.h"
#include "fleet/fleet_verbs.h"
#include "fleet/joblog.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/home.h"

#define ARGS_MOST    4
#define ROWS_MOST    10000
#define FILE_MOST    ((off_t)60 << 20)
#define DIAGNOSIS_MS 300000
#define FOLDER       "run/macros"

/* --- asked of the policies: texts and a flag in, two texts out --- */

struct asked {
	const char *texts[ARGS_MOST];
	size_t lens[ARGS_MOST];
	int n;
	int flag; /* -1 = none; else the last argument */
	struct buf out, why;
	bool has_out;
};

static int push_asked(lua_State *L, void *data)
{
	const struct asked *a = data;
	for (int i = 0; i < a->n; i++)
		lua_pushlstring(L, a->texts[i], a->lens[i]);
	if (a->flag >= 0)
		lua_pushboolean(L, a->flag);
	return a->n + (a->flag >= 0);
}

static void take_text(lua_State *L, int i, struct buf *out)
{
	size_t len = 0;
	const char *s = lua_type(L, i) == LUA_TSTRING ? lua_tolstring(L, i, &len) : NULL;
	if (s)
		buf_put(out, s, len);
}

static void take_asked(lua_State *L, int first, void *data)
{
	struct asked *a = data;
	a->has_out = lua_type(L, first) == LUA_TSTRING;
	take_text(L, first, &a->out);
	take_text(L, first + 1, &a->why);
}

static void release_asked(void *p)
{
	struct asked *a = p;
	buf_fini(&a->out);
	buf_fini(&a->why);
	free(a);
}

/* The state's arguments from 1 to n are texts. */
static int ask(lua_State *L, const char *function, int n, int flag)
{
	struct app *app = json_out_app(L);
	struct err err = { 0 };
	void **guard = ref_guard(L, release_asked);
	struct asked *a = *guard = calloc(1, sizeof *a);
	if (!a)
		return luaL_error(L, "not enough memory");
	buf_init(&a->out, JSON_OUT_MAX);
	buf_init(&a->why, JSON_OUT_MAX);
	a->n = n;
	a->flag = flag;
	for (int i = 0; i < n; i++)
		a->texts[i] = arg_text(L, i + 1, &a->lens[i]);
	struct vm *vm = app->live ? policies_live_vm(app->live) : NULL;
	struct decide_question q = { function, push_asked, take_asked, 2, a };
	if (!vm)
		return arg_fail(L, "no set of policies is in force yet");
	if (decide(vm, &q, &err) < 0)
		return arg_fail(L, err.text);
	if (!a->has_out || a->out.failed)
		return arg_fail(L, a->out.failed ? "not enough memory" : a->why.len ? a->why.data : "it answered nothing");
	lua_pushlstring(L, a->out.data ? a->out.data : "", a->out.len);
	return 1;
}

static int list(lua_State *L)
{
	return ask(L, "macro_list", 0, -1);
}

static int params(lua_State *L)
{
	return ask(L, "macro_params", 2, arg_bool(L, 3, false));
}

static int judge(lua_State *L)
{
	return ask(L, "macro_judge", 4, -1);
}

static int whole(lua_State *L)
{
	return ask(L, "macro_whole", 3, -1);
}

/* --- told, carried out --- */

static int note(lua_State *L)
{
	struct app *app = json_out_app(L);
	arg_table(L, 1);
	struct decision d = {
		.word = "macro",
		.name = arg_field_text(L, 1, "name"),
		.source = arg_field_text(L, 1, "source"),
		.subject_kind = arg_field_text(L, 1, "subject_kind"),
		.subject = arg_field_text(L, 1, "subject"),
		.answer = arg_field_text(L, 1, "answer"),
		.reason = arg_field_text(L, 1, "reason"),
		.inputs = arg_field_text(L, 1, "inputs"),
		.mode = arg_field_text(L, 1, "mode"),
		.outcome = arg_field_text(L, 1, "outcome"),
		.owner = arg_field_text(L, 1, "owner"),
	};
	const char *text = arg_field_text(L, 1, "text");
	luaL_argcheck(L, d.name && d.source && d.subject_kind && d.subject && d.answer, 1,
		      "name, source, subject and answer are needed");
	struct ledger *ledger = fleet_ledger(node_fleet(app->node));
	int64_t seq = ledger_note(ledger, &d);
	if (text && seq)
		ledger_outcome(ledger, seq, d.outcome ? d.outcome : "failed", text);
	return 0;
}

static void release_subjects(void *p)
{
	subjects_fini(p);
	free(p);
}

static struct subject_world world_of(lua_State *L)
{
	struct app *app = json_out_app(L);
	return (struct subject_world){ node_fleet(app->node), app->node };
}

static int rows(lua_State *L)
{
	struct subject_world world = world_of(L);
	int kind = subject_kind_named(arg_text(L, 1, NULL)), n = 0;
	const char *owner;
	if (kind < 0)
		return 0;
	void **guard = ref_guard(L, release_subjects);
	struct subjects *s = *guard = calloc(1, sizeof *s);
	if (!s || subjects_list(&world, (enum subject_kind)kind, s) < 0)
		return luaL_error(L, "not enough memory");
	lua_newtable(L);
	for (size_t i = 0; i < s->n && n < ROWS_MOST; i++)
		if (subject_is_there(s, i, &owner)) {
			subject_push(L, s, i);
			lua_rawseti(L, -2, ++n);
		}
	return 1;
}

static int order(lua_State *L)
{
	struct err err = { 0 };
	struct subject_world world = world_of(L);
	int kind = subject_kind_named(arg_text(L, 1, NULL));
	const char *verb = arg_text(L, 2, NULL), *id = arg_text(L, 3, NULL), *said = arg_text(L, 4, NULL);
	char why[900];
	luaL_argcheck(L, kind >= 0, 1, "no such kind");
	snprintf(why, sizeof why, FLEET_BY_RULE "of %s", said);
	if (subject_order(&world, (enum subject_kind)kind, verb, id, why, &err) < 0)
		return arg_fail(L, err.text);
	lua_pushboolean(L, 1);
	return 1;
}

/* --- a later word --- */

static int push_why(lua_State *L, void *data)
{
	lua_pushstring(L, data);
	return 1;
}

static void tell_why(void *data, const char *why)
{
	struct later *later = data;
	later_call(&later, push_why, (void *)why);
}

struct soon {
	struct list link; /* of those that wait: they go with the state */
	struct loop_timer *timer;
	struct later *later;
};

static void on_soon(void *data)
{
	struct soon *s = data;
	struct later *later = s->later;
	list_remove(&s->link);
	loop_timer_free(&s->timer);
	free(s);
	later_call(&later, NULL, NULL);
}

/* --- logs in jobs/ --- */

struct listed {
	const struct buf *json;
	int64_t next;
	const char *why;
};

static int push_listed(lua_State *L, void *data)
{
	const struct listed *l = data;
	if (!l->json) {
		lua_pushnil(L);
		lua_pushstring(L, l->why);
		return 2;
	}
	lua_pushlstring(L, l->json->data, l->json->len);
	lua_pushinteger(L, (lua_Integer)l->next);
	return 2;
}

static void on_listed(void *data, const struct buf *json, int64_t next, const struct err *why)
{
	struct later *later = data;
	struct listed l = { json, next, why ? why->text : NULL };
	later_call(&later, push_listed, &l);
}

static int logs(lua_State *L)
{
	struct app *app = json_out_app(L);
	const char *project = lua_isnil(L, 1) ? NULL : arg_text(L, 1, NULL);
	int64_t from = arg_int(L, 2, 0, INT64_MAX);
	struct later *later = later_new(L, 3);
	if (joblog_list(fleet_store(node_fleet(app->node)), app->dir, project, from, on_listed, later) == 0)
		return 0;
	struct listed l = { .why = "the store takes nothing now" };
	later_call(&later, push_listed, &l);
	return 0;
}

static int remove_log(lua_State *L)
{
	struct app *app = json_out_app(L);
	const char *project = arg_text(L, 1, NULL), *name = arg_text(L, 2, NULL);
	int64_t changed_ms = arg_int(L, 3, 0, INT64_MAX);
	luaL_argcheck(L, text_is_id(project, strlen(project)), 1, "no project's key");
	luaL_argcheck(L, text_is_id(name, strlen(name)), 2, "no name of a log");
	struct later *later = later_new(L, 4);
	if (joblog_remove(fleet_store(node_fleet(app->node)), app->dir, project, name, changed_ms, tell_why, later) < 0)
		tell_why(later, "the store takes nothing now");
	return 0;
}

/* --- runs in the store --- */

static void on_saved(void *data, const struct store_answer *answer)
{
	tell_why(data, answer->outcome == STORE_OK ? NULL : answer->err.text[0] ? answer->err.text : "the disk is full");
}

static void release_future(void *p)
{
	struct future *f = p;
	future_free(&f);
}

static char *copied(lua_State *L, const char *name, size_t *len)
{
	size_t n = 0;
	const char *s = arg_field_bytes(L, 1, name, &n);
	char *out = s ? malloc(n + 1) : NULL;
	if (s && !out)
		luaL_error(L, "not enough memory");
	if (out) {
		memcpy(out, s, n);
		out[n] = '\0';
	}
	if (len)
		*len = n;
	return out;
}

static int save(lua_State *L)
{
	struct app *app = json_out_app(L);
	arg_table(L, 1);
	bool is_new = arg_bool(L, 2, false);
	const char *id = arg_field_text(L, 1, "id"), *cause = arg_field_text(L, 1, "cause"), *state = arg_field_text(L, 1, "state");
	luaL_argcheck(L, id && strlen(id) < FUTURE_ID_MAX && state && future_state_named(state) >= 0, 1, "id and state are needed");
	void **guard = ref_guard(L, release_future);
	struct future *f = *guard = future_new();
	if (!f)
		return luaL_error(L, "not enough memory");
	snprintf(f->id, sizeof f->id, "%s", id);
	f->owner = copied(L, "owner", NULL);
	f->project = copied(L, "project", NULL);
	f->title = copied(L, "title", NULL);
	f->kind = strdup("macro");
	f->type = strdup("macro");
	f->pool = strdup("macros");
	f->payload = copied(L, "payload", &f->payload_len);
	f->error = copied(L, "error", NULL);
	f->result = copied(L, "result", &f->result_len);
	f->has_result = f->result != NULL;
	f->state = (enum future_state)future_state_named(state);
	f->attempt = 1;
	snprintf(f->cause, sizeof f->cause, "%s", cause ? cause : "");
	f->created_ms = f->started_ms = arg_field_int(L, 1, "started_ms", 0);
	f->ended_ms = arg_field_int(L, 1, "ended_ms", 0);
	luaL_argcheck(L, f->owner && f->kind && f->type && f->pool && f->payload, 1, "owner and payload are needed");
	struct later *later = later_new(L, 3);
	struct store *store = fleet_store(node_fleet(app->node));
	int rc = is_new ? store_insert_task(store, f, on_saved, later) : store_update_task(store, f, on_saved, later);
	if (rc < 0)
		tell_why(later, "the store takes nothing now");
	return 0;
}

static int make_id(lua_State *L)
{
	char id[FUTURE_ID_MAX];
	struct err err = { 0 };
	if (future_make_id(id, &err) < 0)
		return luaL_error(L, "%s", err.text);
	lua_pushstring(L, id);
	return 1;
}

/* --- files that were made --- */

#define HELPERS_MOST 2

struct making {
	struct helper *helper;
	struct later *later;
	char id[FUTURE_ID_MAX];
};

struct makings { /* the state's own */
	struct making all[HELPERS_MOST];
	struct later *rule; /* NULL: nobody listens */
	struct list soons;
};

static void release_makings(void *p)
{
	struct makings *m = p;
	for (size_t i = 0; i < HELPERS_MOST; i++)
		if (m->all[i].helper) {
			helper_end(&m->all[i].helper);
			later_free(&m->all[i].later);
		}
	later_free(&m->rule);
	for (struct list *l; (l = list_first(&m->soons));) {
		struct soon *s = list_of(l, struct soon, link);
		list_remove(l);
		loop_timer_free(&s->timer);
		later_free(&s->later);
		free(s);
	}
	free(m);
}

/* upvalue 1: the guard of struct makings */
static int soon(lua_State *L)
{
	struct app *app = json_out_app(L);
	struct makings *all = *(void **)lua_touserdata(L, lua_upvalueindex(1));
	int64_t ms = arg_int(L, 1, 0, INT_MAX);
	struct later *later = later_new(L, 2);
	struct soon *s = calloc(1, sizeof *s);
	if (!s || !(s->timer = loop_timer_new(app->loop, on_soon, s))) {
		free(s);
		later_free(&later);
		return luaL_error(L, "not enough memory");
	}
	s->later = later;
	list_push(&all->soons, &s->link);
	loop_timer_start(s->timer, ms);
	return 0;
}

static int file_path(const struct app *app, const char *id, char *out, size_t room)
{
	if (!text_is_id(id, strlen(id)) || strlen(id) >= FUTURE_ID_MAX)
		return -1;
	return snprintf(out, room, "%s/" FOLDER "/%s.tar.gz", app->dir, id) < (int)room ? 0 : -1;
}

static void on_made(void *data, const char *why)
{
	struct making *m = data;
	struct later *later = m->later;
	memset(m, 0, sizeof *m);
	later_call(&later, push_why, (void *)why);
}

/* upvalue 1: the guard of struct makings */
static int diagnose(lua_State *L)
{
	struct app *app = json_out_app(L);
	struct err err = { 0 };
	char path[PATH_MAX], folder[PATH_MAX];
	const char *id = arg_text(L, 1, NULL);
	struct makings *all = *(void **)lua_touserdata(L, lua_upvalueindex(1));
	struct making *m = NULL;
	for (size_t i = 0; i < HELPERS_MOST && !m; i++)
		if (!all->all[i].helper)
			m = &all->all[i];
	if (file_path(app, id, path, sizeof path) < 0 ||
	    snprintf(folder, sizeof folder, "%s/" FOLDER, app->dir) >= (int)sizeof folder)
		return arg_fail(L, "its path is too long");
	if (!m)
		return arg_fail(L, "two are being made already");
	if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
		err_sys(&err, errno, "unable to make %s", folder);
		return arg_fail(L, err.text);
	}
	char *argv[] = { (char *)"dssctl", (char *)"-C", (char *)app->dir, (char *)"diag", (char *)"--out", path, NULL };
	struct later *later = later_new(L, 2);
	m->later = later;
	snprintf(m->id, sizeof m->id, "%s", id);
	m->helper = helper_start(app->loop, argv, DIAGNOSIS_MS, on_made, m, &err);
	if (!m->helper) {
		memset(m, 0, sizeof *m);
		later_free(&later);
		return arg_fail(L, err.text);
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* The function of diagnose is not called then. */
static int stop(lua_State *L)
{
	const char *id = arg_text(L, 1, NULL);
	struct makings *all = *(void **)lua_touserdata(L, lua_upvalueindex(1));
	for (size_t i = 0; i < HELPERS_MOST; i++)
		if (all->all[i].helper && strcmp(all->all[i].id, id) == 0) {
			struct making *m = &all->all[i];
			helper_end(&m->helper);
			later_free(&m->later);
			memset(m, 0, sizeof *m);
		}
	return 0;
}

static int file(lua_State *L)
{
	char path[PATH_MAX];
	struct stat st;
	luaL_Buffer b;
	int fd = file_path(json_out_app(L), arg_text(L, 1, NULL), path, sizeof path) < 0
			 ? -1
			 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MOST) {
		fds_close(&fd);
		return 0;
	}
	fds_close(&fd); /* a raise for want of memory must not leak it */
	char *into = luaL_buffinitsize(L, &b, (size_t)st.st_size + 1);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		return 0;
	ssize_t n = read(fd, into, (size_t)st.st_size);
	fds_close(&fd);
	if (n != st.st_size)
		return 0;
	luaL_pushresultsize(&b, (size_t)n);
	lua_pushinteger(L, (lua_Integer)n);
	return 2;
}

static int drop(lua_State *L)
{
	char path[PATH_MAX];
	if (file_path(json_out_app(L), arg_text(L, 1, NULL), path, sizeof path) == 0)
		unlink(path);
	return 0;
}

static int tidy(lua_State *L)
{
	char folder[PATH_MAX];
	struct stat st;
	int64_t bound = clock_wall_ms() - arg_int(L, 1, 0, INT64_MAX);
	if (snprintf(folder, sizeof folder, "%s/" FOLDER, json_out_app(L)->dir) >= (int)sizeof folder)
		return 0;
	DIR *dir = opendir(folder);
	for (const struct dirent *d; dir && (d = readdir(dir));)
		if (d->d_name[0] != '.' && fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    (int64_t)st.st_mtime * 1000 < bound)
			unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		closedir(dir);
	return 0;
}

struct ruled {
	const char *rule, *what;
};

static int push_ruled(lua_State *L, void *data)
{
	const struct ruled *r = data;
	lua_pushstring(L, r->rule);
	lua_pushstring(L, r->what);
	return 2;
}

static int on_ruled(void *data, const char *rule, const char *what, struct err *err)
{
	struct makings *all = data;
	struct ruled r = { rule, what };
	struct later *later = all->rule;
	if (!later)
		return err_set(err, "the API takes no macros now");
	all->rule = NULL; /* it asks for the next one itself */
	later_call(&later, push_ruled, &r);
	return 0;
}

static int on_rule(lua_State *L)
{
	struct app *app = json_out_app(L);
	struct makings *all = *(void **)lua_touserdata(L, lua_upvalueindex(1));
	struct later *later = later_new(L, 1);
	later_free(&all->rule);
	all->rule = later;
	if (app->live)
		rule_runs_on_macro(policies_live_rules(app->live), on_ruled, all);
	return 0;
}

static int share(lua_State *L)
{
	char path[PATH_MAX];
	if (home_share(path, sizeof path) < 0)
		return 0;
	lua_pushstring(L, path);
	return 1;
}

int bind_macros_open(lua_State *L)
{
	static const luaL_Reg words[] = {
		{ "list", list },       { "params", params }, { "judge", judge }, { "whole", whole }, { "note", note },
		{ "rows", rows },       { "order", order },   { "logs", logs },   { "save", save },   { "remove_log", remove_log },
		{ "make_id", make_id }, { "file", file },     { "drop", drop },   { "tidy", tidy },   { "share", share },
		{ NULL, NULL },
	};
	luaL_newlib(L, words);
	void **guard = ref_guard(L, release_makings);
	*guard = calloc(1, sizeof(struct makings));
	if (!*guard)
		return luaL_error(L, "not enough memory");
	list_init(&((struct makings *)*guard)->soons);
	static const luaL_Reg own[] = {
		{ "diagnose", diagnose }, { "stop", stop }, { "soon", soon }, { "on_rule", on_rule }, { NULL, NULL }
	};
	lua_pushvalue(L, -2);
	lua_insert(L, -2); /* the table, the table, the guard */
	luaL_setfuncs(L, own, 1);
	lua_settop(L, -2);
	return 1;
}
