/* free: whose idle memory is the cheapest to give back: notebooks that nobody uses, the longest quiet first; kernels of pools are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/list.h"
#include "ctl/notebooks.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/where.h"

static const char key_help[] = "the API key (else DSS_KEY, else config/admin.key)";
/* Nobody is connected, nothing happened for a while, its user did not ask to keep it. Unknown is never idle. */
static const char idle_notebooks[] = "state = idle and quiet > 10min and not connected and not leased and memory > 0";
static const char idle_kernels[] = "kind = kernel and state = idle and memory > 0";

static const struct list_column columns[] = {
	{ "WHAT", "what", LIST_TEXT },     { "WHO", "shown", LIST_TEXT },          { "USER", "user", LIST_TEXT },
	{ "IDLE", "idle", LIST_DURATION }, { "MEMORY", "memoryBytes", LIST_SIZE }, { "SUM", "sum", LIST_SIZE },
	{ NULL, NULL, LIST_TEXT },
};

/* The longest idle first: what was not needed for days is not missed. */
static int compare(const void *a, const void *b)
{
	double left = rest_number(*(json_t *const *)a, "quietTime", 0), right = rest_number(*(json_t *const *)b, "quietTime", 0);
	return left < right   ? 1
	       : left > right ? -1
			      : strcmp(rest_text(*(json_t *const *)a, "id"), rest_text(*(json_t *const *)b, "id"));
}

/* Moves as many of rows as are needed into out; the sum of their memory. */
static double take(const json_t *rows, double wanted, json_t *out)
{
	size_t n = json_array_size(rows), taken = 0;
	double sum = 0;
	json_t **sorted = calloc(n + 1, sizeof(json_t *));
	for (size_t i = 0; sorted != NULL && i < n; i++)
		sorted[i] = json_array_get(rows, i);
	if (sorted != NULL)
		qsort(sorted, n, sizeof(json_t *), compare);
	for (size_t i = 0; sorted != NULL && i < n && sum < wanted; i++) {
		bool is_again = false;
		for (size_t k = 0; k < taken; k++) /* two sessions on one kernel hold its memory once */
			is_again |= strcmp(rest_text(json_array_get(out, k), "kernelId"), rest_text(sorted[i], "kernelId")) == 0;
		if (is_again)
			continue;
		sum += rest_number(sorted[i], "memoryBytes", 0);
		json_object_set_new(sorted[i], "what", json_string("notebook"));
		json_object_set(sorted[i], "shown", json_object_get(sorted[i], "notebook"));
		json_object_set(sorted[i], "idle", json_object_get(sorted[i], "quietTime"));
		json_object_set_new(sorted[i], "sum", json_real(sum));
		json_array_append(out, sorted[i]);
		taken++;
	}
	free(sorted);
	return sum;
}

/* Kernels that wait for a task: their pools would start others at once, so that is said, not done. */
static void tell_kernels(struct rest *rest)
{
	struct rest_answer a = { 0 };
	char size[40];
	double sum = 0;
	size_t i;
	json_t *row;
	if (where_ask(rest, "/api/processes", idle_kernels, &a) != CTL_DONE) {
		rest_answer_fini(&a);
		return;
	}
	json_array_foreach(a.json, i, row) sum += rest_number(row, "memoryBytes", 0);
	if (json_array_size(a.json) > 0)
		ctl_note(
			"idle kernels of pools hold %s more: their policies decide (warm, recycle), and would start others at once",
			text_print_size((int64_t)sum, size, sizeof(size)));
	rest_answer_fini(&a);
}

static int act(const struct ctl *ctl, struct rest *rest, const json_t *rows)
{
	size_t i;
	json_t *row;
	int code = CTL_DONE;
	double sum = 0;
	char size[40];
	json_array_foreach(rows, i, row)
	{
		int one = notebooks_order(rest, "DELETE", rest_text(row, "id"), "", NULL);
		if (one == CTL_DONE)
			sum += rest_number(row, "memoryBytes", 0);
		else
			code = one;
	}
	if (!ctl->json)
		printf("gave back %s\n", text_print_size((int64_t)sum, size, sizeof(size)));
	return code;
}

int free_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	bool is_sure = false;
	int64_t wanted = 0;
	char size[2][40];
	struct err err = { 0 };
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = { { "yes", NULL, "do it, not only show whom", OPT_FLAG, &is_sure, 0, 0, NULL },
				    { "key-file", "FILE", key_help, OPT_TEXT, &key_file, 0, 0, NULL },
				    { 0 } };
	struct opt_words words = { .usage = "SIZE [--yes]",
				   .about = "The idle notebooks that hold that much memory together: nobody connected, nothing "
					    "happened for 10 min, not\n"
					    "kept by their user; the longest idle first. Shows them; --yes unloads them.",
				   .least = 1,
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (text_size(words.words[0], &wanted, &err) < 0 || wanted <= 0)
		return ctl_misuse("free", NULL, NULL, "%s", err.text[0] != '\0' ? err.text : "SIZE has to be more than 0");
	if ((code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	json_t *rows = json_array();
	if ((code = where_ask(rest, "/api/notebooks", idle_notebooks, &a)) == CTL_DONE) {
		double sum = take(a.json, (double)wanted, rows);
		if (ctl->json)
			json_dumpf(rows, stdout, JSON_INDENT(2)), printf("\n");
		else if (json_array_size(rows) > 0)
			list_print(rows, columns);
		if (sum < (double)wanted) {
			ctl_note("that is %s of %s: there are no more idle notebooks",
				 text_print_size((int64_t)sum, size[0], sizeof(size[0])),
				 text_print_size(wanted, size[1], sizeof(size[1])));
			tell_kernels(rest);
		}
		if (is_sure && json_array_size(rows) > 0)
			code = act(ctl, rest, rows);
		else if (json_array_size(rows) > 0)
			ctl_note("nothing was ended: --yes unloads them");
	}
	rest_answer_fini(&a);
	json_decref(rows);
	rest_close(&rest);
	return code;
}
