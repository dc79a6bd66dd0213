#include "fleet/pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/future.h"
#include "fleet/jtext.h"
#include "fleet/kernel.h"
#include "fleet/pool_curve.h"
#include "fleet/queue.h"
#include "sys/clock.h"

#define DEFAULT_THREADS         4096
#define DEFAULT_READY_WITHIN_MS 60000
#define DEFAULT_GRACE_MS        5000
#define KERNEL_NAME_ROOM        12 /* digits of the number and the dash behind a pool's name in a kernel's id */

struct pool_spec *pool_spec_new(const char *name)
{
	struct pool_spec *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->name = strdup(name);
	if (!s->name) {
		free(s);
		return NULL;
	}
	s->threads = DEFAULT_THREADS;
	s->warm_min = 1;
	s->warm_max = 8;
	s->max = 16;
	s->recycle_after_tasks = 1;
	s->ready_within_ms = DEFAULT_READY_WITHIN_MS;
	s->grace_ms = DEFAULT_GRACE_MS;
	return s;
}

void pool_spec_free(struct pool_spec **sp)
{
	struct pool_spec *s = *sp;
	if (!s)
		return;
	char *texts[] = { s->name, s->about, s->source, s->kind, s->run_as, s->cwd };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	char **lists[] = { s->argv, s->env, s->types, s->path };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		for (char **p = lists[i]; p && *p; p++)
			free(*p);
		free(lists[i]);
	}
	free(s);
	*sp = NULL;
}

static int wrong(const struct pool_spec *s, struct err *err, const char *what)
{
	return err_set(err, "%s: pool \"%s\": %s", s->source ? s->source : "?", s->name, what);
}

int pool_spec_check(const struct pool_spec *s, struct err *err)
{
	const struct {
		int is_wrong;
		const char *what;
	} rules[] = {
		{ !text_is_id(s->name, strlen(s->name)) || strlen(s->name) > KERNEL_ID_MAX - KERNEL_NAME_ROOM,
		  "the name must be an id of at most 52 characters" },
		{ strchr(s->name, '(') || strchr(s->name, ')') || strchr(s->name, ':'), "the name may have no ( ) or :" },
		{ !s->kind || !*s->kind, "kernel is missing" },
		{ !s->argv || !s->argv[0] || s->argv[0][0] != '/', "the kernel's command must begin with an absolute path" },
		{ s->warm_min < 0 || s->warm_max < s->warm_min, "warm.min must be 0 or more, and warm.max not under it" },
		{ s->max < 1, "max must be 1 or more" },
		{ s->warm_min > s->max, "warm.min is over max" },
		{ s->ready_for != 0 && !(s->ready_for >= 0.5 && s->ready_for <= 0.9999), "warm.ready_for must be 0.5 to 0.9999" },
		{ s->memory_bytes < 0 || s->swap_bytes < 0 || s->threads < 0, "limits must not be negative" },
		{ s->memory_max_bytes && s->memory_max_bytes < s->memory_bytes,
		  "the most memory of a task is under limits.memory" },
		{ s->heap_bytes && s->memory_bytes && s->memory_bytes < s->heap_bytes + s->heap_bytes / 4,
		  "limits.memory must be 1.25 times the heap or more" },
		{ s->recycle_after_tasks < 0 || s->recycle_age_ms < 0 || s->recycle_memory_bytes < 0,
		  "recycle must not be negative" },
		{ s->ready_within_ms < 1 || s->grace_ms < 0, "the deadline of becoming ready and the grace must be positive" },
	};
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].is_wrong)
			return wrong(s, err, rules[i].what);
	return 0;
}

bool pool_spec_takes(const struct pool_spec *s, const char *type)
{
	if (!s->types)
		return strcmp(s->kind, type) == 0;
	for (char **t = s->types; *t; t++)
		if (strcmp(*t, type) == 0)
			return true;
	return false;
}

