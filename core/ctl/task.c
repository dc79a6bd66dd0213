#include "ctl/task.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/opt.h"
#include "ctl/span.h"
#include "sys/clock.h"

enum {
	PATH_ROOM = 512,
	LOOK_S = 1,        /* how long one look waits for the end: with a progress line to keep fresh, */
	QUIET_LOOK_S = 20, /* and without */
	TURN_MS = 100,
	BAR = 24,
	LINE_ROOM = 400,
};

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signo)
{
	(void)signo;
	is_interrupted = 1;
}

int task_path(const char *id, const char *query, char *out, size_t room)
{
	char escaped[PATH_ROOM - 64];
	if (!text_is_id(id, strlen(id)) || rest_escape(id, escaped, sizeof(escaped)) < 0) {
		char shown[80];
		text_escape(shown, sizeof(shown), id, strlen(id));
		return ctl_fail(CTL_USAGE, "\"%s\" is no task's id", shown);
	}
	snprintf(out, room, "/public/api/futures/%s%s", escaped, query);
	return CTL_DONE;
}

/* --- while it runs --- */

void task_line_clear(struct task_line *l)
{
	if (l->is_shown)
		fputs("\r\033[K", stderr);
	l->is_shown = false;
}

static void print_bar(double fraction)
{
	int full = (int)(fraction * BAR + 0.5);
	fputc('[', stderr);
	for (int i = 0; i < BAR; i++)
		fputc(i < full ? '#' : '.', stderr);
	fprintf(stderr, "] %3d %%  ", (int)(fraction * 100 + 0.5));
}

void task_line_show(struct task_line *l, const json_t *state)
{
	char text[LINE_ROOM];
	if (!l->is_terminal)
		return;
	const json_t *progress = json_object_get(state, "progress");
	const char *message = rest_text(progress, "message");
	double fraction = rest_number(progress, "fraction", -1);
	int position = (int)rest_number(state, "position", 0);
	task_line_clear(l);
	if (strcmp(rest_text(state, "state"), "queued") == 0) {
		message = rest_text(state, "reason");
		fprintf(stderr, position > 0 ? "waiting, number %d in the queue" : "waiting", position);
		fputs(message[0] != '\0' ? ": " : "", stderr);
	} else if (fraction >= 0 && fraction <= 1) {
		print_bar(fraction);
	} else {
		char took[48];
		text_print_duration((int64_t)(rest_number(state, "runningTime", 0) / 1000) * 1000, took, sizeof(took));
		fprintf(stderr, "running (%s)  ", took);
	}
	text_escape(text, sizeof(text), message, strlen(message));
	fprintf(stderr, "%.100s", text);
	fflush(stderr);
	l->is_shown = true;
}

/* --- at its end --- */

static int print_result(struct ctl *ctl, const struct rest_answer *a)
{
	size_t len = a->body.len;
	const char *bytes = ctl->json ? a->body.data : span_member(a->body.data, "result", &len);
	if (bytes == NULL) {
		bytes = "null";
		len = strlen(bytes);
	}
	if (fwrite(bytes, 1, len, stdout) != len || fputc('\n', stdout) == EOF || fflush(stdout) != 0)
		return ctl_fail(CTL_FAILED, "unable to write the result");
	return CTL_DONE;
}

static void tell_memory(const json_t *detail)
{
	char limit[32], peak[32], cgroup[300];
	double limit_bytes = rest_number(detail, "limitBytes", -1), peak_bytes = rest_number(detail, "peakBytes", -1);
	if (limit_bytes < 0 || peak_bytes < 0)
		return;
	const char *owner = rest_text(detail, "limitOwner");
	text_escape(cgroup, sizeof(cgroup), owner, strlen(owner));
	ctl_note("  limit %s%s%s, peak %s", text_print_size((int64_t)limit_bytes, limit, sizeof(limit)),
		 cgroup[0] != '\0' ? " of " : "", cgroup, text_print_size((int64_t)peak_bytes, peak, sizeof(peak)));
}

/* 422: it ended without a result. */
int task_tell_end(struct ctl *ctl, const struct rest_answer *a)
{
	char message[4000], class[200];
	const char *said = rest_text(a->json, "message"), *cause = rest_text(a->json, "cause"),
		   *type = rest_text(a->json, "errorType");
	text_escape(message, sizeof(message), said, strlen(said));
	text_escape(class, sizeof(class), type, strlen(type));
	ctl_note("%s", message[0] != '\0' ? message : "The task ended without a result.");
	if (class[0] != '\0')
		ctl_note("  %s%s%s", class, cause[0] != '\0' ? ", cause " : "", cause);
	tell_memory(json_object_get(a->json, "detail"));
	if (ctl->json)
		print_result(ctl, a);
	if (strcmp(cause, "deadline") == 0)
		return CTL_TIMED_OUT;
	bool is_aborted = strcmp(cause, "user") == 0 || strcmp(cause, "admin") == 0 || strcmp(cause, "policy") == 0 ||
			  strstr(type, "Abort") != NULL;
	return is_aborted ? CTL_ABORTED : CTL_FAILED;
}

