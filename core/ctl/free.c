/* free: who holds memory that nobody needs now, the cheapest first: what is lost where one of them ends, then how long it is idle already. Idle kernels of
 * pools beyond what their pools keep warm, and notebooks that are known to be idle. When a webapp was used last nobody knows: none is listed. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "ctl/follow.h"
#include "ctl/list.h"
#include "ctl/notebooks.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/where.h"
#include "sys/clock.h"

enum { PATH_ROOM = 600, FILTER_ROOM = 700, TEXT_ROOM = 200, GONE_MS = 15000, LOOK_MS = 100 };

static const char key_help[] = "the API key (else DSS_KEY, else config/admin.key)";
/* Nobody is connected, nothing happened for a while, its user did not ask to keep it. Unknown is never idle. */
#define IDLE_NOTEBOOK "state = idle and quiet > 10min and not connected and not leased and memory > 0"
#define IDLE_KERNEL   "kind = kernel and state = idle and memory > 0"

static const struct list_column columns[] = {
	{ "WHAT", "what", LIST_TEXT },
	{ "WHOSE", "whose", LIST_TEXT },
	{ "MEMORY", "memoryBytes", LIST_SIZE },
	{ "IDLE SINCE", "idleSince", LIST_SINCE },
	{ "WHAT IS LOST", "lost", LIST_TEXT },
	{ "COMMAND", "command", LIST_TEXT },
	{ NULL, NULL, LIST_TEXT },
};

struct offer {
	struct rest *rest;
	json_t *all, *taken; /* rows with the members of `columns`, and kind, id, rank, sign */
	double wanted, sum;
	bool is_admin;
};

static bool is_kernel(const json_t *row)
{
	return strcmp(rest_text(row, "kind"), "kernel") == 0;
}

/* --- who there is --- */

static void add(struct offer *o, const json_t *from, const char *kind, const char *what, const char *whose, double idle_since,
		const char *lost, const char *command, const char *sign)
{
	json_t *row = json_object();
	json_object_set_new(row, "kind", json_string(kind));
	json_object_set(row, "id", json_object_get(from, "id"));
	json_object_set_new(row, "what", json_string(what));
	json_object_set_new(row, "whose", json_string(whose));
	json_object_set(row, "memoryBytes", json_object_get(from, "memoryBytes"));
	json_object_set_new(row, "idleSince", json_real(idle_since));
	json_object_set_new(row, "lost", json_string(lost));
	json_object_set_new(row, "command", json_string(command));
	json_object_set_new(row, "sign", json_string(sign));
	json_array_append_new(o->all, row);
}

/* What changes as soon as it was used: a kernel's tasks, a notebook's work and clients. */
static void sign_of(const json_t *row, const char *kind, char *out, size_t room)
{
	if (strcmp(kind, "kernel") == 0)
		snprintf(out, room, "%s %.0f %s", rest_text(row, "state"), rest_number(row, "tasksRun", 0), rest_text(row, "user"));
	else
		snprintf(out, room, "%s %.0f %.0f", rest_text(row, "state"), rest_number(row, "lastActivity", 0),
			 rest_number(row, "connections", 0));
}

static int by_idle(const void *a, const void *b)
{
	double left = rest_number(*(json_t *const *)a, "idleSince", 0), right = rest_number(*(json_t *const *)b, "idleSince", 0);
	return left < right   ? -1
	       : left > right ? 1
			      : strcmp(rest_text(*(json_t *const *)a, "id"), rest_text(*(json_t *const *)b, "id"));
}

static int by_cost(const void *a, const void *b)
{
	bool left = is_kernel(*(json_t *const *)a), right = is_kernel(*(json_t *const *)b);
	return left != right ? (left ? -1 : 1) : by_idle(a, b);
}

/* Sorts a list of rows in place: it keeps them. */
static int sort(json_t *rows, int (*compare)(const void *, const void *))
{
	size_t n = json_array_size(rows);
	json_t **all = calloc(n + 1, sizeof(*all));
	if (all == NULL)
		return ctl_fail(CTL_FAILED, "not enough memory");
	for (size_t i = 0; i < n; i++)
		all[i] = json_incref(json_array_get(rows, i));
	qsort(all, n, sizeof(*all), compare);
	json_array_clear(rows);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(rows, all[i]);
	free(all);
	return CTL_DONE;
}

