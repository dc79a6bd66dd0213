#include "bind/rule_runs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "bind/call.h"
#include "fleet/alerts.h"
#include "fleet/fleet_verbs.h"
#include "fleet/jtext.h"
#include "sys/clock.h"

#define FIRST_MS    1000
#define LIST_APART  1000 /* a longer list of subjects is a slice of its own */
#define KEY_MAX     400
#define SAID_MAX    900
#define ALERT       "rule:"
#define KILLED_TEXT FLEET_BY_RULE "\"%s\" (%s): %s" /* as the owner of a task reads it */

static const char *const mode_names[] = { "simulate", "notify", "act" };

struct rule {
	struct rule_spec spec;
	int64_t due_ms; /* monotonic */
	/* of this run */
	int acts, held, notices;
	int level;
	char subject[SUBJECT_ID_MAX], said[SAID_MAX]; /* the first that is to be told */
	bool has_failed;
};

/* A subject that a rule would act on, or tells of, since then. */
struct match {
	char key[KEY_MAX]; /* rule, unit separator, subject */
	int64_t since_ms, run;
};

struct rule_runs {
	struct loop *loop;
	struct fleet *fleet;
	struct subject_world world;
	struct troubles *troubles;
	struct loop_timer *timer;
	struct vm *vm;
	struct rule *rules;
	size_t n;
	bool is_observe;
	rule_macro_fn *on_macro; /* NULL: nobody runs macros yet */
	void *macro_data;
	struct map *matches;
	int64_t run;          /* counts runs */
	struct rule *current; /* NULL = no run is under way */
	struct subjects list;
	size_t at;
	struct rule_runs_stats stats;
};

/* --- who matched before --- */

static void make_key(const struct rule *rule, const char *subject, char key[KEY_MAX])
{
	snprintf(key, KEY_MAX, "%s\x1f%s", rule->spec.name, subject);
}

static bool is_of(const struct match *m, const struct rule *rule)
{
	size_t len = strlen(rule->spec.name);
	return strncmp(m->key, rule->spec.name, len) == 0 && m->key[len] == '\x1f';
}

/* NULL: no memory. is_new: it did not match in the run before. */
static struct match *match_of(struct rule_runs *r, const struct rule *rule, const char *subject, int64_t now, bool *is_new)
{
	char key[KEY_MAX];
	make_key(rule, subject, key);
	struct match *m = map_get(r->matches, key);
	*is_new = !m;
	if (!m) {
		if (!(m = calloc(1, sizeof *m)))
			return NULL;
		memcpy(m->key, key, sizeof key);
		m->since_ms = now;
		if (map_set(r->matches, key, m) < 0) {
			free(m);
			return NULL;
		}
	}
	m->run = r->run;
	return m;
}

static void forget(struct rule_runs *r, struct match *m)
{
	map_remove(r->matches, m->key);
	free(m);
}

/* Those that this run has not seen match: they are well again, or gone. */
static void forget_old(struct rule_runs *r, const struct rule *rule)
{
	size_t cursor = 0;
	for (struct match *m; (m = map_next(r->matches, &cursor));)
		if (m->run != r->run && is_of(m, rule))
			forget(r, m);
}

static void forget_orphans(struct rule_runs *r)
{
	size_t cursor = 0;
	for (struct match *m; (m = map_next(r->matches, &cursor));) {
		bool is_known = false;
		for (size_t i = 0; i < r->n && !is_known; i++)
			is_known = is_of(m, &r->rules[i]);
		if (!is_known)
			forget(r, m);
	}
}

/* --- telling --- */

static void tell_fact(struct rule_runs *r, const struct rule *rule, const char *what, const char *subject, const char *owner,
		      const struct verdict *v, int64_t in_ms)
{
	struct buf detail;
	buf_init(&detail, 8192);
	buf_putc(&detail, '{');
	jtext_text(&detail, "rule", rule->spec.name);
	jtext_text(&detail, "verb", v->answer);
	jtext_text(&detail, "reason", v->reason);
	jtext_text(&detail, "source", rule->spec.source);
	if (in_ms >= 0)
		jtext_int(&detail, "when", clock_wall_ms() + in_ms);
	buf_putc(&detail, '}');
	struct store_fact fact = { what, subject, detail.failed ? NULL : detail.data, 0, 0, owner };
	store_add_fact(fleet_store(r->fleet), &fact, NULL, NULL);
	buf_fini(&detail);
}

