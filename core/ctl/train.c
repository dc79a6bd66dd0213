/* train, models: models of a project are trained; what became of it. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/body.h"
#include "ctl/follow.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/task.h"

enum { PATH_ROOM = 1000, TEXT_ROOM = 400, LOOK_MS = 400, QUIET_LOOK_MS = 1000 };

static const struct list_column columns[] = {
	{ "PROJECT", "project", LIST_TEXT },  { "MODEL", "model", LIST_TEXT },
	{ "SESSION", "session", LIST_TEXT },  { "ALGORITHM", "algorithm", LIST_TEXT },
	{ "STATE", "state", LIST_STATE },     { "RAN", "ran", LIST_DURATION },
	{ "USER", "user", LIST_TEXT },        { "TASK", "taskId", LIST_TEXT },
	{ "METRICS", "measured", LIST_TEXT }, { NULL, NULL, LIST_TEXT },
};

/* Of one session that was waited for: the metrics are what is wanted, in whatever room there is. */
static const struct list_column session_columns[] = {
	{ "SESSION", "session", LIST_TEXT }, { "ALGORITHM", "algorithm", LIST_TEXT }, { "STATE", "state", LIST_STATE },
	{ "RAN", "ran", LIST_DURATION },     { "METRICS", "measured", LIST_TEXT },    { NULL, NULL, LIST_TEXT },
};

/* "accuracy 0.9312, f1 0.9034": of what was measured. */
static void set_measured(json_t *row)
{
	char text[TEXT_ROOM] = "";
	const char *name;
	json_t *value;
	size_t at = 0;
	json_object_foreach(json_object_get(row, "metrics"), name, value)
	{
		int n = snprintf(text + at, sizeof(text) - at, "%s%s %.4g", at > 0 ? ", " : "", name, json_number_value(value));
		if (n < 0 || at + (size_t)n >= sizeof(text))
			break;
		at += (size_t)n;
	}
	text[at] = '\0';
	json_object_set_new(row, "measured", json_string(text));
}

static void print_escaped(const char *before, const char *text)
{
	char shown[1500];
	text_escape(shown, sizeof(shown), text, strlen(text));
	printf("%s%s\n", before, shown);
}

/* The table, and below it why what waits or failed does so. */
static void print_rows(json_t *rows, const struct list_column *shown)
{
	json_t *row;
	size_t i;
	json_array_foreach(rows, i, row) set_measured(row);
	list_print(rows, shown);
	json_array_foreach(rows, i, row)
	{
		char before[TEXT_ROOM];
		const char *why = rest_text(row, "message")[0] != '\0' ? rest_text(row, "message") : rest_text(row, "reason");
		snprintf(before, sizeof(before), "%.100s %.20s %.100s: ", rest_text(row, "model"), rest_text(row, "session"),
			 rest_text(row, "algorithm"));
		if (why[0] != '\0')
			print_escaped(before, why);
	}
}

/* --- waiting for a session --- */

static bool is_open(const json_t *row)
{
	static const char *const states[] = { "queued", "assigned", "running" };
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(rest_text(row, "state"), states[i]) == 0)
			return true;
	return false;
}

/* Rows of one session. Returns owned. */
static json_t *rows_of(const json_t *status, const char *session)
{
	json_t *out = json_array(), *row;
	size_t i;
	json_array_foreach(json_object_get(status, "sessions"), i, row) if (strcmp(rest_text(row, "session"), session) == 0)
		json_array_insert(out, 0, row);
	return out;
}

/* All of the session as one line: what is done counts whole. */
static void show_line(struct task_line *line, const json_t *rows)
{
	const json_t *row, *shown = NULL;
	double sum = 0;
	size_t i, n = json_array_size(rows);
	json_array_foreach((json_t *)rows, i, row)
	{
		double part = rest_number(json_object_get(row, "progress"), "fraction", 0);
		sum += is_open(row) ? part : 1;
		if (is_open(row) && (shown == NULL || strcmp(rest_text(row, "state"), "running") == 0))
			shown = row;
	}
	if (shown == NULL)
		return;
	json_t *state = json_deep_copy(shown);
	if (strcmp(rest_text(shown, "state"), "running") == 0) {
		json_t *progress = json_object();
		json_object_set_new(progress, "fraction", json_real(sum / (double)n));
		json_object_set_new(progress, "message", json_string(rest_text(json_object_get(shown, "progress"), "message")));
		json_object_set_new(state, "progress", progress);
	}
	task_line_show(line, state);
	json_decref(state);
}

static int code_of(const json_t *rows)
{
	const json_t *row;
	size_t i;
	int code = CTL_DONE;
	json_array_foreach((json_t *)rows, i, row)
	{
		if (strcmp(rest_text(row, "state"), "done") == 0)
			continue;
		bool is_aborted = strcmp(rest_text(row, "state"), "aborted") == 0;
		code = !is_aborted || code == CTL_FAILED ? CTL_FAILED : CTL_ABORTED;
	}
	return code;
}

