#include "node/node_gc.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "net/json.h"
#include "sys/clock.h"

#define ASK_MS      5000
#define FRACTION    0.98
#define LONG_MS     10000
#define HEALTH_PATH "/health?nonce=gc" /* who answers has proved itself on this connection */

static bool has_task(const struct talk *t)
{
	return t->is_jvm && !t->is_refused && !t->read_fn &&
	       (t->step == TALK_FOLLOW || t->step == TALK_ASK || t->step == TALK_POST);
}

static void stop(struct talk *t, double fraction, int64_t since_ms)
{
	char text[200];
	snprintf(text, sizeof(text), "The JVM of %.60s spent %.0f %% of its time collecting garbage for %lld s and got nowhere",
		 t->id, 100 * fraction, (long long)(since_ms / 1000));
	talk_stop(t, "oom_heap", text);
}

static void on_health(struct talk *t, const struct client_answer *a)
{
	int64_t now = clock_mono_ms();
	if (!has_task(t) || a->outcome != CLIENT_OK || a->status != 200)
		return;
	json_t *body = json_parse_object(a->body, a->len, NULL);
	const char *task = json_string_value(json_object_get(body, "taskId"));
	const json_t *told = json_object_get(body, "gcFraction");
	double fraction = task && strcmp(task, t->task) == 0 && json_is_number(told) ? json_number_value(told) : 0;
	json_decref(body);
	if (!(fraction >= FRACTION && fraction <= 1))
		t->gc_since_mono_ms = 0;
	else if (!t->gc_since_mono_ms)
		t->gc_since_mono_ms = now;
	else if (now - t->gc_since_mono_ms >= LONG_MS)
		stop(t, fraction, now - t->gc_since_mono_ms);
}

void node_gc_look(void *kernels)
{
	struct node_kernels *all = kernels;
	struct err err = { 0 };
	struct talk *t;
	size_t at = 0;
	bool is_any = false;
	while ((t = map_next(all->talks, &at))) {
		if (!has_task(t))
			continue;
		is_any = true;
		if (talk_aside(t, "GET", HEALTH_PATH, true, on_health, &err) < 0)
			log_warn("unable to ask %s for its health: %s", t->id, err.text);
	}
	if (is_any)
		loop_timer_start(all->gc_timer, ASK_MS);
}

void node_gc_begin(struct talk *t)
{
	t->gc_since_mono_ms = 0;
	if (t->is_jvm && !loop_timer_is_running(t->all->gc_timer))
		loop_timer_start(t->all->gc_timer, ASK_MS);
}
