/* node_boxes_survey: who lives below run/ now, and what should limit each level: the keeper's list, labels, the set in force. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/json.h"
#include "node/node_boxes_inner.h"

#define LEVELS_MOST 5000
#define IDS_MOST    100 /* of a level's processes, by name */

static void level_free(struct level *l)
{
	json_decref(l->ids);
	json_decref(l->whose);
	free(l);
}

void survey_free(struct survey *s)
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
	if (msg->type == WIRE_fail) {
		const char *why = wire_get_text(msg, WF_text);
		log_warn("unable to look at the boxes: %s", why ? why : "the keeper does not say why");
		snprintf(s->why, sizeof(s->why), "%s", why ? why : "the keeper does not say why");
		for (; s->n > 0; s->n--) /* some rows may have come */
			level_free(s->levels[s->n - 1]);
	}
	if (s->n > 1)
		qsort(s->levels, s->n, sizeof(struct level *), compare); /* those above first */
	s->then(s);
}

struct survey *survey_begin(struct node *n, void (*then)(struct survey *s))
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