static void add_kernel(struct offer *o, const json_t *row, const json_t *pool)
{
	char lost[TEXT_ROOM], span[40], command[TEXT_ROOM], sign[TEXT_ROOM], whose[TEXT_ROOM];
	double lead = rest_number(pool, "leadSeconds", -1), since = rest_number(row, "idleSince", 0);
	const char *user = rest_text(row, "user"), *id = rest_text(row, "id");
	snprintf(lost, sizeof(lost), "a cold start%s%s", lead < 0 ? "" : " of ",
		 lead < 0 ? "" : text_print_duration((int64_t)(lead * 1000), span, sizeof(span)));
	snprintf(command, sizeof(command), "dssctl free %s", id);
	snprintf(whose, sizeof(whose), "%s%s%s", user, user[0] ? ", pool " : "pool ", rest_text(row, "pool"));
	sign_of(row, "kernel", sign, sizeof(sign));
	add(o, row, "kernel", id, whose, since > 0 ? since : rest_number(row, "readyAt", 0), lost, command, sign);
}

/* Of one pool: those of a user, who serve nobody else, and fresh ones beyond what it keeps warm, the longest idle first. */
static void add_pool(struct offer *o, const json_t *kernels, const json_t *pool)
{
	size_t i;
	const json_t *row;
	double spare = rest_is(pool, "retired") ? 0 : -rest_number(pool, "target", 0);
	if (rest_number(pool, "waiting", 0) > 0)
		return;
	json_array_foreach(kernels, i, row) if (strcmp(rest_text(row, "pool"), rest_text(pool, "name")) == 0) spare +=
		rest_text(row, "user")[0] == '\0';
	json_array_foreach(kernels, i, row)
	{
		bool is_fresh = rest_text(row, "user")[0] == '\0';
		if (strcmp(rest_text(row, "pool"), rest_text(pool, "name")) != 0 || (is_fresh && spare < 1))
			continue;
		spare -= is_fresh;
		add_kernel(o, row, pool);
	}
}

/* Only admins end kernels of pools. */
static int add_kernels(struct offer *o)
{
	struct rest_answer me = { 0 }, kernels = { 0 }, pools = { 0 };
	size_t i;
	const json_t *pool;
	int code = rest_ask(o->rest, "GET", "/api/me", NULL, &me);
	o->is_admin = code == CTL_DONE && rest_is(me.json, "isAdmin");
	if (o->is_admin && (code = where_ask(o->rest, "/api/processes", IDLE_KERNEL, &kernels)) == CTL_DONE &&
	    (code = rest_ask(o->rest, "GET", "/api/pools", NULL, &pools)) == CTL_DONE &&
	    (code = sort(kernels.json, by_idle)) == CTL_DONE)
		json_array_foreach(pools.json, i, pool) add_pool(o, kernels.json, pool);
	rest_answer_fini(&me);
	rest_answer_fini(&kernels);
	rest_answer_fini(&pools);
	return code;
}

static bool has_kernel(const json_t *rows, size_t n, const char *kernel)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(rest_text(json_array_get(rows, i), "kernelId"), kernel) == 0)
			return true;
	return false;
}

static int add_notebooks(struct offer *o)
{
	struct rest_answer a = { 0 };
	size_t i;
	const json_t *row;
	char command[TEXT_ROOM], sign[TEXT_ROOM], shown[TEXT_ROOM * 4];
	int code = where_ask(o->rest, "/api/notebooks", IDLE_NOTEBOOK, &a);
	if (code == CTL_DONE)
		json_array_foreach(a.json, i, row)
		{
			const char *path = rest_text(row, "notebook");
			if (has_kernel(a.json, i, rest_text(row, "kernelId"))) /* two sessions on one kernel hold its memory once */
				continue;
			text_escape(shown, sizeof(shown), path, strlen(path));
			snprintf(command, sizeof(command), "dssctl unload %.8s", rest_text(row, "id"));
			sign_of(row, "notebook", sign, sizeof(sign));
			add(o, row, "notebook", shown, rest_text(row, "user"),
			    (double)clock_wall_ms() - rest_number(row, "quietTime", 0), "its variables", command, sign);
		}
	rest_answer_fini(&a);
	return code;
}

/* As many as hold that much together. */
static int take(struct offer *o)
{
	size_t i;
	json_t *row;
	int code = sort(o->all, by_cost);
	json_array_foreach(o->all, i, row) if (code == CTL_DONE && o->sum < o->wanted)
	{
		o->sum += rest_number(row, "memoryBytes", 0);
		json_array_append(o->taken, row);
	}
	return code;
}

/* --- ending them --- */

