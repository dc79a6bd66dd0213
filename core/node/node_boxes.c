#include "node/node_boxes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/alerts.h"
#include "fleet/jtext.h"
#include "net/json.h"
#include "sys/cgroup_look.h"

#define LEVELS_MOST      5000
#define IDS_MOST         100 /* of a level's processes, by name */
#define WHOSE_MOST       200 /* pairs of user and project of a level; of more only admins see it */
#define AGAIN_MS         10000
#define ANSWER_WITHIN_MS 5000
#define WHERE_MAX        768
#define ALERT            "box:"
#define JSON_MAX         (16 << 20)
#define OWN_READ_MOST    300  /* processes' own boxes of one answer; `ps` tells of all */
#define COUNTS_MOST      1000 /* levels whose ends by memory are counted */

struct level {
	char box[GUEST_BOX_MAX], where[WHERE_MAX];
	struct guest_level want; /* name "" = nothing limits it */
	bool is_own;             /* of one process alone; its own limits are in want */
	bool is_others;          /* somebody else's limits hold there */
	int64_t nprocesses;
	json_t *ids, *whose; /* whose: {"USER\nPROJECT": true} */
	bool has_failed;
	bool has_word; /* one of this very level */
};

/* One look at all that lives below run/. */
struct survey {
	struct node *node;
	struct map *by_box;
	struct level **levels;
	size_t n, room;
	int open; /* orders under way */
	void (*then)(struct survey *s);
	/* of a list for people */
	node_processes_fn *fn; /* NULL: answered */
	void *data;
	struct loop_timer *limit;
};

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

/* --- a survey --- */

static void level_free(struct level *l)
{
	json_decref(l->ids);
	json_decref(l->whose);
	free(l);
}

static void survey_free(struct survey *s)
{
	for (size_t i = 0; i < s->n; i++)
		level_free(s->levels[i]);
	free(s->levels);
	if (s->by_box)
		map_free(&s->by_box);
	loop_timer_free(&s->limit);
	free(s);
}