/* One alert a rule: the first of whom there is something to tell, and how many more. */
static void notice(struct rule *rule, const char *subject, int level, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void notice(struct rule *rule, const char *subject, int level, const char *fmt, ...)
{
	va_list args;
	if (rule->notices++ == 0) {
		snprintf(rule->subject, sizeof rule->subject, "%s", subject);
		va_start(args, fmt);
		vsnprintf(rule->said, sizeof rule->said, fmt, args);
		va_end(args);
		rule->level = level;
	}
	if (level > rule->level)
		rule->level = level;
}

static void clear_alert(struct rule_runs *r, const struct rule *rule)
{
	char key[KEY_MAX];
	snprintf(key, sizeof key, ALERT "%s", rule->spec.name);
	alerts_clear(fleet_alerts(r->fleet), key);
}

static void finish_alert(struct rule_runs *r, struct rule *rule)
{
	char key[KEY_MAX], text[SAID_MAX + 200];
	if (!rule->notices && !rule->held) {
		clear_alert(r, rule);
		return;
	}
	snprintf(key, sizeof key, ALERT "%s", rule->spec.name);
	int n = snprintf(text, sizeof text, "%s", rule->said);
	if (rule->notices > 1)
		n += snprintf(text + n, sizeof text - (size_t)n, " (and %d more)", rule->notices - 1);
	if (rule->held)
		snprintf(text + n, sizeof text - (size_t)n, "%s%d held back: more than %d at once", n ? "; " : "", rule->held,
			 RULE_ACTS_MOST);
	alerts_renew(fleet_alerts(r->fleet), key, (enum alert_level)rule->level, rule->notices ? rule->subject : NULL,
		     rule->spec.source, text);
}

/* --- carrying out --- */

static int carry_out(struct rule_runs *r, const struct rule *rule, const char *subject, const struct verdict *v, struct err *err)
{
	char why[SAID_MAX];
	snprintf(why, sizeof why, KILLED_TEXT, rule->spec.name, rule->spec.source, v->reason);
	if (strcmp(v->answer, "macro") == 0)
		return r->on_macro ? r->on_macro(r->macro_data, rule->spec.name, v->reason, err)
				   : err_set(err, "the backend is still starting");
	return subject_order(&r->world, rule->spec.kind, v->answer, subject, why, err);
}

/* Told to its owner first; true: its time has come. */
static bool is_warned(struct rule_runs *r, struct rule *rule, const char *subject, const char *owner, const struct verdict *v,
		      int64_t now)
{
	bool is_new;
	char span[48];
	int64_t warn = rule->spec.warn_ms;
	struct match *m = warn ? match_of(r, rule, subject, now, &is_new) : NULL;
	if (!warn)
		return true;
	if (!m)
		return false; /* no memory: who was not warned is not touched */
	if (now - m->since_ms >= warn)
		return true;
	int64_t left = m->since_ms + warn - now;
	if (is_new)
		tell_fact(r, rule, "policy.warned", subject, owner, v, left);
	notice(rule, subject, ALERT_NOTE, "%s %s: %s in %s: %s", subject_kind_name(rule->spec.kind), subject, v->answer,
	       text_print_duration(left, span, sizeof span), v->reason);
	if (now + left < rule->due_ms)
		rule->due_ms = now + left;
	return false;
}

static const char *act(struct rule_runs *r, struct rule *rule, const char *subject, const char *owner, const struct verdict *v,
		       int64_t now, struct err *why_not)
{
	if (!is_warned(r, rule, subject, owner, v, now))
		return "warned";
	if (rule->acts >= RULE_ACTS_MOST) {
		rule->held++;
		err_set(why_not, "held back: more than %d at once", RULE_ACTS_MOST);
		return "nothing";
	}
	rule->acts++;
	return carry_out(r, rule, subject, v, why_not) == 0 ? "done" : "failed";
}

static const char *tell(struct rule_runs *r, struct rule *rule, const char *subject, const char *owner, const struct verdict *v,
			int64_t now)
{
	bool is_new = false;
	match_of(r, rule, subject, now, &is_new);
	if (is_new && owner)
		tell_fact(r, rule, "policy.notified", subject, owner, v, -1);
	notice(rule, subject, v->level, "%s %s: %s", subject_kind_name(rule->spec.kind), subject, v->reason);
	return "done";
}

/* What becomes of an answer: the outcome. */
static const char *settle(struct rule_runs *r, struct rule *rule, enum rule_mode mode, const char *subject, const char *owner,
			  const struct verdict *v, struct err *why_not)
{
	int64_t now = clock_mono_ms();
	switch (v->state) {
	case DECIDE_FAILED:
		rule->has_failed = true;
		troubles_note(r->troubles, rule->spec.source, rule->spec.name, v->reason);
		return "failed";
	case DECIDE_SKIPPED:
		return "nothing";
	case DECIDE_NO:
		return v->reason[0] ? "kept" : "nothing";
	default:
		break;
	}
	if (mode == RULE_SIMULATE)
		return "would";
	if (strcmp(v->answer, "notify") == 0)
		return tell(r, rule, subject, owner, v, now);
	if (mode == RULE_ACT)
		return act(r, rule, subject, owner, v, now, why_not);
	notice(rule, subject, v->level, "%s %s: would %s: %s", subject_kind_name(rule->spec.kind), subject, v->answer, v->reason);
	return "would";
}

/* --- runs --- */

struct question {
	struct rule_runs *r;
	struct verdict v;
};

static int push(lua_State *L, void *data)
{
	const struct question *q = data;
	const struct rule_runs *r = q->r;
	lua_pushinteger(L, r->current - r->rules + 1);
	subject_push(L, &r->list, r->at);
	return 2;
}

static void take(lua_State *L, int first, void *data)
{
	verdict_take(L, first, &((struct question *)data)->v);
}

static void judge_one(struct rule_runs *r)
{
	struct question q = { .r = r };
	struct decide_question ask = { "judge", push, take, VERDICT_RESULTS, &q };
	struct rule *rule = r->current;
	struct err err = { 0 };
	const char *owner, *subject = r->list.ids[r->at];
	enum rule_mode mode = r->is_observe ? RULE_SIMULATE : rule->spec.mode;
	if (!subject_is_there(&r->list, r->at, &owner))
		return;
	r->stats.decisions++;
	if (decide(r->vm, &ask, &err) < 0) {
		verdict_fail(&q.v, &err);
		if (call_why(r->vm) == CALL_TIME)
			r->at = r->list.n; /* the others would take as long */
	}
	/* borrowed from what may go when this is carried out */
	char login[SUBJECT_ID_MAX];
	snprintf(login, sizeof login, "%s", owner ? owner : "");
	owner = owner ? login : NULL;
	err.text[0] = '\0';
	const char *outcome = settle(r, rule, mode, subject, owner, &q.v, &err);
	struct decide_about about = { "rule",  rule->spec.name, rule->spec.source, subject_kind_name(rule->spec.kind),
				      subject, owner,           mode_names[mode] };
	int64_t seq = verdict_note(r->fleet, &about, &q.v, outcome);
	if (err.text[0])
		ledger_outcome(fleet_ledger(r->fleet), seq, outcome, err.text);
}

static void finish(struct rule_runs *r)
{
	struct rule *rule = r->current;
	r->current = NULL;
	forget_old(r, rule);
	finish_alert(r, rule);
	if (!rule->has_failed)
		troubles_over(r->troubles, rule->spec.source);
}

/* Its due time passed: the run begins. */
static void begin(struct rule_runs *r, struct rule *rule, int64_t now)
{
	rule->due_ms = now + rule->spec.every_ms;
	rule->acts = rule->held = rule->notices = 0;
	rule->level = ALERT_NOTE;
	rule->said[0] = rule->subject[0] = '\0';
	rule->has_failed = false;
	r->run++;
	r->at = 0;
	if (subjects_list(&r->world, rule->spec.kind, &r->list) < 0) {
		log_error("unable to run rule \"%s\": not enough memory", rule->spec.name);
		return;
	}
	r->current = rule;
}

static struct rule *most_due(const struct rule_runs *r)
{
	struct rule *first = NULL;
	for (size_t i = 0; i < r->n; i++)
		if (!first || r->rules[i].due_ms < first->due_ms)
			first = &r->rules[i];
	return first;
}

/* Of this thread: what others on the machine take is not ours. */
static int64_t cpu_us(void)
{
	struct timespec t = { 0, 0 };
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void on_timer(void *data)
{
	struct rule_runs *r = data;
	int64_t began_us = clock_mono_us(), began_cpu_us = cpu_us(), now_us;
	do {
		if (!r->current) {
			struct rule *next = most_due(r);
			int64_t now = clock_mono_ms();
			if (!next || next->due_ms > now) {
				if (next)
					loop_timer_start(r->timer, next->due_ms - now);
				break;
			}
			begin(r, next, now);
			if (r->list.n > LIST_APART)
				break;
		} else if (r->at < r->list.n) {
			judge_one(r);
			r->at++;
		} else {
			finish(r);
		}
		now_us = clock_mono_us();
	} while (now_us - began_us < RULE_SLICE_US);
	if (!loop_timer_is_running(r->timer) && r->n)
		loop_timer_start(r->timer, 0);
	int64_t took_us = clock_mono_us() - began_us;
	r->stats.slices++;
	r->stats.total_us += took_us;
	if (took_us > r->stats.longest_us)
		r->stats.longest_us = took_us;
	if (cpu_us() - began_cpu_us > r->stats.longest_cpu_us)
		r->stats.longest_cpu_us = cpu_us() - began_cpu_us;
}

/* --- life --- */

struct rule_runs *rule_runs_new(struct loop *loop, const struct subject_world *world, struct troubles *troubles)
{
	struct rule_runs *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->loop = loop;
	r->fleet = world->fleet;
	r->world = *world;
	r->troubles = troubles;
	r->timer = loop_timer_new(loop, on_timer, r);
	r->matches = map_new();
	if (!r->timer || !r->matches)
		rule_runs_free(&r);
	return r;
}

static void drop_rules(struct rule_runs *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->rules[i].spec.name);
		free(r->rules[i].spec.source);
	}
	free(r->rules);
	r->rules = r->current = NULL;
	r->n = 0;
}

