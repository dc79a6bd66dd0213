/* node_notebook_json: what the server says of its sessions and kernels, read with mistrust; and sessions as rows of ours. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/map.h"
#include "base/text.h"
#include "fleet/jtext.h"
#include "node/node_notebook_look.h"
#include "sys/clock.h"

#define CONNECTIONS_MOST 100000
#define PATH_MOST        2000

static bool is_kernel_id(const char *id)
{
	size_t n = id ? strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") : 0;
	return n > 0 && n < 64 && !id[n];
}

/* "2026-11-21T20:35:06.123456Z", also with an offset of nothing; 0: it is no time. */
static int64_t time_of(const json_t *v)
{
	struct tm tm = { 0 };
	const char *s = json_string_value(v), *end = s ? strptime(s, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t ms = 0;
	if (!end)
		return 0;
	if (*end == '.') {
		int64_t unit = 100;
		for (end++; *end >= '0' && *end <= '9'; end++, unit /= 10)
			ms += (*end - '0') * unit;
	}
	if (*end && strcmp(end, "Z") != 0 && strcmp(end, "+00:00") != 0)
		return 0;
	time_t seconds = timegm(&tm);
	return seconds > 0 ? (int64_t)seconds * 1000 + ms : 0;
}

static enum idle_state state_of(const json_t *v)
{
	static const struct {
		const char *said;
		enum idle_state state;
	} words[] = { { "idle", IDLE_IDLE },
		      { "busy", IDLE_BUSY },
		      { "starting", IDLE_STARTING },
		      { "restarting", IDLE_STARTING },
		      { "autorestarting", IDLE_STARTING } };
	const char *s = json_string_value(v);
	for (size_t i = 0; s && i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].said, s) == 0)
			return words[i].state;
	return IDLE_UNKNOWN;
}

static void read_kernel(struct look_kernel *k, const json_t *v)
{
	json_t *n = json_object_get(v, "connections"), *work = json_object_get(v, "dss_work");
	json_t *state = json_object_get(v, "dss_state"); /* of our own server: it knows more than the last status */
	int64_t connections = json_is_integer(n) ? json_integer_value(n) : -1;
	k->said = (struct idle_look){ .state = state_of(state ? state : json_object_get(v, "execution_state")),
				      .connections = connections > CONNECTIONS_MOST ? -1 : connections,
				      .activity_ms = time_of(json_object_get(v, "last_activity")),
				      .is_exact = work != NULL, /* kernels/jupyter tells requests apart; null = none so far */
				      .work_ms = time_of(work),
				      .cpu_ms = -1 };
	snprintf(k->spec, sizeof(k->spec), "%s",
		 json_string_value(json_object_get(v, "name")) ? json_string_value(json_object_get(v, "name")) : "");
}

/* Texts that are there twice, or are no ids, are no answer of a server. */
static int check_ids(const json_t *list, const char *what, struct err *err)
{
	size_t i;
	json_t *v;
	int code = 0;
	struct map *seen = json_is_array(list) ? map_new() : NULL;
	if (!seen)
		return err_set(err, "its %ss are no list", what);
	if (json_array_size(list) > LOOK_SESSIONS_MOST)
		code = err_set(err, "it tells of more than %d %ss", LOOK_SESSIONS_MOST, what);
	json_array_foreach(list, i, v)
	{
		const char *id = json_string_value(json_object_get(v, "id"));
		if (code < 0)
			break;
		if (!is_kernel_id(id))
			code = err_set(err, "it tells of a %s without an id", what);
		else if (map_get(seen, id))
			code = err_set(err, "it tells of %s %s twice", what, id);
		else if (map_set(seen, id, (void *)id) < 0)
			code = err_set(err, "no memory");
	}
	map_free(&seen);
	return code;
}

static struct look_kernel *kernel_of(struct notebook_look *l, const char *id)
{
	struct look_kernel *k = look_find(l, id);
	if (k)
		return k;
	if (!(k = look_new_kernel(id)))
		return NULL;
	struct notebook_kernel *row = node_notebooks_find(l->t, id);
	if (row) {
		row->look = k;
	} else if (map_set(l->others, id, k) < 0) {
		look_free_kernel(k);
		return NULL;
	}
	return k;
}