/* FNV-1a: it only has to differ where specs differ; a clash costs a kernel that starts later than it could. */
static uint64_t mix(uint64_t h, const char *s)
{
	for (; s && *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return (h ^ 0xff) * 1099511628211u;
}

void pool_spec_variant(const struct pool_spec *s, char out[16])
{
	uint64_t h = 14695981039346656037u;
	char numbers[160];
	char **lists[] = { s->argv, s->env };
	for (size_t i = 0; i < 2; i++)
		for (char **p = lists[i]; p && *p; p++)
			h = mix(h, *p);
	snprintf(numbers, sizeof(numbers), "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, s->heap_bytes, s->memory_bytes,
		 s->swap_bytes, s->threads);
	h = mix(mix(mix(mix(h, s->kind), s->run_as), s->cwd), numbers);
	snprintf(out, 16, "%012" PRIx64, h >> 16);
}

int64_t pool_spec_memory_most(const struct pool_spec *s)
{
	return s->memory_max_bytes ? s->memory_max_bytes : s->memory_bytes;
}

struct pool *pool_new(struct pool_spec *spec)
{
	struct pool *p = calloc(1, sizeof(*p));
	if (!p) {
		pool_spec_free(&spec);
		return NULL;
	}
	list_init(&p->link);
	list_init(&p->kernels);
	list_init(&p->waiting);
	p->spec = spec;
	return p;
}

void pool_free(struct pool **p)
{
	if (!*p)
		return;
	list_remove(&(*p)->link);
	queue_free(&(*p)->queue);
	pool_curve_free(&(*p)->curve);
	pool_spec_free(&(*p)->spec);
	free(*p);
	*p = NULL;
}

static int count(const struct pool *pool, unsigned states)
{
	int n = 0;
	list_each (&pool->kernels, l)
		n += states >> list_of(l, struct kernel, in_pool)->state & 1;
	return n;
}

int pool_count_alive(const struct pool *pool)
{
	return count(pool, ~(1u << KERNEL_GONE));
}
int pool_count_busy(const struct pool *pool)
{
	return count(pool, 1u << KERNEL_BUSY | 1u << KERNEL_DRAINING);
}

int pool_count_warm(const struct pool *pool)
{
	int n = 0;
	list_each (&pool->kernels, l) {
		const struct kernel *k = list_of(l, struct kernel, in_pool);
		n += (k->state == KERNEL_IDLE || k->state == KERNEL_STARTING) && !k->reserved_for[0] && !k->owner;
	}
	return n;
}

/* Those that a plain warm kernel can serve: they want more than warm.min to be started. */
static int count_waiting_for_warm(const struct pool *pool)
{
	int n = 0;
	if (pool->nwaiting_sized == 0)
		return queue_count_startable(pool);
	list_each (&pool->waiting, l) {
		const struct future *f = list_of(l, struct future, in_queue);
		n += (!pool->spec->memory_bytes || f->memory_bytes <= pool->spec->memory_bytes) && !queue_is_held(f);
	}
	return n;
}

static int stock_of(const struct pool *pool)
{
	return pool->spec->ready_for > 0 && pool->sizing.target > pool->spec->warm_min ? pool->sizing.target : pool->spec->warm_min;
}

int pool_target(const struct pool *pool)
{
	return pool->is_retired ? 0 : stock_of(pool);
}

void pool_note_curve(struct pool *pool, int64_t now_mono_ms)
{
	struct pool_curve_now now = { count(pool, 1u << KERNEL_IDLE), pool_count_busy(pool), (int)pool->nwaiting, pool_target(pool),
				      pool->cold_starts };
	pool_curve_note(&pool->curve, &now, now_mono_ms);
}

int pool_surplus(const struct pool *pool)
{
	int most = pool->spec->ready_for > 0 ? stock_of(pool) : pool->spec->warm_max;
	return pool_count_warm(pool) - most;
}

int pool_spare(const struct pool *pool)
{
	return pool_count_warm(pool) - (pool->is_retired ? 0 : stock_of(pool));
}

int pool_wanted_starts(const struct pool *pool, enum budget_claim claim, int64_t now_mono_ms)
{
	const struct pool_spec *s = pool->spec;
	if (pool->is_retired || now_mono_ms < pool->next_start_mono_ms)
		return 0;
	int waiting = claim > BUDGET_MIN ? count_waiting_for_warm(pool) : 0;
	int target = claim == BUDGET_STOCK ? stock_of(pool) + waiting : waiting > s->warm_min ? waiting : s->warm_min;
	if (target > s->warm_max && target > s->warm_min)
		target = s->warm_max > s->warm_min ? s->warm_max : s->warm_min;
	if (target == 0 && waiting)
		target = 1;
	int wanted = target - pool_count_warm(pool);
	int room = s->max - pool_count_alive(pool);
	if (wanted > room)
		wanted = room;
	/* After a failure one at a time shows whether it works again. */
	if (pool->failure[0] && wanted > 1)
		wanted = 1;
	if (pool->failure[0] && count(pool, 1u << KERNEL_STARTING))
		wanted = 0;
	return wanted > 0 ? wanted : 0;
}

int64_t pool_backoff_ms(int failed_starts)
{
	if (failed_starts <= 1)
		return 0;
	int64_t ms = failed_starts > 8 ? POOL_BACKOFF_MOST_MS : (int64_t)1000 << (failed_starts - 2);
	return ms < POOL_BACKOFF_MOST_MS ? ms : POOL_BACKOFF_MOST_MS;
}

void pool_note_failed_start(struct pool *pool, const char *why, int64_t now_mono_ms)
{
	char pause[32];
	if (pool->failed_starts < 1000)
		pool->failed_starts++;
	int64_t ms = pool_backoff_ms(pool->failed_starts);
	pool->next_start_mono_ms = now_mono_ms + ms;
	snprintf(pool->failure, sizeof(pool->failure), "%s", why);
	log_warn("pool %s: a kernel did not start: %s; next try %s%s", pool->spec->name, why, ms ? "in " : "at once",
		 ms ? text_print_duration(ms, pause, sizeof(pause)) : "");
}

void pool_note_ready(struct pool *pool)
{
	pool->next_start_mono_ms = 0;
	pool->failure[0] = 0;
}

void pool_note_healthy(struct pool *pool)
{
	pool->failed_starts = 0;
}

#define MINUTE_MS 60000

static void turn_minute(struct pool *pool, int64_t minute)
{
	if (minute == pool->minute)
		return;
	pool->arrived[1] = minute == pool->minute + 1 ? pool->arrived[0] : 0;
	pool->arrived[0] = 0;
	pool->minute = minute;
}

void pool_note_arrival(struct pool *pool, int64_t now_mono_ms)
{
	turn_minute(pool, now_mono_ms / MINUTE_MS);
	pool->arrived[0]++;
}

void pool_note_use(struct pool *pool, int64_t now_mono_ms)
{
	sizing_note_demand(&pool->sizing, now_mono_ms);
}

double pool_use(const struct pool *pool, int64_t now_mono_ms)
{
	return sizing_use(&pool->sizing, now_mono_ms);
}

void pool_expect(struct pool *pool, int64_t at_mono_ms, int64_t count)
{
	sizing_expect(&pool->sizing, at_mono_ms, count);
}

void pool_note_peak(struct pool *pool, int64_t bytes, bool is_over)
{
	if (is_over)
		pool->peak_bytes -= pool->peak_bytes / 10;
	if (bytes > pool->peak_bytes)
		pool->peak_bytes = bytes;
}

double pool_demand(const struct pool *pool, int64_t now_mono_ms)
{
	struct pool now = { .minute = pool->minute, .arrived = { pool->arrived[0], pool->arrived[1] } };
	turn_minute(&now, now_mono_ms / MINUTE_MS);
	double part = (double)(now_mono_ms % MINUTE_MS) / MINUTE_MS;
	return ((double)now.arrived[0] + (double)now.arrived[1] * (1 - part)) / ((double)MINUTE_MS / 1000);
}

int pool_json(const struct pool *pool, struct buf *out)
{
	const struct pool_spec *s = pool->spec;
	buf_putc(out, '{');
	jtext_text(out, "name", s->name);
	jtext_some_text(out, "about", s->about);
	jtext_some_text(out, "source", s->source);
	jtext_text(out, "kind", s->kind);
	jtext_member(out, "warm");
	buf_printf(out, "{\"min\":%d,\"max\":%d}", s->warm_min, s->warm_max);
	jtext_int(out, "target", stock_of(pool));
	jtext_member(out, "demand");
	buf_printf(out, "%.4g", sizing_demand(&pool->sizing, clock_mono_ms()));
	if (sizing_is_measured(&pool->sizing)) {
		jtext_member(out, "leadSeconds");
		buf_printf(out, "%.3f", (double)sizing_lead_ms(&pool->sizing, count(pool, 1u << KERNEL_STARTING)) / 1000);
	}
	if (s->ready_for > 0) {
		jtext_member(out, "readyFor");
		buf_printf(out, "%.6g", s->ready_for);
	}
	jtext_int(out, "max", s->max);
	jtext_int(out, "alive", pool_count_alive(pool));
	jtext_int(out, "starting", count(pool, 1u << KERNEL_STARTING));
	jtext_int(out, "idle", count(pool, 1u << KERNEL_IDLE));
	jtext_int(out, "busy", pool_count_busy(pool));
	jtext_int(out, "stopping", count(pool, 1u << KERNEL_STOPPING));
	jtext_int(out, "waiting", (int64_t)pool->nwaiting);
	jtext_int(out, "coldStarts", pool->cold_starts);
	jtext_some_int(out, "memoryLimitBytes", s->memory_bytes ? s->memory_bytes : -1);
	jtext_some_int(out, "memoryMaxBytes", s->memory_max_bytes ? s->memory_max_bytes : -1);
	jtext_some_int(out, "heapBytes", s->heap_bytes ? s->heap_bytes : -1);
	jtext_bool(out, "retired", pool->is_retired);
	jtext_some_text(out, "failure", pool->failure);
	jtext_some_int(out, "failedStarts", pool->failed_starts ? pool->failed_starts : -1);
	buf_putc(out, '}');
	return out->failed ? -1 : 0;
}
