#include "node/node_webapp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "fleet/guest.h"
#include "fleet/jtext.h"
#include "fleet/setting.h"
#include "fleet/webapp.h"
#include "node/node_board.h"
#include "node/node_meter.h"
#include "node/node_orders.h"
#include "node/node_spawn.h"
#include "node/node_webapp_inner.h"
#include "sys/clock.h"

#define GRACE_MS   5000
#define TAIL_MS    400 /* from a process's end until its last output stands in the log */
#define DELAY_MOST 60
#define LINES      50

/* --- the table --- */

static void make_name(const char *project, const char *name, char out[2 * JOB_NAME_MAX + 2])
{
	snprintf(out, 2 * JOB_NAME_MAX + 2, "%s/%s", project, name);
}

struct node_webapp *webapp_find(struct node_webapps *t, const char *project, const char *name)
{
	char full[2 * JOB_NAME_MAX + 2];
	make_name(project, name, full);
	return map_get(t->by_name, full);
}

static void webapp_free(struct node_webapp *w)
{
	/* asking was cancelled by node_webapps_stop: the client is gone by now */
	loop_timer_free(&w->timer);
	webapp_forget(w);
	json_decref(w->tags);
	json_decref(w->crashes);
	json_decref(w->last);
	free(w->reason);
	free(w);
}

static void on_timer(void *data);

struct node_webapp *webapp_get(struct node_webapps *t, const char *project, const char *name)
{
	char full[2 * JOB_NAME_MAX + 2];
	struct node_webapp *w = webapp_find(t, project, name);
	if (w || strlen(project) >= JOB_NAME_MAX || strlen(name) >= JOB_NAME_MAX || !(w = calloc(1, sizeof(*w))))
		return w;
	w->in = t;
	snprintf(w->project, sizeof(w->project), "%s", project);
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->cap = WEBAPP_CAP;
	w->crashes = json_array();
	w->timer = loop_timer_new(t->node->loop, on_timer, w);
	make_name(project, name, full);
	if (w->crashes && w->timer && map_set(t->by_name, full, w) == 0)
		return w;
	webapp_free(w);
	return NULL;
}

struct node_webapp *webapp_by_process(struct node_webapps *t, const char *process)
{
	size_t cursor = 0;
	if (strncmp(process, "webapp-", 7) != 0)
		return NULL;
	for (struct node_webapp *w; (w = map_next(t->by_name, &cursor));)
		if (strcmp(w->process, process) == 0)
			return w;
	return NULL;
}

static void take_saved(void *data, const struct webapp_row *row)
{
	struct node_webapp *w = webapp_get(data, row->project, row->name);
	if (w)
		webapp_take_saved(w, row);
}

/* --- giving up, trying again --- */

void webapp_give_up(struct node_webapp *w, const char *why)
{
	log_warn("webapp %s of project %s is not started: %s", w->name, w->project, why);
	w->state = WEBAPP_FAILED;
	w->process[0] = '\0';
	webapp_leave(w);
	webapp_set_reason(w, why);
	webapp_keep(w, NULL, NULL);
}

void webapp_later(struct node_webapp *w, int64_t ms, const char *why)
{
	w->state = WEBAPP_BACKOFF;
	w->process[0] = '\0';
	webapp_leave(w);
	webapp_set_reason(w, why);
	loop_timer_start(w->timer, ms);
}

/* 0, 1, 2, 4 … 60 s */
static int64_t delay_ms(size_t crashes)
{
	int64_t s = crashes < 2 ? 0 : crashes > 8 ? DELAY_MOST : (int64_t)1 << (crashes - 2);
	return (s < DELAY_MOST ? s : DELAY_MOST) * 1000;
}

static void read_tail(struct node_webapp *w)
{
	if (!w->is_silent)
		return;
	w->is_silent = false;
	if (w->last)
		json_object_set_new(w->last, "lines", webapp_tail(w->in->dir, w, LINES));
	webapp_keep(w, NULL, NULL);
	node_board_note(node_board(w->in->node), BOARD_WEBAPPS);
}

static void on_timer(void *data)
{
	struct node_webapp *w = data;
	int64_t since_ms = w->last ? clock_wall_ms() - json_integer_value(json_object_get(w->last, "at")) : 0;
	bool was_silent = w->is_silent;
	if (w->in->is_stopped)
		return;
	read_tail(w);
	if (w->state != WEBAPP_BACKOFF || !w->is_wanted)
		return;
	int64_t left = was_silent ? delay_ms(webapp_count_crashes(w, clock_wall_ms())) - since_ms : 0;
	if (left > 0)
		loop_timer_start(w->timer, left);
	else
		webapp_begin(w);
}

/* --- ends --- */

