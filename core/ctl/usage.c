/* usage: what processes used, summed by whom or by what; as a table, as JSON, as values for a spreadsheet. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/say.h"

enum { PATH_ROOM = 1024, WORD_ROOM = 200 };

#define GB ((double)(1 << 30))

static const char *const keys[] = { "user", "project", "kind", "pool", "recipe", "webapp", "type", "day", "hour", "process", NULL };

struct ask {
	const char *by, *since, *until, *user, *project, *kind, *key_file;
	int64_t limit;
	bool csv;
};

static bool is_key(const char *word)
{
	for (const char *const *k = keys; *k; k++)
		if (strcmp(*k, word) == 0)
			return true;
	return false;
}

static int put_query(char *path, const char *name, const char *value)
{
	char word[WORD_ROOM];
	size_t len = strlen(path);
	if (value == NULL)
		return 0;
	if (rest_escape(value, word, sizeof(word)) < 0)
		return -1;
	int n = snprintf(path + len, PATH_ROOM - len, "%c%s=%s", strchr(path, '?') ? '&' : '?', name, word);
	return n < 0 || (size_t)n >= PATH_ROOM - len ? -1 : 0;
}

/* --- the table --- */

static void put_cpu(struct say_table *t, double seconds)
{
	char text[64];
	if (seconds < 60)
		snprintf(text, sizeof(text), "%.2f s", seconds);
	else
		text_print_duration((int64_t)(seconds * 1000), text, sizeof(text));
	say_cell(t, SAY_PLAIN, text);
}

static void put_row(struct say_table *t, const json_t *row, double all_cpu)
{
	char text[64];
	const char *key = rest_text(row, "key");
	double cpu = rest_number(row, "cpuSeconds", 0), peak = rest_number(row, "peakBytes", 0);
	say_cell(t, *key ? SAY_PLAIN : SAY_DIM, *key ? key : "(nobody)");
	put_cpu(t, cpu);
	snprintf(text, sizeof(text), "%.0f%%", all_cpu > 0 ? 100 * cpu / all_cpu : 0.0);
	say_cell(t, SAY_PLAIN, text);
	snprintf(text, sizeof(text), "%.3f", rest_number(row, "byteSeconds", 0) / GB / 3600);
	say_cell(t, SAY_PLAIN, text);
	say_cell(t, SAY_PLAIN, peak > 0 ? text_print_size((int64_t)peak, text, sizeof(text)) : "");
	snprintf(text, sizeof(text), "%.0f", rest_number(row, "processes", 0));
	say_cell(t, SAY_PLAIN, text);
	snprintf(text, sizeof(text), "%.0f", rest_number(row, "tasks", 0));
	say_cell(t, SAY_PLAIN, text);
}

static int print_table(const char *by, const json_t *rows)
{
	char first[32];
	const char *titles[] = { first, "CPU", "SHARE", "GB x HOURS", "PEAK", "PROCESSES", "TASKS" };
	double all = 0;
	const json_t *row;
	size_t i;
	if (rest_check_list(rows) != CTL_DONE)
		return CTL_FAILED;
	if (json_array_size(rows) == 0) {
		ctl_note("Nothing was used in that time that you may see.");
		return CTL_DONE;
	}
	for (i = 0; by[i] && i + 1 < sizeof(first); i++)
		first[i] = (char)(by[i] - 'a' + 'A');
	first[i] = '\0';
	struct say_table *t = say_table_new(titles, sizeof(titles) / sizeof(titles[0]));
	if (t == NULL)
		return ctl_fail(CTL_FAILED, "no memory");
	json_array_foreach(rows, i, row) all += rest_number(row, "cpuSeconds", 0);
	json_array_foreach(rows, i, row) put_row(t, row, all);
	say_table_print(t, stdout);
	say_table_free(&t);
	return CTL_DONE;
}

/* --- the command --- */

static int ask_and_print(struct ctl *ctl, const struct ask *q)
{
	char path[PATH_ROOM] = "/api/usage", limit[32];
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	snprintf(limit, sizeof(limit), "%lld", (long long)q->limit);
	if (put_query(path, "by", q->by) < 0 || put_query(path, "since", q->since) < 0 || put_query(path, "until", q->until) < 0 ||
	    put_query(path, "user", q->user) < 0 || put_query(path, "project", q->project) < 0 ||
	    put_query(path, "kind", q->kind) < 0 || put_query(path, "limit", limit) < 0 ||
	    put_query(path, "format", q->csv ? "csv" : NULL) < 0)
		return ctl_misuse(ctl->verb, NULL, NULL, "a word is too long");
	int code = rest_open(&rest, ctl, q->key_file);
	if (code == CTL_DONE)
		code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE && q->csv)
		fwrite(a.body.data, 1, a.body.len, stdout);
	else if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.data);
	else if (code == CTL_DONE)
		code = print_table(q->by, a.json);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

int usage_command(struct ctl *ctl, int argc, char **argv)
{
	struct ask q = { .by = "user", .since = "7d", .limit = 1000 };
	const struct opt opts[] = {
		{ "by", "WORD", "user project kind pool recipe webapp type day hour process (user)", OPT_TEXT, &q.by, 0, 0, NULL },
		{ "since", "WHEN", "so long ago (7d), a day (2026-01-31), milliseconds since 1970; whole hours (7d)", OPT_TEXT,
		  &q.since, 0, 0, NULL },
		{ "until", "WHEN", "the same; else now", OPT_TEXT, &q.until, 0, 0, NULL },
		{ "user", "LOGIN", "only what this user used", OPT_TEXT, &q.user, 0, 0, NULL },
		{ "project", "KEY", "only of this project", OPT_TEXT, &q.project, 0, 0, NULL },
		{ "kind", "WORD", "only kernel, recipe, webapp, service …", OPT_TEXT, &q.kind, 0, 0, NULL },
		{ "limit", "N", "at most so many rows (1000)", OPT_INT, &q.limit, 1, 10000, NULL },
		{ "csv", NULL, "comma-separated values, for a spreadsheet", OPT_FLAG, &q.csv, 0, 0, NULL },
		OPT_KEY_FILE(&q.key_file),
		{ 0 },
	};
	struct opt_words words = {
		.usage = "[--by WORD] [--since WHEN] [--until WHEN] [--csv | --json]",
		.about = "What processes used: CPU, memory over time, the highest peak; yours, or everybody's for\n"
			 "admins. What ran for nobody is the stock of warm kernels."
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (!is_key(q.by))
		return ctl_misuse(ctl->verb, keys, q.by, "unknown --by \"%s\"", q.by);
	if (q.csv && ctl->json)
		return ctl_misuse(ctl->verb, NULL, NULL, "--csv and --json are two forms; choose one");
	return ask_and_print(ctl, &q);
}
