/* project: the projects of an instance: made, removed, listed, checked, shown. */
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/body.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/rest.h"

enum { PATH_ROOM = 600, DEPTH_MAX = 30, LINE_ROOM = 600 };

/* 0, or a misuse was told. */
static int path_of(const char *key, const char *before, const char *rest, char out[PATH_ROOM])
{
	char escaped[PATH_ROOM / 2];
	if (!text_is_id(key, strlen(key)) || rest_escape(key, escaped, sizeof(escaped)) < 0)
		return ctl_misuse("project", NULL, NULL, "\"%s\" is no key of a project: capitals, digits and _", key);
	snprintf(out, PATH_ROOM, "%s%s%s", before, escaped, rest);
	return CTL_DONE;
}

/* --- create --- */

static int make(struct ctl *ctl, const char *key_file, const char *key, const char *body)
{
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	int code = rest_open(&rest, ctl, key_file);
	if (rest == NULL)
		return code;
	if ((code = rest_ask(rest, "POST", "/public/api/projects", body, &a)) == CTL_DONE && ctl->json)
		printf("{\"projectKey\":\"%s\"}\n", key);
	else if (code == CTL_DONE)
		printf("%sdescribe it in projects/%s/project.lua, then: dssctl project check %s\n", a.body.data, key, key);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

static int create(struct ctl *ctl, int argc, char **argv)
{
	const char *name = NULL, *owner = NULL, *about = NULL, *key_file = NULL;
	const struct opt opts[] = {
		{ "name", "TEXT", "for people; else KEY", OPT_TEXT, &name, 0, 0, NULL },
		{ "owner", "LOGIN", "whose it is; else yours", OPT_TEXT, &owner, 0, 0, NULL },
		{ "about", "TEXT", "a line for people", OPT_TEXT, &about, 0, 0, NULL },
		OPT_KEY_FILE(&key_file),
		{ 0 },
	};
	struct opt_words words = { .usage = "create KEY [--name TEXT] [--owner LOGIN] [--about TEXT]",
				   .about = "Makes projects/KEY with a project.lua to go on from; for admins.\n"
					    "KEY: capitals, digits and _, up to 36.",
				   .least = 1,
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	json_t *body = json_object();
	body_text(body, "projectKey", words.words[0]);
	body_text(body, "name", name ? name : words.words[0]);
	body_text(body, "owner", owner);
	body_text(body, "description", about);
	char *text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	code = text ? make(ctl, key_file, words.words[0], text) : ctl_fail(CTL_FAILED, "no memory");
	free(text);
	return code;
}

/* --- delete --- */

static int print_removed(struct ctl *ctl, const struct rest_answer *a)
{
	(void)ctl, (void)a;
	printf("removed\n");
	return CTL_DONE;
}

static int remove_it(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_ROOM], rest[120];
	bool with_data = false, with_logs = false, wait = false;
	const char *key_file = NULL;
	const struct opt opts[] = {
		{ "data", NULL, "its data, too; else projects/KEY/data stays", OPT_FLAG, &with_data, 0, 0, NULL },
		{ "logs", NULL, "the logs of its jobs, too", OPT_FLAG, &with_logs, 0, 0, NULL },
		{ "wait", NULL, "end its jobs and webapps first; else it is refused while any runs", OPT_FLAG, &wait, 0, 0, NULL },
		OPT_KEY_FILE(&key_file),
		{ 0 },
	};
	struct opt_words words = {
		.usage = "delete KEY [--data] [--logs] [--wait]",
		.about = "Removes a project: its owner and admins may. It does not ask, and there is no way back.",
		.least = 1,
		.most = 1
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	snprintf(rest, sizeof(rest), "?clearManagedDatasets=%s&clearJobAndScenarioLogs=%s&wait=%s", with_data ? "true" : "false",
		 with_logs ? "true" : "false", wait ? "true" : "false");
	code = path_of(words.words[0], "/public/api/projects/", rest, path);
	return code != CTL_DONE ? code : rest_once(ctl, key_file, "DELETE", path, NULL, print_removed);
}

/* --- list --- */

static const struct list_column columns[] = {
	{ "KEY", "projectKey", LIST_TEXT }, { "NAME", "name", LIST_TEXT },       { "OWNER", "ownerLogin", LIST_TEXT },
	{ "CHANGED", "since", LIST_SINCE }, { "ABOUT", "shortDesc", LIST_TEXT }, { NULL, NULL, LIST_TEXT },
};

static int print_list(struct ctl *ctl, const struct rest_answer *a)
{
	json_t *row;
	size_t i;
	(void)ctl;
	if (rest_check_list(a->json) != CTL_DONE)
		return CTL_FAILED;
	json_array_foreach(a->json, i, row)
		json_object_set(row, "since", json_object_get(json_object_get(row, "versionTag"), "lastModifiedOn"));
	list_print(a->json, columns);
	return CTL_DONE;
}

static int list(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "list [--json]", .about = "Projects that you may read." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	return code >= 0 ? code : rest_once(ctl, key_file, "GET", "/public/api/projects", NULL, print_list);
}

/* --- check --- */

static void print_mistakes(const json_t *list, FILE *out)
{
	size_t i;
	json_t *one;
	json_array_foreach(list, i, one)
	{
		char text[1200];
		const char *said = rest_text(one, "text");
		text_escape(text, sizeof(text), said, strlen(said));
		fprintf(out, "%s:%.0f: %s\n", rest_text(one, "file"), rest_number(one, "line", 1), text);
	}
}

static int print_checked(struct ctl *ctl, const struct rest_answer *a)
{
	static const char *const sections[] = { "recipe", "dataset", "webapp", "model" };
	const json_t *mistakes = json_object_get(a->json, "mistakes");
	if (ctl->json)
		printf("%s\n", a->body.data);
	else if (json_array_size(mistakes) > 0)
		print_mistakes(mistakes, stderr);
	if (ctl->json || json_array_size(mistakes) > 0)
		return json_array_size(mistakes) > 0 ? CTL_FAILED : CTL_DONE;
	printf("%s is good", rest_text(a->json, "key"));
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		char name[20];
		snprintf(name, sizeof(name), "%ss", sections[i]);
		double n = rest_number(a->json, name, 0);
		printf("%s %.0f %s%s", i == 0 ? ":" : ",", n, sections[i], n == 1 ? "" : "s");
	}
	putchar('\n');
	return CTL_DONE;
}

static int ask_mistakes(struct ctl *ctl, const char *key_file, const char *path)
{
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	int code = rest_open(&rest, ctl, key_file);
	if (!rest)
		return code;
	code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE)
		code = print_checked(ctl, &a);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

static int check(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_ROOM];
	const char *key_file = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "check KEY [--json]",
				   .about = "Reads project.lua as a job would; what is wrong with file and line, and exit 1.",
				   .least = 1,
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = path_of(words.words[0], "/api/projects/", "/mistakes", path)) != CTL_DONE)
		return code;
	code = ask_mistakes(ctl, key_file, path);
	return code == CTL_USAGE ? CTL_FAILED : code; /* the file's mistake, not the command's */
}

