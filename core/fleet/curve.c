#include "fleet/curve.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "fleet/jtext.h"

#define NO_MEMORY_KB UINT32_MAX
#define NO_SHARE     UINT16_MAX
#define NOT_READ     ((int64_t)-1)
#define HOLD_MS      15000 /* who is read seldom is read each 10 s: up to then the last value stands */
#define APART_MS     400   /* two readings closer together tell no share */
#define LIFE_FIRST   16    /* room for steps, at first */

struct step {
	uint32_t memory_kb;
	uint16_t share_centi;
} __attribute__((packed, aligned(2)));

struct curve {
	struct list link; /* curves.ended; or none */
	bool is_over;
	char *owner; /* owned; of one that has ended */
	struct curve_now now;
	int64_t limit_bytes;
	int64_t base_mono_ms, base_cpu_ms; /* of the reading that the next share is counted from */
	int64_t first_mono_ms, last_mono_ms;
	struct step recent[CURVE_RECENT];
	int64_t recent_slot; /* of the last step that was written */
	struct step *life;   /* owned */
	size_t nlife, room;
	int64_t life_ms; /* length of a step */
	char process[];
};

struct curves {
	struct map *by_process; /* owned */
	struct list ended;      /* oldest first */
	size_t nended;
};

static const struct step nothing = { NO_MEMORY_KB, NO_SHARE };

static void free_curve(struct curve *c)
{
	free(c->owner);
	free(c->life);
	free(c);
}

struct curves *curves_new(void)
{
	struct curves *all = calloc(1, sizeof(*all));
	if (!all)
		return NULL;
	list_init(&all->ended);
	all->by_process = map_new();
	if (!all->by_process)
		curves_free(&all);
	return all;
}

void curves_free(struct curves **ap)
{
	struct curves *all = *ap;
	size_t cursor = 0;
	if (!all)
		return;
	for (struct curve *c; all->by_process && (c = map_next(all->by_process, &cursor));)
		free_curve(c);
	map_free(&all->by_process);
	free(all);
	*ap = NULL;
}

static void drop(struct curves *all, struct curve *c)
{
	if (c->is_over) {
		list_remove(&c->link);
		all->nended--;
	}
	map_remove(all->by_process, c->process);
	free_curve(c);
}

static struct curve *make(struct curves *all, const char *process, int64_t mono_ms)
{
	size_t len = strlen(process);
	if (map_count(all->by_process) - all->nended >= CURVES_LIVE)
		return NULL;
	struct curve *c = calloc(1, sizeof(*c) + len + 1);
	if (!c)
		return NULL;
	memcpy(c->process, process, len + 1);
	list_init(&c->link);
	c->now = (struct curve_now){ -1, -1, -1, -1 };
	c->limit_bytes = -1;
	c->base_cpu_ms = -1;
	c->first_mono_ms = c->last_mono_ms = mono_ms;
	c->recent_slot = mono_ms / CURVE_RECENT_MS;
	c->life_ms = CURVE_LIFE_MS;
	for (size_t i = 0; i < CURVE_RECENT; i++)
		c->recent[i] = nothing;
	if (map_set(all->by_process, process, c) < 0) {
		free_curve(c);
		return NULL;
	}
	return c;
}

/* --- steps --- */

static struct step step_of(const struct curve_now *now)
{
	struct step s = nothing;
	if (now->memory_bytes >= 0) {
		int64_t kb = (now->memory_bytes + 1023) / 1024;
		s.memory_kb = kb < NO_MEMORY_KB ? (uint32_t)kb : NO_MEMORY_KB - 1;
	}
	if (now->share_milli >= 0) {
		int64_t centi = (now->share_milli + 5) / 10;
		s.share_centi = centi < NO_SHARE ? (uint16_t)centi : NO_SHARE - 1;
	}
	return s;
}

static void merge(struct step *into, struct step s)
{
	if (s.memory_kb != NO_MEMORY_KB && (into->memory_kb == NO_MEMORY_KB || into->memory_kb < s.memory_kb))
		into->memory_kb = s.memory_kb;
	if (s.share_centi != NO_SHARE && (into->share_centi == NO_SHARE || into->share_centi < s.share_centi))
		into->share_centi = s.share_centi;
}

