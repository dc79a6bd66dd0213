#include "fleet/judge.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "fleet/jtext.h"

#define SIZE_ROOM      32
#define JAVA_HEAP_FULL 3 /* exit status of a JVM under -XX:+ExitOnOutOfMemoryError */

struct size_text {
	char s[SIZE_ROOM];
};

static struct size_text size_of(int64_t bytes)
{
	struct size_text t;
	text_print_size(bytes, t.s, sizeof(t.s));
	return t;
}

/* "6g", "512m": as one would write it into limits.memory. */
static struct size_text size_word(int64_t bytes)
{
	struct size_text t;
	if (bytes % ((int64_t)1 << 30) == 0)
		snprintf(t.s, sizeof(t.s), "%lldg", (long long)(bytes >> 30));
	else if (bytes % (1 << 20) == 0)
		snprintf(t.s, sizeof(t.s), "%lldm", (long long)(bytes >> 20));
	else
		snprintf(t.s, sizeof(t.s), "%lld", (long long)bytes);
	return t;
}

static const char *pool_name(const struct judge_case *c)
{
	return c->pool ? c->pool->name : "?";
}

static int64_t limit_of(const struct judge_case *c)
{
	if (c->end->limit_bytes > 0)
		return c->end->limit_bytes;
	return c->memory_bytes > 0 ? c->memory_bytes : c->pool ? c->pool->memory_bytes : 0;
}

static int64_t peak_of(const struct judge_case *c)
{
	int64_t peak = c->end->peak_bytes;
	for (int i = 0; c->kernel && i < c->kernel->nsamples; i++)
		if (c->kernel->samples[i].memory_bytes > peak)
			peak = c->kernel->samples[i].memory_bytes;
	return peak;
}

/* Is the level that was full the box of this very kernel? */
static bool is_own_limit(const struct judge_case *c)
{
	const char *owner = c->end->limit_owner, *last = strrchr(owner, '/');
	return !*owner || strcmp(last ? last + 1 : owner, c->end->id) == 0;
}

static bool is_by_task(const struct judge_case *c)
{
	return c->memory_bytes > 0 && c->pool && c->memory_bytes != c->pool->memory_bytes;
}

static void put_whose_limit(const struct judge_case *c, struct buf *out)
{
	if (!is_own_limit(c)) {
		buf_printf(out, "the limit of %s, which your task shares with others", c->end->limit_owner);
		return;
	}
	if (is_by_task(c)) {
		buf_puts(out, "the limits.memory it was submitted with");
		return;
	}
	buf_printf(out, "the limit of pool \"%s\"", pool_name(c));
	if (c->pool && c->pool->source)
		buf_printf(out, " (%s)", c->pool->source);
}

/* " at 14:02:11 CET; 9 s before it grew from 0.4 GB": only where samples show a growth. */
static void put_growth(const struct judge_case *c, int64_t peak, struct buf *out)
{
	const struct kernel *k = c->kernel;
	if (!k || k->nsamples < 2 || c->end->wall_ms <= 0)
		return;
	const struct kernel_sample *first = &k->samples[k->first_sample];
	int64_t before_s = (c->end->wall_ms - first->wall_ms) / 1000;
	time_t at = (time_t)(c->end->wall_ms / 1000);
	struct tm tm;
	if (before_s < 1 || first->memory_bytes >= peak - peak / 4 || !localtime_r(&at, &tm))
		return;
	/* With its zone: whoever reads it may sit in another. */
	buf_printf(out, " at %02d:%02d:%02d %s; %lld s before it grew from %s", tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_zone,
		   (long long)before_s, size_of(first->memory_bytes).s);
}

