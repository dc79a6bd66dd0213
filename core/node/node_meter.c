#include "node/node_meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/curve.h"
#include "net/json.h"
#include "node/node_notebook.h"
#include "node/node_orders.h"
#include "node/node_sample.h"
#include "sys/clock.h"

#define EVERY_MS    5000
#define FRESH_MS    4000 /* read by others within that time: not read again */
#define BETWEEN_MS  200  /* tasks: read not longer ago than that is good enough to tell their shares apart */
#define AT_ONCE     400  /* of one order */
#define PROCESS_MAX 128
#define WHO_MAX     136

struct who {
	char user[WHO_MAX], project[WHO_MAX], name[WHO_MAX];
};

struct metered {
	struct who who, next;            /* next: from the next reading on */
	bool is_switching, is_releasing; /* releasing: to nobody, so it may wait for any reading */
	bool is_known;                   /* its reading of before this backend was on disk, or it was seen to start */
	bool is_seen;                    /* by this backend: the keeper has it */
	char kind[32], pool[WHO_MAX];
	struct meter_reading last; /* cpu_ms -1: not read yet; memory_bytes -1: unknown */
	int64_t read_mono_ms;      /* 0 = not by this backend */
	int64_t peak_bytes;        /* by the last of our own samples; -1 = not told */
	int64_t work_mono_ms;      /* when its task was given to it */
	int pid;                   /* 0 = not known, or does not run */
	char process[];
};

struct node_meter {
	struct node *node;
	struct meter *book;
	struct map *by_process; /* owned */
	struct loop_timer *timer;
};

static bool is_service(const struct metered *p)
{
	return strcmp(p->kind, "service") == 0;
}

static struct metered *metered_of(struct node_meter *t, const char *process)
{
	struct metered *p = map_get(t->by_process, process);
	size_t len = strlen(process);
	if (p || len == 0 || len >= PROCESS_MAX)
		return p;
	p = calloc(1, sizeof(*p) + len + 1);
	if (!p || map_set(t->by_process, process, p) < 0) {
		free(p);
		return NULL;
	}
	memcpy(p->process, process, len + 1);
	p->last = (struct meter_reading){ 0, -1, 0, 0 };
	p->peak_bytes = -1;
	return p;
}

static void forget(struct node_meter *t, struct metered *p)
{
	map_remove(t->by_process, p->process);
	free(p);
}

/* --- for whom --- */

static void copy(char out[WHO_MAX], const char *text)
{
	snprintf(out, WHO_MAX, "%s", text ? text : "");
}

static const char *text_of(const json_t *label, const char *const *names)
{
	for (; *names; names++) {
		const char *s = json_string_value(json_object_get(label, *names));
		if (s && *s)
			return s;
	}
	return "";
}

/* What its owner wrote on it: {"owner","project","recipe"|"webapp"|…}. */
static void read_label(struct metered *p, const char *text)
{
	static const char *const users[] = { "owner", "user", NULL }, *const projects[] = { "project", NULL },
				 *const names[] = { "recipe", "webapp", "model", "activity", "name", NULL };
	json_t *label = text && *text ? json_parse_object(text, strlen(text), NULL) : NULL;
	copy(p->who.user, text_of(label, users));
	copy(p->who.project, text_of(label, projects));
	copy(p->who.name, text_of(label, names));
	json_decref(label);
}

static void of_future(struct who *w, const struct kernel *k, const struct future *f)
{
	copy(w->user, f ? f->owner : k->owner);
	copy(w->project, f ? f->project : NULL);
	copy(w->name, f ? f->type : NULL);
}

static void read_kernel(struct node_meter *t, struct metered *p)
{
	const struct kernel *k = fleet_kernel(t->node->fleet, p->process);
	if (!k)
		return;
	of_future(&p->who, k, k->task[0] ? fleet_live(t->node->fleet, k->task) : NULL);
	if (k->pool)
		copy(p->pool, k->pool->spec->name);
}

static struct meter_who who_of(const struct metered *p)
{
	return (struct meter_who){ p->process, p->kind, p->who.user, p->who.project, p->pool, p->who.name };
}

/* --- counting --- */