static void add_recent(struct curve *c, struct step s, int64_t mono_ms)
{
	int64_t slot = mono_ms / CURVE_RECENT_MS;
	if (slot - c->recent_slot >= CURVE_RECENT)
		c->recent_slot = slot - CURVE_RECENT;
	while (c->recent_slot < slot)
		c->recent[++c->recent_slot % CURVE_RECENT] = nothing;
	merge(&c->recent[slot % CURVE_RECENT], s);
}

static void halve(struct curve *c)
{
	for (size_t i = 0; i < c->nlife; i += 2) {
		struct step s = c->life[i];
		if (i + 1 < c->nlife)
			merge(&s, c->life[i + 1]);
		c->life[i / 2] = s;
	}
	c->nlife = (c->nlife + 1) / 2;
	c->life_ms *= 2;
}

static bool make_room(struct curve *c, size_t at)
{
	size_t room = c->room ? c->room : LIFE_FIRST;
	while (room <= at)
		room = room * 2 < CURVE_LIFE ? room * 2 : CURVE_LIFE;
	if (room == c->room)
		return true;
	struct step *more = realloc(c->life, room * sizeof(*more));
	if (!more)
		return false;
	c->life = more;
	c->room = room;
	return true;
}

static void add_life(struct curve *c, struct step s, int64_t mono_ms)
{
	while ((mono_ms - c->first_mono_ms) / c->life_ms >= CURVE_LIFE)
		halve(c);
	size_t at = (size_t)((mono_ms - c->first_mono_ms) / c->life_ms);
	if (!make_room(c, at))
		return;
	while (c->nlife <= at)
		c->life[c->nlife++] = nothing;
	merge(&c->life[at], s);
}

/* --- readings --- */

static void take_cpu(struct curve *c, int64_t cpu_ms, int64_t mono_ms)
{
	if (cpu_ms < 0)
		return;
	c->now.cpu_ms = cpu_ms;
	if (c->base_cpu_ms < 0 || cpu_ms < c->base_cpu_ms) { /* a smaller count is another box */
		c->base_cpu_ms = cpu_ms;
		c->base_mono_ms = mono_ms;
		return;
	}
	int64_t took = mono_ms - c->base_mono_ms;
	if (took < APART_MS)
		return;
	c->now.share_milli = (cpu_ms - c->base_cpu_ms) * 1000 / took;
	c->base_cpu_ms = cpu_ms;
	c->base_mono_ms = mono_ms;
}

static void take(struct curve *c, const struct curve_reading *r, int64_t mono_ms)
{
	if (mono_ms < c->last_mono_ms)
		mono_ms = c->last_mono_ms;
	if (r->memory_bytes >= 0)
		c->now.memory_bytes = r->memory_bytes;
	if (r->peak_bytes > c->now.peak_bytes)
		c->now.peak_bytes = r->peak_bytes;
	if (c->now.memory_bytes > c->now.peak_bytes)
		c->now.peak_bytes = c->now.memory_bytes;
	if (r->limit_bytes >= 0)
		c->limit_bytes = r->limit_bytes;
	take_cpu(c, r->cpu_ms, mono_ms);
	c->last_mono_ms = mono_ms;
}

void curves_add(struct curves *all, const char *process, const struct curve_reading *r, int64_t mono_ms)
{
	struct curve *c = map_get(all->by_process, process);
	if (c && c->is_over) { /* a name that is used again */
		drop(all, c);
		c = NULL;
	}
	if (!c && !(c = make(all, process, mono_ms)))
		return;
	take(c, r, mono_ms);
	struct step s = step_of(&c->now);
	add_recent(c, s, c->last_mono_ms);
	add_life(c, s, c->last_mono_ms);
}

void curves_end(struct curves *all, const char *process, const char *owner, const struct curve_reading *last, int64_t mono_ms)
{
	struct curve *c = map_get(all->by_process, process);
	if (!c || c->is_over)
		return;
	c->owner = strdup(owner ? owner : "");
	if (!c->owner) {
		drop(all, c);
		return;
	}
	take(c, last, mono_ms);
	c->is_over = true;
	list_push(&all->ended, &c->link);
	if (++all->nended > CURVES_ENDED)
		drop(all, list_of(list_first(&all->ended), struct curve, link));
}

bool curves_now(const struct curves *all, const char *process, struct curve_now *out)
{
	const struct curve *c = map_get(all->by_process, process);
	if (!c || c->is_over)
		return false;
	*out = c->now;
	return true;
}

