/* top: the processes, largest first, kept fresh on a terminal; one table where it is none. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/map.h"
#include "base/text.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/where.h"
#include "sys/clock.h"

enum { EVERY_MS = 2000, EVERY_LEAST_MS = 200, HEAD_LINES = 3, HEAD_WIDTH = 84 };

static const struct list_column columns[] = {
	{ "ID", "id", LIST_TEXT },
	{ "KIND", "kind", LIST_TEXT },
	{ "POOL", "pool", LIST_TEXT },
	{ "PID", "pid", LIST_NUMBER },
	{ "STATE", "state", LIST_STATE },
	{ "CPU%", "cpuPercent", LIST_TEXT },
	{ "MEMORY", "memoryBytes", LIST_SIZE },
	{ "PEAK", "peakBytes", LIST_SIZE },
	{ "LIMIT", "limitBytes", LIST_SIZE },
	{ "USER", "user", LIST_TEXT },
	{ "WHAT", "what", LIST_TEXT },
	{ NULL, NULL, LIST_TEXT },
};

struct top {
	struct rest *rest;
	const char *by, *where; /* where: a filter, or NULL */
	struct map *before;     /* id → heap double: CPU seconds at the last look */
	int64_t looked_mono_ms;
	int code;
};

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

/* Since the last look; since the start where there was none. "" where nothing is known. */
static void add_percent(struct top *t, json_t *row, double elapsed_s)
{
	char text[24] = "";
	const char *id = rest_text(row, "id");
	double used = rest_number(row, "cpuSeconds", -1), started_ms = rest_number(row, "startedAt", 0);
	double *was = map_get(t->before, id);
	double age_s = started_ms > 0 ? ((double)clock_wall_ms() - started_ms) / 1000 : 0;
	double percent = -1;
	if (used >= 0 && was != NULL && elapsed_s > 0)
		percent = (used - *was) / elapsed_s * 100;
	else if (used >= 0 && age_s > 0)
		percent = used / age_s * 100;
	if (percent >= 0)
		snprintf(text, sizeof(text), "%.1f", percent);
	json_object_set_new(row, "cpuPercent", json_string(text));
	json_object_set_new(row, "cpuOrder", json_real(percent));
	if (used >= 0 && was == NULL && (was = malloc(sizeof(*was))) != NULL && map_set(t->before, id, was) < 0) {
		free(was);
		was = NULL;
	}
	if (used >= 0 && was != NULL)
		*was = used;
}

static const char *order_key;

static int compare(const void *a, const void *b)
{
	double x = rest_number(*(json_t *const *)a, order_key, -1), y = rest_number(*(json_t *const *)b, order_key, -1);
	return x < y ? 1 : x > y ? -1 : strcmp(rest_text(*(json_t *const *)a, "id"), rest_text(*(json_t *const *)b, "id"));
}

/* The rows, largest first. NULL: t->code. Returns owned. */
static json_t *look(struct top *t)
{
	struct rest_answer a = { 0 };
	json_t *row, *out = NULL, **sorted = NULL;
	size_t i, n = 0;
	t->code = where_ask(t->rest, "/api/processes", t->where, &a);
	json_t *rows = t->code == CTL_DONE ? json_loadb(a.body.data, a.body.len, 0, NULL) : NULL;
	int64_t now = clock_mono_ms();
	double elapsed_s = t->looked_mono_ms ? (double)(now - t->looked_mono_ms) / 1000 : 0;
	rest_answer_fini(&a);
	if (t->code == CTL_DONE &&
	    (!json_is_array(rows) || (n = json_array_size(rows), sorted = calloc(n + 1, sizeof(*sorted))) == NULL))
		t->code = ctl_fail(CTL_FAILED, "unable to understand the backend's answer: it is no list");
	if (t->code == CTL_DONE && sorted != NULL) {
		t->looked_mono_ms = now;
		json_array_foreach(rows, i, row)
		{
			add_percent(t, row, elapsed_s);
			sorted[i] = row;
		}
		order_key = strcmp(t->by, "cpu") == 0 ? "cpuOrder" : "memoryBytes";
		qsort(sorted, n, sizeof(*sorted), compare);
		out = json_array();
		for (i = 0; i < n; i++)
			json_array_append(out, sorted[i]);
	}
	free(sorted);
	json_decref(rows);
	return out;
}