/* Adds what was used since the last reading to whom it worked for. memory_bytes, cpu_ms: -1 = not told. */
static void count(struct node_meter *t, struct metered *p, int64_t memory_bytes, int64_t cpu_ms, int64_t wall_ms,
		  int64_t peak_bytes)
{
	struct meter_use use = { .peak_bytes = peak_bytes > memory_bytes ? peak_bytes : memory_bytes };
	struct meter_who who = who_of(p);
	int64_t was = p->last.memory_bytes, now = memory_bytes >= 0 ? memory_bytes : was;
	int64_t from = p->last.at_wall_ms ? p->last.at_wall_ms : p->last.started_wall_ms;
	if (use.peak_bytes < 0)
		use.peak_bytes = 0;
	if (from > 0 && wall_ms > from)
		use.alive_ms = wall_ms - from;
	if (now >= 0)
		use.byte_seconds = ((double)(was >= 0 ? was : now) + (double)now) / 2 * (double)use.alive_ms / 1000;
	/* A box that was made anew counts from 0. */
	if (cpu_ms >= 0)
		use.cpu_ms = cpu_ms >= p->last.cpu_ms ? cpu_ms - p->last.cpu_ms : cpu_ms;
	meter_add(t->book, &who, wall_ms, p->last.started_wall_ms, &use);
	if (cpu_ms >= 0)
		p->last.cpu_ms = cpu_ms;
	if (memory_bytes >= 0)
		p->last.memory_bytes = memory_bytes;
	if (wall_ms > p->last.at_wall_ms)
		p->last.at_wall_ms = wall_ms;
}

static void change(struct metered *p)
{
	if (p->is_switching)
		p->who = p->next;
	p->is_switching = p->is_releasing = false;
}

void node_meter_take(struct node_meter *t, const struct node_sample *s)
{
	struct metered *p = map_get(t->by_process, s->id);
	if (!p || !p->is_seen || (s->memory_bytes < 0 && s->cpu_ms < 0))
		return;
	count(t, p, s->memory_bytes, s->cpu_ms, clock_wall_ms(), -1);
	p->read_mono_ms = clock_mono_ms();
	curves_add(t->node->curves, p->process,
		   &(struct curve_reading){ s->memory_bytes, s->peak_bytes, s->cpu_ms, s->limit_bytes }, p->read_mono_ms);
	meter_note(t->book, p->process, &p->last);
	change(p);
}

void node_meter_sample(struct node_meter *t, const char *id, int64_t memory_bytes, int64_t cpu_ms)
{
	struct node_sample s = { .memory_bytes = memory_bytes, .peak_bytes = -1, .cpu_ms = cpu_ms, .limit_bytes = -1 };
	snprintf(s.id, sizeof(s.id), "%s", id);
	node_meter_take(t, &s);
}

static void on_samples(void *data, const struct wire_view *msg);

/* All of it, CPU time as well. */
static bool read_now(struct node_meter *t, const struct metered *p)
{
	struct node *n = t->node;
	if (!n->keeper || !n->facts.is_connected || n->is_without_samples)
		return false;
	struct buf *b = node_keeper_begin(n->keeper, WIRE_sample);
	wire_int(b, WF_on, 1);
	wire_text(b, WF_id, p->process);
	return node_keeper_end(n->keeper, on_samples, t, NULL) == 0;
}

static bool is_fresh(const struct metered *p)
{
	return p->read_mono_ms && clock_mono_ms() - p->read_mono_ms < BETWEEN_MS;
}

void node_meter_assign(struct node_meter *t, const struct kernel *k, const struct future *f, bool is_read_soon)
{
	const struct meter_use one = { .tasks = 1 };
	struct metered *p = map_get(t->by_process, k->id);
	if (!p)
		return;
	if (!p->is_releasing)
		change(p);
	of_future(&p->next, k, f);
	p->is_switching = true;
	p->is_releasing = false;
	p->work_mono_ms = clock_mono_ms();
	if (k->pool)
		copy(p->pool, k->pool->spec->name);
	if (!is_read_soon && (is_fresh(p) || !read_now(t, p))) {
		count(t, p, -1, -1, clock_wall_ms(), -1);
		change(p);
	}
	struct meter_who who = who_of(p);
	if (p->is_switching) {
		who.user = p->next.user;
		who.project = p->next.project;
		who.name = p->next.name;
	}
	meter_add(t->book, &who, clock_wall_ms(), p->last.started_wall_ms, &one);
}

void node_meter_release(struct node_meter *t, const char *kernel)
{
	struct metered *p = map_get(t->by_process, kernel);
	if (!p || p->is_releasing)
		return;
	change(p);
	p->next = p->who;
	p->next.project[0] = p->next.name[0] = '\0';
	p->is_switching = p->is_releasing = true;
	if (!is_fresh(p) || clock_mono_ms() - p->work_mono_ms >= BETWEEN_MS)
		read_now(t, p);
}

