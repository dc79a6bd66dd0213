#include "ctl/boxes.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/rest.h"

static const struct list_column columns[] = {
	{ "BOX", "shown", LIST_TEXT },
	{ "PROCESSES", "processes", LIST_NUMBER },
	{ "MEMORY", "memoryBytes", LIST_SIZE },
	{ "PEAK", "peakBytes", LIST_SIZE },
	{ "OF", "limitBytes", LIST_SIZE },
	{ "CPUS", "cpuLimit", LIST_NUMBER },
	{ "THREADS", "threads", LIST_NUMBER },
	{ "OF", "threadsLimit", LIST_NUMBER },
	{ "OOM", "oomKills", LIST_NUMBER },
	{ "LIMITED BY", "by", LIST_TEXT },
	{ NULL, NULL, LIST_TEXT },
};

/* "a project's jobs" (policies/20-limits.lua:4); limits of its own come from its project. */
static void set_shown(json_t *row)
{
	char by[400] = "";
	const char *name = rest_text(row, "name"), *source = rest_text(row, "source"), *box = rest_text(row, "box");
	if (name[0])
		snprintf(by, sizeof(by), "\"%s\" (%s)", name, source);
	else if (strcmp(rest_text(row, "kind"), "process") == 0 && json_object_get(row, "limitBytes"))
		snprintf(by, sizeof(by), "its own limits");
	int depth = 0;
	for (const char *at = box; *at; at++)
		depth += *at == '/';
	const char *last = strrchr(box, '/');
	char shown[400];
	snprintf(shown, sizeof(shown), "%*s%s", depth > 1 ? 2 * (depth - 1) : 0, "", depth > 1 ? last + 1 : box);
	json_object_set_new(row, "shown", json_string(shown));
	json_object_set_new(row, "by", json_string(by));
}

static void print(json_t *rows)
{
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row) set_shown(row);
	struct say_table *t = list_table(rows, columns);
	if (t != NULL)
		say_table_print(t, stdout);
	say_table_free(&t);
}

int boxes_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = {
		.usage = "[--json]",
		.about = "Where recipes and webapps run: the levels in use, what limits each, and what it uses."
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = rest_ask(rest, "GET", "/api/boxes", NULL, &a);
	if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.data);
	else if (code == CTL_DONE && json_array_size(a.json) == 0)
		printf("no recipe and no webapp runs now\n");
	else if (code == CTL_DONE)
		print(a.json);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}