static struct level *level_of(struct survey *s, const char *box)
{
	struct level *l = map_get(s->by_box, box);
	if (l || s->n == LEVELS_MOST)
		return l;
	if (s->n == s->room) {
		size_t room = s->room ? s->room * 2 : 64;
		struct level **more = realloc(s->levels, room * sizeof(*more));
		if (!more)
			return NULL;
		s->levels = more;
		s->room = room;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	snprintf(l->box, sizeof(l->box), "%s", box);
	l->want = (struct guest_level){ .memory_bytes = -1, .swap_bytes = -1, .threads = -1, .cpu_milli = -1 };
	l->ids = json_array();
	l->whose = json_object();
	if (!l->ids || !l->whose || map_set(s->by_box, box, l) < 0) {
		level_free(l);
		return NULL;
	}
	return s->levels[s->n++] = l;
}

static const char *text_of(const json_t *label, const char *key)
{
	return json_string_value(json_object_get(label, key));
}

static struct guest_facts facts_of(const char *id, const json_t *label)
{
	return (struct guest_facts){
		.kind = text_of(label, "kind"),
		.id = id,
		.user = text_of(label, "owner"),
		.project = text_of(label, "project"),
		.job = text_of(label, "job"),
		.activity = text_of(label, "activity"),
		.recipe_type = text_of(label, "recipeType"),
		.webapp = text_of(label, "webapp"),
		.notebook = text_of(label, "notebookId"),
		.kernel_spec = text_of(label, "kernelSpec"),
	};
}

static void count_in(struct level *l, const struct guest_facts *f)
{
	char key[512];
	l->nprocesses++;
	if (json_array_size(l->ids) < IDS_MOST)
		json_array_append_new(l->ids, json_string(f->id));
	if (json_object_size(l->whose) > WHOSE_MOST)
		return;
	snprintf(key, sizeof(key), "%s\n%s", f->user ? f->user : "", f->project ? f->project : "");
	json_object_set_new(l->whose, key, json_true());
}

static int64_t least(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int64_t own_limit(const json_t *limits, const char *key)
{
	const json_t *v = json_object_get(limits, key);
	return json_is_integer(v) ? (int64_t)json_integer_value(v) : -1;
}

/* Its own box: what its project says holds as well. */
static void add_own(struct level *l, const json_t *label)
{
	const json_t *limits = json_object_get(label, "limits");
	l->is_own = true;
	l->is_others = !json_is_object(limits); /* who reads a project.lua; what an older backend started */
	l->want.memory_bytes = least(l->want.memory_bytes, own_limit(limits, "memory"));
	l->want.swap_bytes = least(l->want.swap_bytes, own_limit(limits, "swap"));
	l->want.threads = least(l->want.threads, own_limit(limits, "pids"));
	l->want.cpu_milli = least(l->want.cpu_milli, own_limit(limits, "cpu"));
}

static void add_process(struct survey *s, const struct guest_facts *f, const json_t *label, const char *box, const char *where)
{
	struct guest_boxes found;
	struct err err = { 0 };
	char at[GUEST_BOX_MAX];
	size_t len = strlen(box), where_len = strlen(where);
	if (len >= sizeof(at) || guest_box_find(s->node->fleet, f, box, &found, &err) < 0)
		return;
	memcpy(at, box, len + 1);
	for (char *end = at + 4; end; end = end < at + len ? end + 1 : NULL) { /* "run/a", "run/a/b", … */
		end = strchr(end, '/');
		if (!end)
			end = at + len;
		char kept = *end;
		*end = '\0';
		struct level *l = level_of(s, at);
		size_t below = len - (size_t)(end - at);
		if (l) {
			if (where_len > below && where_len - below < sizeof(l->where))
				snprintf(l->where, sizeof(l->where), "%.*s", (int)(where_len - below), where);
			for (size_t i = 0; i < found.n; i++)
				if (strcmp(found.levels[i].box, at) == 0) {
					l->want = found.levels[i];
					l->has_word = true;
				}
			count_in(l, f);
			if (below == 0)
				add_own(l, label);
		}
		*end = kept;
		if (end == at + len)
			break;
	}
}

static void take_row(struct survey *s, const struct wire_view *msg)
{
	const char *box = wire_get_text(msg, WF_box), *where = wire_get_text(msg, WF_cgroup), *text = wire_get_text(msg, WF_label);
	if (!box || strncmp(box, "run/", 4) != 0 || !text || wire_has(msg, WF_cause))
		return;
	json_t *label = json_parse_object(text, strlen(text), NULL);
	const char *kind = text_of(label, "kind");
	if (kind) {
		struct guest_facts f = facts_of(wire_get_text(msg, WF_id), label);
		add_process(s, &f, label, box, where ? where : "");
	}
	json_decref(label);
}

static int compare(const void *a, const void *b)
{
	return strcmp((*(struct level *const *)a)->box, (*(struct level *const *)b)->box);
}

static void on_list(void *data, const struct wire_view *msg)
{
	struct survey *s = data;
	if (msg->type == WIRE_row) {
		take_row(s, msg);
		return;
	}
	if (msg->type == WIRE_fail)
		log_warn("unable to look at the boxes: %s", wire_get_text(msg, WF_text));
	if (s->n > 1)
		qsort(s->levels, s->n, sizeof(struct level *), compare); /* those above first */
	s->then(s);
}

static struct survey *survey_begin(struct node *n, void (*then)(struct survey *s))
{
	struct survey *s = n->keeper && n->facts.is_connected ? calloc(1, sizeof(*s)) : NULL;
	if (!s)
		return NULL;
	s->node = n;
	s->then = then;
	s->by_box = map_new();
	if (s->by_box) {
		node_keeper_begin(n->keeper, WIRE_list);
		if (node_keeper_end(n->keeper, on_list, s, NULL) == 0)
			return s;
	}
	survey_free(s);
	return NULL;
}

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
	struct order *o = malloc(sizeof(*o));
	if (!o)
		return;
	*o = (struct order){ s, l };
	struct buf *b = node_keeper_begin(s->node->keeper, WIRE_limit);
	wire_text(b, WF_box, l->box);
	wire_text(b, WF_knob, knob);
	wire_int(b, WF_value, value);
	if (node_keeper_end(s->node->keeper, on_limited, o, NULL) == 0)
		s->open++;
	else
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
		if (out.failed)
			err_set(&err, "no memory for the list of boxes");
		s->fn(s->data, out.failed ? NULL : &out, out.failed ? &err : NULL);
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
