#include "fleet/sizing.h"

#include <math.h>
#include <string.h>

#define FAST_S           10.0
#define SLOW_S           300.0
#define NEGLIGIBLE       (1.0 / 3600) /* tasks a second: one an hour is no demand */
#define MEAN_MOST        1e6
#define LEAD_UNKNOWN_MS  3000
#define LEAD_LEAST_MS    10
#define LEAD_MOST_MS     600000
#define LEAD_PART        0.25 /* of a new measurement in the mean */
#define FLAP_MS          300000
#define FORGET_MS        600000
#define PATIENCE_MOST_MS 1800000
#define LATE_MS          10000 /* expected tasks that have not come by then do not come */

int sizing_stock(double mean, double chance)
{
	if (!(mean > 0))
		return 1;
	if (mean > MEAN_MOST)
		mean = MEAN_MOST;
	/* Ten standard deviations under the mean nothing is left that counts; from there each term comes out of the one before, and the first
	 * one out of its logarithm: no factor leaves the range of a double. */
	double sum = 0, width = 10 * sqrt(mean) + 10;
	int sign, first = mean > width ? (int)(mean - width) : 0, last = (int)(mean + width);
	double p = exp(first * log(mean) - mean - lgamma_r(first + 1.0, &sign));
	for (int k = first; k < last; k++) {
		sum += p;
		if (sum >= chance)
			return k + 1;
		p *= mean / (k + 1);
	}
	return last + 1;
}

/* --- demand --- */

static void decay(struct sizing *s, int64_t now_ms)
{
	double seconds = (double)(now_ms - s->rated_ms) / 1000;
	if (seconds <= 0)
		return;
	s->fast *= exp(-seconds / FAST_S);
	s->slow *= exp(-seconds / SLOW_S);
	s->rated_ms = now_ms;
}

static void drop_expected(struct sizing *s, int n)
{
	s->nexpected -= n;
	memmove(s->expected, s->expected + n, (size_t)s->nexpected * sizeof(s->expected[0]));
}

void sizing_note_demand(struct sizing *s, int64_t now_ms)
{
	/* One that was announced says nothing about those that come by chance. */
	if (s->nexpected && s->expected[0].at_mono_ms <= now_ms) {
		if (--s->expected[0].count == 0)
			drop_expected(s, 1);
		return;
	}
	decay(s, now_ms);
	s->fast += 1 / FAST_S;
	s->slow += 1 / SLOW_S;
}

double sizing_demand(const struct sizing *s, int64_t now_ms)
{
	double seconds = (double)(now_ms - s->rated_ms) / 1000;
	if (seconds < 0)
		seconds = 0;
	double fast = s->fast * exp(-seconds / FAST_S), slow = s->slow * exp(-seconds / SLOW_S);
	double demand = fast > slow ? fast : slow;
	return demand < NEGLIGIBLE ? 0 : demand;
}

double sizing_use(const struct sizing *s, int64_t now_ms)
{
	double seconds = (double)(now_ms - s->rated_ms) / 1000;
	return s->slow * exp(seconds > 0 ? -seconds / SLOW_S : 0);
}

void sizing_expect(struct sizing *s, int64_t at_mono_ms, int64_t count)
{
	int i = 0;
	if (count <= 0)
		return;
	while (i < s->nexpected && s->expected[i].at_mono_ms < at_mono_ms)
		i++;
	if (i < s->nexpected && s->expected[i].at_mono_ms == at_mono_ms) {
		s->expected[i].count += count;
		return;
	}
	if (s->nexpected == SIZING_EXPECTED_MOST) { /* the earlier time of the two: ready too early rather than too late */
		if (i == 0)
			s->expected[i++].at_mono_ms = at_mono_ms;
		s->expected[i - 1].count += count;
		return;
	}
	memmove(s->expected + i + 1, s->expected + i, (size_t)(s->nexpected - i) * sizeof(s->expected[0]));
	s->expected[i] = (struct sizing_expected){ at_mono_ms, count };
	s->nexpected++;
}

/* --- lead time --- */

static int step_of(int starting)
{
	int step = 0;
	while (step < SIZING_STEPS - 1 && starting > 1 << step)
		step++;
	return step;
}

void sizing_note_start(struct sizing *s, int starting, int64_t took_ms)
{
	int step = step_of(starting);
	double ms = took_ms < LEAD_LEAST_MS ? LEAD_LEAST_MS : took_ms > LEAD_MOST_MS ? LEAD_MOST_MS : (double)took_ms;
	s->lead[step].ms = s->lead[step].measured ? s->lead[step].ms + LEAD_PART * (ms - s->lead[step].ms) : ms;
	s->lead[step].measured++;
}