const char *curves_owner(const struct curves *all, const char *process)
{
	const struct curve *c = map_get(all->by_process, process);
	return c && c->is_over ? c->owner : NULL;
}

size_t curves_count(const struct curves *all)
{
	return map_count(all->by_process);
}

/* --- as JSON --- */

struct steps { /* n of them, the first begins at from; held: a hole of that many steps is filled with the value before */
	const struct curve *c;
	struct step (*at)(const struct curve *c, int64_t i);
	int64_t from, n, held;
};

static struct step recent_at(const struct curve *c, int64_t slot)
{
	bool is_there = slot <= c->recent_slot && slot > c->recent_slot - CURVE_RECENT;
	return is_there ? c->recent[slot % CURVE_RECENT] : nothing;
}

static struct step life_at(const struct curve *c, int64_t i)
{
	return i < (int64_t)c->nlife ? c->life[i] : nothing;
}

static int64_t memory_of(const struct step *s)
{
	return s->memory_kb == NO_MEMORY_KB ? NOT_READ : s->memory_kb;
}

static int64_t share_of(const struct step *s)
{
	return s->share_centi == NO_SHARE ? NOT_READ : s->share_centi;
}

static void put_bytes(struct buf *out, int64_t kb)
{
	jtext_put_int(out, kb * 1024);
}

static void put_share(struct buf *out, int64_t centi)
{
	buf_printf(out, "%d.%02d", (int)(centi / 100), (int)(centi % 100));
}

/* A value for each step: where none was read the last one, while it holds. */
static void put_values(struct buf *out, const char *name, const struct steps *s, int64_t (*value_of)(const struct step *),
		       void (*put)(struct buf *out, int64_t value))
{
	int64_t last = NOT_READ, hole = 0;
	jtext_member(out, name);
	buf_putc(out, '[');
	for (int64_t i = 0; i < s->n; i++) {
		struct step step = s->at(s->c, s->from + i);
		int64_t value = value_of(&step);
		hole = value == NOT_READ ? hole + 1 : 0;
		last = value != NOT_READ ? value : hole > s->held ? NOT_READ : last;
		jtext_next(out);
		if (last == NOT_READ)
			buf_puts(out, "null");
		else
			put(out, last);
	}
	buf_putc(out, ']');
}

static void put_steps(struct buf *out, const struct steps *s)
{
	put_values(out, "memoryBytes", s, memory_of, put_bytes);
	put_values(out, "cpuShare", s, share_of, put_share);
}

bool curves_put_recent(const struct curves *all, const char *process, int points, int64_t mono_ms, int64_t wall_ms, struct buf *out)
{
	const struct curve *c = map_get(all->by_process, process);
	if (!c || points < 1)
		return false;
	int64_t last = (c->is_over ? c->last_mono_ms : mono_ms) / CURVE_RECENT_MS, first = c->first_mono_ms / CURVE_RECENT_MS;
	if (points > CURVE_RECENT)
		points = CURVE_RECENT;
	struct steps s = { c, recent_at, last - points + 1 > first ? last - points + 1 : first, 0, HOLD_MS / CURVE_RECENT_MS };
	s.n = last - s.from + 1;
	jtext_next(out);
	buf_putc(out, '{');
	jtext_text(out, "id", c->process);
	jtext_int(out, "stepMs", CURVE_RECENT_MS);
	jtext_int(out, "fromAt", wall_ms - (mono_ms - s.from * CURVE_RECENT_MS));
	put_steps(out, &s);
	buf_putc(out, '}');
	return true;
}

bool curves_put_life(const struct curves *all, const char *process, int64_t mono_ms, int64_t wall_ms, struct buf *out)
{
	const struct curve *c = map_get(all->by_process, process);
	if (!c)
		return false;
	struct steps s = { c, life_at, 0, (int64_t)c->nlife, HOLD_MS / c->life_ms };
	buf_putc(out, '{');
	jtext_text(out, "id", c->process);
	jtext_int(out, "stepMs", c->life_ms);
	jtext_int(out, "fromAt", wall_ms - (mono_ms - c->first_mono_ms));
	put_steps(out, &s);
	jtext_some_int(out, "limitBytes", c->limit_bytes > 0 ? c->limit_bytes : -1);
	jtext_some_int(out, "peakBytes", c->now.peak_bytes);
	buf_putc(out, '}');
	return true;
}
