/* list: the lists of the API as tables: `ps` and `tasks`. A column is a member of the row and a way to print it. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/say.h"

enum { COLUMNS_MAX = 12 };

enum form { FORM_TEXT, FORM_NUMBER, FORM_SIZE, FORM_SINCE, FORM_DURATION, FORM_STATE };

struct column {
	const char *title, *key;
	enum form form;
};

static const struct column process_columns[] = {
	{ "ID", "id", FORM_TEXT },
	{ "KIND", "kind", FORM_TEXT },
	{ "POOL", "pool", FORM_TEXT },
	{ "PID", "pid", FORM_NUMBER },
	{ "STATE", "state", FORM_STATE },
	{ "SINCE", "startedAt", FORM_SINCE },
	{ "MEMORY", "memoryBytes", FORM_SIZE },
	{ "LIMIT", "limitBytes", FORM_SIZE },
	{ "USER", "user", FORM_TEXT },
	{ "TASK", "taskId", FORM_TEXT },
	{ NULL, NULL, FORM_TEXT },
};

static const struct column task_columns[] = {
	{ "ID", "jobId", FORM_TEXT },
	{ "STATE", "state", FORM_STATE },
	{ "POOL", "pool", FORM_TEXT },
	{ "KERNEL", "kernel", FORM_TEXT },
	{ "OWNER", "owner", FORM_TEXT },
	{ "SINCE", "startTime", FORM_SINCE },
	{ "RAN", "runningTime", FORM_DURATION },
	{ "REASON", "reason", FORM_TEXT },
	{ "TITLE", "title", FORM_TEXT },
	{ NULL, NULL, FORM_TEXT },
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

/* A task's name is in its payload. */
static const char *text_of(const json_t *row, const char *key)
{
	if (strcmp(key, "title") == 0 && rest_text(row, key)[0] == '\0')
		return rest_text(json_object_get(row, "payload"), "displayName");
	return rest_text(row, key);
}

static void put_cell(struct say_table *t, const json_t *row, const struct column *c)
{
	char text[64] = "";
	double n = rest_number(row, c->key, -1);
	if (c->form == FORM_TEXT || c->form == FORM_STATE) {
		say_cell(t, c->form == FORM_STATE ? tone_of(text_of(row, c->key)) : SAY_PLAIN, text_of(row, c->key));
		return;
	}
	if (n >= 0 && c->form == FORM_NUMBER)
		snprintf(text, sizeof(text), "%.0f", n);
	else if (n >= 0 && c->form == FORM_SIZE)
		text_print_size((int64_t)n, text, sizeof(text));
	else if (n >= 0 && c->form == FORM_SINCE)
		say_since((int64_t)n, text, sizeof(text));
	else if (n >= 0)
		text_print_duration((int64_t)n, text, sizeof(text));
	say_cell(t, SAY_PLAIN, text);
}

static int print_rows(const json_t *rows, const struct column *columns)
{
	const char *titles[COLUMNS_MAX];
	size_t n = 0, i;
	json_t *row;
	for (; columns[n].title != NULL && n < COLUMNS_MAX; n++)
		titles[n] = columns[n].title;
	struct say_table *t = say_table_new(titles, n);
	if (t == NULL)
		return ctl_fail(CTL_FAILED, "no memory");
	json_array_foreach(rows, i, row) for (size_t c = 0; c < n; c++) put_cell(t, row, &columns[c]);
	say_table_print(t, stdout);
	say_table_free(&t);
	return CTL_DONE;
}

static int print_list(struct ctl *ctl, const char *about, const char *path, const struct column *columns, int argc, char **argv)
{
	const char *key_file = NULL;
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = {
		{ "key-file", "FILE", "the API key (else DSS_KEY, else config/admin.key)", OPT_TEXT, &key_file, 0, 0, NULL }, { 0 }
	};
	struct opt_words words = { .usage = "[--json]", .about = about };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE && !json_is_array(a.json))
		code = ctl_fail(CTL_FAILED, "unable to understand the backend's answer: it is no list");
	else if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.data);
	else if (code == CTL_DONE)
		code = print_rows(a.json, columns);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

int ps_command(struct ctl *ctl, int argc, char **argv)
{
	return print_list(ctl, "Every process of the instance.", "/api/processes", process_columns, argc, argv);
}

int tasks_command(struct ctl *ctl, int argc, char **argv)
{
	return print_list(ctl, "Running and waiting work, and what ended lately.", "/api/tasks", task_columns, argc, argv);
}