/* --- what the keeper tells --- */

static struct metered *meet(struct node_meter *t, const struct wire_view *msg)
{
	const char *kind = wire_get_text(msg, WF_kind);
	struct metered *p = metered_of(t, wire_get_text(msg, WF_id));
	if (!p)
		return NULL;
	bool is_new = !p->is_seen;
	p->is_seen = true;
	if (kind && *kind)
		snprintf(p->kind, sizeof(p->kind), "%s", kind);
	p->pid = (int)wire_get_int(msg, WF_pid, p->pid);
	int64_t started = wire_get_int(msg, WF_started_ms, 0);
	if (started > 0 && started != p->last.started_wall_ms) {
		/* A service's new process; or the first word of this one. */
		if (p->last.started_wall_ms && is_service(p))
			p->last.at_wall_ms = 0;
		p->last.started_wall_ms = started;
	}
	bool is_kernel = strcmp(p->kind, "kernel") == 0;
	if (is_kernel && is_new) /* whom it works for later is told by its tasks */
		read_kernel(t, p);
	else if (!is_kernel)
		read_label(p, wire_get_text(msg, WF_label));
	if (is_kernel && !p->pool[0])
		kernel_label_pool(wire_get_text(msg, WF_label), p->pool, sizeof(p->pool));
	return p;
}

static bool is_over(const char *state)
{
	return state && (strcmp(state, "ended") == 0 || strcmp(state, "dead") == 0);
}

void node_meter_row(struct node_meter *t, const struct wire_view *msg)
{
	const char *state = wire_get_text(msg, WF_state);
	struct metered *p = map_get(t->by_process, wire_get_text(msg, WF_id));
	if (is_over(state) && !p) /* its end is told as an event, or was told */
		return;
	p = meet(t, msg);
	if (p && !is_over(state))
		p->is_known = true;
}

static void end(struct node_meter *t, struct metered *p, const struct wire_view *msg)
{
	const char *cause = wire_get_text(msg, WF_cause);
	int64_t wall_ms = wire_get_int(msg, WF_wall_ms, clock_wall_ms()), exited_ms = wire_get_int(msg, WF_exited_ms, 0);
	if (exited_ms > 0)
		wall_ms = exited_ms;
	if (is_service(p)) { /* its box goes on with the next process, and counts on */
		count(t, p, -1, -1, wall_ms, -1);
		p->last.memory_bytes = -1;
		p->pid = 0;
		return;
	}
	if (!p->is_releasing)
		change(p);
	curves_end(t->node->curves, p->process, p->who.user,
		   &(struct curve_reading){ -1, wire_get_int(msg, WF_peak_bytes, -1), -1, wire_get_int(msg, WF_limit_bytes, -1) },
		   clock_mono_ms());
	count(t, p, -1, wire_get_int(msg, WF_cpu_ms, -1), wall_ms, wire_get_int(msg, WF_peak_bytes, -1));
	struct meter_who who = who_of(p);
	meter_end(t->book, &who, wall_ms, cause && *cause ? cause : "unknown", !p->is_known);
	meter_note(t->book, p->process, NULL);
	forget(t, p);
}

void node_meter_event(struct node_meter *t, const struct wire_view *msg)
{
	const char *what = wire_get_text(msg, WF_what);
	bool is_start = strcmp(what, "started") == 0;
	if (!is_start && strcmp(what, "exited") != 0)
		return;
	struct metered *p = meet(t, msg);
	if (!p)
		return;
	if (is_start) {
		p->is_known = true;
		meter_note(t->book, p->process, &p->last);
	} else {
		end(t, p, msg);
	}
}

void node_meter_taken_up(struct node_meter *t)
{
	size_t cursor = 0;
	for (struct metered *p; (p = map_next(t->by_process, &cursor));) {
		if (p->is_seen)
			continue;
		meter_note(t->book, p->process, NULL);
		forget(t, p);
	}
	struct metered *keeper = metered_of(t, "keeper");
	if (keeper) {
		snprintf(keeper->kind, sizeof(keeper->kind), "service");
		keeper->is_seen = true;
	}
	loop_timer_start(t->timer, EVERY_MS);
}

/* --- sampling --- */

static void on_samples(void *data, const struct wire_view *msg)
{
	struct node_meter *t = data;
	struct node_sample s;
	size_t at = 0;
	while (node_sample_next(msg, &at, &s)) {
		struct metered *p = map_get(t->by_process, s.id);
		if (p)
			p->peak_bytes = s.peak_bytes;
		node_meter_take(t, &s);
	}
}