/* --- show: from the sources down --- */

struct shown {
	const json_t *nodes;
	json_t *drawn; /* names whose successors stand there already */
	bool is_utf8;
};

static void draw(struct shown *s, const char *name, const char *before, bool is_last, bool is_root, int depth)
{
	char below[LINE_ROOM], label[300];
	const json_t *node = json_object_get(s->nodes, name), *next = json_object_get(node, "successors");
	bool was_drawn = json_object_get(s->drawn, name) != NULL;
	bool is_recipe = strncmp(rest_text(node, "type"), "RUNNABLE", 8) == 0;
	size_t i, n = json_array_size(next);
	json_t *one;
	text_escape(label, sizeof(label), name, strlen(name));
	printf("%s%s%s%s%s\n", before,
	       is_root      ? ""
	       : s->is_utf8 ? is_last ? "└─ " : "├─ "
	       : is_last    ? "`- "
			    : "|- ",
	       label,
	       is_recipe                                                        ? "  (recipe)"
	       : strcmp(rest_text(node, "type"), "COMPUTABLE_SAVED_MODEL") == 0 ? "  (model)"
										: "",
	       was_drawn && n > 0 ? s->is_utf8 ? "  …" : "  ..." : "");
	if (was_drawn || depth > DEPTH_MAX)
		return;
	json_object_set_new(s->drawn, name, json_true());
	snprintf(below, sizeof(below), "%s%s", before, is_root ? "" : is_last ? "   " : s->is_utf8 ? "│  " : "|  ");
	json_array_foreach(next, i, one) if (json_is_string(one))
		draw(s, json_string_value(one), below, i + 1 == n, false, depth + 1);
}

static int print_flow(struct ctl *ctl, const struct rest_answer *a)
{
	struct shown s = { .nodes = json_object_get(a->json, "nodes"),
			   .drawn = json_object(),
			   .is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 };
	const char *name;
	json_t *node;
	(void)ctl;
	if (!s.drawn)
		return ctl_fail(CTL_FAILED, "no memory");
	json_object_foreach((json_t *)s.nodes, name, node) if (json_array_size(json_object_get(node, "predecessors")) == 0)
		draw(&s, name, "", true, true, 0);
	if (json_object_size(s.nodes) == 0)
		ctl_note("It has no recipes and no datasets yet.");
	json_decref(s.drawn);
	return CTL_DONE;
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_ROOM];
	const char *key_file = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = {
		.usage = "show KEY [--json]", .about = "Its flow as a tree, from the sources down.", .least = 1, .most = 1
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = path_of(words.words[0], "/public/api/projects/", "/flow/graph", path)) != CTL_DONE)
		return code;
	return rest_once(ctl, key_file, "GET", path, NULL, print_flow);
}

int project_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command verbs[] = {
		{ "list", "the projects", "", list, CTL_NEEDS_DAEMON },
		{ "create", "make one", "KEY [--name TEXT] [--owner LOGIN]", create, CTL_NEEDS_DAEMON },
		{ "check", "look for mistakes in its project.lua", "KEY", check, CTL_NEEDS_DAEMON },
		{ "show", "its flow as a tree", "KEY", show, CTL_NEEDS_DAEMON },
		{ "delete", "remove one", "KEY [--data] [--logs] [--wait]", remove_it, CTL_NEEDS_DAEMON },
		{ 0 },
	};
	return ctl_verbs(ctl, verbs, "project list | create | check | show | delete KEY", argc, argv);
}
