/* abort: stops one task, or all that a filter is true of: those that were shown, and no others. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/list.h"
#include "ctl/notebooks.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/task.h"
#include "ctl/where.h"

enum { PATH_ROOM = 512 };

struct choice {
	const char *where;
	bool is_sure, is_dry;
};

static int abort_one(struct ctl *ctl, struct rest *rest, const char *id)
{
	char path[PATH_ROOM], look[PATH_ROOM];
	struct rest_answer a = { 0 };
	int code = task_path(id, "", path, sizeof(path));
	if (code != CTL_DONE || (code = task_path(id, "?peek=True", look, sizeof(look))) != CTL_DONE) {
		notebooks_hint(rest, id); /* a notebook's path is no task's id */
		return code;
	}
	code = rest_ask(rest, "GET", look, NULL, &a);
	bool is_alive = rest_is(a.json, "alive");
	if (code == CTL_NOT_FOUND)
		notebooks_hint(rest, id);
	if (code == CTL_DONE && !is_alive && !ctl->json)
		printf("%s has ended already: %s\n", id, rest_text(a.json, "state"));
	rest_answer_fini(&a);
	if (code == CTL_DONE && (is_alive || ctl->json))
		code = rest_ask(rest, "DELETE", path, NULL, &a);
	if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.len > 0 ? a.body.data : "{}");
	else if (code == CTL_DONE && is_alive)
		printf("asked to stop: %s\n", id);
	rest_answer_fini(&a);
	return code;
}

static const char *tasks_of(size_t n)
{
	return n == 1 ? "task" : "tasks";
}

/* CTL_DONE: they may end. */
static int ask_people(const struct choice *choice, size_t n)
{
	char line[16] = "";
	if (choice->is_sure)
		return CTL_DONE;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return ctl_fail(CTL_USAGE,
				"nobody is here to be asked: say --yes to end %s, or --dry-run to look only; nothing was ended",
				n == 1 ? "it" : "them");
	if (n == 1)
		fputs("End this task? [y/N] ", stderr);
	else
		fprintf(stderr, "End these %zu tasks? [y/N] ", n);
	fflush(stderr);
	if (fgets(line, sizeof(line), stdin) != NULL && (strcmp(line, "y\n") == 0 || strcmp(line, "yes\n") == 0))
		return CTL_DONE;
	ctl_note("Nothing was ended.");
	return CTL_ABORTED;
}

/* Each by its id; one that has ended meanwhile is fine. The exit code is that of the first that failed. */
static int end_each(struct rest *rest, json_t *rows, size_t *failed)
{
	char path[PATH_ROOM];
	int worst = CTL_DONE;
	size_t i;
	json_t *row;
	*failed = 0;
	json_array_foreach(rows, i, row)
	{
		struct rest_answer a = { 0 };
		int code = task_path(rest_text(row, "jobId"), "", path, sizeof(path));
		if (code == CTL_DONE)
			code = rest_ask(rest, "DELETE", path, NULL, &a);
		rest_answer_fini(&a);
		json_object_set_new(row, "asked", json_boolean(code == CTL_DONE));
		*failed += code != CTL_DONE;
		if (worst == CTL_DONE)
			worst = code;
	}
	return worst;
}

static void print_rows(const json_t *rows)
{
	list_print_tasks(rows);
	fflush(stdout);
}

static void print_ids(const json_t *rows)
{
	json_t *out = json_array(), *row;
	size_t i;
	json_array_foreach(rows, i, row)
	{
		json_t *one = json_object();
		json_object_set(one, "jobId", json_object_get(row, "jobId"));
		json_object_set_new(one, "asked", json_boolean(rest_is(row, "asked")));
		json_array_append_new(out, one);
	}
	json_dumpf(out, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(out);
}

static int abort_rows(struct ctl *ctl, struct rest *rest, const struct choice *choice, json_t *rows)
{
	size_t n = json_array_size(rows), failed = 0;
	int code = CTL_DONE;
	if (!ctl->json && n > 0)
		print_rows(rows);
	if (n == 0 && !ctl->json)
		printf("no open task is like that\n");
	else if (choice->is_dry && !ctl->json)
		printf("%zu %s would be asked to stop; nothing was ended\n", n, tasks_of(n));
	if (n > 0 && !choice->is_dry && (code = ask_people(choice, n)) != CTL_DONE)
		return code;
	if (n > 0 && !choice->is_dry)
		code = end_each(rest, rows, &failed);
	if (ctl->json)
		print_ids(rows);
	else if (n > 0 && !choice->is_dry)
		printf("asked to stop: %zu %s\n", n - failed, tasks_of(n - failed));
	if (failed > 0)
		ctl_note("%zu of %zu could not be asked to stop; run it again to see what is left.", failed, n);
	return code;
}

static int abort_where(struct ctl *ctl, struct rest *rest, const struct choice *choice)
{
	struct rest_answer a = { 0 };
	int code = where_ask(rest, "/api/tasks?ended=0", choice->where, &a);
	if (code == CTL_DONE)
		code = rest_check_list(a.json);
	if (code == CTL_DONE)
		code = abort_rows(ctl, rest, choice, a.json);
	rest_answer_fini(&a);
	return code;
}

int abort_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct choice choice = { 0 };
	struct rest *rest = NULL;
	const struct opt opts[] = {
		{ "where", "FILTER", "all open tasks it is true of: \"user = bob and waiting > 1h\"", OPT_TEXT, &choice.where, 0, 0,
		  NULL },
		{ "yes", NULL, "with --where: do not ask", OPT_FLAG, &choice.is_sure, 0, 0, NULL },
		{ "dry-run", NULL, "with --where: show what would end, and end nothing", OPT_FLAG, &choice.is_dry, 0, 0, NULL },
		OPT_KEY_FILE(&key_file),
		{ 0 },
	};
	struct opt_words words = { .usage = "ID | --where FILTER [--yes | --dry-run]",
				   .about = "Stops a task. It ends as aborted; what it printed stays in the log. With --where: "
					    "shows all tasks that the\n"
					    "filter is true of, asks, and stops exactly those.",
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	char path[PATH_ROOM];
	if (code >= 0)
		return code;
	if (words.count == 1 && choice.where != NULL)
		return ctl_misuse(ctl->verb, NULL, NULL, "a task's id or --where, not both");
	if (words.count == 0 && choice.where == NULL)
		return ctl_misuse(ctl->verb, NULL, NULL, "which task? usage: dssctl abort %s", words.usage);
	if (choice.where == NULL && (choice.is_sure || choice.is_dry))
		return ctl_misuse(ctl->verb, NULL, NULL, "--yes and --dry-run go with --where");
	/* with a slash it may be a notebook's path: whoever knows notebooks says what ends it */
	if (words.count == 1 && strchr(words.words[0], '/') == NULL &&
	    (code = task_path(words.words[0], "", path, sizeof(path))) != CTL_DONE)
		return code;
	if ((code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = choice.where != NULL ? abort_where(ctl, rest, &choice) : abort_one(ctl, rest, words.words[0]);
	rest_close(&rest);
	return code;
}
