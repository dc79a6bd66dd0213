#include "ctl/notebooks.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/text.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "ctl/where.h"

enum { PATH_ROOM = 1200, NAMES_SHOWN = 5 };

static const char key_help[] = "the API key (else DSS_KEY, else config/admin.key)";
static const char where_help[] = "only those (docs/filters.md): 'quiet > 12h and not leased'";
static const char list_path[] = "/api/notebooks";

static const struct list_column columns[] = {
	{ "SESSION", "id", LIST_TEXT },
	{ "NOTEBOOK", "notebook", LIST_TEXT },
	{ "USER", "user", LIST_TEXT },
	{ "STATE", "state", LIST_STATE },
	{ "CLIENTS", "connections", LIST_NUMBER },
	{ "QUIET", "quietTime", LIST_DURATION },
	{ "SILENT", "silentTime", LIST_DURATION },
	{ "MEMORY", "memoryBytes", LIST_SIZE },
	{ "LIMIT", "limitBytes", LIST_SIZE },
	{ "SINCE", "startedAt", LIST_SINCE },
	{ "KEPT", "kept", LIST_TEXT },
	{ NULL, NULL, LIST_TEXT },
};

/* What one has to read is "for 3 h 10 min", not when. */
static void add_kept(json_t *rows)
{
	json_t *row;
	size_t i;
	char text[48], span[40];
	double now_ms = (double)time(NULL) * 1000;
	json_array_foreach(rows, i, row)
	{
		double until = rest_number(row, "leasedUntil", 0);
		if (until <= now_ms)
			continue;
		snprintf(text, sizeof(text), "%s", text_print_duration((int64_t)(until - now_ms), span, sizeof(span)));
		json_object_set_new(row, "kept", json_string(text));
	}
}

static void add_gone(json_t *rows)
{
	json_t *row;
	size_t i;
	char text[PATH_ROOM];
	json_array_foreach(rows, i, row)
	{
		if (!json_is_true(json_object_get(row, "fileGone")))
			continue;
		snprintf(text, sizeof(text), "%.1000s (its file is gone)", rest_text(row, "notebook"));
		json_object_set_new(row, "notebook", json_string_nocheck(text));
	}
}

static void print_list(json_t *rows)
{
	add_kept(rows);
	add_gone(rows);
	list_print(rows, columns);
}

/* Of those that nobody knows anything of now: why, and how many. */
static void print_not_looked(const json_t *rows)
{
	const json_t *row;
	size_t i, n = 0;
	char why[300] = "";
	json_array_foreach(rows, i, row)
	{
		const char *reason = rest_text(row, "stateReason");
		if (reason[0] == '\0' || strcmp(rest_text(row, "state"), "unknown") != 0)
			continue;
		if (n++ == 0)
			text_escape(why, sizeof(why), reason, strlen(reason));
	}
	if (n > 0)
		ctl_note("%zu unknown: %s; nobody of these counts as idle", n, why);
}

/* Why nobody is known to be idle. */
static bool print_unknown(const struct rest_answer *a)
{
	static const char field[] = "notebooks-unknown:";
	for (const char *line = a->head.data; line != NULL && *line != '\0';) {
		size_t len = strcspn(line, "\r\n");
		if (strncasecmp(line, field, sizeof(field) - 1) == 0) {
			char shown[600];
			const char *v = line + sizeof(field) - 1;
			v += strspn(v, " ");
			text_escape(shown, sizeof(shown), v, len - (size_t)(v - line));
			ctl_note("the notebook server cannot be asked, and nobody counts as idle: %s", shown);
			return true;
		}
		line += len;
		line += strspn(line, "\r\n");
	}
	return false;
}

