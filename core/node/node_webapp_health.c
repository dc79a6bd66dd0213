/* node_webapp_health: does it still answer? One timer asks all webapps that named a path for it, each at its own interval. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "net/client.h"
#include "node/node_webapp_inner.h"
#include "sys/clock.h"

#define TICK_MS    1000
#define TIMEOUT_MS 10000
#define ANSWER_MAX ((size_t)1 << 20)

static bool is_asked(const struct node_webapp *w)
{
	return w->state == WEBAPP_RUNNING && w->health[0] && w->process[0];
}

void webapp_health_forget(struct node_webapp *w)
{
	client_cancel(&w->asking);
	w->failures = 0;
	w->unhealthy_ms = 0;
	w->is_unhealthy = false;
}

static void give_up(struct node_webapp *w, const char *why)
{
	char text[600], since[48];
	text_print_duration(clock_wall_ms() - w->unhealthy_ms, since, sizeof(since));
	snprintf(text, sizeof(text), "it did not answer GET %s well %d times in a row, for %s: %s", w->health, w->failures, since,
		 why);
	log_warn("webapp %s of project %s: %s", w->name, w->project, text);
	w->is_unhealthy = true; /* its end is a crash: it is started again as after any */
	webapp_stop_process(w, "policy", text);
}

static void on_answer(void *data, const struct client_answer *a)
{
	struct node_webapp *w = data;
	char why[300];
	w->asking = NULL;
	w->asked_mono_ms = clock_mono_ms();
	if (!is_asked(w) || w->is_unhealthy)
		return;
	if ((a->outcome == CLIENT_OK || a->outcome == CLIENT_TOO_LARGE) && a->status >= 200 && a->status < 300) {
		bool was_not = w->failures > 0;
		webapp_health_forget(w);
		if (was_not)
			webapp_keep(w, NULL, NULL);
		return;
	}
	if (a->error)
		snprintf(why, sizeof(why), "%.290s", a->error);
	else
		snprintf(why, sizeof(why), "status %d", a->status);
	if (w->failures++ == 0)
		w->unhealthy_ms = clock_wall_ms();
	if (w->failures >= w->failures_most)
		give_up(w, why);
	webapp_keep(w, NULL, NULL);
}

static void ask(struct node_webapp *w)
{
	char url[300];
	struct err err = { 0 };
	struct client_order order = {
		.url = url,
		.unix_path = w->socket[0] ? w->socket : NULL,
		.peer = w->process,
		.is_last = true,
		.timeout_ms = w->every_ms < TIMEOUT_MS ? w->every_ms : TIMEOUT_MS,
		.answer_max = ANSWER_MAX,
	};
	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", w->socket[0] ? 80 : w->port, w->health);
	w->asking = client_request(w->in->node->client, &order, on_answer, w, &err);
	if (!w->asking) {
		w->asked_mono_ms = clock_mono_ms();
		log_warn("unable to ask webapp %s of project %s how it is: %s", w->name, w->project, err.text);
	}
}

static void on_tick(void *data)
{
	struct node_webapps *t = data;
	size_t cursor = 0;
	bool is_any = false;
	int64_t now = clock_mono_ms();
	if (t->is_stopped)
		return;
	for (struct node_webapp *w; (w = map_next(t->by_name, &cursor));) {
		if (!is_asked(w))
			continue;
		is_any = true;
		if (!w->asking && !w->is_unhealthy && w->asked_mono_ms + w->every_ms <= now)
			ask(w);
	}
	if (is_any)
		loop_timer_start(t->health, TICK_MS);
}

void webapp_health_begin(struct node_webapp *w)
{
	struct node_webapps *t = w->in;
	if (!is_asked(w))
		return;
	w->asked_mono_ms = clock_mono_ms();
	if (!t->health)
		t->health = loop_timer_new(t->node->loop, on_tick, t);
	if (t->health && !loop_timer_is_running(t->health))
		loop_timer_start(t->health, TICK_MS);
}
