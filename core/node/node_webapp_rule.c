/* node_webapp_rule: webapps as rules see them, and what rules order. */
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "fleet/guest.h"
#include "node/node_webapp_inner.h"
#include "sys/clock.h"

static bool is_seen(const struct node_webapp *w)
{
	return w->state != WEBAPP_STOPPING && (w->is_wanted || w->process[0]);
}

void node_webapps_each(struct node_webapps *t, node_webapp_fn *fn, void *data)
{
	char id[2 * JOB_NAME_MAX + 2];
	size_t cursor = 0;
	for (struct node_webapp *w; (w = map_next(t->by_name, &cursor));)
		if (is_seen(w)) {
			snprintf(id, sizeof(id), "%s/%s", w->project, w->name);
			fn(data, id);
		}
}

static struct node_webapp *find(struct node_webapps *t, const char *id)
{
	struct node_webapp *w = map_get(t->by_name, id);
	return w && is_seen(w) ? w : NULL;
}

static void look_at(struct node_webapp *w, struct node_webapp_view *out)
{
	webapp_tell_wait(w);
	*out = (struct node_webapp_view){
		.project = w->project,
		.name = w->name,
		.owner = w->owner,
		.state = webapp_states[w->state],
		.process = w->process,
		.reason = w->reason,
		.tags = w->tags,
		.started_ms = w->started_ms,
		.ready_ms = w->ready_ms,
		.unhealthy_ms = w->unhealthy_ms,
		.waiting_ms = guest_is_waiting(w->guest) ? guest_since(w->guest) : 0,
		.limit_bytes = w->limit_bytes,
		.port = w->process[0] && w->port > 0 ? w->port : 0,
		.crashes = (int)webapp_count_crashes(w, clock_wall_ms()),
		.is_wanted = w->is_wanted,
		.is_autostart = w->is_autostart,
	};
}

bool node_webapps_look(struct node_webapps *t, const char *id, struct node_webapp_view *out)
{
	struct node_webapp *w = find(t, id);
	if (w)
		look_at(w, out);
	return w != NULL;
}

void node_webapps_each_view(struct node_webapps *t, node_webapp_view_fn *fn, void *data)
{
	struct node_webapp_view view;
	size_t cursor = 0;
	for (struct node_webapp *w; (w = map_next(t->by_name, &cursor));) {
		if (!w->process[0] && (w->state == WEBAPP_STOPPED || w->state == WEBAPP_FAILED))
			continue;
		look_at(w, &view);
		fn(data, &view);
	}
}

int node_webapps_kill(struct node_webapps *t, const char *id, const char *why, struct err *err)
{
	char text[1000];
	struct node_webapp *w = find(t, id);
	if (!w)
		return err_set(err, "webapp %s is not running", id);
	snprintf(text, sizeof(text), "Stopped by a policy: %s. Start it again when that is mended.", why);
	webapp_set_reason(w, text);
	webapp_halt(w, "policy", why);
	return 0;
}

int node_webapps_retire(struct node_webapps *t, const char *id, const char *why, struct err *err)
{
	struct node_webapp *w = find(t, id);
	if (!w || !w->process[0] || w->state != WEBAPP_RUNNING)
		return err_set(err, "webapp %s is not running", id);
	w->is_again = true;
	w->state = WEBAPP_STOPPING;
	webapp_stop_process(w, "policy", why);
	webapp_keep(w, NULL, NULL);
	return 0;
}