static int tell_outcome(struct ctl *ctl, struct rest *rest, const char *id)
{
	char path[PATH_ROOM];
	struct rest_answer a = { 0 };
	int code = task_path(id, "?peek=False", path, sizeof(path));
	if (code != CTL_DONE)
		return code;
	code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE && a.status == 422)
		code = task_tell_end(ctl, &a);
	else if (code == CTL_DONE && !rest_is(a.json, "hasResult"))
		code = ctl_fail(CTL_FAILED, "the task %s has not ended: it is %s; dssctl wait %s waits for it", id,
				rest_text(a.json, "state"), id);
	else if (code == CTL_DONE)
		code = print_result(ctl, &a);
	rest_answer_fini(&a);
	return code;
}

/* One look. -1: it still runs. */
static int look(struct rest *rest, const char *path, struct task_line *line)
{
	struct rest_answer a = { 0 };
	int code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE && a.status != 422 && rest_is(a.json, "alive") && !rest_is(a.json, "hasResult")) {
		task_line_show(line, a.json);
		code = -1;
	}
	rest_answer_fini(&a);
	return code;
}

/* Looks until it has ended (its code), *stop, or the time is over (-1). */
static int look_until(struct rest *rest, const char *id, int64_t most_ms, struct task_line *line)
{
	char path[PATH_ROOM], query[48];
	int64_t begun_ms = clock_mono_ms();
	int code = -1, wait_s = 0;
	while (code < 0 && !is_interrupted) {
		int64_t asked_ms = clock_mono_ms(), left_ms = most_ms >= 0 ? begun_ms + most_ms - asked_ms : INT64_MAX;
		if (left_ms <= 0 && wait_s > 0)
			break;
		snprintf(query, sizeof(query), "?peek=True&wait=%d", wait_s);
		if ((code = task_path(id, query, path, sizeof(path))) != CTL_DONE || (code = look(rest, path, line)) >= 0)
			break;
		wait_s = line->is_terminal || left_ms < QUIET_LOOK_S * 1000 ? LOOK_S : QUIET_LOOK_S;
		/* A server that does not wait must not be asked without a pause. */
		if (clock_mono_ms() - asked_ms < TURN_MS)
			poll(NULL, 0, TURN_MS);
	}
	return code;
}

int task_wait(struct ctl *ctl, struct rest *rest, const char *id, int64_t most_ms)
{
	struct task_line line = { .is_terminal = isatty(STDERR_FILENO) };
	struct sigaction act = { .sa_handler = on_interrupt }, before;
	is_interrupted = 0;
	rest_stop_on(rest, &is_interrupted);
	sigaction(SIGINT, &act, &before);
	int code = look_until(rest, id, most_ms, &line);
	sigaction(SIGINT, &before, NULL);
	task_line_clear(&line);
	if (is_interrupted) {
		ctl_note("The task goes on. Wait again: dssctl wait %s   Stop it: dssctl abort %s", id, id);
		return CTL_INTERRUPTED;
	}
	if (code < 0)
		return ctl_fail(CTL_TIMED_OUT, "the task %s still runs; it goes on", id);
	return code == CTL_DONE ? tell_outcome(ctl, rest, id) : code;
}

/* --- commands --- */

int wait_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	int64_t most_ms = -1;
	struct rest *rest = NULL;
	const struct opt opts[] = { { "most", "TIME", "stop waiting after that long (exit 7); the task goes on", OPT_DURATION,
				      &most_ms, 0, 0, NULL },
				    OPT_KEY_FILE(&key_file),
				    { 0 } };
	struct opt_words words = {
		.usage = "ID [options]",
		.about = "Waits for a task and prints its result. Exit 0: done; 1: failed; 3: aborted; 7: out of time;\n"
			 "130: Ctrl-C, which stops the waiting only.",
		.least = 1,
		.most = 1
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = task_wait(ctl, rest, words.words[0], most_ms);
	rest_close(&rest);
	return code;
}

int result_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct rest *rest = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = {
		.usage = "ID", .about = "Prints the result of a task that has ended, as JSON.", .least = 1, .most = 1
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = tell_outcome(ctl, rest, words.words[0]);
	rest_close(&rest);
	return code;
}
