#include "fleet/idle.h"

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* Another process than before: what was known of the old one is over. */
static void begin(struct idle *i, const struct idle_look *look)
{
	int64_t at = look->started_ms ? look->started_ms : look->at_ms;
	i->started_ms = at;
	i->work_ms = later(i->work_ms, at);
	i->cpu_at_ms = 0;
	i->is_measured = false;
	i->share = -1;
}

/* Did the box work since the look that this is measured against? */
static void take_cpu(struct idle *i, const struct idle_look *look)
{
	if (look->cpu_ms < 0) {
		i->cpu_at_ms = 0;
		i->is_measured = false;
		i->share = -1;
		return;
	}
	if (i->cpu_at_ms == 0 || look->cpu_ms < i->cpu_ms) { /* a smaller count is another box */
		i->cpu_ms = look->cpu_ms;
		i->cpu_at_ms = look->at_ms;
		i->is_measured = false;
		return;
	}
	int64_t took = look->at_ms - i->cpu_at_ms, used = look->cpu_ms - i->cpu_ms;
	if (took < IDLE_APART_MS)
		return;
	i->share = (double)used / (double)took;
	i->is_measured = true;
	i->cpu_ms = look->cpu_ms;
	i->cpu_at_ms = look->at_ms;
	if (used >= IDLE_CPU_MS && i->share >= IDLE_SHARE)
		i->work_ms = later(i->work_ms, look->at_ms);
}

static void take_clients(struct idle *i, const struct idle_look *look)
{
	if (look->connections > 0 && !i->connected_ms)
		i->connected_ms = look->at_ms;
	if (look->connections != 0 || !i->connected_ms)
		return;
	if (look->at_ms - i->connected_ms >= IDLE_BRIEF_MS)
		i->seen_ms = look->at_ms;
	i->connected_ms = 0;
}

/* What the server says of the last request. Without the kind of it, one that came with a client is the client's page making itself at home. */
static void take_requests(struct idle *i, const struct idle_look *look, int64_t connections_before)
{
	int64_t at = look->activity_ms < look->at_ms ? look->activity_ms : look->at_ms;
	if (look->is_exact) {
		i->work_ms = later(i->work_ms, look->work_ms < look->at_ms ? look->work_ms : look->at_ms);
		return;
	}
	bool has_moved = at > i->activity_ms, is_first = i->activity_ms == 0;
	i->activity_ms = later(i->activity_ms, at);
	if (has_moved && (is_first || look->is_trusted || look->connections <= connections_before))
		i->work_ms = later(i->work_ms, at);
}

void idle_take(struct idle *i, const struct idle_look *look)
{
	int64_t before = i->connections;
	if (i->started_ms == 0 || (look->started_ms && look->started_ms != i->started_ms))
		begin(i, look);
	take_cpu(i, look);
	if (look->state == IDLE_UNKNOWN) {
		i->state = IDLE_UNKNOWN;
		return;
	}
	i->looked_ms = look->at_ms;
	i->state = look->connections < 0 && look->state != IDLE_DEAD ? IDLE_UNKNOWN : look->state;
	i->connections = look->connections > 0 ? look->connections : 0;
	i->is_trusted = look->is_trusted;
	take_clients(i, look);
	take_requests(i, look, before);
	if (i->state == IDLE_BUSY)
		i->work_ms = later(i->work_ms, look->at_ms);
}

enum idle_state idle_state(const struct idle *i, int64_t now_ms)
{
	return now_ms - i->looked_ms > IDLE_FRESH_MS ? IDLE_UNKNOWN : i->state;
}

static bool is_known(const struct idle *i, int64_t now_ms)
{
	enum idle_state state = idle_state(i, now_ms);
	/* Who still starts may be at work on a cell whose beginning nobody heard. */
	return state == IDLE_BUSY || (state == IDLE_IDLE && (i->is_measured || i->is_trusted));
}

int64_t idle_silent(const struct idle *i, int64_t now_ms)
{
	if (!is_known(i, now_ms))
		return -1;
	if (i->state == IDLE_BUSY)
		return 0;
	/* as far as is known: what happened since the box was measured is not */
	int64_t till = i->is_measured ? i->cpu_at_ms : i->looked_ms;
	return later((till < now_ms ? till : now_ms) - i->work_ms, 0);
}

int64_t idle_quiet(const struct idle *i, int64_t now_ms)
{
	int64_t silent = idle_silent(i, now_ms);
	if (silent > 0 && i->connections > 0)
		return 0;
	if (silent > 0 && i->seen_ms > i->work_ms)
		return later(silent - (i->seen_ms - i->work_ms), 0);
	return silent;
}

const char *idle_state_name(enum idle_state state)
{
	static const char *const names[] = { "unknown", "starting", "idle", "busy", "dead" };
	return names[state];
}
