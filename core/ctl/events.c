/* events: what happened, as lines: the newest ones, or as they come. Server-sent events; ids are epoch-seq, so that nothing is missed
 * when the backend is replaced. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/say.h"

enum { EVENT_MAX = 1024 * 1024, LINES = 20, LINES_MOST = 10000, QUIET_S = 1, PAUSE_MS = 200, ID_ROOM = 64, DETAIL_ROOM = 300 };

struct events {
	struct ctl *ctl;
	struct buf bytes;    /* an event that is not whole yet */
	char last[ID_ROOM];  /* id of the newest one seen */
	char until[ID_ROOM]; /* without --follow: the newest there was when we asked; "" = not told yet */
	bool is_following, is_over;
	char **lines; /* without --follow: a ring of the newest */
	int64_t most, count;
};

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

static void keep(struct events *e, const char *line)
{
	char **at = &e->lines[e->count++ % e->most];
	free(*at);
	*at = strdup(line);
}

static void show(struct events *e, const char *line)
{
	if (!e->is_following) {
		keep(e, line);
		return;
	}
	printf("%s\n", line);
	fflush(stdout);
}

/* "14:02:11  task.ended  qk2…  {…}" */
static void print_event(struct events *e, const char *name, const char *data)
{
	char when[32], subject[160], shown[DETAIL_ROOM];
	struct buf b;
	if (e->ctl->json) {
		show(e, data);
		return;
	}
	json_t *o = json_loads(data, 0, NULL);
	const char *about = rest_text(o, "subject");
	const json_t *detail = json_object_get(o, "detail");
	char *more = detail != NULL ? json_dumps(detail, JSON_COMPACT) : NULL;
	text_escape(subject, sizeof(subject), about, strlen(about));
	text_escape(shown, sizeof(shown), more != NULL ? more : rest_text(o, "text"),
		    strlen(more != NULL ? more : rest_text(o, "text")));
	buf_init(&b, EVENT_MAX);
	buf_printf(&b, "%-8s  %-16s  %-18s  %s", say_time((int64_t)rest_number(o, "at", 0), when, sizeof(when)), name, subject,
		   shown);
	if (!b.failed)
		show(e, b.data);
	buf_fini(&b);
	free(more);
	json_decref(o);
}

static bool is_at_least(const char *id, const char *other)
{
	long long a[2] = { 0 }, b[2] = { 0 };
	return sscanf(id, "%lld-%lld", &a[0], &a[1]) == 2 && sscanf(other, "%lld-%lld", &b[0], &b[1]) == 2 &&
	       (a[0] > b[0] || (a[0] == b[0] && a[1] >= b[1]));
}

/* One whole event, its lines ended by NUL. */
static void take_event(struct events *e, char *text)
{
	const char *name = "", *data = NULL;
	char *rest = NULL;
	for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "id: ", 4) == 0)
			snprintf(e->last, sizeof(e->last), "%s", line + 4);
		else if (strncmp(line, "event: ", 7) == 0)
			name = line + 7;
		else if (strncmp(line, "data: ", 6) == 0)
			data = line + 6;
	}
	if (data == NULL)
		return;
	if (strcmp(name, "hello") == 0) {
		json_t *o = json_loads(data, JSON_DECODE_INT_AS_REAL, NULL);
		snprintf(e->until, sizeof(e->until), "%.0f-%.0f", rest_number(o, "epoch", 0), rest_number(o, "seq", 0));
		json_decref(o);
		return;
	}
	print_event(e, name, data);
	e->is_over = !e->is_following && e->until[0] != '\0' && is_at_least(e->last, e->until);
}

static bool take_piece(void *data, const char *bytes, size_t n)
{
	struct events *e = data;
	if (buf_put(&e->bytes, bytes, n) < 0)
		return false;
	for (char *end; e->bytes.len > 0 && (end = strstr(e->bytes.data, "\n\n")) != NULL;) {
		size_t len = (size_t)(end - e->bytes.data);
		e->bytes.data[len] = '\0';
		take_event(e, e->bytes.data);
		buf_drop(&e->bytes, len + 2);
	}
	return !e->is_over && !stop;
}

static int follow(struct events *e, struct rest *rest)
{
	char header[ID_ROOM + 32];
	int pause_ms = PAUSE_MS, code;
	do {
		snprintf(header, sizeof(header), "Last-Event-ID: %s", e->last);
		buf_clear(&e->bytes);
		code = rest_stream(rest, "/api/events", e->last[0] != '\0' ? header : NULL, e->is_following ? 0 : QUIET_S,
				   take_piece, e);
		if (code == CTL_DONE && e->is_following && !stop)
			rest_pause(rest, &pause_ms);
	} while (code == CTL_DONE && e->is_following && !stop);
	return stop ? CTL_DONE : code;
}

int events_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL, *since = NULL;
	struct events e = { .ctl = ctl, .most = LINES };
	struct rest *rest = NULL;
	struct sigaction act = { .sa_handler = on_signal };
	const struct opt opts[] = {
		{ "follow", NULL, "go on with those that come, until Ctrl-C", OPT_FLAG, &e.is_following, 0, 0, NULL },
		{ "n", "LINES", "how many of the newest, without --follow (20)", OPT_INT, &e.most, 1, LINES_MOST, NULL },
		{ "since", "ID", "those after this one", OPT_TEXT, &since, 0, 0, NULL },
		OPT_KEY_FILE(&key_file),
		{ 0 },
	};
	struct opt_words words = { .usage = "[--follow] [-n LINES] [--since ID] [--json]",
				   .about = "What happened: processes and tasks that came and went. --json: one object a line." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	buf_init(&e.bytes, EVENT_MAX);
	e.lines = calloc((size_t)e.most, sizeof(*e.lines));
	snprintf(e.last, sizeof(e.last), "%s", since != NULL ? since : e.is_following ? "" : "0-0");
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	rest_stop_on(rest, &stop);
	code = e.lines != NULL ? follow(&e, rest) : ctl_fail(CTL_FAILED, "no memory");
	for (int64_t i = e.count > e.most ? e.count - e.most : 0; i < e.count && e.lines != NULL; i++)
		if (!e.is_following && e.lines[i % e.most] != NULL)
			printf("%s\n", e.lines[i % e.most]);
	for (int64_t i = 0; i < e.most && e.lines != NULL; i++)
		free(e.lines[i]);
	free(e.lines);
	buf_fini(&e.bytes);
	rest_close(&rest);
	return code;
}