/* NULL: it is as it was; memory: of its box now. Else what has become of it. */
static const char *look_again(struct offer *o, const json_t *row, double *memory, int *code)
{
	char filter[FILTER_ROOM], sign[TEXT_ROOM];
	struct rest_answer a = { 0 };
	const char *kind = rest_text(row, "kind"), *why = NULL;
	snprintf(filter, sizeof(filter), "id = \"%s\" and %s", rest_text(row, "id"), is_kernel(row) ? IDLE_KERNEL : IDLE_NOTEBOOK);
	*code = where_ask(o->rest, is_kernel(row) ? "/api/processes" : "/api/notebooks", filter, &a);
	const json_t *now = json_array_get(a.json, 0);
	if (*code == CTL_DONE && now == NULL)
		why = "it is gone, or idle no longer";
	if (*code == CTL_DONE && now != NULL) {
		sign_of(now, kind, sign, sizeof(sign));
		*memory = rest_number(now, "memoryBytes", 0);
		why = strcmp(sign, rest_text(row, "sign")) == 0 ? NULL : "it was used meanwhile";
	}
	rest_answer_fini(&a);
	return why;
}

/* The boxes' own numbers are gone with it. */
static int await_end(struct offer *o, const json_t *row)
{
	char filter[FILTER_ROOM];
	int64_t until = clock_mono_ms() + GONE_MS;
	int pause_ms = LOOK_MS;
	snprintf(filter, sizeof(filter), "id = \"%s\" and kind = kernel and memory > 0", rest_text(row, "id"));
	while (!follow_is_over()) {
		struct rest_answer a = { 0 };
		int code = where_ask(o->rest, "/api/processes", filter, &a);
		bool is_gone = code == CTL_DONE && json_array_size(a.json) == 0;
		rest_answer_fini(&a);
		if (code != CTL_DONE || is_gone)
			return code;
		if (clock_mono_ms() > until)
			return ctl_fail(CTL_FAILED, "%s was told to end and has not", rest_text(row, "id"));
		rest_pause(o->rest, &pause_ms);
	}
	return CTL_INTERRUPTED;
}

static int end_kernel(struct offer *o, const json_t *row)
{
	char path[PATH_ROOM], escaped[PATH_ROOM / 2];
	struct rest_answer a = { 0 };
	if (rest_escape(rest_text(row, "id"), escaped, sizeof(escaped)) < 0)
		return ctl_fail(CTL_USAGE, "the kernel's id is too long");
	snprintf(path, sizeof(path), "/api/processes/%s", escaped);
	int code = rest_ask(o->rest, "DELETE", path, NULL, &a);
	rest_answer_fini(&a);
	return code == CTL_DONE ? await_end(o, row) : code;
}

/* How much it held, 0 where it is kept. */
static double end_one(struct ctl *ctl, struct offer *o, json_t *row, int *code)
{
	double memory = 0;
	char size[40];
	int one = CTL_DONE;
	const char *why = look_again(o, row, &memory, &one);
	if (one == CTL_DONE && why == NULL) {
		one = is_kernel(row) ? end_kernel(o, row) : notebooks_order(o->rest, "DELETE", rest_text(row, "id"), "", NULL);
		why = one == CTL_DONE ? NULL : "it could not be ended";
	}
	json_object_set_new(row, "ended", json_boolean(one == CTL_DONE && why == NULL));
	if (one != CTL_DONE)
		*code = one;
	if (why != NULL)
		json_object_set_new(row, "whyNot", json_string(why));
	if (why != NULL || one != CTL_DONE) {
		ctl_note("kept %s: %s", rest_text(row, "what"), why != NULL ? why : "it could not be looked at");
		return 0;
	}
	json_object_set_new(row, "memoryBytes", json_real(memory));
	if (!ctl->json)
		printf("ended %s, which held %s\n", rest_text(row, "what"), text_print_size((int64_t)memory, size, sizeof(size)));
	return memory;
}

static int end_all(struct ctl *ctl, struct offer *o, double *freed)
{
	size_t i;
	json_t *row;
	int code = CTL_DONE;
	follow_begin(o->rest);
	json_array_foreach(o->taken, i, row) if (!follow_is_over()) *freed += end_one(ctl, o, row, &code);
	return follow_is_over() ? CTL_INTERRUPTED : code;
}

/* --- the command --- */

static const char *size_text(double bytes, char *out, size_t room)
{
	return text_print_size((int64_t)bytes, out, room);
}

