#include "node/node_boxes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/alerts.h"
#include "fleet/jtext.h"
#include "node/node_boxes_inner.h"
#include "sys/cgroup_look.h"

#define AGAIN_MS         10000
#define ANSWER_WITHIN_MS 5000
#define ALERT            "box:"
#define JSON_MAX         (16 << 20)
#define OWN_READ_MOST    300  /* processes' own boxes of one answer; `ps` tells of all */
#define COUNTS_MOST      1000 /* levels whose ends by memory are counted */

struct node_boxes {
	struct node *node;
	struct loop_timer *again;
	struct survey *looking; /* NULL: none */
	int64_t nwords;         /* of the set: boxes with `at` */
	bool is_stale;          /* something changed since it began */
	bool has_alerts;
	bool had_own_words; /* a word limited processes' own boxes at the last look, or nobody knows */
	struct map *ooms;   /* level → number of ends, since this backend's start */
};

/* --- limits follow --- */

struct order {
	struct survey *survey;
	struct level *level;
};

static void look_over(struct survey *s);

static void alert_key(const struct level *l, char *key, size_t room)
{
	snprintf(key, room, ALERT "%s", l->box);
}

static void tell_failure(struct node_boxes *b, struct level *l, const char *why)
{
	char key[sizeof(ALERT) + GUEST_BOX_MAX], text[1200];
	alert_key(l, key, sizeof(key));
	snprintf(text, sizeof(text), "%s%s%s%s; it is tried again every %d s", l->want.name[0] ? "box \"" : "", l->want.name,
		 l->want.name[0] ? "\": " : "", why, AGAIN_MS / 1000);
	alerts_renew(fleet_alerts(b->node->fleet), key, ALERT_WARNING, l->box, l->want.source[0] ? l->want.source : NULL, text);
	b->has_alerts = l->has_failed = true;
}

static void on_limited(void *data, const struct wire_view *msg)
{
	struct order *o = data;
	struct survey *s = o->survey;
	/* A level that went with its last process needs no limit. */
	if (msg->type == WIRE_fail && wire_get_int(msg, WF_code, 0) != ENOENT)
		tell_failure(s->node->boxes, o->level, wire_get_text(msg, WF_text));
	free(o);
	if (--s->open == 0)
		look_over(s);
}

static void order_limit(struct survey *s, struct level *l, const char *knob, int64_t value)
{
	struct err err = { 0 };
	struct order *o = malloc(sizeof(*o));
	if (!o) {
		tell_failure(s->node->boxes, l, "no memory");
		return;
	}
	*o = (struct order){ s, l };
	struct buf *b = node_keeper_begin(s->node->keeper, WIRE_limit);
	wire_text(b, WF_box, l->box);
	wire_text(b, WF_knob, knob);
	wire_int(b, WF_value, value);
	if (node_keeper_end(s->node->keeper, on_limited, o, &err) == 0) {
		s->open++;
		return;
	}
	tell_failure(s->node->boxes, l, err.text);
	free(o);
}

/* Limits are kept in whole pages. */
static bool is_near(int64_t a, int64_t b)
{
	return a == b || (a >= 0 && b >= 0 && llabs(a - b) < 65536);
}

static void follow(struct survey *s, struct level *l)
{
	struct cgroup_look now;
	if (!l->where[0] || l->is_others || cgroup_look_at(l->where, s->node->tree, &now) < 0)
		return;
	const struct guest_level *want = &l->want;
	bool is_memory_new = !is_near(now.limit_bytes, want->memory_bytes);
	if (is_memory_new)
		order_limit(s, l, "memory", want->memory_bytes);
	if (want->memory_bytes >= 0 && want->swap_bytes >= 0 && (is_memory_new || !is_near(now.swap_limit_bytes, want->swap_bytes)))
		order_limit(s, l, "swap", want->swap_bytes);
	if (now.threads_limit != want->threads)
		order_limit(s, l, "pids", want->threads);
	if (now.cpu_limit_milli != want->cpu_milli)
		order_limit(s, l, "cpu", want->cpu_milli);
}

