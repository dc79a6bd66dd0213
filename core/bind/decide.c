#include "bind/decide.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "base/log.h"
#include "base/map.h"
#include "bind/call.h"
#include "fleet/alerts.h"
#include "fleet/feed.h"
#include "fleet/jtext.h"

#define ENGINE "dss.model.engine"
#define PREFIX "policy:"

/* --- the call --- */

static int ask(lua_State *L)
{
	const struct decide_question *q = lua_touserdata(L, 1);
	luaL_checkstack(L, q->nresults + 16, NULL);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	if (lua_getfield(L, -1, ENGINE) != LUA_TTABLE)
		return luaL_error(L, "no set of policies is loaded here");
	lua_getfield(L, -1, q->function);
	lua_replace(L, 1);
	lua_settop(L, 1);
	int n = q->push ? q->push(L, q->data) : 0;
	lua_call(L, n, q->nresults);
	if (q->take)
		q->take(L, 1, q->data);
	return 0;
}

int decide(struct vm *vm, const struct decide_question *q, struct err *err)
{
	lua_State *L = vm_state(vm);
	if (!lua_checkstack(L, 4))
		return err_set(err, "not enough memory");
	lua_pushcfunction(L, ask);
	lua_pushlightuserdata(L, (void *)q);
	return call_run(vm, 1, 0, &(struct call_budget){ DECIDE_BUDGET_MS }, err);
}

void decide_copy_text(lua_State *L, int i, char *out, size_t room)
{
	size_t len = 0;
	const char *s = lua_type(L, i) == LUA_TSTRING ? lua_tolstring(L, i, &len) : "";
	if (len >= room) {
		len = room - 1;
		while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
			len--; /* whole characters */
	}
	memcpy(out, s, len);
	out[len] = '\0';
}

static enum decide_state state_named(const char *s)
{
	static const char *const names[] = {
		[DECIDE_NO] = "no", [DECIDE_ACT] = "act", [DECIDE_SKIPPED] = "skipped", [DECIDE_FAILED] = "failed"
	};
	for (int i = 0; i < 4; i++)
		if (s && strcmp(s, names[i]) == 0)
			return (enum decide_state)i;
	return DECIDE_FAILED;
}

void verdict_take(lua_State *L, int first, struct verdict *v)
{
	const char *level = lua_tostring(L, first + 5);
	decide_copy_text(L, first, v->answer, sizeof v->answer);
	decide_copy_text(L, first + 1, v->reason, sizeof v->reason);
	decide_copy_text(L, first + 2, v->threshold, sizeof v->threshold);
	/* a cut object would be none */
	if (lua_rawlen(L, first + 3) < sizeof v->inputs)
		decide_copy_text(L, first + 3, v->inputs, sizeof v->inputs);
	else
		v->inputs[0] = '\0';
	v->state = state_named(lua_tostring(L, first + 4));
	v->level = !level || strcmp(level, "warning") == 0 ? ALERT_WARNING : strcmp(level, "error") == 0 ? ALERT_ERROR : ALERT_NOTE;
}

void verdict_fail(struct verdict *v, const struct err *err)
{
	*v = (struct verdict){ .state = DECIDE_FAILED, .answer = "keep", .level = ALERT_WARNING };
	snprintf(v->reason, sizeof v->reason, "%s", err->text);
}

static const char *or_none(const char *s)
{
	return s[0] ? s : NULL;
}

int64_t verdict_note(struct fleet *fleet, const struct decide_about *a, const struct verdict *v, const char *outcome)
{
	struct decision d = {
		.word = a->word,
		.name = a->name,
		.source = a->source,
		.subject_kind = a->subject_kind,
		.subject = a->subject,
		.answer = v->answer,
		.reason = or_none(v->reason),
		.inputs = or_none(v->inputs),
		.threshold = or_none(v->threshold),
		.mode = a->mode,
		.outcome = outcome,
		.owner = a->owner,
	};
	return ledger_note(fleet_ledger(fleet), &d);
}

/* --- what fails --- */

struct trouble {
	char source[DECIDE_SOURCE_MAX], text[DECIDE_REASON_MAX];
};

struct troubles {
	struct fleet *fleet;
	struct map *by_source;
};

struct troubles *troubles_new(struct fleet *fleet)
{
	struct troubles *t = calloc(1, sizeof *t);
	if (!t || !(t->by_source = map_new())) {
		free(t);
		return NULL;
	}
	t->fleet = fleet;
	return t;
}

static void forget(struct troubles *t, struct trouble *one)
{
	char key[DECIDE_SOURCE_MAX + sizeof PREFIX];
	snprintf(key, sizeof key, PREFIX "%s", one->source);
	alerts_clear(fleet_alerts(t->fleet), key);
	map_remove(t->by_source, one->source);
	free(one);
}

void troubles_clear(struct troubles *t)
{
	size_t cursor = 0;
	for (struct trouble *one; (one = map_next(t->by_source, &cursor));)
		forget(t, one);
}

void troubles_free(struct troubles **tp)
{
	struct troubles *t = *tp;
	if (!t)
		return;
	size_t cursor = 0;
	for (struct trouble *one; (one = map_next(t->by_source, &cursor));)
		free(one);
	map_free(&t->by_source);
	free(t);
	*tp = NULL;
}

static struct trouble *find_or_make(struct troubles *t, const char *source)
{
	char cut[DECIDE_SOURCE_MAX];
	snprintf(cut, sizeof cut, "%s", source);
	struct trouble *one = map_get(t->by_source, cut);
	if (one || !(one = calloc(1, sizeof *one)))
		return one;
	memcpy(one->source, cut, sizeof cut);
	if (map_set(t->by_source, cut, one) == 0)
		return one;
	free(one);
	return NULL;
}

static void tell(struct troubles *t, const char *source, const char *subject, const char *text)
{
	struct buf detail;
	log_warn("%s", text);
	buf_init(&detail, 8192);
	buf_putc(&detail, '{');
	jtext_text(&detail, "text", text);
	jtext_some_text(&detail, "source", source);
	buf_putc(&detail, '}');
	struct store_fact fact = { "policy.failed", subject, detail.failed ? NULL : detail.data, 0, 0, FEED_OWN_ADMIN };
	store_add_fact(fleet_store(t->fleet), &fact, NULL, NULL);
	buf_fini(&detail);
}

void troubles_note(struct troubles *t, const char *source, const char *subject, const char *text)
{
	char key[DECIDE_SOURCE_MAX + sizeof PREFIX];
	struct trouble *one = find_or_make(t, source);
	if (one && strncmp(one->text, text, sizeof one->text - 1) == 0)
		return;
	tell(t, source, subject, text);
	if (!one)
		return;
	snprintf(one->text, sizeof one->text, "%s", text);
	snprintf(key, sizeof key, PREFIX "%s", one->source);
	alerts_raise(fleet_alerts(t->fleet), key, ALERT_WARNING, subject, one->source, text);
}

void troubles_note_at(struct troubles *t, const char *subject, const char *text)
{
	char source[DECIDE_SOURCE_MAX] = "policies";
	size_t file = strcspn(text, ": "), digits = text[file] == ':' ? strspn(text + file + 1, "0123456789") : 0;
	if (digits)
		snprintf(source, sizeof source, "%.*s", (int)(file + 1 + digits), text);
	troubles_note(t, source, subject, text);
}

void troubles_over(struct troubles *t, const char *source)
{
	struct trouble *one = map_count(t->by_source) ? map_get(t->by_source, source) : NULL;
	if (one)
		forget(t, one);
}