static int list(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL, *where = NULL;
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	const struct opt opts[] = { { "where", "FILTER", where_help, OPT_TEXT, &where, 0, 0, NULL },
				    { "key-file", "FILE", key_help, OPT_TEXT, &key_file, 0, 0, NULL },
				    { 0 } };
	struct opt_words words = { .usage = "[--where FILTER] [--json] | link | interrupt SESSION… | unload … | keep …",
				   .about = "Sessions of notebooks in the projects that you may read. QUIET: nothing happened at "
					    "all, nobody is connected;\n"
					    "SILENT: no cell, no processor time. Both are empty where nobody knows.\n"
					    "\n"
					    "  link        an address that lets a browser in, for admins\n"
					    "  interrupt   interrupt the cell that runs; variables stay\n"
					    "  unload      end kernels; the same as dssctl unload\n"
					    "  keep        keep one from policies and macros; the same as dssctl keep" };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = where_ask(rest, list_path, where, &a);
	if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.data);
	else if (code == CTL_DONE)
		print_list(a.json);
	if (code == CTL_DONE && !ctl->json && json_array_size(a.json) == 0)
		ctl_note(where != NULL ? "no session is such: dssctl notebooks lists all that you may see"
				       : "no notebook is open that you may see");
	if (code == CTL_DONE && !print_unknown(&a) && !ctl->json)
		print_not_looked(a.json);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

/* --- one of them, by its id, its kernel's, the beginning of one, or its path --- */

static bool is_meant(const json_t *row, const char *word)
{
	const char *path = rest_text(row, "notebook");
	size_t n = strlen(word), len = strlen(path);
	if (strcmp(path, word) == 0 || (len > 6 && n == len - 6 && strncmp(path, word, n) == 0 && strcmp(path + n, ".ipynb") == 0))
		return true;
	if (strcmp(rest_text(row, "processId"), word) == 0)
		return true;
	return n >= 4 && (strncmp(rest_text(row, "id"), word, n) == 0 || strncmp(rest_text(row, "kernelId"), word, n) == 0);
}

bool notebooks_hint(struct rest *rest, const char *word)
{
	char shown[700], path[700];
	const json_t *row;
	size_t i;
	bool is_one = false;
	struct rest_answer a = { 0 };
	rest_ask(rest, "GET", list_path, NULL, &a);
	json_array_foreach(a.json, i, row)
	{
		if (is_one || !is_meant(row, word))
			continue;
		is_one = true;
		text_escape(shown, sizeof(shown), word, strlen(word));
		text_escape(path, sizeof(path), rest_text(row, "notebook"), strlen(rest_text(row, "notebook")));
		ctl_note("%s is a kernel of notebook %s, and no task. Its kernel ends with: dssctl unload %.8s   Its cell alone: "
			 "dssctl "
			 "notebooks interrupt %.8s",
			 shown, path, rest_text(row, "id"), rest_text(row, "id"));
	}
	rest_answer_fini(&a);
	return is_one;
}

json_t *notebooks_open(struct rest *rest)
{
	struct rest_answer a = { 0 };
	rest_ask(rest, "GET", list_path, NULL, &a);
	json_t *rows = json_is_array(a.json) ? json_incref(a.json) : json_array();
	rest_answer_fini(&a);
	return rows;
}

const json_t *notebooks_find(const json_t *rows, const char *word)
{
	const json_t *row;
	size_t i;
	json_array_foreach(rows, i, row) if (is_meant(row, word)) return row;
	return NULL;
}

/* Adds to `out` those that the word names; a path may name several, the beginning of an id may not. */
static int pick(const json_t *rows, const char *word, json_t *out)
{
	const json_t *row;
	size_t i, n = 0;
	bool is_path = false;
	json_array_foreach(rows, i, row) if (is_meant(row, word))
	{
		is_path |= strncmp(rest_text(row, "notebook"), word, strlen(word)) == 0;
		json_array_append(out, (json_t *)row);
		n++;
	}
	if (n == 0)
		return ctl_fail(
			CTL_NOT_FOUND,
			"session %s does not exist: dssctl notebooks lists them; write four characters of an id or more, or "
			"the notebook's path, PROJECT/NAME",
			word);
	if (n > 1 && !is_path)
		return ctl_fail(CTL_USAGE, "%s names %zu sessions: write more of it", word, n);
	return CTL_DONE;
}