static void crashed(struct node_webapp *w, const struct judge_end *end)
{
	char text[2000];
	int64_t now = clock_wall_ms();
	bool is_late = w->state == WEBAPP_STARTING && strcmp(end->cause, "start_failed") == 0;
	struct judge_end seen = *end;
	if (w->is_unhealthy)
		snprintf(seen.cause, sizeof(seen.cause), "unhealthy");
	webapp_note_crash(w, &seen, now);
	json_array_append_new(w->crashes, json_integer(now));
	size_t n = webapp_count_crashes(w, now);
	w->state = is_late || n >= (size_t)(w->cap > 0 ? w->cap : 1) ? WEBAPP_FAILED : WEBAPP_BACKOFF;
	if (w->state == WEBAPP_FAILED && !is_late) {
		snprintf(text, sizeof(text), "It ended %zu times within 10 minutes and is not started again. The last time: %s", n,
			 w->reason ? w->reason : "");
		webapp_set_reason(w, text);
	}
	log_warn("webapp %s of project %s: %s", w->name, w->project, w->reason ? w->reason : "it ended");
	loop_timer_start(w->timer, TAIL_MS);
}

void webapp_end_process(struct node_webapp *w, const struct judge_end *end, store_done_fn *fn, void *data)
{
	bool is_again = w->is_again;
	w->process[0] = '\0';
	webapp_leave(w);
	w->port = 0;
	webapp_drop_socket(w);
	w->is_again = false;
	if (w->state == WEBAPP_STOPPING)
		w->state = WEBAPP_STOPPED;
	else if (strcmp(end->cause, "shutdown") == 0)
		w->state = WEBAPP_STOPPED; /* and wanted: the next start of the instance starts it */
	else
		crashed(w, end);
	webapp_health_forget(w);
	if (is_again)
		w->state = WEBAPP_STARTING;
	webapp_keep(w, fn, data); /* not taken: not acknowledged, the next backend hears it again */
	if (is_again)
		webapp_begin(w);
}

bool node_webapps_ended(struct node_webapps *t, const struct judge_end *end, store_done_fn *fn, void *data)
{
	struct node_webapp *w = webapp_by_process(t, end->id);
	if (!w)
		return false;
	webapp_end_process(w, end, fn, data);
	return true;
}

void node_webapps_ready(struct node_webapps *t, const char *process)
{
	struct node_webapp *w = webapp_by_process(t, process);
	if (!w || w->state != WEBAPP_STARTING)
		return;
	w->state = WEBAPP_RUNNING;
	w->ready_ms = clock_wall_ms();
	webapp_set_reason(w, NULL);
	if (w->socket[0])
		log_info("webapp %s of project %s answers on %s", w->name, w->project, w->socket);
	else
		log_info("webapp %s of project %s answers on port %d", w->name, w->project, w->port);
	webapp_health_begin(w);
	webapp_keep(w, NULL, NULL);
}

/* --- wishes --- */

void webapp_stop_process(struct node_webapp *w, const char *cause, const char *text)
{
	struct err err = { 0 };
	if (node_orders_stop(w->in->node, w->process, cause, text, GRACE_MS, &err) < 0)
		log_error("unable to stop %s: %s", w->process, err.text);
}

int node_webapps_start(struct node_webapps *t, const char *project, const char *name, struct err *err)
{
	struct node_webapp *w = webapp_get(t, project, name);
	if (!w)
		return err_set(err, "unable to start webapp %s: no memory", name);
	if (!t->node->facts.is_taken_up || t->is_stopped)
		return err_set(err, "unable to start webapp %s: the backend is starting or ending", name);
	read_tail(w);
	w->is_wanted = true;
	json_array_clear(w->crashes);
	webapp_set_reason(w, NULL);
	if (!w->process[0]) {
		webapp_begin(w);
		webapp_keep(w, NULL, NULL);
		return 0;
	}
	w->is_again = true;
	if (w->state == WEBAPP_STOPPING)
		return webapp_keep(w, NULL, NULL);
	w->state = WEBAPP_STOPPING;
	webapp_stop_process(w, "user", "it is restarted");
	return webapp_keep(w, NULL, NULL);
}

void node_webapps_halt(struct node_webapps *t, const char *project, const char *name, const char *by, const char *cause)
{
	char text[300];
	struct node_webapp *w = webapp_find(t, project, name);
	if (!w)
		return;
	snprintf(text, sizeof(text), "stopped by %.200s", by);
	webapp_set_reason(w, NULL);
	webapp_halt(w, cause, text);
}

void webapp_halt(struct node_webapp *w, const char *cause, const char *text)
{
	read_tail(w);
	w->is_wanted = w->is_again = false;
	if (w->process[0] && w->state != WEBAPP_STOPPING) {
		w->state = WEBAPP_STOPPING;
		webapp_stop_process(w, cause, text);
	} else if (!w->process[0]) {
		w->turn++;
		loop_timer_stop(w->timer);
		webapp_leave(w);
		w->state = WEBAPP_STOPPED;
	}
	webapp_keep(w, NULL, NULL);
}

/* --- what others ask --- */

void webapp_tell_wait(struct node_webapp *w)
{
	char why[800], text[900];
	int position = 0;
	if (!guest_why(w->guest, why, sizeof(why), &position))
		return;
	snprintf(text, sizeof(text), "Waits for a place, position %d: %s", position, why);
	webapp_set_reason(w, text);
}

