#include "ctl/slots.h"

#include <jansson.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/list.h"
#include "ctl/say.h"

static const struct list_column columns[] = {
	{ "SLOTS", "name", LIST_TEXT },        { "EACH", "each", LIST_TEXT },     { "KEY", "key", LIST_TEXT },
	{ "USED", "used", LIST_NUMBER },       { "MAX", "max", LIST_NUMBER },     { "MEMORY", "memoryBytes", LIST_SIZE },
	{ "OF", "memoryMaxBytes", LIST_SIZE }, { "SOURCE", "source", LIST_TEXT }, { NULL, NULL, LIST_TEXT },
};

static void add_rows(json_t *rows, json_t *rule)
{
	size_t i;
	json_t *key, *keys = json_object_get(rule, "keys");
	json_array_foreach(keys, i, key)
	{
		json_t *row = json_copy(rule);
		json_object_update(row, key);
		json_array_append_new(rows, row);
	}
	if (json_array_size(keys) == 0)
		json_array_append(rows, rule);
}

void slots_print(struct rest *rest)
{
	struct rest_answer a = { 0 };
	size_t i;
	json_t *rule, *rows = json_array();
	if (rest_ask(rest, "GET", "/api/slots", NULL, &a) == CTL_DONE && json_is_array(a.json) && rows != NULL) {
		json_array_foreach(a.json, i, rule) add_rows(rows, rule);
		struct say_table *t = json_array_size(rows) > 0 ? list_table(rows, columns) : NULL;
		if (t != NULL) {
			putchar('\n');
			say_table_print(t, stdout);
		}
		say_table_free(&t);
	}
	json_decref(rows);
	rest_answer_fini(&a);
}