static int pick_all(struct rest *rest, const struct opt_words *words, int nwords, const char *where, json_t *out)
{
	struct rest_answer a = { 0 };
	int code = where_ask(rest, list_path, where, &a);
	if (code == CTL_DONE && where != NULL)
		json_array_extend(out, a.json);
	for (int i = 0; i < nwords && where == NULL && code == CTL_DONE; i++)
		code = pick(a.json, words->words[i], out);
	if (code == CTL_DONE)
		print_unknown(&a);
	rest_answer_fini(&a);
	return code;
}

int notebooks_order(struct rest *rest, const char *method, const char *session, const char *path, const char *body)
{
	char full[PATH_ROOM], escaped[PATH_ROOM / 2];
	struct rest_answer a = { 0 };
	if (rest_escape(session, escaped, sizeof(escaped)) < 0)
		return ctl_fail(CTL_USAGE, "the session's id is too long");
	snprintf(full, sizeof(full), "%s/%s%s", list_path, escaped, path);
	int code = rest_ask(rest, method, full, body, &a);
	rest_answer_fini(&a);
	return code;
}

/* --- unload, interrupt --- */

static void print_done(const struct ctl *ctl, const json_t *row, const char *what)
{
	char shown[700], size[40];
	const char *path = rest_text(row, "notebook");
	double bytes = rest_number(row, "memoryBytes", -1);
	if (ctl->json)
		return;
	text_escape(shown, sizeof(shown), path, strlen(path));
	printf("%s %s", what, shown);
	if (bytes > 0 && strcmp(what, "unloaded") == 0)
		printf(", which held %s", text_print_size((int64_t)bytes, size, sizeof(size)));
	printf("\n");
}

/* A kernel ends once, however many sessions it has. */
static bool is_earlier(const json_t *rows, size_t i)
{
	const char *kernel = rest_text(json_array_get(rows, i), "kernelId");
	for (size_t k = 0; k < i; k++)
		if (strcmp(rest_text(json_array_get(rows, k), "kernelId"), kernel) == 0)
			return true;
	return false;
}

static int order_all(struct ctl *ctl, struct rest *rest, const json_t *rows, const char *method, const char *path, const char *body,
		     const char *what)
{
	int code = CTL_DONE;
	size_t i;
	const json_t *row;
	json_array_foreach(rows, i, row)
	{
		int one = is_earlier(rows, i) ? CTL_DONE : notebooks_order(rest, method, rest_text(row, "id"), path, body);
		if (one == CTL_DONE)
			print_done(ctl, row, what);
		else
			code = one;
	}
	if (ctl->json && code == CTL_DONE)
		json_dumpf(rows, stdout, JSON_INDENT(2)), printf("\n");
	return code;
}

