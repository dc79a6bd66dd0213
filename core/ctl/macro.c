#include "ctl/macro.h"

#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/follow.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/outfile.h"
#include "ctl/rest.h"

enum { PATH_ROOM = 1000, LOOK_MS = 200, BAR = 30, CELL_ROOM = 2100 };

static int escaped(const char *word, const char *what, char *out, size_t room)
{
	if (!text_is_id(word, strlen(word)) || rest_escape(word, out, room) < 0)
		return ctl_misuse("macro", NULL, NULL, "\"%s\" is no %s", word, what);
	return CTL_DONE;
}

/* --- what there is --- */

static const struct list_column columns[] = {
	{ "MACRO", "name", LIST_TEXT },
	{ "FOR", "who", LIST_TEXT },
	{ "ABOUT", "longDescription", LIST_TEXT },
	{ NULL, NULL, LIST_TEXT },
};

int macros_command(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_ROOM] = "/api/macros", key[PATH_ROOM / 2];
	const char *key_file = NULL;
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "[PROJECT] [--json]",
				   .about = "Macros that you may run: over a project, or over the whole instance (admins).",
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (words.count > 0 && (code = escaped(words.words[0], "project's key", key, sizeof(key))) != CTL_DONE)
		return code;
	if (words.count > 0)
		snprintf(path, sizeof(path), "/public/api/projects/%s/runnables", key);
	if ((code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.data);
	else if (code == CTL_DONE && (code = rest_check_list(a.json)) == CTL_DONE)
		list_print(a.json, columns);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

/* A default as it is written. */
static void default_text(const json_t *param, char *out, size_t room)
{
	const json_t *v = json_object_get(param, "defaultValue");
	char *text = v == NULL || json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	snprintf(out, room, "%s", v == NULL ? "" : text != NULL ? text : json_string_value(v));
	/* integers are reals here */
	size_t len = strlen(out);
	if (json_is_real(v) && len > 2 && strcmp(out + len - 2, ".0") == 0)
		out[len - 2] = '\0';
	free(text);
}

static void put_params(struct say_table *t, const json_t *params, bool is_admins)
{
	char text[600];
	size_t i;
	const json_t *p;
	json_array_foreach(params, i, p)
	{
		say_cell(t, SAY_PLAIN, rest_text(p, "name"));
		say_cell(t, SAY_PLAIN, rest_text(p, "kind"));
		default_text(p, text, sizeof(text));
		say_cell(t, SAY_PLAIN, rest_is(p, "mandatory") ? "(has to be said)" : text);
		snprintf(text, sizeof(text), "%s%s", rest_text(p, "description"), is_admins ? " (admins)" : "");
		say_cell(t, SAY_PLAIN, text);
	}
}

static int print_one(struct ctl *ctl, const struct rest_answer *a)
{
	static const char *const titles[] = { "PARAM", "KIND", "DEFAULT", "ABOUT" };
	struct say_table *t = say_table_new(titles, 4);
	(void)ctl;
	printf("%s\n%s\n%s\n\n", rest_text(a->json, "name"), rest_text(a->json, "longDescription"), rest_text(a->json, "source"));
	if (t == NULL)
		return ctl_fail(CTL_FAILED, "not enough memory");
	put_params(t, json_object_get(a->json, "params"), false);
	put_params(t, json_object_get(a->json, "adminParams"), true);
	say_table_print(t, stdout);
	say_table_free(&t);
	return CTL_DONE;
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_ROOM], name[PATH_ROOM / 2];
	const char *key_file = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "show NAME", .about = "What a macro does, and its params.", .least = 1, .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = escaped(words.words[0], "macro's name", name, sizeof(name))) != CTL_DONE)
		return code;
	snprintf(path, sizeof(path), "/api/macros/%s", name);
	return rest_once(ctl, key_file, "GET", path, NULL, print_one);
}

/* --- results --- */

