/* list: the lists of the API as tables: `ps`, `tasks` and `pools`. A column is a member of the row and a way to print it. */
#include "ctl/list.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/say.h"
#include "ctl/slots.h"
#include "ctl/tree.h"
#include "ctl/where.h"

#define LIST_TREE_PATH "/api/processes?members=true"

enum { COLUMNS_MAX = 12, FILTERS_MAX = 4, WIDE = 160, REASONS_MOST = 10 };

const struct list_column list_processes[] = {
	{ "ID", "id", LIST_TEXT },
	{ "KIND", "kind", LIST_TEXT },
	{ "POOL", "pool", LIST_TEXT },
	{ "PID", "pid", LIST_NUMBER },
	{ "STATE", "state", LIST_STATE },
	{ "SINCE", "startedAt", LIST_SINCE },
	{ "MEMORY", "memoryBytes", LIST_SIZE },
	{ "LIMIT", "limitBytes", LIST_SIZE },
	{ "USER", "user", LIST_TEXT },
	{ "WHAT", "what", LIST_TEXT },
	{ NULL, NULL, LIST_TEXT },
};

const struct list_column list_tasks[] = {
	{ "ID", "jobId", LIST_TEXT },
	{ "STATE", "state", LIST_STATE },
	{ "POOL", "pool", LIST_TEXT },
	{ "KERNEL", "kernel", LIST_TEXT },
	{ "OWNER", "owner", LIST_TEXT },
	{ "SINCE", "startTime", LIST_SINCE },
	{ "RAN", "runningTime", LIST_DURATION },
	{ "REASON", "reason", LIST_TEXT },
	{ "TITLE", "title", LIST_TEXT },
	{ NULL, NULL, LIST_TEXT },
};

static const struct list_column pool_columns[] = {
	{ "POOL", "name", LIST_TEXT },
	{ "ALIVE", "alive", LIST_NUMBER },
	{ "IDLE", "idle", LIST_NUMBER },
	{ "BUSY", "busy", LIST_NUMBER },
	{ "STARTING", "starting", LIST_NUMBER },
	{ "WAITING", "waiting", LIST_NUMBER },
	{ "MAX", "max", LIST_NUMBER },
	{ "LIMIT", "memoryLimitBytes", LIST_SIZE },
	{ "SOURCE", "source", LIST_TEXT },
	{ "TROUBLE", "failure", LIST_TEXT },
	{ NULL, NULL, LIST_TEXT },
};

static enum say_tone tone_of(const char *state)
{
	static const struct {
		const char *state;
		enum say_tone tone;
	} tones[] = { { "running", SAY_GOOD }, { "busy", SAY_GOOD },  { "ready", SAY_GOOD }, { "idle", SAY_PLAIN },
		      { "queued", SAY_WARN },  { "failed", SAY_BAD }, { "killed", SAY_BAD }, { "aborted", SAY_WARN },
		      { "ended", SAY_DIM },    { "dead", SAY_DIM } };
	for (size_t i = 0; i < sizeof(tones) / sizeof(tones[0]); i++)
		if (strcmp(tones[i].state, state) == 0)
			return tones[i].tone;
	return SAY_PLAIN;
}

/* What a process is of: a task of a kernel, a notebook, a webapp, a recipe of a job. */
static const char *what_of(const json_t *row)
{
	static const char *const keys[] = { "taskId", "notebook", "webApp", "recipe" };
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (rest_text(row, keys[i])[0] != '\0')
			return rest_text(row, keys[i]);
	return "";
}

/* A task's name is in its payload. */
static const char *text_of(const json_t *row, const char *key)
{
	if (strcmp(key, "what") == 0 && rest_text(row, key)[0] == '\0')
		return what_of(row);
	if (strcmp(key, "title") == 0 && rest_text(row, key)[0] == '\0')
		return rest_text(json_object_get(row, "payload"), "displayName");
	return rest_text(row, key);
}

