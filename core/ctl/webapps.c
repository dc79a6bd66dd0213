#include "ctl/webapps.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/follow.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/rest.h"

enum { PATH_ROOM = 1000, LOOK_MS = 300, LINES_LOOKS = 5, REASON_ROOM = 600 };

/* Where a webapp lies: `before`, its project, `between`, its name, `rest`. */
static int path_of(const struct opt_words *words, const char *before, const char *between, const char *rest, char *out, size_t room)
{
	char escaped[2][PATH_ROOM / 3];
	for (int i = 0; i < 2; i++)
		if (!text_is_id(words->words[i], strlen(words->words[i])) ||
		    rest_escape(words->words[i], escaped[i], sizeof(escaped[i])) < 0)
			return ctl_misuse("webapps", NULL, NULL, "\"%s\" is no %s", words->words[i],
					  i ? "webapp's name" : "project's key");
	snprintf(out, room, "%s%s%s%s%s", before, escaped[0], between, escaped[1], rest);
	return CTL_DONE;
}

static int public_path(const struct opt_words *words, const char *rest, char *out, size_t room)
{
	return path_of(words, "/public/api/projects/", "/webapps/", rest, out, room);
}

/* --- list --- */

static const struct list_column columns[] = {
	{ "PROJECT", "project", LIST_TEXT }, { "WEBAPP", "id", LIST_TEXT },    { "STATE", "state", LIST_STATE },
	{ "PORT", "port", LIST_NUMBER },     { "SINCE", "since", LIST_SINCE }, { "CRASHES", "crashes", LIST_NUMBER },
	{ "WHY", "reason", LIST_TEXT },      { NULL, NULL, LIST_TEXT },
};

static void print_list(json_t *rows)
{
	json_t *row;
	size_t i;
	json_array_foreach(rows, i, row) if (strcmp(rest_text(row, "state"), "running") == 0)
		json_object_set(row, "since", json_object_get(row, "readyAt"));
	struct say_table *t = list_table(rows, columns);
	if (t != NULL)
		say_table_print(t, stdout);
	say_table_free(&t);
}

static int list(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "list [--json]",
				   .about = "Webapps of the projects that you may read, and what their processes do." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = rest_ask(rest, "GET", "/api/webapps", NULL, &a);
	if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.data);
	else if (code == CTL_DONE)
		print_list(a.json);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

/* --- start, stop --- */

static void print_failure(const struct opt_words *words, const json_t *backend)
{
	char text[1500];
	const json_t *lines = json_object_get(json_object_get(backend, "lastCrash"), "lines"), *line;
	const char *why = rest_text(backend, "reason");
	size_t i;
	json_array_foreach(lines, i, line)
	{
		text_escape(text, sizeof(text), json_string_value(line) ? json_string_value(line) : "", json_string_length(line));
		fprintf(stderr, "  %s\n", text);
	}
	text_escape(text, sizeof(text), why, strlen(why));
	ctl_fail(CTL_FAILED, "%s is %s%s%s", words->words[1], rest_text(backend, "state"), text[0] != '\0' ? ": " : "", text);
}

static bool is_under_way(const char *state)
{
	return strcmp(state, "starting") == 0 || strcmp(state, "stopping") == 0 || strcmp(state, "backoff") == 0;
}

/* What holds it up: of what was true at two looks, each change once. */
struct wait_words {
	char seen[REASON_ROOM], told[REASON_ROOM];
};

static void tell_wait(const struct opt_words *words, const json_t *backend, struct wait_words *w)
{
	char text[REASON_ROOM];
	const char *why = rest_text(backend, "reason");
	text_escape(text, sizeof(text), why, strlen(why));
	if (text[0] != '\0' && strcmp(text, w->seen) == 0 && strcmp(text, w->told) != 0) {
		ctl_note("%s, %s: %s", words->words[1], rest_text(backend, "state"), text);
		memcpy(w->told, text, sizeof(text));
	}
	memcpy(w->seen, text, sizeof(text));
}

/* It crashed, and the end of its output is still on its way: the log is read a moment after the end. */
static bool are_lines_coming(const json_t *backend, int *looks)
{
	const json_t *crash = json_object_get(backend, "lastCrash");
	return strcmp(rest_text(backend, "state"), "failed") == 0 && json_is_object(crash) &&
	       json_array_size(json_object_get(crash, "lines")) == 0 && ++*looks < LINES_LOOKS;
}