int unload_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL, *where = NULL;
	bool is_sure = false;
	struct rest *rest = NULL;
	const struct opt opts[] = { { "where", "FILTER", where_help, OPT_TEXT, &where, 0, 0, NULL },
				    { "yes", NULL, "with --where: do it, not only show whom", OPT_FLAG, &is_sure, 0, 0, NULL },
				    { "key-file", "FILE", key_help, OPT_TEXT, &key_file, 0, 0, NULL },
				    { 0 } };
	struct opt_words words = {
		.usage = "SESSION… | --where FILTER [--yes]",
		.about = "Ends kernels of notebooks; what is not saved in the notebook's file is lost. SESSION is a session's or\n"
			 "kernel's id, its beginning, the id of its process, or the notebook's path. With --where it shows whom it "
			 "would end.",
		.most = OPT_WORDS_MAX
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if ((where != NULL) == (words.count > 0))
		return ctl_misuse("unload", NULL, NULL, "write sessions, or --where FILTER");
	if ((code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	json_t *rows = json_array();
	code = pick_all(rest, &words, words.count, where, rows);
	if (code == CTL_DONE && where != NULL && !is_sure) {
		if (ctl->json)
			json_dumpf(rows, stdout, JSON_INDENT(2)), printf("\n");
		else if (json_array_size(rows) > 0)
			print_list(rows);
		ctl_note(json_array_size(rows) > 0 ? "nothing was ended: --yes does it" : "no session is such: nothing to end");
	} else if (code == CTL_DONE) {
		code = order_all(ctl, rest, rows, "DELETE", "", NULL, "unloaded");
	}
	json_decref(rows);
	rest_close(&rest);
	return code;
}

static int interrupt(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct rest *rest = NULL;
	const struct opt opts[] = { { "key-file", "FILE", key_help, OPT_TEXT, &key_file, 0, 0, NULL }, { 0 } };
	struct opt_words words = { .usage = "interrupt SESSION…",
				   .about = "Interrupts the cell that runs; variables stay.",
				   .least = 1,
				   .most = OPT_WORDS_MAX };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	json_t *rows = json_array();
	if ((code = pick_all(rest, &words, words.count, NULL, rows)) == CTL_DONE)
		code = order_all(ctl, rest, rows, "POST", "/interrupt", "{}", "interrupted");
	json_decref(rows);
	rest_close(&rest);
	return code;
}

/* --- keep --- */

int keep_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	char body[200], done[80], span[40];
	int64_t ms = 0;
	struct err err = { 0 };
	struct rest *rest = NULL;
	const struct opt opts[] = { { "key-file", "FILE", key_help, OPT_TEXT, &key_file, 0, 0, NULL }, { 0 } };
	struct opt_words words = {
		.usage = "SESSION FOR",
		.about = "A lease: for that long no policy and no macro ends the session's kernel: `dssctl keep "
			 "3f2a 8h`; 0s gives it back.\n"
			 "How long at once and how many of each user: jupyter { leases = … } of config/dss.lua, by "
			 "default 3d and ten; admins as they like.",
		.least = 2,
		.most = 2
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (text_duration(words.words[1], &ms, &err) < 0)
		return ctl_misuse("keep", NULL, NULL, "%s", err.text);
	if ((code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	json_t *rows = json_array();
	code = pick_all(rest, &words, 1, NULL, rows);
	snprintf(body, sizeof(body), "{\"for\":\"%lldms\"}", (long long)ms);
	if (code == CTL_DONE && json_array_size(rows) > 1)
		code = ctl_fail(CTL_USAGE, "%s has %zu sessions: write the id of one", words.words[0], json_array_size(rows));
	snprintf(done, sizeof(done), "kept for %s:", text_print_duration(ms, span, sizeof(span)));
	if (code == CTL_DONE)
		code = order_all(ctl, rest, rows, "POST", "/keep", body, ms > 0 ? done : "no longer kept:");
	json_decref(rows);
	rest_close(&rest);
	return code;
}

static int print_link(struct ctl *ctl, const struct rest_answer *a)
{
	(void)ctl;
	printf("%s\n", rest_text(a->json, "url"));
	return CTL_DONE;
}

static int show_link(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	const struct opt opts[] = { { "key-file", "FILE", key_help, OPT_TEXT, &key_file, 0, 0, NULL }, { 0 } };
	struct opt_words words = {
		.usage = "link",
		.about = "Where the notebook server listens, with its token, for admins: whoever has it acts as the run user."
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	return code >= 0 ? code : rest_once(ctl, key_file, "GET", "/api/notebooks/link", NULL, print_link);
}

int notebooks_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command verbs[] = {
		{ "list", "sessions, and what their kernels do", "[--where FILTER]", list, CTL_NEEDS_DAEMON },
		{ "unload", "end kernels", "SESSION… | --where FILTER [--yes]", unload_command, CTL_NEEDS_DAEMON },
		{ "interrupt", "interrupt a cell", "SESSION…", interrupt, CTL_NEEDS_DAEMON },
		{ "link", "an address that lets a browser in", "", show_link, CTL_NEEDS_DAEMON },
		{ "keep", "a lease", "SESSION FOR", keep_command, CTL_NEEDS_DAEMON },
		{ 0 },
	};
	if (argc < 2 || argv[1][0] == '-')
		return list(ctl, argc, argv);
	return ctl_dispatch(ctl, verbs, "verb", argc - 1, argv + 1);
}