static void on_surveyed(struct survey *s)
{
	struct node_boxes *b = s->node->boxes;
	bool has_own_words = false;
	if (s->why[0]) { /* nothing is known: it is looked again, and alerts stay until then */
		b->looking = NULL;
		survey_free(s);
		loop_timer_start(b->again, AGAIN_MS);
		return;
	}
	for (size_t i = 0; i < s->n; i++)
		has_own_words |= s->levels[i]->is_own && s->levels[i]->has_word;
	s->open = 1; /* ours: answers come later, but a full queue would tell at once */
	for (size_t i = 0; i < s->n; i++)
		if (!s->levels[i]->is_own || has_own_words || b->had_own_words)
			follow(s, s->levels[i]);
	b->had_own_words = has_own_words;
	if (--s->open == 0)
		look_over(s);
}

/* All orders are answered. */
static void look_over(struct survey *s)
{
	struct node_boxes *b = s->node->boxes;
	char key[sizeof(ALERT) + GUEST_BOX_MAX];
	bool has_failed = false;
	for (size_t i = 0; i < s->n; i++) {
		has_failed |= s->levels[i]->has_failed;
		alert_key(s->levels[i], key, sizeof(key));
		if (b->has_alerts && !s->levels[i]->has_failed)
			alerts_clear(fleet_alerts(b->node->fleet), key);
	}
	if (b->has_alerts && !has_failed)
		alerts_clear_all(fleet_alerts(b->node->fleet), ALERT);
	b->has_alerts = has_failed;
	b->looking = NULL;
	survey_free(s);
	if (b->is_stale)
		node_boxes_look(b);
	else if (has_failed)
		loop_timer_start(b->again, AGAIN_MS);
}

void node_boxes_take(struct node_boxes *b, int64_t nwords)
{
	b->nwords = nwords;
	node_boxes_look(b);
}

void node_boxes_look(struct node_boxes *b)
{
	if (!b->node->facts.is_taken_up)
		return; /* comes at the end of it */
	b->is_stale = b->looking != NULL;
	if (b->looking)
		return;
	loop_timer_stop(b->again);
	bool is_none = strncmp(b->node->facts.cgroups, "none", 4) == 0;
	if (is_none && b->nwords > 0)
		alerts_raise(fleet_alerts(b->node->fleet), "boxes", ALERT_WARNING, NULL, NULL,
			     "there are no cgroups to use here: boxes with `at` limit nothing");
	else
		alerts_clear(fleet_alerts(b->node->fleet), "boxes");
	if (!is_none)
		b->looking = survey_begin(b->node, on_surveyed);
}

static void on_again(void *data)
{
	node_boxes_look(data);
}

/* --- ends by memory --- */

void node_boxes_ended(struct node_boxes *b, const struct judge_end *end)
{
	uintptr_t n = 1;
	if (strcmp(end->cause, "oom_limit") != 0 || strncmp(end->limit_owner, "run/", 4) != 0)
		return;
	n += (uintptr_t)map_get(b->ooms, end->limit_owner);
	if (n > 1 || map_count(b->ooms) < COUNTS_MOST)
		map_set(b->ooms, end->limit_owner, (void *)n); /* no memory: it is not counted */
}

/* --- for people --- */