static void print_json(const struct offer *o, double freed, bool is_sure)
{
	size_t i;
	json_t *row, *all = json_object();
	json_array_foreach(o->taken, i, row) json_object_del(row, "sign");
	json_object_set_new(all, "wantedBytes", json_integer((json_int_t)o->wanted));
	json_object_set_new(all, "heldBytes", json_integer((json_int_t)o->sum));
	if (is_sure)
		json_object_set_new(all, "freedBytes", json_integer((json_int_t)freed));
	json_object_set(all, "owners", o->taken);
	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	printf("\n");
	json_decref(all);
}

static void print_offer(const struct offer *o)
{
	char held[40], wanted[40];
	if (json_array_size(o->taken) > 0)
		list_print(o->taken, columns);
	if (o->sum < o->wanted)
		ctl_note("that is %s of %s: %s is idle and could go%s; notebooks count as idle after 10 min",
			 size_text(o->sum, held, sizeof(held)), size_text(o->wanted, wanted, sizeof(wanted)),
			 json_array_size(o->taken) > 0 ? "nobody else" : "nobody",
			 o->is_admin ? "" : " (kernels of pools are admins' to end)");
}

static int free_memory(struct ctl *ctl, struct offer *o, bool is_sure)
{
	double freed = 0;
	char text[40], wanted[40];
	int code = add_kernels(o);
	if (code == CTL_DONE && (code = add_notebooks(o)) == CTL_DONE)
		code = take(o);
	if (code != CTL_DONE)
		return code;
	if (!ctl->json)
		print_offer(o);
	if (is_sure)
		code = end_all(ctl, o, &freed);
	if (ctl->json)
		print_json(o, freed, is_sure);
	else if (is_sure)
		printf("gave back %s of %s\n", size_text(freed, text, sizeof(text)), size_text(o->wanted, wanted, sizeof(wanted)));
	else if (json_array_size(o->taken) > 0)
		ctl_note("nothing was ended: --yes ends them, the command behind each that one alone");
	return code == CTL_DONE && is_sure && freed < o->wanted ? CTL_FAILED : code;
}

/* dssctl free fek-3: as the list tells it. */
static int free_kernels(struct ctl *ctl, struct offer *o, const struct opt_words *words)
{
	int code = CTL_DONE;
	for (int i = 0; i < words->count; i++) {
		const char *word = words->words[i];
		if (strchr(word, '-') == NULL)
			return ctl_misuse("free", NULL, NULL, "%s is neither a size, such as 30g, nor a kernel's id, such as fek-3",
					  word);
		json_t *row = json_pack("{s:s}", "id", word);
		int one = row != NULL ? end_kernel(o, row) : ctl_fail(CTL_USAGE, "that is no text in UTF-8");
		if (one == CTL_DONE && !ctl->json)
			printf("ended %s\n", words->words[i]);
		else if (one != CTL_DONE)
			code = one;
		json_decref(row);
	}
	return code;
}

int free_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	bool is_sure = false;
	int64_t wanted = 0;
	struct err err = { 0 };
	struct offer o = { 0 };
	const struct opt opts[] = { { "yes", NULL, "end them, each after a second look", OPT_FLAG, &is_sure, 0, 0, NULL },
				    { "key-file", "FILE", key_help, OPT_TEXT, &key_file, 0, 0, NULL },
				    { 0 } };
	struct opt_words words = {
		.usage = "SIZE [--yes] | KERNEL…",
		.about = "Who holds that much memory and needs it least: idle kernels of pools beyond what is kept warm "
			 "(admins), whose\n"
			 "end costs a cold start; then notebooks with nobody connected, nothing happened for 10 min, not "
			 "kept by their\n"
			 "user, whose variables are lost. Shows them; --yes ends them, and keeps who was used meanwhile. "
			 "Exit status 1:\n"
			 "less came back than was asked for. KERNEL: that idle kernel ends.",
		.least = 1,
		.most = OPT_WORDS_MAX
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	bool is_size = isdigit((unsigned char)words.words[0][0]) || words.words[0][0] == '-';
	if (is_size && words.count > 1)
		return ctl_misuse("free", NULL, NULL, "one SIZE is wanted, such as 30g");
	if (is_size && (text_size(words.words[0], &wanted, &err) < 0 || wanted <= 0))
		return ctl_misuse("free", NULL, NULL, "%s", err.text[0] != '\0' ? err.text : "SIZE has to be more than 0");
	if ((code = rest_open(&o.rest, ctl, key_file)) != CTL_DONE)
		return code;
	o.wanted = (double)wanted;
	o.all = json_array();
	o.taken = json_array();
	code = is_size ? free_memory(ctl, &o, is_sure) : free_kernels(ctl, &o, &words);
	json_decref(o.all);
	json_decref(o.taken);
	rest_close(&o.rest);
	return code;
}