/* A kernel of a notebook is put into its box while it runs already: the keeper tells no start of it. */
static void meet_notebook(void *data, struct notebook_kernel *k)
{
	struct node_meter *t = data;
	struct metered *p = map_get(t->by_process, k->process);
	if (!k->is_alive || !k->process[0] || (p && p->is_seen) || !(p = metered_of(t, k->process)))
		return;
	p->is_seen = p->is_known = true;
	p->pid = k->pid;
	p->last.started_wall_ms = k->started_ms;
	snprintf(p->kind, sizeof(p->kind), "notebook");
	copy(p->who.user, k->user);
	copy(p->who.project, k->project);
	meter_note(t->book, p->process, &p->last);
}

static void on_timer(void *data)
{
	struct node_meter *t = data;
	struct node *n = t->node;
	struct err err = { 0 };
	struct buf *b = NULL;
	size_t cursor = 0, open = 0;
	int64_t now = clock_mono_ms();
	loop_timer_start(t->timer, EVERY_MS);
	node_notebooks_each(n->notebooks, meet_notebook, t);
	if (!n->keeper || !n->facts.is_connected || n->is_without_samples)
		return;
	for (struct metered *p; (p = map_next(t->by_process, &cursor));) {
		if (!p->is_seen || strcmp(p->kind, "kernel") == 0 || (p->read_mono_ms && now - p->read_mono_ms < FRESH_MS))
			continue;
		if (open == 0)
			b = node_keeper_begin(n->keeper, WIRE_sample);
		wire_text(b, WF_id, p->process);
		if (++open == AT_ONCE) {
			if (node_keeper_end(n->keeper, on_samples, t, &err) < 0)
				log_warn("%s", err.text);
			open = 0;
		}
	}
	if (open && node_keeper_end(n->keeper, on_samples, t, &err) < 0)
		log_warn("%s", err.text);
}

void node_meter_use(const struct node_meter *t, const char *process, struct node_use *out)
{
	const struct metered *p = map_get(t->by_process, process);
	*out = (struct node_use){ -1, -1, -1 };
	if (!p || !p->read_mono_ms)
		return;
	*out = (struct node_use){ p->last.memory_bytes, p->peak_bytes, p->last.cpu_ms };
	if (out->peak_bytes < out->memory_bytes)
		out->peak_bytes = out->memory_bytes;
}

int node_meter_pid(const struct node_meter *t, const char *process)
{
	const struct metered *p = *process ? map_get(t->by_process, process) : NULL;
	return p ? p->pid : 0;
}

void node_meter_each_service(const struct node_meter *t, node_meter_service_fn *fn, void *data)
{
	size_t cursor = 0;
	for (struct metered *p; (p = map_next(t->by_process, &cursor));)
		if (p->is_seen && is_service(p))
			fn(data, p->process, p->pid, p->last.started_wall_ms);
}

/* --- set-up --- */

static void take_reading(void *data, const char *process, const struct meter_reading *r)
{
	struct metered *p = metered_of(data, process);
	if (!p)
		return;
	p->last = *r;
	p->is_known = true;
}

struct node_meter *node_meter_new(struct node *n, struct err *err)
{
	struct node_meter *t = calloc(1, sizeof(*t));
	if (t) {
		t->node = n;
		t->by_process = map_new();
		t->timer = loop_timer_new(n->loop, on_timer, t);
	}
	if (t && t->by_process && t->timer) {
		t->book = meter_new(n->loop, fleet_store(n->fleet), take_reading, t, err);
		if (t->book)
			return t;
	} else {
		err_set(err, "unable to count what processes use: no memory");
	}
	node_meter_free(&t);
	return NULL;
}

void node_meter_stop(struct node_meter *t)
{
	loop_timer_stop(t->timer);
	if (meter_flush(t->book, NULL, NULL) < 0)
		log_warn("what processes used since the last record is lost: the store takes nothing now");
}

void node_meter_free(struct node_meter **tp)
{
	struct node_meter *t = *tp;
	size_t cursor = 0;
	if (!t)
		return;
	for (struct metered *p; t->by_process && (p = map_next(t->by_process, &cursor));)
		free(p);
	map_free(&t->by_process);
	loop_timer_free(&t->timer);
	meter_free(&t->book);
	free(t);
	*tp = NULL;
}

struct meter *node_meter_book(struct node_meter *t)
{
	return t->book;
}