static void put_level(const struct survey *s, const struct level *l, bool is_read, struct buf *out)
{
	struct cgroup_look now;
	const struct guest_level *w = &l->want;
	bool is_there = is_read && l->where[0] && cgroup_look_at(l->where, s->node->tree, &now) == 0;
	buf_putc(out, '{');
	jtext_text(out, "box", l->box);
	jtext_text(out, "kind", l->is_own ? "process" : "level");
	jtext_some_text(out, "name", w->name);
	jtext_some_text(out, "source", w->source);
	if (is_there) {
		int64_t ooms = now.oom_kills >= 0 ? now.oom_kills : (int64_t)(uintptr_t)map_get(s->node->boxes->ooms, l->box);
		jtext_text(out, "cgroup", l->where);
		jtext_some_int(out, "memoryBytes", now.memory_bytes);
		jtext_some_int(out, "currentBytes", now.current_bytes);
		jtext_some_int(out, "peakBytes", now.peak_bytes);
		jtext_some_int(out, "limitBytes", now.limit_bytes);
		jtext_some_int(out, "swapLimitBytes", now.swap_limit_bytes);
		jtext_some_int(out, "threads", now.threads);
		jtext_some_int(out, "threadsLimit", now.threads_limit);
		if (now.cpu_ms >= 0) {
			jtext_member(out, "cpuSeconds");
			buf_printf(out, "%.3f", (double)now.cpu_ms / 1000);
		}
		if (now.cpu_limit_milli >= 0) {
			jtext_member(out, "cpuLimit");
			buf_printf(out, "%.3f", (double)now.cpu_limit_milli / 1000);
		}
		jtext_int(out, "oomKills", ooms);
	}
	jtext_int(out, "processes", l->nprocesses);
	char *ids = json_dumps(l->ids, JSON_COMPACT), *whose = json_dumps(l->whose, JSON_COMPACT);
	if (ids)
		jtext_raw(out, "processIds", ids, strlen(ids));
	if (whose && json_object_size(l->whose) <= WHOSE_MOST)
		jtext_raw(out, "whose", whose, strlen(whose));
	free(ids);
	free(whose);
	buf_putc(out, '}');
}

static void on_listed(struct survey *s)
{
	struct buf out;
	struct err err = { 0 };
	if (s->fn) {
		buf_init(&out, JSON_MAX);
		buf_putc(&out, '[');
		size_t nown = 0;
		for (size_t i = 0; i < s->n; i++) {
			nown += s->levels[i]->is_own;
			jtext_next(&out);
			put_level(s, s->levels[i], !s->levels[i]->is_own || nown <= OWN_READ_MOST, &out);
		}
		buf_putc(&out, ']');
		if (s->why[0])
			err_set(&err, "unable to look at the boxes: %s", s->why);
		else if (out.failed)
			err_set(&err, "no memory for the list of boxes");
		s->fn(s->data, err.text[0] ? NULL : &out, err.text[0] ? &err : NULL);
		buf_fini(&out);
	}
	survey_free(s);
}

static void on_late(void *data)
{
	struct survey *s = data;
	node_processes_fn *fn = s->fn;
	struct err err = { 0 };
	s->fn = NULL; /* its answer may still come */
	err_set(&err, "the keeper did not answer within %d s", ANSWER_WITHIN_MS / 1000);
	fn(s->data, NULL, &err);
}

void node_boxes_json(struct node *n, node_processes_fn *fn, void *data)
{
	struct err err = { 0 };
	struct survey *s = survey_begin(n, on_listed);
	if (!s) {
		err_set(&err, "there is no keeper to ask now");
		fn(data, NULL, &err);
		return;
	}
	s->fn = fn;
	s->data = data;
	s->limit = loop_timer_new(n->loop, on_late, s);
	if (s->limit)
		loop_timer_start(s->limit, ANSWER_WITHIN_MS);
}

/* --- life --- */

struct node_boxes *node_boxes_new(struct node *n)
{
	struct node_boxes *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->node = n;
	b->had_own_words = true;
	b->again = loop_timer_new(n->loop, on_again, b);
	b->ooms = map_new();
	if (!b->again || !b->ooms)
		node_boxes_free(&b);
	return b;
}

void node_boxes_free(struct node_boxes **bp)
{
	struct node_boxes *b = *bp;
	if (!b)
		return;
	if (b->looking) /* answers that a lost link leaves open are never called */
		survey_free(b->looking);
	loop_timer_free(&b->again);
	if (b->ooms)
		map_free(&b->ooms);
	free(b);
	*bp = NULL;
}
