/* why: what was decided about somebody or by something, newest first: answer, line, reason, facts, outcome. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/notebooks.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/say.h"
#include "ctl/task.h"
#include "ctl/why_job.h"
#include "ctl/why_notebook.h"
#include "ctl/why_print.h"

enum { PATH_ROOM = 2000, LIMIT = 20, PAGE = 500, MOST = 100000, QUERIES = 24, FUTURE_ID_LENGTH = 16 };

struct why {
	struct ctl *ctl;
	struct rest *rest;
	bool only_would, is_all, is_task; /* is_task: the subject may be one: its state or end is told on top */
	int64_t limit;
	const char *job;            /* "JOB" or "PROJECT/JOB"; NULL = it is none */
	const char *kind;           /* of the subject, where one was given; else NULL */
	const char *subject;        /* NULL = nobody in particular */
	char what[300];             /* "fek-12", "rule \"idle kernels\"": for texts */
	char queries[QUERIES][600]; /* each an answer of its own; they are merged */
	json_t *rows;               /* owned; integers as they are */
	json_t *notebooks;          /* owned; sessions there are now, read where they are asked for; may be NULL */
	const json_t *session;      /* of them, that which was asked for; may be NULL */
	json_t *ends;               /* owned; of kernels of the notebook that was asked for; may be NULL */
};

/* --- reading --- */

/* &name=value, escaped. */
static void put(char *out, size_t room, const char *name, const char *value)
{
	char escaped[512];
	size_t n = strlen(out);
	if (rest_escape(value, escaped, sizeof(escaped)) == 0)
		snprintf(out + n, room - n, "&%s=%s", name, escaped);
}

static int64_t seq_of(const json_t *row)
{
	return (int64_t)json_integer_value(json_object_get(row, "seq"));
}

static bool has_row(const json_t *rows, int64_t seq)
{
	size_t i;
	const json_t *row;
	json_array_foreach(rows, i, row) if (seq_of(row) == seq) return true;
	return false;
}

/* Pages of one query until the limit is reached or there is no more. */
static int read_query(struct why *w, const char *query)
{
	int64_t before = 0, count = 0;
	char path[PATH_ROOM];
	for (;;) {
		int64_t page = w->limit - count < PAGE ? w->limit - count : PAGE;
		struct rest_answer a = { 0 };
		snprintf(path, sizeof(path), "/api/decisions?limit=%lld&before=%lld%s%s", (long long)page, (long long)before,
			 w->only_would ? "&would=true" : "", query);
		int code = rest_ask(w->rest, "GET", path, NULL, &a);
		json_t *rows = code == CTL_DONE ? json_loadb(a.body.data, a.body.len, 0, NULL) : NULL;
		rest_answer_fini(&a);
		if (code == CTL_DONE)
			code = rest_check_list(rows);
		size_t i, n = json_array_size(rows);
		json_t *row;
		if (code == CTL_DONE)
			json_array_foreach(rows, i, row)
			{
				before = seq_of(row);
				if (query == w->queries[0] || !has_row(w->rows, before))
					json_array_append(w->rows, row);
			}
		json_decref(rows);
		count += (int64_t)n;
		if (code != CTL_DONE || n < (size_t)page || count >= w->limit)
			return code;
	}
}

static int newest_first(const void *a, const void *b)
{
	int64_t x = seq_of(*(json_t *const *)a), y = seq_of(*(json_t *const *)b);
	return x < y ? 1 : x > y ? -1 : 0;
}

/* Several answers are one list. */
static int merge(struct why *w)
{
	size_t n = json_array_size(w->rows), i;
	json_t **all = malloc((n + 1) * sizeof(*all)), *row, *out = json_array();
	if (all == NULL || out == NULL) {
		free(all);
		json_decref(out);
		return ctl_fail(CTL_FAILED, "no memory");
	}
	json_array_foreach(w->rows, i, row) all[i] = row;
	qsort(all, n, sizeof(*all), newest_first);
	for (i = 0; i < n && i < (size_t)w->limit; i++)
		json_array_append(out, all[i]);
	free(all);
	json_decref(w->rows);
	w->rows = out;
	return CTL_DONE;
}

