/* node_webapp_row: what is kept of a webapp, and what its owner reads of its crashes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "fleet/alerts.h"
#include "fleet/jtext.h"
#include "net/json.h"
#include "node/node_board.h"
#include "node/node_webapp_inner.h"
#include "sys/clock.h"

#define WINDOW_MS  (10 * 60 * 1000)
#define DETAIL_MAX ((size_t)1 << 20)

const char *const webapp_states[] = { "stopped", "starting", "running", "stopping", "backoff", "failed", NULL };

void webapp_set_reason(struct node_webapp *w, const char *text)
{
	free(w->reason);
	w->reason = text && *text ? strdup(text) : NULL;
}

/* --- the row --- */

void webapp_put_detail(const struct node_webapp *w, struct buf *out)
{
	jtext_some_text(out, "owner", w->owner);
	jtext_some_text(out, "house", w->house);
	jtext_some_text(out, "socketPath", w->socket);
	if (w->health[0]) {
		jtext_text(out, "health", w->health);
		jtext_int(out, "healthEveryMs", w->every_ms);
		jtext_int(out, "healthFailuresMost", w->failures_most);
	}
	jtext_int(out, "cap", w->cap);
	jtext_some_int(out, "limitBytes", w->limit_bytes > 0 ? w->limit_bytes : -1);
	if (json_array_size(w->tags) > 0) {
		jtext_member(out, "tags");
		json_put(out, w->tags);
	}
	if (w->is_autostart)
		jtext_int(out, "startsItself", 1);
	jtext_int(out, "starts", w->starts);
	jtext_int(out, "startedAt", w->started_ms);
	jtext_int(out, "readyAt", w->ready_ms);
	jtext_some_text(out, "reason", w->reason);
	jtext_member(out, "crashes");
	json_put(out, w->crashes);
	if (w->last) {
		jtext_member(out, "lastCrash");
		json_put(out, w->last);
	}
}

/* Until it runs, is stopped or is started anew. */
void webapp_alert(const struct node_webapp *w)
{
	char key[2 * JOB_NAME_MAX + 16], text[3000], begins[500], since[48];
	struct alerts *alerts = fleet_alerts(w->in->node->fleet);
	snprintf(key, sizeof(key), "webapp:%s/%s", w->project, w->name);
	snprintf(begins, sizeof(begins), "webapp %s of project %s%s%s", w->name, w->project, w->owner[0] ? ", of " : "", w->owner);
	if (w->state == WEBAPP_FAILED) {
		snprintf(text, sizeof(text), "%s, has failed: %.2000s; dssctl webapps start %s %s starts it again", begins,
			 w->reason ? w->reason : "nobody knows why", w->project, w->name);
		alerts_raise(alerts, key, ALERT_WARNING, key + strlen("webapp:"), NULL, text);
	} else if (w->state == WEBAPP_RUNNING && w->unhealthy_ms) {
		text_print_duration(clock_wall_ms() - w->unhealthy_ms, since, sizeof(since));
		snprintf(text, sizeof(text),
			 "%s, is unhealthy: GET %s was not answered well %d of %d times in a row, for %s; then it is started again",
			 begins, w->health, w->failures, w->failures_most, since);
		alerts_renew(alerts, key, ALERT_WARNING, key + strlen("webapp:"), NULL, text);
	} else {
		alerts_clear(alerts, key);
	}
}

int webapp_keep(const struct node_webapp *w, store_done_fn *fn, void *data)
{
	struct buf detail;
	webapp_alert(w);
	if (!w->process[0] && (w->state == WEBAPP_STOPPED || w->state == WEBAPP_FAILED))
		node_board_webapp_ended(node_board(w->in->node), w->owner, w->project, w->name);
	buf_init(&detail, DETAIL_MAX);
	buf_putc(&detail, '{');
	webapp_put_detail(w, &detail);
	buf_putc(&detail, '}');
	const struct webapp_row row = {
		w->project, w->name, webapp_states[w->state], w->process, w->is_wanted, w->port, detail.data
	};
	int rc = detail.failed ? -1 : webapp_save(fleet_store(w->in->node->fleet), &row, fn, data);
	buf_fini(&detail);
	if (rc < 0)
		log_error("unable to save webapp %s of project %s: the store takes nothing now", w->name, w->project);
	return rc;
}

void webapp_take_saved(struct node_webapp *w, const struct webapp_row *row)
{
	json_t *d = json_parse_object(row->detail, strlen(row->detail), NULL);
	if (d) {
		snprintf(w->process, sizeof(w->process), "%s", row->process);
		w->is_wanted = row->is_wanted;
		w->port = row->port;
		for (size_t i = 0; webapp_states[i]; i++)
			if (strcmp(webapp_states[i], row->state) == 0)
				w->state = (enum webapp_state)i;
		json_copy_text(d, "owner", w->owner, sizeof(w->owner));
		json_copy_text(d, "house", w->house, sizeof(w->house));
		json_copy_text(d, "socketPath", w->socket, sizeof(w->socket));
		json_copy_text(d, "health", w->health, sizeof(w->health));
		w->every_ms = json_integer_value(json_object_get(d, "healthEveryMs"));
		w->failures_most = (int)json_integer_value(json_object_get(d, "healthFailuresMost"));
		w->cap = (int)json_integer_value(json_object_get(d, "cap"));
		w->limit_bytes = json_integer_value(json_object_get(d, "limitBytes"));
		w->tags = json_incref(json_object_get(d, "tags"));
		w->is_autostart = json_integer_value(json_object_get(d, "startsItself")) > 0;
		w->starts = (int)json_integer_value(json_object_get(d, "starts"));
		w->started_ms = json_integer_value(json_object_get(d, "startedAt"));
		w->ready_ms = json_integer_value(json_object_get(d, "readyAt"));
		webapp_set_reason(w, json_string_value(json_object_get(d, "reason")));
		json_array_extend(w->crashes, json_object_get(d, "crashes"));
		w->last = json_incref(json_object_get(d, "lastCrash"));
	}
	json_decref(d);
}

/* Those within the window; the newest ones stay. */
size_t webapp_count_crashes(struct node_webapp *w, int64_t now)
{
	while (json_array_size(w->crashes) > 0 && json_integer_value(json_array_get(w->crashes, 0)) < now - WINDOW_MS)
		json_array_remove(w->crashes, 0);
	return json_array_size(w->crashes);
}

void webapp_note_crash(struct node_webapp *w, const struct judge_end *end, int64_t now)
{
	char text[1600];
	webapp_tell_end(w, end, text, sizeof(text));
	json_decref(w->last);
	w->last = json_object();
	json_object_set_new(w->last, "at", json_integer(now));
	json_object_set_new(w->last, "cause", json_string(end->cause[0] ? end->cause : "unknown"));
	json_object_set_new(w->last, "message", json_string(text));
	const struct {
		const char *key;
		int64_t value;
	} numbers[] = { { "code", end->code },
			{ "signal", end->signal },
			{ "peakBytes", end->peak_bytes },
			{ "limitBytes", end->limit_bytes } };
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].value >= 0)
			json_object_set_new(w->last, numbers[i].key, json_integer(numbers[i].value));
	json_object_set_new(w->last, "lines", json_array());
	w->is_silent = true;
	webapp_set_reason(w, text);
}