static bool is_one_of(const char *word, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

static void cell_text(const char *column, const json_t *v, char *out, size_t room)
{
	static const char *const durations[] = { "age", "quiet", "silent", "idle", "waiting", "running", "cpu", NULL };
	static const char *const sizes[] = { "size", "memory", "limit", "peak", "rss", "bytes", NULL };
	if (json_is_number(v) && is_one_of(column, durations))
		text_print_duration((int64_t)json_number_value(v) * 1000, out, room);
	else if (json_is_number(v) && is_one_of(column, sizes))
		text_print_size((int64_t)json_number_value(v), out, room);
	else if (json_is_number(v))
		snprintf(out, room, "%.15g", json_number_value(v));
	else if (json_is_boolean(v))
		snprintf(out, room, "%s", json_is_true(v) ? "yes" : "no");
	else
		snprintf(out, room, "%s", json_is_string(v) ? json_string_value(v) : "");
}

static void print_summary(const json_t *s, bool is_simulated)
{
	char size[32];
	double done = rest_number(s, "done", 0), would = rest_number(s, "would", 0);
	fprintf(stderr, "looked at %.0f%s: %.0f kept", rest_number(s, "looked", 0), rest_is(s, "cut") ? " (there are more)" : "",
		rest_number(s, "kept", 0));
	if (is_simulated)
		fprintf(stderr, ", %.0f would go; nothing was done: --act does it\n", would);
	else
		fprintf(stderr, ", %.0f done (%s), %.0f failed\n", done,
			text_print_size((int64_t)rest_number(s, "bytes", 0), size, sizeof(size)), rest_number(s, "failed", 0));
	if (rest_number(s, "left_out", 0) > 0)
		fprintf(stderr, "%.0f rows are not shown\n", rest_number(s, "left_out", 0));
	const char *note = json_string_value(json_object_get(s, "note"));
	char shown[CELL_ROOM];
	if (note) {
		text_escape(shown, sizeof(shown), note, strlen(note));
		ctl_note("%s", shown);
	}
}

static int print_table(const json_t *result)
{
	const json_t *names = json_object_get(result, "columns"), *records = json_object_get(result, "records"), *record;
	size_t n = json_array_size(names), i;
	char text[CELL_ROOM];
	const char **titles = calloc(n + 1, sizeof(*titles));
	if (titles == NULL)
		return ctl_fail(CTL_FAILED, "not enough memory");
	for (i = 0; i < n; i++)
		titles[i] = json_string_value(json_array_get(names, i)) ? json_string_value(json_array_get(names, i)) : "";
	struct say_table *t = n > 0 && json_array_size(records) > 0 ? say_table_new(titles, n) : NULL;
	json_array_foreach(records, i, record) for (size_t k = 0; t != NULL && k < n; k++)
	{
		cell_text(titles[k], json_array_get(record, k), text, sizeof(text));
		say_cell(t, SAY_PLAIN, text);
	}
	if (t != NULL)
		say_table_print(t, stdout);
	say_table_free(&t);
	free(titles);
	if (json_object_get(result, "summary") != NULL)
		print_summary(json_object_get(result, "summary"), rest_is(result, "simulated"));
	return CTL_DONE;
}

static bool is_archive(const struct buf *body)
{
	return body->len > 2 && memcmp(body->data, "\x1f\x8b", 2) == 0;
}

static int print_result(struct ctl *ctl, const struct rest_answer *a)
{
	if (!ctl->json && json_object_get(a->json, "columns") != NULL)
		return print_table(a->json);
	printf("%s\n", a->body.data);
	return CTL_DONE;
}

/* What cannot be kept is not fetched: fetching it ends it. */
static int fetch(struct rest *rest, struct ctl *ctl, const char *run, const char *out)
{
	char path[PATH_ROOM], name[PATH_ROOM];
	struct rest_answer a = { 0 };
	struct outfile file = { .fd = -1 };
	struct err err = { 0 };
	if (out != NULL && outfile_open(&file, out, &err) < 0)
		return ctl_fail(CTL_FAILED, "%s; the result is kept for a day: dssctl macro result %s --out FILE", err.text, run);
	snprintf(path, sizeof(path), "/api/macro-runs/%s/result", run);
	snprintf(name, sizeof(name), "diagnosis-%s.tar.gz", run);
	int code = rest_ask(rest, "GET", path, NULL, &a);
	bool is_file = code == CTL_DONE && a.status < 400 && (out != NULL || is_archive(&a.body));
	if (code == CTL_DONE && a.status >= 400)
		code = ctl_fail(CTL_FAILED, "%s", rest_text(a.json, "message"));
	else if (code == CTL_DONE && !is_file)
		code = print_result(ctl, &a);
	else if (is_file &&
		 ((file.fd < 0 && outfile_open(&file, name, &err) < 0) || outfile_write(&file, a.body.data, a.body.len, &err) < 0))
		code = ctl_fail(CTL_FAILED, "%s; the result was fetched and is gone: run the macro again", err.text);
	else if (is_file)
		outfile_print(ctl, file.path);
	outfile_drop(&file);
	rest_answer_fini(&a);
	return code;
}

/* --- run --- */

static void print_progress(const json_t *state)
{
	const json_t *progress = json_object_get(state, "progress"), *step = json_array_get(json_object_get(progress, "states"), 0);
	double share = rest_number(progress, "fraction", -1);
	char bar[BAR + 1];
	size_t lines;
	if (say_columns(stderr, &lines) == 0)
		return;
	int full = share < 0 ? 0 : share > 1 ? BAR : (int)(share * BAR);
	memset(bar, ' ', BAR);
	memset(bar, '=', (size_t)full);
	bar[BAR] = '\0';
	fprintf(stderr, "\r[%s] %-18s %.0f\033[K", bar, rest_text(step, "name"), rest_number(step, "cur", 0));
}

static int end_code(const struct rest_answer *a, const char *run)
{
	const char *state = rest_text(a->json, "state"), *why = rest_text(json_object_get(a->json, "resultError"), "message");
	char text[1500];
	text_escape(text, sizeof(text), why, strlen(why));
	if (strcmp(state, "done") == 0)
		return CTL_DONE;
	if (state[0] == '\0')
		return ctl_fail(CTL_NOT_FOUND, "run %s does not exist", run);
	return ctl_fail(strcmp(state, "aborted") == 0 ? CTL_ABORTED : CTL_FAILED, "%s", text[0] ? text : state);
}

static int await(struct rest *rest, const char *run)
{
	char path[PATH_ROOM];
	size_t lines;
	int code = CTL_DONE;
	snprintf(path, sizeof(path), "/api/macro-runs/%s", run);
	for (bool is_over = false; code == CTL_DONE && !is_over && !follow_is_over();) {
		struct rest_answer a = { 0 };
		code = rest_ask(rest, "GET", path, NULL, &a);
		is_over = code == CTL_DONE && !rest_is(a.json, "running");
		if (code == CTL_DONE && !is_over)
			print_progress(a.json);
		else if (say_columns(stderr, &lines) > 0)
			fputs("\r\033[K", stderr);
		if (is_over)
			code = end_code(&a, run);
		rest_answer_fini(&a);
		if (code == CTL_DONE && !is_over)
			poll(NULL, 0, LOOK_MS);
	}
	if (!follow_is_over())
		return code;
	ctl_note("it goes on: dssctl macro result %s, dssctl macro abort %s", run, run);
	return CTL_INTERRUPTED;
}

/* --param age=7d: texts, which the macro reads as what it wants. */
static int take_param(void *to, const char *value, struct err *err)
{
	const char *sign = strchr(value, '=');
	char name[100];
	if (sign == NULL || sign == value || (size_t)(sign - value) >= sizeof(name))
		return err_set(err, "%s: write it as NAME=VALUE", value);
	snprintf(name, sizeof(name), "%.*s", (int)(sign - value), value);
	if (json_object_set_new(to, name, json_string(sign + 1)) < 0)
		return err_set(err, "%s is no text in UTF-8", name);
	return 0;
}

static int start(struct rest *rest, const char *name, const char *project, json_t *params, char *run, size_t room)
{
	char path[PATH_ROOM];
	struct rest_answer a = { 0 };
	json_t *body = json_pack("{s:O}", "params", params);
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	if (project != NULL)
		snprintf(path, sizeof(path), "/public/api/projects/%s/runnables/%s", project, name);
	else
		snprintf(path, sizeof(path), "/api/macros/%s", name);
	int code = text != NULL ? rest_ask(rest, "POST", path, text, &a) : ctl_fail(CTL_FAILED, "not enough memory");
	if (code == CTL_DONE)
		snprintf(run, room, "%s", rest_text(a.json, "runId"));
	rest_answer_fini(&a);
	json_decref(body);
	free(text);
	return code;
}

static int run_it(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL, *project = NULL, *out = NULL;
	bool does_act = false, is_detached = false;
	char name[PATH_ROOM / 3], key[PATH_ROOM / 3], run[100] = "";
	struct rest *rest = NULL;
	json_t *params = json_object();
	const struct opt opts[] = {
		{ "param", "NAME=VALUE", "one param, such as age=7d; may stand again", OPT_EACH, params, 0, 0, take_param },
		{ "project", "KEY", "over this project alone (else over the whole instance, for admins)", OPT_TEXT, &project, 0, 0,
		  NULL },
		{ "act", NULL, "carry it out: the same as --param simulate=false", OPT_FLAG, &does_act, 0, 0, NULL },
		{ "out", "FILE", "the result into a file that is not there yet", OPT_TEXT, &out, 0, 0, NULL },
		{ "detach", NULL, "do not wait: print the run's id", OPT_FLAG, &is_detached, 0, 0, NULL },
		OPT_KEY_FILE(&key_file),
		{ 0 }
	};
	struct opt_words words = { .usage = "run NAME [--param NAME=VALUE]… [--project KEY] [--act] [--out FILE]",
				   .about = "Runs a macro and prints its result. Without --act most only say what they would do.",
				   .least = 1,
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	bool is_over = code >= 0; /* help, or misuse */
	if (!is_over)
		code = escaped(words.words[0], "macro's name", name, sizeof(name));
	if (!is_over && code == CTL_DONE && project != NULL)
		code = escaped(project, "project's key", key, sizeof(key));
	if (is_over || code != CTL_DONE) {
		json_decref(params);
		return code;
	}
	if (does_act)
		json_object_set_new(params, "simulate", json_false());
	if ((code = rest_open(&rest, ctl, key_file)) == CTL_DONE) {
		follow_begin(rest);
		code = start(rest, name, project != NULL ? key : NULL, params, run, sizeof(run));
		if (code == CTL_DONE && is_detached)
			printf("%s\n", run);
		else if (code == CTL_DONE && (code = await(rest, run)) == CTL_DONE)
			code = fetch(rest, ctl, run, out);
	}
	rest_close(&rest);
	json_decref(params);
	return code;
}

/* --- runs --- */

static const struct list_column run_columns[] = {
	{ "RUN", "runId", LIST_TEXT },        { "MACRO", "macro", LIST_TEXT }, { "STATE", "state", LIST_STATE },
	{ "SINCE", "startTime", LIST_SINCE }, { "USER", "owner", LIST_TEXT },  { NULL, NULL, LIST_TEXT },
};

static int print_runs(struct ctl *ctl, const struct rest_answer *a)
{
	(void)ctl;
	int code = rest_check_list(a->json);
	if (code == CTL_DONE)
		list_print(a->json, run_columns);
	return code;
}

static int runs(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "runs [--json]", .about = "Runs that go on, or whose result nobody has fetched." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	return code >= 0 ? code : rest_once(ctl, key_file, "GET", "/api/macro-runs", NULL, print_runs);
}

static int result(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL, *out = NULL;
	char run[PATH_ROOM / 2];
	struct rest *rest = NULL;
	const struct opt opts[] = { { "out", "FILE", "into a file that is not there yet", OPT_TEXT, &out, 0, 0, NULL },
				    OPT_KEY_FILE(&key_file),
				    { 0 } };
	struct opt_words words = { .usage = "result RUN [--out FILE]",
				   .about = "Waits for the end of a run and prints its result, once.",
				   .least = 1,
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = escaped(words.words[0], "run's id", run, sizeof(run))) != CTL_DONE ||
	    (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	follow_begin(rest);
	if ((code = await(rest, run)) == CTL_DONE)
		code = fetch(rest, ctl, run, out);
	rest_close(&rest);
	return code;
}

static int print_aborted(struct ctl *ctl, const struct rest_answer *a)
{
	(void)ctl;
	(void)a;
	printf("asked to stop\n");
	return CTL_DONE;
}

static int abort_it(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	char path[PATH_ROOM], run[PATH_ROOM / 2];
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = {
		.usage = "abort RUN", .about = "Stops a run; what it has done stays done.", .least = 1, .most = 1
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = escaped(words.words[0], "run's id", run, sizeof(run))) != CTL_DONE)
		return code;
	snprintf(path, sizeof(path), "/api/macro-runs/%s", run);
	return rest_once(ctl, key_file, "DELETE", path, NULL, print_aborted);
}

int macro_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command verbs[] = {
		{ "show", "what one does, and its params", "NAME", show, CTL_NEEDS_DAEMON },
		{ "run", "run one and print its result", "NAME [--param NAME=VALUE]… [--project KEY] [--act]", run_it,
		  CTL_NEEDS_DAEMON },
		{ "runs", "runs that go on, or whose result nobody has fetched", "", runs, CTL_NEEDS_DAEMON },
		{ "result", "print the result of a run, once", "RUN [--out FILE]", result, CTL_NEEDS_DAEMON },
		{ "abort", "stop a run", "RUN", abort_it, CTL_NEEDS_DAEMON },
		{ 0 },
	};
	return ctl_verbs(ctl, verbs, "macro show | run | runs | result | abort …", argc, argv);
}