static int read_all(struct why *w)
{
	int code = CTL_DONE;
	w->rows = json_array();
	for (int i = 0; code == CTL_DONE && i < QUERIES; i++)
		if (i == 0 || w->queries[i][0] != '\0')
			code = read_query(w, w->queries[i]);
	if (code == CTL_DONE && (w->queries[1][0] != '\0' || w->queries[2][0] != '\0'))
		code = merge(w);
	return code;
}

/* --- for people --- */

/* Decisions know sessions by their ids, people by their notebooks. "": it is gone, and was not asked for. */
static const char *notebook_of(struct why *w, const json_t *row)
{
	size_t i;
	const json_t *one;
	if (strcmp(rest_text(row, "subjectKind"), "notebook") != 0)
		return "";
	if (w->notebooks == NULL)
		w->notebooks = notebooks_open(w->rest);
	json_array_foreach(w->notebooks, i,
			   one) if (strcmp(rest_text(one, "id"), rest_text(row, "subject")) == 0) return rest_text(one, "notebook");
	return why_notebook_path(w->ends, rest_text(row, "subject"));
}

/* Ids of tasks are 16 letters and digits; what looks otherwise is not asked for. */
static bool may_be_task(const char *id)
{
	return strlen(id) == FUTURE_ID_LENGTH && strspn(id, "abcdefghijklmnopqrstuvwxyz234567") == FUTURE_ID_LENGTH;
}

/* On top: how a task is, or how it ended. true: there is such a task. */
static bool print_task(struct why *w, const char *id)
{
	char path[PATH_ROOM], message[4000], words[200];
	struct rest_answer a = { 0 };
	if (!may_be_task(id) || task_path(id, "?peek=True", path, sizeof(path)) != CTL_DONE)
		return false;
	int code = rest_ask(w->rest, "GET", path, NULL, &a);
	bool is_over = code == CTL_DONE && !rest_is(a.json, "alive") && !rest_is(a.json, "hasResult");
	if (code == CTL_DONE && !w->ctl->json && !is_over) {
		const char *reason = rest_text(a.json, "reason");
		printf("task %s is %s%s%s\n\n", id, why_escaped(rest_text(a.json, "state"), words, sizeof(words)),
		       *reason ? ": " : "", why_escaped(reason, message, sizeof(message)));
	}
	rest_answer_fini(&a);
	if (!is_over || w->ctl->json)
		return code == CTL_DONE;
	task_path(id, "?peek=False", path, sizeof(path));
	if (rest_ask(w->rest, "GET", path, NULL, &a) == CTL_DONE)
		why_print_death(a.json);
	rest_answer_fini(&a);
	return true;
}

/* What there is, and since when. */
static void tell_nothing(struct why *w)
{
	struct rest_answer a = { 0 };
	char since[48], name[200], word[80];
	if (rest_ask(w->rest, "GET", "/api/decisions?limit=1&oldest=true", NULL, &a) == CTL_DONE && json_array_size(a.json) == 1) {
		const json_t *row = json_array_get(a.json, 0);
		ctl_note("Decisions are recorded since %s; the oldest is of %s \"%s\".",
			 say_time((int64_t)rest_number(row, "firstAt", 0), since, sizeof(since)),
			 why_escaped(rest_text(row, "word"), word, sizeof(word)),
			 why_escaped(rest_text(row, "name"), name, sizeof(name)));
	} else if (json_is_array(a.json)) {
		ctl_note("No decision that you may see is recorded yet.");
	}
	if (w->ends != NULL && strchr(w->subject, '/') != NULL)
		ctl_note("No end of a kernel of a notebook of that name is known either, of those that you may see.");
	rest_answer_fini(&a);
}

/* Of everything, or of a task that is there. */
static void tell_none(const struct why *w)
{
	const char *about = w->what[0] ? " about " : "";
	if (w->only_would)
		ctl_note("Nothing would have been done%s%s so far: what only simulates found nothing.", about, w->what);
	else
		ctl_note("No decision%s%s is recorded%s", about, w->what, w->what[0] ? "." : " yet.");
}