static void put_use(const struct node_webapp *w, struct buf *out)
{
	struct node_use use;
	node_meter_use(w->in->node->meter, w->process, &use);
	jtext_some_int(out, "memoryBytes", use.memory_bytes);
	jtext_some_int(out, "peakBytes", use.peak_bytes);
	if (use.cpu_ms >= 0) {
		jtext_member(out, "cpuSeconds");
		buf_printf(out, "%.3f", (double)use.cpu_ms / 1000);
	}
}

bool node_webapps_json(struct node_webapps *t, const char *project, const char *name, struct buf *out)
{
	struct node_webapp *w = webapp_find(t, project, name);
	if (!w)
		return false;
	webapp_count_crashes(w, clock_wall_ms());
	webapp_tell_wait(w);
	buf_putc(out, '{');
	jtext_text(out, "state", webapp_states[w->state]);
	if (w->process[0])
		put_use(w, out);
	jtext_text(out, "wanted", w->is_wanted ? "running" : "stopped");
	jtext_some_text(out, "processId", w->process);
	if (guest_is_waiting(w->guest))
		jtext_int(out, "waitingSince", guest_since(w->guest));
	if (w->unhealthy_ms)
		jtext_int(out, "unhealthySince", w->unhealthy_ms);
	if (w->process[0] && w->port > 0)
		jtext_int(out, "port", w->port);
	if (w->process[0])
		jtext_some_text(out, "socket", w->socket);
	webapp_put_detail(w, out);
	buf_putc(out, '}');
	return true;
}

void node_webapps_put_row(struct node_webapps *t, const char *process, struct buf *out)
{
	const struct node_webapp *w = webapp_by_process(t, process);
	if (!w)
		return;
	jtext_text(out, "user", w->owner);
	jtext_text(out, "project", w->project);
	jtext_text(out, "webApp", w->name);
	jtext_int(out, "port", w->port);
}

const char *node_webapps_owner(struct node_webapps *t, const char *process)
{
	const struct node_webapp *w = webapp_by_process(t, process);
	return w ? w->owner : NULL;
}

void node_webapps_address(struct node_webapps *t, const char *project, const char *name, struct node_webapp_address *out)
{
	const struct node_webapp *w = webapp_find(t, project, name);
	*out = (struct node_webapp_address){ .process = "", .socket = "" };
	if (w)
		*out = (struct node_webapp_address){ webapp_states[w->state], w->process, w->reason, w->socket, w->port };
}

void node_webapps_sign(const struct node_webapps *t, const char *text, size_t len, char hex[DIGEST_HEX_SIZE])
{
	char key[DIGEST_HEX_SIZE];
	static const char use[] = "passes of webapps";
	/* A key of its own: nothing that is signed for other ends can be taken for one of these. */
	digest_hmac_sha256_hex(t->node->key, t->node->key_len, use, sizeof(use) - 1, key);
	digest_hmac_sha256_hex(key, sizeof(key) - 1, text, len, hex);
	explicit_bzero(key, sizeof(key));
}

const char *node_webapps_ticket(struct node_webapps *t, const char *ticket)
{
	char process[JOB_PROCESS_MAX];
	if (!node_spawn_read_ticket(t->node, ticket, process))
		return NULL;
	const struct node_webapp *w = webapp_by_process(t, process);
	if (!w)
		return NULL;
	return settings_owner(t->node->settings, w->project, t->acting, sizeof(t->acting)) ? t->acting : w->owner;
}

/* --- set-up --- */

struct node_webapps *node_webapps_new(struct node *n, const char *dir, struct err *err)
{
	struct node_webapps *t = calloc(1, sizeof(*t));
	if (t) {
		t->node = n;
		t->by_name = map_new();
		if (strlen(dir) < sizeof(t->dir))
			snprintf(t->dir, sizeof(t->dir), "%s", dir);
	}
	if (!t || !t->by_name || !t->dir[0]) {
		err_set(err, "unable to load the webapps: %s", t && t->by_name ? "the folder's name is too long" : "no memory");
		node_webapps_free(&t);
		return NULL;
	}
	if (webapp_load(fleet_store(n->fleet), take_saved, t, err) < 0)
		node_webapps_free(&t);
	return t;
}

void node_webapps_stop(struct node_webapps *t)
{
	size_t cursor = 0;
	t->is_stopped = true;
	for (struct node_webapp *w; (w = map_next(t->by_name, &cursor));)
		webapp_health_forget(w);
}

void node_webapps_free(struct node_webapps **tp)
{
	struct node_webapps *t = *tp;
	size_t cursor = 0;
	if (!t)
		return;
	for (struct node_webapp *w; t->by_name && (w = map_next(t->by_name, &cursor));)
		webapp_free(w);
	map_free(&t->by_name);
	for (size_t i = 0; i < t->nkeys; i++)
		free(t->keys[i]);
	free(t->keys);
	loop_timer_free(&t->health);
	free(t);
	*tp = NULL;
}