void rule_runs_free(struct rule_runs **rp)
{
	struct rule_runs *r = *rp;
	size_t cursor = 0;
	if (!r)
		return;
	loop_timer_free(&r->timer);
	for (struct match *m; r->matches && (m = map_next(r->matches, &cursor));)
		free(m);
	map_free(&r->matches);
	drop_rules(r);
	subjects_fini(&r->list);
	free(r);
	*rp = NULL;
}

static bool has_rule(const struct rule_spec *specs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(specs[i].name, name) == 0)
			return true;
	return false;
}

int rule_runs_take(struct rule_runs *r, struct vm *vm, struct rule_spec *specs, size_t n)
{
	int64_t now = clock_mono_ms();
	struct rule *rules = calloc(n + 1, sizeof *rules);
	for (size_t i = 0; i < r->n; i++)
		if (!has_rule(specs, n, r->rules[i].spec.name))
			clear_alert(r, &r->rules[i]);
	drop_rules(r);
	loop_timer_stop(r->timer);
	r->vm = vm;
	for (size_t i = 0; i < n; i++) {
		if (rules) {
			rules[i].spec = specs[i];
			rules[i].due_ms = now + FIRST_MS;
		} else {
			free(specs[i].name);
			free(specs[i].source);
		}
	}
	free(specs);
	if (!rules)
		return -1;
	r->rules = rules;
	r->n = n;
	forget_orphans(r);
	if (n)
		loop_timer_start(r->timer, FIRST_MS);
	return 0;
}

void rule_runs_on_macro(struct rule_runs *r, rule_macro_fn *fn, void *data)
{
	r->on_macro = fn;
	r->macro_data = data;
}

void rule_runs_observe(struct rule_runs *r, bool is_observe)
{
	r->is_observe = is_observe;
}

void rule_runs_get_stats(struct rule_runs *r, struct rule_runs_stats *out)
{
	r->stats.is_running = r->current != NULL;
	*out = r->stats;
	r->stats = (struct rule_runs_stats){ .decisions = 0 };
}
