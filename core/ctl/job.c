/* job, jobs: datasets of a project are built; what became of it; its log; an end to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/body.h"
#include "ctl/follow.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/rest.h"

enum { PATH_ROOM = 1000, JOBS_SHOWN = 40 };

/* "/public/api/projects/P/jobs/J" and what follows. */
static int path_of(const char *project, const char *job, const char *rest, char *out, size_t room)
{
	char p[PATH_ROOM / 3], j[PATH_ROOM / 3] = "";
	if (!text_is_id(project, strlen(project)) || (job != NULL && !text_is_id(job, strlen(job))) ||
	    rest_escape(project, p, sizeof(p)) < 0 || (job != NULL && rest_escape(job, j, sizeof(j)) < 0))
		return ctl_misuse("job", NULL, NULL, "\"%s\" is no %s", job != NULL ? job : project,
				  job != NULL ? "job's id" : "project's key");
	snprintf(out, room, "/public/api/projects/%s/jobs/%s%s", p, j, rest);
	return CTL_DONE;
}

/* --- status --- */

static const struct list_column activity_columns[] = {
	{ "ACTIVITY", "activityId", LIST_TEXT },
	{ "KIND", "recipeType", LIST_TEXT },
	{ "STATE", "shown", LIST_STATE },
	{ "SINCE", "startTime", LIST_SINCE },
	{ "RAN", "ran", LIST_DURATION },
	{ "PEAK", "peakBytes", LIST_SIZE },
	{ "WHY", "why", LIST_TEXT },
	{ NULL, NULL, LIST_TEXT },
};

static const struct list_column job_columns[] = {
	{ "PROJECT", "project", LIST_TEXT },  { "JOB", "jobId", LIST_TEXT },   { "STATE", "shown", LIST_STATE },
	{ "SINCE", "startTime", LIST_SINCE }, { "RAN", "ran", LIST_DURATION }, { "USER", "user", LIST_TEXT },
	{ "REASON", "reason", LIST_TEXT },    { NULL, NULL, LIST_TEXT },
};

static const char *lower(const char *s, char *out, size_t room)
{
	size_t i = 0;
	for (; s[i] != '\0' && i + 1 < room; i++)
		out[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
	out[i] = '\0';
	return out;
}

static void set_shown(json_t *row)
{
	char text[40];
	json_object_set_new(row, "shown", json_string(lower(rest_text(row, "state"), text, sizeof(text))));
	if (rest_number(row, "startTime", 0) <= 0)
		json_object_del(row, "startTime");
}

static void print_text(const char *before, const char *text)
{
	char shown[1500];
	text_escape(shown, sizeof(shown), text, strlen(text));
	printf("%s%s\n", before, shown);
}

/* "  clean_NP waits, position 2: slots …" */
static void print_wait(const json_t *row)
{
	char before[200];
	if (rest_text(row, "reason")[0] == '\0')
		return;
	snprintf(before, sizeof(before), "  %.120s waits, position %.0f: ", rest_text(row, "activityId"),
		 rest_number(row, "position", 1));
	print_text(before, rest_text(row, "reason"));
	if (rest_text(row, "processId")[0] != '\0')
		print_text("  what was decided: dssctl why ", rest_text(row, "processId"));
}

static void print_status(const json_t *status)
{
	const json_t *base = json_object_get(status, "baseStatus");
	json_t *all = json_object_get(base, "activities"), *rows = json_array(), *row;
	const char *id;
	char state[40];
	printf("%s: %s", rest_text(json_object_get(base, "def"), "id"), lower(rest_text(base, "state"), state, sizeof(state)));
	if (rest_text(base, "kernelId")[0] != '\0')
		printf(", kernel %s", rest_text(base, "kernelId"));
	if (rest_number(base, "kernelPid", 0) > 0)
		printf(" (pid %.0f)", rest_number(base, "kernelPid", 0));
	putchar('\n');
	if (rest_text(base, "reason")[0] != '\0')
		print_text("", rest_text(base, "reason"));
	json_object_foreach(all, id, row)
	{
		set_shown(row);
		if (rest_number(row, "startTime", 0) > 0)
			json_object_set(row, "ran", json_object_get(row, "runningTime"));
		json_array_append(rows, row);
	}
	if (json_array_size(rows) > 0)
		list_print(rows, activity_columns);
	else
		printf("nothing to build\n");
	/* What the job says of a failure is what the activity says: told once. */
	const char *said = rest_text(status, "errorMessage");
	bool is_told = false;
	size_t i;
	json_array_foreach(rows, i, row)
	{
		print_wait(row);
		const char *why = rest_text(json_object_get(row, "firstFailure"), "message");
		if (why[0] != '\0')
			print_text("  ", why);
		is_told = is_told || (why[0] != '\0' && strstr(said, why) != NULL);
	}
	if (said[0] != '\0' && !is_told)
		print_text("", said);
	json_decref(rows);
}

/* The exit code that a state is; -1: it has not ended. */
static int code_of(const json_t *status)
{
	const char *state = rest_text(json_object_get(status, "baseStatus"), "state");
	return strcmp(state, "DONE") == 0      ? CTL_DONE
	       : strcmp(state, "FAILED") == 0  ? CTL_FAILED
	       : strcmp(state, "ABORTED") == 0 ? CTL_ABORTED
					       : -1;
}

static int show_status(struct ctl *ctl, struct rest *rest, const char *project, const char *job)
{
	char path[PATH_ROOM];
	struct rest_answer a = { 0 };
	int code = path_of(project, job, "/", path, sizeof(path));
	if (code == CTL_DONE)
		code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.data);
	else if (code == CTL_DONE)
		print_status(a.json);
	rest_answer_fini(&a);
	return code;
}

