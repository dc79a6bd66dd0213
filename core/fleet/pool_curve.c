#include "fleet/pool_curve.h"

#include <stdlib.h>

#include "fleet/jtext.h"

enum { WARM, BUSY, WAITING, TARGET, COLD, ROWS };

struct step {
	int32_t at[ROWS];
};

struct pool_curve {
	struct step steps[POOL_CURVE_STEPS]; /* by number modulo their count */
	int64_t first, last;                 /* numbers of steps: mono_ms / POOL_CURVE_STEP_MS */
	struct pool_curve_now now;           /* holds until the next note */
};

static struct step *step_of(struct pool_curve *c, int64_t number)
{
	return &c->steps[number % POOL_CURVE_STEPS];
}

static void begin(struct pool_curve *c, int64_t number)
{
	const struct pool_curve_now *n = &c->now;
	*step_of(c, number) = (struct step){ { n->warm, n->busy, n->waiting, n->target, 0 } };
	c->last = number;
	if (c->last - c->first >= POOL_CURVE_STEPS)
		c->first = c->last - POOL_CURVE_STEPS + 1;
}

/* What was last noted holds in all steps until that one. */
static void go_on(struct pool_curve *c, int64_t number)
{
	if (number - c->last > POOL_CURVE_STEPS)
		c->first = c->last = number - POOL_CURVE_STEPS;
	while (c->last < number)
		begin(c, c->last + 1);
}

static void raise_to(int32_t *most, int value)
{
	if (value > *most)
		*most = value;
}

void pool_curve_note(struct pool_curve **cp, const struct pool_curve_now *now, int64_t mono_ms)
{
	int64_t number = mono_ms / POOL_CURVE_STEP_MS;
	struct pool_curve *c = *cp;
	if (!c) {
		c = *cp = calloc(1, sizeof(*c));
		if (!c)
			return;
		c->now = *now;
		c->now.cold_starts = 0;
		c->first = number;
		begin(c, number);
	}
	go_on(c, number);
	struct step *s = step_of(c, number);
	if (now->warm < s->at[WARM])
		s->at[WARM] = now->warm;
	raise_to(&s->at[BUSY], now->busy);
	raise_to(&s->at[WAITING], now->waiting);
	raise_to(&s->at[TARGET], now->target);
	s->at[COLD] += (int32_t)(now->cold_starts - c->now.cold_starts);
	c->now = *now;
}

void pool_curve_free(struct pool_curve **c)
{
	free(*c);
	*c = NULL;
}

static void put_row(struct pool_curve *c, const char *name, int row, struct buf *out)
{
	jtext_member(out, name);
	buf_putc(out, '[');
	for (int64_t i = c ? c->first : 1; c && i <= c->last; i++)
		buf_printf(out, "%s%d", i > c->first ? "," : "", (int)step_of(c, i)->at[row]);
	buf_putc(out, ']');
}

int pool_curve_json(struct pool_curve *c, int64_t mono_ms, int64_t wall_ms, struct buf *out)
{
	static const char *const names[ROWS] = { "warm", "busy", "waiting", "target", "coldStarts" };
	if (c)
		go_on(c, mono_ms / POOL_CURVE_STEP_MS);
	buf_putc(out, '{');
	jtext_int(out, "stepMs", POOL_CURVE_STEP_MS);
	jtext_int(out, "fromAt", c ? wall_ms - (mono_ms - c->first * POOL_CURVE_STEP_MS) : wall_ms);
	for (int row = 0; row < ROWS; row++)
		put_row(c, names[row], row, out);
	buf_putc(out, '}');
	return out->failed ? -1 : 0;
}