static void put_oom_limit(const struct judge_case *c, struct buf *out)
{
	int64_t limit = limit_of(c), peak = peak_of(c), most = c->pool ? pool_spec_memory_most(c->pool) : 0;
	if (c->end->victim_of[0]) {
		buf_printf(
			out,
			"Killed: memory ran out at %s (%s), and the system chose your task; what grew was %s. Your task used %s. ",
			c->end->limit_owner[0] ? c->end->limit_owner : "a shared limit", size_of(limit).s, c->end->victim_of,
			size_of(peak).s);
		buf_puts(out, "Submit it again, or ask an admin.");
		return;
	}
	buf_printf(out, "Killed: your task used %s, ", size_of(limit > 0 ? limit : peak).s);
	put_whose_limit(c, out);
	buf_puts(out, ".");
	if (peak > 0) {
		buf_printf(out, " Peak %s", size_of(peak).s);
		put_growth(c, peak, out);
		buf_puts(out, ".");
	}
	if (is_own_limit(c))
		buf_puts(out, " Others were not affected.");
	if (most > limit)
		buf_printf(out, " Submit with limits.memory up to %s, or ask an admin.", size_word(most).s);
	else
		buf_puts(out, " That is the most this pool grants: use less memory, or ask an admin.");
}

static void put_oom_heap(const struct judge_case *c, struct buf *out)
{
	int64_t heap = c->pool ? c->pool->heap_bytes : 0, box = limit_of(c), peak = peak_of(c);
	buf_printf(out, "Java heap full: %s (heap of pool \"%s\")", heap ? size_of(heap).s : "its limit", pool_name(c));
	if (box > 0 && peak >= 0 && box > peak)
		buf_printf(out, "; the box had %s left", size_of(box - peak).s);
	buf_puts(out, ".");
	/* Not where it ended by itself: then that is all there is to say. */
	if (c->end->code != JAVA_HEAP_FULL && c->end->text[0])
		buf_printf(out, " %s.", c->end->text);
	buf_puts(out, " A higher limits.memory alone will not help.");
}

static void put_said(const struct judge_case *c, const char *lead, struct buf *out)
{
	buf_puts(out, lead);
	if (c->end->text[0])
		buf_printf(out, ": %s", c->end->text);
	size_t n = strlen(c->end->text);
	if (!n || c->end->text[n - 1] != '.')
		buf_putc(out, '.');
}

static void put_other(const struct judge_case *c, struct buf *out)
{
	const char *cause = c->end->cause;
	if (strcmp(cause, "crash") == 0 && c->end->signal > 0) {
		buf_printf(out, "Killed: the process of your task crashed with signal %d (%s). See the log for lines of [%s].",
			   c->end->signal, strsignal(c->end->signal), c->end->id);
	} else if (strcmp(cause, "crash") == 0) {
		buf_printf(out, "Killed: the process of your task ended by itself with status %d. See the log for lines of [%s].",
			   c->end->code, c->end->id);
	} else if (strcmp(cause, "exited") == 0) {
		buf_printf(out,
			   "Killed: the process of your task ended by itself with status 0 before the task was done. See the log "
			   "for lines of [%s].",
			   c->end->id);
	} else if (strcmp(cause, "signal") == 0) {
		buf_printf(out, "Killed: somebody outside of this node's control sent signal %d (%s) to the process of your task.",
			   c->end->signal, strsignal(c->end->signal));
	} else if (strcmp(cause, "limit_threads") == 0) {
		buf_printf(out,
			   "Killed: your task wanted more than %lld threads and processes, the limit of pool \"%s\". Use fewer, or "
			   "ask an admin.",
			   c->pool ? (long long)c->pool->threads : 0, pool_name(c));
	} else if (strcmp(cause, "oom_host") == 0) {
		buf_puts(out, "Killed: the machine itself ran out of memory, and the system chose your task");
		if (peak_of(c) > 0)
			buf_printf(out, ", which used %s", size_of(peak_of(c)).s);
		buf_puts(out, ". It was within its own limit. Submit it again later, or ask an admin.");
	} else {
		char lead[100];
		snprintf(lead, sizeof(lead), "Killed for a cause that is not known (%s)", cause[0] ? cause : "unknown");
		put_said(c, lead, out);
	}
}

/* Causes that come with a text of whoever ordered the end. */
static const struct {
	const char *cause, *lead;
} ordered[] = {
	{ "admin", "Killed by an admin" },
	{ "user", "Aborted" },
	{ "policy", "Killed by a policy" },
	{ "shutdown", "Killed: the node was shut down" },
	{ "start_failed", "Killed: its kernel did not start" },
	{ "lost", "Killed: its process was lost, and whether the task ran is not known" },
};