static void put_cell(struct say_table *t, const json_t *row, const struct list_column *c)
{
	char text[64] = "";
	double n = rest_number(row, c->key, -1);
	if (strcmp(c->key, "runningTime") == 0 && rest_text(row, "kernel")[0] == '\0')
		n = -1; /* it never began */
	if (c->form == LIST_TEXT || c->form == LIST_STATE) {
		say_cell(t, c->form == LIST_STATE ? tone_of(text_of(row, c->key)) : SAY_PLAIN, text_of(row, c->key));
		return;
	}
	if (n >= 0 && c->form == LIST_NUMBER)
		snprintf(text, sizeof(text), "%.0f", n);
	else if (n >= 0 && c->form == LIST_SIZE)
		text_print_size((int64_t)n, text, sizeof(text));
	else if (n >= 0 && c->form == LIST_SINCE)
		say_since((int64_t)n, text, sizeof(text));
	else if (n >= 0)
		text_print_duration((int64_t)n, text, sizeof(text));
	say_cell(t, SAY_PLAIN, text);
}

struct say_table *list_table(const json_t *rows, const struct list_column *columns)
{
	static const char *titles[COLUMNS_MAX]; /* borrowed by the table */
	size_t n = 0, i;
	json_t *row;
	for (; columns[n].title != NULL && n < COLUMNS_MAX; n++)
		titles[n] = columns[n].title;
	struct say_table *t = say_table_new(titles, n);
	if (t == NULL)
		return NULL;
	json_array_foreach(rows, i, row) for (size_t c = 0; c < n; c++) put_cell(t, row, &columns[c]);
	return t;
}

void list_print(const json_t *rows, const struct list_column *columns)
{
	struct say_table *t = list_table(rows, columns);
	if (t != NULL)
		say_table_print(t, stdout);
	say_table_free(&t);
}

static void print_reasons(const json_t *rows)
{
	const json_t *row;
	size_t i, n = 0;
	char id[64], reason[1200];
	json_array_foreach(rows, i, row)
	{
		const char *why = rest_text(row, "reason"), *which = rest_text(row, "jobId");
		if (*why == '\0' || n++ >= REASONS_MOST)
			continue;
		text_escape(id, sizeof(id), which, strlen(which));
		text_escape(reason, sizeof(reason), why, strlen(why));
		printf("%s%s  %s\n", n == 1 ? "\n" : "", id, reason);
	}
	if (n > REASONS_MOST)
		printf("and %zu more that wait: dssctl tasks --where 'state = queued' | cat\n", n - REASONS_MOST);
}

void list_print_tasks(const json_t *rows)
{
	struct list_column narrow[COLUMNS_MAX];
	size_t n = 0, columns = say_columns(stdout, NULL);
	bool is_narrow = columns > 0 && columns < WIDE;
	for (const struct list_column *c = list_tasks; c->title != NULL; c++)
		if (strcmp(c->key, "reason") != 0)
			narrow[n++] = *c;
	narrow[n] = (struct list_column){ 0 };
	list_print(rows, is_narrow ? narrow : list_tasks);
	if (is_narrow)
		print_reasons(rows);
}

struct filter {
	const char *key, *wanted; /* NULL: all */
};

/* Rows that have what is wanted of each filter; a borrowed list turns into an owned one. */
static json_t *filtered(const json_t *rows, const struct filter *filters)
{
	json_t *out = json_array(), *row;
	size_t i;
	json_array_foreach(rows, i, row)
	{
		bool is_in = true;
		for (const struct filter *f = filters; f->key != NULL; f++)
			is_in = is_in && (f->wanted == NULL || strcmp(rest_text(row, f->key), f->wanted) == 0);
		if (is_in)
			json_array_append(out, row);
	}
	return out;
}

struct what {
	const char *about, *usage, *path;
	const struct list_column *columns;
	const char *keys[FILTERS_MAX]; /* members that can be filtered by, NULL-terminated */
	bool is_pools;                 /* the rules of slots follow, and what is wrong in policies/ */
	int words_most;                /* words of the command line that are a filter */
	bool may_be_tree;              /* --tree: below those that started them */
};