/* Until no training of the session is open; then their table. */
static int await(struct ctl *ctl, struct rest *rest, const char *status_path, const char *session)
{
	struct task_line line = { .is_terminal = isatty(STDERR_FILENO) };
	int code = -1;
	follow_begin(rest);
	while (code < 0 && !follow_is_over()) {
		struct rest_answer a = { 0 };
		size_t i, left = 0;
		json_t *rows, *row;
		if ((code = rest_ask(rest, "GET", status_path, NULL, &a)) == CTL_DONE) {
			rows = rows_of(a.json, session);
			json_array_foreach(rows, i, row) left += is_open(row);
			code = -1;
			if (left > 0) {
				show_line(&line, rows);
			} else {
				task_line_clear(&line);
				code = code_of(rows);
				if (ctl->json)
					json_dumpf(rows, stdout, JSON_COMPACT), putchar('\n');
				else
					print_rows(rows, session_columns);
			}
			json_decref(rows);
		}
		rest_answer_fini(&a);
		if (code < 0)
			poll(NULL, 0, line.is_terminal ? LOOK_MS : QUIET_LOOK_MS);
	}
	task_line_clear(&line);
	if (!follow_is_over())
		return code;
	ctl_note("Session %s goes on. Look: dssctl models   Stop one: dssctl abort TASK", session);
	return CTL_INTERRUPTED;
}

/* --- commands --- */

/* "/public/api/projects/P/models/lab/M/M" and what follows: a model's name stands for both ids. */
static int path_of(char *const *words, const char *rest, char *out, size_t room)
{
	char p[PATH_ROOM / 4], m[PATH_ROOM / 4];
	for (int i = 0; i < 2; i++)
		if (!text_is_id(words[i], strlen(words[i])) || rest_escape(words[i], i ? m : p, PATH_ROOM / 4) < 0)
			return ctl_misuse("train", NULL, NULL, "\"%s\" is no %s", words[i], i ? "model's name" : "project's key");
	snprintf(out, room, "/public/api/projects/%s/models/lab/%s/%s/%s", p, m, m, rest);
	return CTL_DONE;
}

static int begin(struct rest *rest, char *const *words, const char *name, struct rest_answer *a)
{
	char path[PATH_ROOM], client_key[BODY_KEY_ROOM];
	int code = path_of(words, "train", path, sizeof(path));
	if (code != CTL_DONE || (code = body_client_key(client_key)) != CTL_DONE)
		return code;
	json_t *body = json_object();
	body_text(body, "sessionName", name);
	body_text(body, "clientKey", client_key);
	char *text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	code = text != NULL ? rest_ask(rest, "POST", path, text, a) : ctl_fail(CTL_FAILED, "no memory");
	free(text);
	return code;
}

int train_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL, *name = NULL;
	bool is_waiting = false;
	char path[PATH_ROOM];
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = { { "wait", NULL, "until it has ended; then the metrics, and its exit code", OPT_FLAG,
				      &is_waiting, 0, 0, NULL },
				    { "name", "TEXT", "the session's name", OPT_TEXT, &name, 0, 0, NULL },
				    OPT_KEY_FILE(&key_file),
				    { 0 } };
	struct opt_words words = {
		.usage = "PROJECT MODEL [--wait] [--name TEXT] [--json]",
		.about = "Trains a model of a project: a process for each of its algorithms. Prints the session's id;\n"
			 "with --wait the metrics. Exit 0: all are trained; 1: one failed; 3: aborted.",
		.least = 2,
		.most = 2
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = path_of(words.words, "status", path, sizeof(path))) != CTL_DONE ||
	    (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = begin(rest, words.words, name, &a);
	if (code == CTL_DONE && is_waiting)
		code = await(ctl, rest, path, rest_text(a.json, "sessionId"));
	else if (code == CTL_DONE)
		printf("%s\n", ctl->json ? a.body.data : rest_text(a.json, "sessionId"));
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

static int print_models(struct ctl *ctl, const struct rest_answer *a)
{
	(void)ctl;
	int code = rest_check_list(a->json);
	if (code == CTL_DONE)
		print_rows(a->json, columns);
	return code;
}

int models_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	char path[PATH_ROOM] = "/api/models", project[PATH_ROOM / 3];
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "[PROJECT] [--json]",
				   .about = "Models of the projects that you may read, and their trainings, newest first.",
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (words.count > 0) {
		if (!text_is_id(words.words[0], strlen(words.words[0])) ||
		    rest_escape(words.words[0], project, sizeof(project)) < 0)
			return ctl_misuse("models", NULL, NULL, "\"%s\" is no project's key", words.words[0]);
		snprintf(path, sizeof(path), "/api/models?project=%s", project);
	}
	return rest_once(ctl, key_file, "GET", path, NULL, print_models);
}