/* --- the command --- */

static bool is_among(const char *const *words, const char *word)
{
	for (; *words != NULL; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

static const char *const kinds[] = { "kernel", "task",   "job",      "process", "pool", "user",
				     "recipe", "webapp", "notebook", "project", "node", NULL };
static const char *const policy_words[] = { "rule",   "recycle", "slots", "box",       "place", "on", "access",
					    "sizing", "budget",  "queue", "retention", "macro", NULL };

static void ask_pool(struct why *w, const char *name)
{
	static const char *const words[] = { "pool", "recycle" };
	put(w->queries[0], sizeof(w->queries[0]), "kind", "pool");
	put(w->queries[0], sizeof(w->queries[0]), "subject", name);
	for (int i = 0; i < 2; i++) {
		put(w->queries[i + 1], sizeof(w->queries[0]), "word", words[i]);
		put(w->queries[i + 1], sizeof(w->queries[0]), "name", name);
	}
}

/* CTL_DONE, or an exit code after telling the misuse. */
static int understand(struct why *w, int n, char **words)
{
	char *query = w->queries[0];
	const size_t room = sizeof(w->queries[0]);
	if (n == 0)
		return CTL_DONE;
	if (n == 1 && strcmp(words[0], "node") == 0) {
		put(query, room, "kind", "node");
		snprintf(w->what, sizeof(w->what), "the node");
	} else if ((n == 1 && why_job_is_id(words[0])) || (n == 2 && strcmp(words[0], "job") == 0)) {
		w->job = words[n - 1];
		why_escaped(words[n - 1], w->what, sizeof(w->what));
	} else if (n == 1) {
		w->subject = words[0];
		w->is_task = true;
		put(query, room, "subject", words[0]);
		put(w->queries[1], room, "name", words[0]);
		why_escaped(words[0], w->what, sizeof(w->what));
	} else if (is_among(policy_words, words[0])) {
		put(query, room, "word", words[0]);
		put(query, room, "name", words[1]);
	} else if (strcmp(words[0], "pool") == 0) {
		ask_pool(w, words[1]);
	} else if (is_among(kinds, words[0])) {
		w->kind = words[0];
		w->subject = words[1];
		w->is_task = strcmp(words[0], "task") == 0;
		put(query, room, "kind", words[0]);
		put(query, room, "subject", words[1]);
	} else {
		static const char *all[24];
		size_t count = 0;
		for (const char *const *k = kinds; *k != NULL; k++)
			all[count++] = *k;
		for (const char *const *k = policy_words; *k != NULL; k++)
			all[count++] = *k;
		char shown[100];
		return ctl_misuse("why", all, words[0], "\"%s\" is no word that has decisions",
				  why_escaped(words[0], shown, sizeof(shown)));
	}
	if (n == 2) {
		char kind[64], name[200];
		snprintf(w->what, sizeof(w->what), "%s \"%s\"", why_escaped(words[0], kind, sizeof(kind)),
			 why_escaped(words[1], name, sizeof(name)));
	}
	return CTL_DONE;
}

/* Its task and its recipes, each a query. */
static int ask_job(struct why *w)
{
	json_t *subjects = json_array(), *status = NULL, *one;
	size_t i;
	int code = why_job_read(w->rest, w->job, &status, subjects);
	json_array_foreach(subjects, i, one) if (i < QUERIES)
		put(w->queries[i], sizeof(w->queries[i]), "subject", json_string_value(one));
	if (code == CTL_DONE && !w->ctl->json)
		why_job_print(status);
	json_decref(subjects);
	json_decref(status);
	return code;
}

/* A notebook by its path, its kernel's or its process's id: decisions are about sessions, also those that it had before. Of another kind
 * that was given, there is none. */
static void ask_notebook(struct why *w)
{
	int at = 2;
	const char *id;
	if (w->subject == NULL || may_be_task(w->subject) || (w->kind != NULL && strcmp(w->kind, "notebook") != 0))
		return;
	w->notebooks = notebooks_open(w->rest);
	w->session = notebooks_find(w->notebooks, w->subject);
	if (w->session != NULL)
		put(w->queries[at++], sizeof(w->queries[0]), "subject", rest_text(w->session, "id"));
	if (!why_notebook_is_word(w->subject))
		return;
	w->ends = why_notebook_ends(w->rest, w->subject);
	for (size_t i = 0; at < QUERIES && *(id = why_notebook_subject(w->ends, i)) != '\0'; i++)
		put(w->queries[at++], sizeof(w->queries[0]), "subject", id);
	if (!w->ctl->json)
		why_notebook_print(w->ends, w->session != NULL);
}

static int answer(struct why *w)
{
	int code = w->job ? ask_job(w) : CTL_DONE;
	ask_notebook(w);
	if (code != CTL_DONE)
		return code;
	bool is_young = w->session != NULL && json_array_size(w->ends) == 0;
	bool is_known = w->job || is_young || json_array_size(w->ends) > 0 || (w->is_task && print_task(w, w->subject));
	code = read_all(w);
	if (code != CTL_DONE)
		return code;
	size_t i, n = json_array_size(w->rows);
	const json_t *row;
	if (w->ctl->json) {
		json_t *all = why_notebook_rows(w->ends, w->rows);
		json_dumpf(all, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(all);
	} else {
		json_array_foreach(w->rows, i, row) why_print_row(row, notebook_of(w, row));
		if (n >= (size_t)w->limit && !w->is_all)
			ctl_note("There may be more: --limit N or --all shows them.");
	}
	if (n > 0 || is_known || w->what[0] == '\0') {
		if (n == 0 && is_young && !w->only_would && !w->ctl->json)
			why_notebook_print_young(w->session);
		else if (n == 0 && !w->ctl->json)
			tell_none(w);
		return CTL_DONE;
	}
	ctl_fail(CTL_NOT_FOUND, "no decision about %s is recorded%s", w->what, w->only_would ? " that would have been" : "");
	if (w->notebooks != NULL)
		why_notebook_hint(w->notebooks, w->subject, w->kind != NULL);
	tell_nothing(w);
	return CTL_NOT_FOUND;
}

int why_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct why *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return ctl_fail(CTL_FAILED, "no memory");
	w->ctl = ctl;
	w->limit = LIMIT;
	const struct opt opts[] = {
		{ "would", NULL, "only what would have been done: rules that simulate", OPT_FLAG, &w->only_would, 0, 0, NULL },
		{ "limit", "N", "how many of the newest (20)", OPT_INT, &w->limit, 1, MOST, NULL },
		{ "all", NULL, "all that are kept", OPT_FLAG, &w->is_all, 0, 0, NULL },
		OPT_KEY_FILE(&key_file),
		{ 0 },
	};
	struct opt_words words = {
		.usage = "[ID | NAME | SALES/report | node | task ID | job PROJECT/JOB | kernel ID | user LOGIN | project KEY | "
			 "recipe ID | "
			 "webapp PROJECT/NAME | notebook PROJECT/NAME | "
			 "pool NAME | rule NAME | WORD NAME] "
			 "[--would] [--all]",
		.about = "What was decided and why, newest first: also the decisions not to act. ID alone: a kernel, a task, a job "
			 "or a process, or the name\n"
			 "of a policy. SALES/report: a notebook by its path, also one that is closed; on top, how its kernels "
			 "ended.\n"
			 "WORD: rule macro recycle slots box place on access sizing budget queue. Exit 4: nothing is "
			 "recorded "
			 "about it.",
		.most = 2,
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		goto out;
	if (w->is_all)
		w->limit = MOST;
	code = understand(w, words.count, words.words);
	if (code == CTL_DONE && (code = rest_open(&w->rest, ctl, key_file)) == CTL_DONE)
		code = answer(w);
out:
	json_decref(w->rows);
	json_decref(w->notebooks);
	json_decref(w->ends);
	rest_close(&w->rest);
	free(w);
	return code;
}