static int print_answer(struct ctl *ctl, const struct what *what, const struct filter *filters, bool is_tree,
			const struct rest_answer *a)
{
	bool is_all = true;
	for (const struct filter *f = filters; f->key != NULL; f++)
		is_all = is_all && f->wanted == NULL;
	if (rest_check_list(a->json) != CTL_DONE)
		return CTL_FAILED;
	if (ctl->json && is_all) {
		printf("%s\n", a->body.data);
		return CTL_DONE;
	}
	/* Integers stay integers where they are printed again. */
	json_t *whole = json_loadb(a->body.data, a->body.len, 0, NULL);
	json_t *rows = filtered(whole, filters);
	if (is_tree && !ctl->json) {
		tree_print(rows);
	} else if (ctl->json) {
		json_dumpf(rows, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (what->columns == list_tasks) {
		list_print_tasks(rows);
	} else {
		list_print(rows, what->columns);
	}
	json_decref(rows);
	json_decref(whole);
	return CTL_DONE;
}

/* What was saved last may have a mistake: then these are not the pools that the files say. */
static void note_policies(struct rest *rest)
{
	struct rest_answer a = { 0 };
	char text[1000];
	if (rest_ask(rest, "GET", "/health", NULL, &a) == CTL_DONE) {
		const char *error = rest_text(json_object_get(a.json, "policies"), "error");
		text_escape(text, sizeof(text), error, strlen(error));
		if (text[0] != '\0')
			ctl_note("%s\nThe set before stays in force.", text);
	}
	rest_answer_fini(&a);
}

static int print_list(struct ctl *ctl, const struct what *what, int argc, char **argv)
{
	const char *key_file = NULL, *where = NULL;
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	struct filter filters[FILTERS_MAX + 1] = { 0 };
	bool is_tree = false;
	struct opt opts[FILTERS_MAX + 4] = {
		OPT_KEY_FILE(&key_file),
		{ "where", "FILTER", "only those it is true of: \"memory > 1g and age > 2h\"", OPT_TEXT, &where, 0, 0, NULL },
	};
	char joined[WHERE_MAX + 2];
	char help[FILTERS_MAX][48];
	size_t nkeys = 0;
	for (size_t i = 0; i < FILTERS_MAX && what->keys[i] != NULL; i++, nkeys++) {
		filters[i].key = what->keys[i];
		snprintf(help[i], sizeof(help[i]), "only those of this %s", what->keys[i]);
		opts[i + 2] = (struct opt){ what->keys[i], "WORD", help[i], OPT_TEXT, &filters[i].wanted, 0, 0, NULL };
	}
	if (what->may_be_tree)
		opts[nkeys + 2] =
			(struct opt){ "tree", NULL, "each below the one that started it", OPT_FLAG, &is_tree, 0, 0, NULL };
	struct opt_words words = { .usage = what->usage, .about = what->about, .most = what->words_most };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (words.count > 0 && where != NULL)
		return ctl_misuse(ctl->verb, NULL, NULL, "\"%s\" and --where are two filters; join them with and", words.words[0]);
	if (words.count > 0) {
		if ((code = where_join(&words, joined, sizeof(joined))) != CTL_DONE)
			return code;
		where = joined;
	}
	if ((code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	/* a tree shows what lives in the boxes as well */
	code = where_ask(rest, is_tree && !ctl->json ? LIST_TREE_PATH : what->path, where, &a);
	if (code == CTL_DONE)
		code = print_answer(ctl, what, filters, is_tree, &a);
	rest_answer_fini(&a);
	if (code == CTL_DONE && what->is_pools && !ctl->json) {
		slots_print(rest);
		note_policies(rest);
	}
	rest_close(&rest);
	return code;
}

int ps_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct what what = { "Every process of the instance.",
					  "[FILTER] [--tree] [--kind WORD] [--pool NAME] [--state WORD] [--json]",
					  "/api/processes",
					  list_processes,
					  { "kind", "pool", "state" },
					  false,
					  OPT_WORDS_MAX,
					  true };
	return print_list(ctl, &what, argc, argv);
}

int tasks_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct what what = { "Running and waiting work, and what ended lately.",
					  "[--where FILTER] [--state WORD] [--pool NAME] [--owner LOGIN] [--json]",
					  "/api/tasks",
					  list_tasks,
					  { "state", "pool", "owner" },
					  false,
					  0,
					  false };
	return print_list(ctl, &what, argc, argv);
}

int pools_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct what what = { "Pools of kernels: how many are warm, busy, starting, and how many tasks wait.",
					  "[--where FILTER] [--json]",
					  "/api/pools",
					  pool_columns,
					  { 0 },
					  true,
					  0,
					  false };
	return print_list(ctl, &what, argc, argv);
}