bool sizing_is_measured(const struct sizing *s)
{
	for (int i = 0; i < SIZING_STEPS; i++)
		if (s->lead[i].measured)
			return true;
	return false;
}

int64_t sizing_lead_ms(const struct sizing *s, int starting)
{
	int step = step_of(starting), down = step, up = step;
	while (down >= 0 && !s->lead[down].measured)
		down--;
	if (down >= 0) { /* of fewer at once: they share the cores, so it grows with their number at most */
		double ms = s->lead[down].ms * (double)(1 << (step - down));
		return ms < LEAD_MOST_MS ? (int64_t)ms : LEAD_MOST_MS;
	}
	while (up < SIZING_STEPS && !s->lead[up].measured)
		up++;
	return up < SIZING_STEPS ? (int64_t)s->lead[up].ms : LEAD_UNKNOWN_MS;
}

/* --- the target --- */

static void earlier(int64_t *next, int64_t at)
{
	if (at && (!*next || at < *next))
		*next = at;
}

static int64_t count_expected(struct sizing *s, int64_t now_ms, int64_t lead_ms, int64_t *next)
{
	int64_t n = 0;
	int late = 0;
	while (late < s->nexpected && s->expected[late].at_mono_ms + LATE_MS <= now_ms)
		late++;
	drop_expected(s, late);
	for (int i = 0; i < s->nexpected; i++) {
		if (s->expected[i].at_mono_ms > now_ms + lead_ms) {
			earlier(next, s->expected[i].at_mono_ms - lead_ms);
			break;
		}
		n += s->expected[i].count;
	}
	return n;
}

static int wanted_now(struct sizing *s, const struct sizing_bounds *b, int64_t now_ms, int64_t *next)
{
	int64_t lead_ms = sizing_lead_ms(s, b->starting_now), known = count_expected(s, now_ms, lead_ms, next);
	double demand = sizing_demand(s, now_ms);
	int64_t n = known + (demand > 0 ? sizing_stock(demand * (double)lead_ms / 1000, b->ready_for) : 0);
	if (n > b->max)
		n = b->max;
	return n < b->min ? b->min : (int)n;
}

static void forget_flaps(struct sizing *s, int64_t now_ms)
{
	if (s->patience_ms < SIZING_PATIENCE_MS)
		s->patience_ms = SIZING_PATIENCE_MS;
	while (s->patience_ms > SIZING_PATIENCE_MS && now_ms - s->flapped_ms >= FORGET_MS) {
		s->patience_ms /= 2;
		s->flapped_ms += FORGET_MS;
	}
	if (s->patience_ms < SIZING_PATIENCE_MS)
		s->patience_ms = SIZING_PATIENCE_MS;
}

static void grow(struct sizing *s, int wanted, int64_t now_ms)
{
	if (s->shrunk_ms && now_ms - s->shrunk_ms <= FLAP_MS) {
		s->patience_ms = s->patience_ms * 2 < PATIENCE_MOST_MS ? s->patience_ms * 2 : PATIENCE_MOST_MS;
		s->flapped_ms = now_ms;
		s->shrunk_ms = 0; /* one flap is counted once */
	}
	s->target = wanted;
	s->less_since_ms = 0;
}

static void shrink(struct sizing *s, int wanted, int64_t now_ms)
{
	if (!s->less_since_ms) {
		s->less_since_ms = now_ms;
		s->most_since = wanted;
	}
	if (wanted > s->most_since)
		s->most_since = wanted;
	if (now_ms - s->less_since_ms < s->patience_ms)
		return;
	s->target = s->most_since;
	s->shrunk_ms = now_ms;
	s->less_since_ms = wanted < s->target ? now_ms : 0;
	s->most_since = wanted;
}

int sizing_look(struct sizing *s, const struct sizing_bounds *b, int64_t now_ms, int64_t *next)
{
	int was = s->target, wanted = wanted_now(s, b, now_ms, next);
	forget_flaps(s, now_ms);
	/* What may not be is not waited for. */
	if (s->target > b->max)
		s->target = b->max > b->min ? b->max : b->min;
	if (wanted > s->target)
		grow(s, wanted, now_ms);
	else if (wanted < s->target)
		shrink(s, wanted, now_ms);
	else
		s->less_since_ms = 0;
	if (s->target > b->min) /* demand fades without an event */
		earlier(next, s->less_since_ms ? s->less_since_ms + s->patience_ms : now_ms + s->patience_ms / 2);
	return was;
}