/* --- logs --- */

/* From the beginning; with is_following on to the job's end. */
static int show_log(struct rest *rest, const char *project, const char *job, bool is_following)
{
	char path[PATH_ROOM], p[PATH_ROOM / 3], j[PATH_ROOM / 3];
	int code = path_of(project, job, "", path, sizeof(path));
	if (code != CTL_DONE)
		return code;
	rest_escape(project, p, sizeof(p));
	rest_escape(job, j, sizeof(j));
	snprintf(path, sizeof(path), "/api/jobs/%s/%s/log", p, j);
	return follow_log(rest, path, is_following);
}

/* --- start --- */

static json_t *definition(const struct opt_words *words, const char *mode, const char *client_key)
{
	json_t *body = json_object(), *outputs = json_array();
	for (int i = 1; i < words->count; i++) {
		json_t *o = json_object();
		json_object_set_new(o, "type", json_string("DATASET"));
		json_object_set_new(o, "id", json_string(words->words[i]));
		json_array_append_new(outputs, o);
	}
	json_object_set_new(body, "outputs", outputs);
	body_text(body, "type", mode);
	body_text(body, "clientKey", client_key);
	return body;
}

static const struct {
	const char *word, *mode;
} modes[] = { { "stale", "RECURSIVE_BUILD" },
	      { "only", "NON_RECURSIVE_FORCED_BUILD" },
	      { "all", "RECURSIVE_FORCED_BUILD" },
	      { "missing", "RECURSIVE_MISSING_ONLY_BUILD" } };

static const char *mode_named(const char *word)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].word, word) == 0 || strcmp(modes[i].mode, word) == 0)
			return modes[i].mode;
	return NULL;
}

/* Follows the log to the job's end; then says how it ended, on standard error. */
static int follow(struct rest *rest, const char *project, const char *job)
{
	char path[PATH_ROOM];
	struct rest_answer a = { 0 };
	int code = show_log(rest, project, job, true);
	if (code != CTL_DONE || (code = path_of(project, job, "/", path, sizeof(path))) != CTL_DONE)
		return code;
	if ((code = rest_ask(rest, "GET", path, NULL, &a)) == CTL_DONE) {
		char text[1500];
		const char *why = rest_text(a.json, "errorMessage");
		code = code_of(a.json);
		if (code == CTL_DONE && rest_number(json_object_get(a.json, "globalState"), "total", -1) == 0)
			why = "nothing to build";
		text_escape(text, sizeof(text), why, strlen(why));
		ctl_note("%s: %s%s%s", job, rest_text(json_object_get(a.json, "baseStatus"), "state"), text[0] != '\0' ? ": " : "",
			 text);
	}
	rest_answer_fini(&a);
	return code < 0 ? CTL_FAILED : code;
}