int look_read(struct notebook_look *l, const json_t *sessions, const json_t *kernels, struct err *err)
{
	size_t i;
	json_t *v;
	if (check_ids(sessions, "session", err) < 0 || check_ids(kernels, "kernel", err) < 0)
		return -1;
	size_t n = 0, room = json_array_size(sessions);
	struct look_session *all = calloc(room + 1, sizeof(*all));
	if (!all)
		return err_set(err, "no memory");
	json_array_foreach(sessions, i, v)
	{
		const json_t *kernel = json_object_get(v, "kernel");
		const char *id = json_string_value(json_object_get(kernel, "id")),
			   *path = json_string_value(json_object_get(v, "path"));
		struct look_session *s = &all[n];
		if (!is_kernel_id(id) || !path || strlen(path) > PATH_MOST || !(s->path = strdup(path))) {
			look_free_sessions(all, n);
			return err_set(err, "it tells of a session without a kernel or a path");
		}
		snprintf(s->id, sizeof(s->id), "%s", json_string_value(json_object_get(v, "id")));
		snprintf(s->kernel, sizeof(s->kernel), "%s", id);
		s->is_gone = json_is_true(json_object_get(v, "dss_gone")); /* our own server looks */
		n++;
	}
	if (look_set_sessions(l, all, n, err) < 0) {
		look_free_sessions(all, n);
		return -1;
	}
	json_array_foreach(kernels, i, v)
	{
		struct look_kernel *k = kernel_of(l, json_string_value(json_object_get(v, "id")));
		if (!k)
			continue; /* no memory: it is not known to be idle */
		k->round = l->round;
		k->nsessions = 0;
		read_kernel(k, v);
	}
	for (i = 0; i < n; i++) {
		struct look_kernel *k = look_find(l, all[i].kernel);
		if (k && k->round == l->round)
			k->nsessions++;
	}
	return 0;
}

/* --- rows --- */

static void put_some(struct buf *out, const char *name, int64_t value)
{
	jtext_some_int(out, name, value > 0 ? value : -1);
}

void look_put_session(const struct notebook_session *s, struct buf *out)
{
	char share[32];
	jtext_next(out);
	buf_putc(out, '{');
	jtext_text(out, "id", s->id);
	jtext_text(out, "kernelId", s->kernel);
	jtext_text(out, "notebook", s->path);
	jtext_text(out, "project", s->project);
	jtext_text(out, "user", s->user);
	jtext_some_text(out, "bornProject", s->born_project);
	jtext_some_text(out, "bornUser", s->born_user);
	if (s->is_gone)
		jtext_bool(out, "fileGone", true);
	jtext_some_text(out, "kernelSpec", s->spec);
	jtext_some_text(out, "processId", s->process);
	put_some(out, "pid", s->pid);
	jtext_text(out, "state", idle_state_name(s->state));
	jtext_some_text(out, "stateReason", s->state == IDLE_UNKNOWN ? s->unknown_why : "");
	jtext_some_int(out, "connections", s->connections);
	jtext_int(out, "sessions", s->nsessions);
	jtext_some_int(out, "memoryBytes", s->memory_bytes);
	jtext_some_int(out, "peakBytes", s->peak_bytes);
	put_some(out, "limitBytes", s->limit_bytes);
	if (s->cpu_ms >= 0) {
		jtext_member(out, "cpuSeconds");
		buf_printf(out, "%.3f", (double)s->cpu_ms / 1000);
	}
	if (s->share >= 0) {
		snprintf(share, sizeof(share), "%.4f", s->share);
		jtext_raw(out, "cpuShare", share, strlen(share));
	}
	put_some(out, "startedAt", s->started_ms);
	put_some(out, "lastActivity", s->work_ms);
	jtext_some_int(out, "quietTime", s->quiet_ms);
	jtext_some_int(out, "silentTime", s->silent_ms);
	jtext_bool(out, "leased", s->lease_ms > 0);
	put_some(out, "leasedUntil", s->lease_ms);
	if (s->lease_ms > 0)
		jtext_some_text(out, "leasedBy", s->leased_by);
	buf_putc(out, '}');
}