void judge_refine(struct judge_end *end, const struct pool_spec *pool)
{
	if (!pool || !pool->kind || strcmp(pool->kind, "java") != 0 || end->code != JAVA_HEAP_FULL ||
	    strcmp(end->cause, "crash") != 0)
		return;
	snprintf(end->cause, sizeof(end->cause), "oom_heap");
	snprintf(end->text, sizeof(end->text), "%s ended with status %d: its JVM's heap was full", end->id, JAVA_HEAP_FULL);
}

int judge_text(const struct judge_case *c, struct buf *out)
{
	const char *cause = c->end->cause;
	char pause[48];
	if (strcmp(cause, "oom_limit") == 0) {
		put_oom_limit(c, out);
	} else if (strcmp(cause, "oom_heap") == 0) {
		put_oom_heap(c, out);
	} else if (strcmp(cause, "deadline") == 0 && c->timeout_ms > 0) {
		buf_printf(out, "Killed: your task ran longer than its timeoutMs of %s and did not stop when asked.",
			   text_print_duration(c->timeout_ms, pause, sizeof(pause)));
	} else {
		for (size_t i = 0; i < sizeof(ordered) / sizeof(ordered[0]); i++)
			if (strcmp(cause, ordered[i].cause) == 0) {
				put_said(c, ordered[i].lead, out);
				goto tail;
			}
		put_other(c, out);
	}
tail:
	if (c->attempt > 1)
		buf_printf(out, " This was attempt %d of %d.", c->attempt, c->retries + 1);
	return out->failed ? -1 : 0;
}

static void put_detail(const struct judge_case *c, struct buf *out)
{
	const struct judge_end *e = c->end;
	int64_t limit = limit_of(c), peak = peak_of(c);
	buf_putc(out, '{');
	jtext_int(out, "limitBytes", limit > 0 ? limit : 0);
	jtext_int(out, "peakBytes", peak > 0 ? peak : 0);
	jtext_text(out, "peakSource", peak == e->peak_bytes && e->peak_source[0] ? e->peak_source : "sampled");
	jtext_text(out, "cgroup", e->cgroup);
	jtext_text(out, "limitOwner", e->limit_owner);
	jtext_text(out, "victimOf", e->victim_of[0] ? e->victim_of : NULL);
	jtext_member(out, "lastMinute");
	buf_putc(out, '[');
	for (int i = 0; c->kernel && i < c->kernel->nsamples; i++) {
		const struct kernel_sample *s = &c->kernel->samples[(c->kernel->first_sample + i) % KERNEL_SAMPLES];
		jtext_next(out);
		buf_printf(out, "{\"t\":%lld,\"memoryBytes\":%lld}", (long long)s->wall_ms, (long long)s->memory_bytes);
	}
	buf_puts(out, "]}");
}

const char *judge_error_type(const char *cause)
{
	static const struct {
		const char *cause, *type;
	} types[] = {
		{ "oom_limit", "DSS.OutOfMemory" }, { "oom_heap", "DSS.OutOfMemory" }, { "oom_host", "DSS.OutOfMemory" },
		{ "deadline", "DSS.Timeout" },      { "user", "DSS.Aborted" },         { "admin", "DSS.Aborted" },
	};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].cause, cause) == 0)
			return types[i].type;
	return "DSS.TaskKilled";
}

int judge_error(const struct judge_case *c, struct buf *json)
{
	struct buf text;
	buf_init(&text, 4096);
	if (judge_text(c, &text) < 0) {
		buf_fini(&text);
		return -1;
	}
	buf_putc(json, '{');
	jtext_text(json, "errorType", judge_error_type(c->end->cause));
	jtext_text(json, "message", text.data);
	jtext_text(json, "cause", c->end->cause);
	if (strncmp(c->end->cause, "oom_", 4) == 0) {
		jtext_member(json, "detail");
		put_detail(c, json);
	}
	buf_putc(json, '}');
	buf_fini(&text);
	return json->failed ? -1 : 0;
}