/* Until it answers, is given up or is stopped by somebody. *is_up: it answers. */
static int await(struct rest *rest, const struct opt_words *words, bool is_waiting, bool *is_up)
{
	char path[PATH_ROOM];
	struct wait_words w = { 0 };
	int looks = 0, code = public_path(words, "/backend/state", path, sizeof(path));
	for (bool is_over = false; code == CTL_DONE && !is_over && !follow_is_over();) {
		struct rest_answer a = { 0 };
		code = rest_ask(rest, "GET", path, NULL, &a);
		const json_t *backend = json_object_get(a.json, "backend");
		const char *state = rest_text(backend, "state");
		*is_up = code == CTL_DONE && strcmp(state, "running") == 0;
		is_over = *is_up || !is_waiting || !(is_under_way(state) || are_lines_coming(backend, &looks));
		if (code == CTL_DONE && !is_over && is_under_way(state))
			tell_wait(words, backend, &w);
		if (code == CTL_DONE && is_waiting && is_over && !*is_up) {
			print_failure(words, backend);
			code = CTL_FAILED;
		} else if (*is_up) {
			if (rest_text(backend, "socket")[0] != '\0')
				printf("running on %s\n", rest_text(backend, "socket"));
			else
				printf("running on port %.0f\n", rest_number(backend, "port", 0));
		}
		rest_answer_fini(&a);
		if (!is_over)
			poll(NULL, 0, LOOK_MS);
	}
	return follow_is_over() ? CTL_INTERRUPTED : code;
}

static int put(struct rest *rest, const struct opt_words *words, const char *rest_of_path)
{
	char path[PATH_ROOM];
	struct rest_answer a = { 0 };
	int code = public_path(words, rest_of_path, path, sizeof(path));
	if (code == CTL_DONE)
		code = rest_ask(rest, "PUT", path, NULL, &a);
	rest_answer_fini(&a);
	return code;
}

static int start_it(struct ctl *ctl, int argc, char **argv, bool is_anew)
{
	const char *key_file = NULL;
	bool is_up = false;
	struct rest *rest = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = is_anew ? "restart PROJECT NAME" : "start PROJECT NAME",
				   .about = is_anew ? "Ends a webapp and starts it anew; waits until it answers."
						    : "Starts a webapp that is not running, and waits until it answers.",
				   .least = 2,
				   .most = 2 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	follow_begin(rest);
	if (!is_anew)
		code = await(rest, &words, false, &is_up);
	if (code == CTL_DONE && !is_up && (code = put(rest, &words, "/backend/actions/restart")) == CTL_DONE)
		code = await(rest, &words, true, &is_up);
	rest_close(&rest);
	return code;
}

static int start(struct ctl *ctl, int argc, char **argv)
{
	return start_it(ctl, argc, argv, false);
}
static int restart(struct ctl *ctl, int argc, char **argv)
{
	return start_it(ctl, argc, argv, true);
}

static int end(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct rest *rest = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = {
		.usage = "stop PROJECT NAME", .about = "Stops a webapp; it stays stopped.", .least = 2, .most = 2
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	if ((code = put(rest, &words, "/backend/actions/stop")) == CTL_DONE)
		printf("asked to stop\n");
	rest_close(&rest);
	return code;
}

/* --- open --- */

static int open_it(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	char path[PATH_ROOM];
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "open PROJECT NAME [--json]",
				   .about =
					   "Prints a link that lets a browser in: it works once, within a minute, and acts as you.",
				   .least = 2,
				   .most = 2 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = path_of(&words, "/api/webapps/", "/", "/ticket", path, sizeof(path))) != CTL_DONE ||
	    (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = rest_ask(rest, "POST", path, NULL, &a);
	if (code == CTL_DONE)
		printf("%s\n", ctl->json ? a.body.data : rest_text(a.json, "url"));
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

/* --- log --- */

static int print_log(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	bool is_following = false;
	char path[PATH_ROOM];
	struct rest *rest = NULL;
	const struct opt opts[] = { { "follow", NULL, "go on with what comes", OPT_FLAG, &is_following, 0, 0, NULL },
				    { "f", NULL, "the same", OPT_FLAG, &is_following, 0, 0, NULL },
				    OPT_KEY_FILE(&key_file),
				    { 0 } };
	struct opt_words words = {
		.usage = "log PROJECT NAME [-f]", .about = "What a webapp printed, over all of its starts.", .least = 2, .most = 2
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = path_of(&words, "/api/webapps/", "/", "/log", path, sizeof(path))) != CTL_DONE ||
	    (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	follow_begin(rest);
	code = follow_log(rest, path, is_following);
	rest_close(&rest);
	return code;
}

int webapps_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command verbs[] = {
		{ "list", "webapps and what their processes do", "", list, CTL_NEEDS_DAEMON },
		{ "start", "start one", "PROJECT NAME", start, CTL_NEEDS_DAEMON },
		{ "stop", "stop one", "PROJECT NAME", end, CTL_NEEDS_DAEMON },
		{ "restart", "start one anew", "PROJECT NAME", restart, CTL_NEEDS_DAEMON },
		{ "open", "a link that lets a browser in", "PROJECT NAME", open_it, CTL_NEEDS_DAEMON },
		{ "log", "what it printed", "PROJECT NAME [-f]", print_log, CTL_NEEDS_DAEMON },
		{ 0 },
	};
	if (ctl_help(verbs, "webapps [VERB …]", argc, argv))
		return CTL_DONE;
	if (argc < 2 || argv[1][0] == '-')
		return list(ctl, argc, argv);
	return ctl_dispatch(ctl, verbs, "verb", argc - 1, argv + 1);
}