static int begin(struct ctl *ctl, int argc, char **argv, bool is_run)
{
	const char *key_file = NULL, *word = "stale";
	char path[PATH_ROOM], client_key[BODY_KEY_ROOM];
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = {
		{ "build", "WHAT",
		  "stale (what is out of date, the default), only (these, in any case), all (these and all they are made of), "
		  "missing (these, and what is not there)",
		  OPT_TEXT, &word, 0, 0, NULL },
		OPT_KEY_FILE(&key_file),
		{ 0 }
	};
	struct opt_words words = { .usage =
					   is_run ? "run PROJECT DATASET… [--build WHAT]" : "start PROJECT DATASET… [--build WHAT]",
				   .about = is_run ? "Builds datasets and shows the log to the end; exits as the job ended."
						   : "Starts a job that builds datasets, and prints its id.",
				   .least = 2,
				   .most = OPT_WORDS_MAX };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (mode_named(word) == NULL)
		return ctl_misuse(ctl->verb, NULL, NULL, "--build \"%s\" is none of stale, only, all, missing", word);
	if ((code = path_of(words.words[0], NULL, "", path, sizeof(path))) != CTL_DONE ||
	    (code = body_client_key(client_key)) != CTL_DONE || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	json_t *body = definition(&words, mode_named(word), client_key);
	char *text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	code = text != NULL ? rest_ask(rest, "POST", path, text, &a) : ctl_fail(CTL_FAILED, "no memory");
	free(text);
	if (code == CTL_DONE && is_run) {
		follow_begin(rest);
		code = follow(rest, words.words[0], rest_text(a.json, "id"));
	} else if (code == CTL_DONE) {
		printf("%s\n", ctl->json ? a.body.data : rest_text(a.json, "id"));
	}
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

static int start(struct ctl *ctl, int argc, char **argv)
{
	return begin(ctl, argc, argv, false);
}
static int run(struct ctl *ctl, int argc, char **argv)
{
	return begin(ctl, argc, argv, true);
}

/* --- the others --- */

static int status(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct rest *rest = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "status PROJECT JOB [--json]",
				   .about = "A job's state and its activities: what ran, how long, why.",
				   .least = 2,
				   .most = 2 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = show_status(ctl, rest, words.words[0], words.words[1]);
	rest_close(&rest);
	return code;
}

/* Of a job that had ended before, as of a task: that, and exit code 0. */
static int tell_asked(const struct ctl *ctl, struct rest *rest, const struct opt_words *words)
{
	char path[PATH_ROOM], state[40];
	struct rest_answer a = { 0 };
	int code = path_of(words->words[0], words->words[1], "/", path, sizeof(path));
	if (code == CTL_DONE && (code = rest_ask(rest, "GET", path, NULL, &a)) == CTL_DONE) {
		int ended = code_of(a.json);
		if (ctl->json)
			printf("{}\n");
		else if (ended == CTL_DONE || ended == CTL_FAILED)
			printf("%s has ended already: %s\n", words->words[1],
			       lower(rest_text(json_object_get(a.json, "baseStatus"), "state"), state, sizeof(state)));
		else
			printf("asked to stop\n");
	}
	rest_answer_fini(&a);
	return code;
}

static int end_job(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	char path[PATH_ROOM];
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = {
		.usage = "abort PROJECT JOB", .about = "Ends a job and all that it started.", .least = 2, .most = 2
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = path_of(words.words[0], words.words[1], "/abort", path, sizeof(path))) != CTL_DONE ||
	    (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	if ((code = rest_ask(rest, "POST", path, NULL, &a)) == CTL_DONE)
		code = tell_asked(ctl, rest, &words);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

static int print_log(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	bool is_following = false;
	struct rest *rest = NULL;
	const struct opt opts[] = { { "follow", NULL, "go on to the job's end", OPT_FLAG, &is_following, 0, 0, NULL },
				    { "f", NULL, "the same", OPT_FLAG, &is_following, 0, 0, NULL },
				    OPT_KEY_FILE(&key_file),
				    { 0 } };
	struct opt_words words = {
		.usage = "log PROJECT JOB [-f]", .about = "What a job and its recipes printed.", .least = 2, .most = 2
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	follow_begin(rest);
	code = show_log(rest, words.words[0], words.words[1], is_following);
	rest_close(&rest);
	return code;
}

int job_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command verbs[] = {
		{ "run", "build datasets and show the log to the end", "PROJECT DATASET…", run, CTL_NEEDS_DAEMON },
		{ "start", "start a job and print its id", "PROJECT DATASET…", start, CTL_NEEDS_DAEMON },
		{ "status", "a job's state and its activities", "PROJECT JOB", status, CTL_NEEDS_DAEMON },
		{ "log", "what it printed", "PROJECT JOB [-f]", print_log, CTL_NEEDS_DAEMON },
		{ "abort", "end it", "PROJECT JOB", end_job, CTL_NEEDS_DAEMON },
		{ 0 },
	};
	return ctl_verbs(ctl, verbs, "job run | start | status | log | abort PROJECT …", argc, argv);
}

static void complete_rows(json_t *rows)
{
	json_t *row;
	size_t i;
	json_array_foreach(rows, i, row)
	{
		const json_t *def = json_object_get(row, "def");
		double from = rest_number(row, "startTime", 0), to = rest_number(row, "endTime", 0);
		set_shown(row);
		if (rest_text(row, "reason")[0] != '\0')
			json_object_set_new(row, "shown", json_string("waiting"));
		json_object_set(row, "project", json_object_get(def, "projectKey"));
		json_object_set(row, "user", json_object_get(def, "initiator"));
		if (from > 0 && to >= from)
			json_object_set_new(row, "ran", json_real(to - from));
	}
}

int jobs_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	int64_t most = JOBS_SHOWN;
	char path[PATH_ROOM], query[40];
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = { { "n", "N", "how many (40)", OPT_INT, &most, 1, 10000, NULL }, OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "[PROJECT] [-n N] [--json]",
				   .about = "Jobs, newest first: of a project, or your own of all (admins: all).",
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	snprintf(query, sizeof(query), "?limit=%lld", (long long)most);
	snprintf(path, sizeof(path), "/api/jobs%s", query);
	if (words.count > 0 && (code = path_of(words.words[0], NULL, query, path, sizeof(path))) != CTL_DONE)
		return code;
	if ((code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE && ctl->json) {
		printf("%s\n", a.body.data);
	} else if (code == CTL_DONE) {
		complete_rows(a.json);
		list_print(a.json, job_columns);
	}
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}
