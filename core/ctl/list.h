#ifndef DSS_CTL_LIST_H
#define DSS_CTL_LIST_H
#include <jansson.h>
#include "ctl/say.h"
/* list: rows of the API as a table. A column is a member of the row and a way to print it. */
enum list_form { LIST_TEXT, LIST_NUMBER, LIST_SIZE, LIST_SINCE, LIST_DURATION, LIST_STATE };

struct list_column {
	const char *title, *key;
	enum list_form form;
};

extern const struct list_column list_processes[]; /* of /api/processes; ends with a NULL title */
extern const struct list_column list_tasks[];     /* of /api/tasks */

/* NULL: no memory. One at a time: it borrows its titles from this module. Returns owned. */
struct say_table *list_table(const json_t *rows, const struct list_column *columns);

/* All of them, to stdout. */
void list_print(const json_t *rows, const struct list_column *columns);

/* Rows of tasks. Why some wait is a sentence: where the terminal has no room for it in a column it stands below, whole. */
void list_print_tasks(const json_t *rows);

#endif