static void print_sums(const json_t *rows)
{
	double memory = 0;
	size_t i, busy = 0;
	json_t *row;
	char text[32];
	json_array_foreach(rows, i, row)
	{
		double bytes = rest_number(row, "memoryBytes", 0);
		memory += bytes > 0 ? bytes : 0;
		busy += strcmp(rest_text(row, "state"), "busy") == 0;
	}
	printf("%zu processes, %zu busy, %s in use", json_array_size(rows), busy,
	       text_print_size((int64_t)memory, text, sizeof(text)));
}

static int print_once(struct ctl *ctl, struct top *t)
{
	json_t *rows = look(t);
	struct say_table *table = rows != NULL && !ctl->json ? list_table(rows, columns) : NULL;
	if (rows != NULL && ctl->json) {
		json_dumpf(rows, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (table != NULL) {
		say_table_print(table, stdout);
	}
	say_table_free(&table);
	json_decref(rows);
	return t->code;
}

/* --- on a terminal --- */

static void draw(const struct top *t, const json_t *rows)
{
	char now[32];
	size_t lines, width = say_columns(stdout, &lines);
	struct say_table *table = list_table(rows, columns);
	fputs("\033[H\033[J", stdout);
	print_sums(rows);
	printf(width == 0 || width >= HEAD_WIDTH ? "   %s   by %s; m memory, c CPU, q quit\n\n" : "   %s\n\n",
	       say_time(clock_wall_ms(), now, sizeof(now)), t->by);
	if (table != NULL)
		say_table_print_within(table, stdout, width, lines > HEAD_LINES + 1 ? lines - HEAD_LINES - 1 : 1);
	say_table_free(&table);
	fflush(stdout);
}

/* A key within the time. False: quit. */
static bool take_key(struct top *t, int64_t wait_ms)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	char c = 0;
	if (poll(&in, 1, (int)wait_ms) <= 0)
		return !stop;
	if (read(STDIN_FILENO, &c, 1) != 1)
		return false;
	if (c == 'm')
		t->by = "memory";
	if (c == 'c')
		t->by = "cpu";
	return c != 'q' && c != 3 && !stop;
}

static int keep_fresh(struct top *t, int64_t every_ms)
{
	struct termios before, raw;
	struct sigaction act = { .sa_handler = on_signal };
	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return ctl_fail(CTL_FAILED, "unable to read keys: the terminal does not say how it is set");
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	rest_stop_on(t->rest, &stop);
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs("\033[?1049h\033[?25l", stdout);
	do {
		json_t *rows = look(t);
		if (rows != NULL)
			draw(t, rows);
		json_decref(rows);
	} while (t->code == CTL_DONE && take_key(t, every_ms));
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return t->code == CTL_INTERRUPTED ? CTL_DONE : t->code;
}

static void forget(struct map **before)
{
	size_t cursor = 0;
	double *was;
	while (*before != NULL && (was = map_next(*before, &cursor)) != NULL)
		free(was);
	map_free(before);
}

int top_command(struct ctl *ctl, int argc, char **argv)
{
	static const char *const orders[] = { "memory", "cpu", NULL };
	const char *key_file = NULL;
	int64_t every_ms = EVERY_MS;
	struct top t = { .by = "memory" };
	const struct opt opts[] = {
		{ "by", "memory|cpu", "what comes first (memory)", OPT_TEXT, &t.by, 0, 0, NULL },
		{ "where", "FILTER", "only those it is true of: \"memory > 1g and age > 2h\"", OPT_TEXT, &t.where, 0, 0, NULL },
		{ "every", "TIME", "how often it is looked again (2s)", OPT_DURATION, &every_ms, 0, 0, NULL },
		OPT_KEY_FILE(&key_file),
		{ 0 },
	};
	struct opt_words words = {
		.usage = "[--by memory|cpu] [--where FILTER] [--every TIME]",
		.about = "The processes, largest first. Keys: m by memory, c by CPU, q quit. Where standard output is no\n"
			 "terminal: one table."
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (strcmp(t.by, "memory") != 0 && strcmp(t.by, "cpu") != 0)
		return ctl_misuse(ctl->verb, orders, t.by, "--by: \"%s\" is neither memory nor cpu", t.by);
	if ((code = rest_open(&t.rest, ctl, key_file)) != CTL_DONE)
		return code;
	t.before = map_new();
	if (t.before == NULL)
		code = ctl_fail(CTL_FAILED, "no memory");
	else if (ctl->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		code = print_once(ctl, &t);
	else
		code = keep_fresh(&t, every_ms > EVERY_LEAST_MS ? every_ms : EVERY_LEAST_MS);
	forget(&t.before);
	rest_close(&t.rest);
	return code;
}
