/* key: who may use the API: keys with their users. A new key is shown once; the instance keeps its hash only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/body.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/rest.h"

enum { PATH_ROOM = 600 };

static const char key_help[] = "the API key (else DSS_KEY, else config/admin.key)";

static const struct list_column columns[] = {
	{ "ID", "id", LIST_TEXT },
	{ "USER", "user", LIST_TEXT },
	{ "ADMIN", "admin", LIST_TEXT },
	{ "SINCE", "createdAt", LIST_SINCE },
	{ "LAST USED", "lastUsedAt", LIST_SINCE },
	{ "REVOKED", "revokedAt", LIST_SINCE },
	{ "LABEL", "label", LIST_TEXT },
	{ NULL, NULL, LIST_TEXT },
};

/* One request; `print` gets the answer where it is good. */
static int ask(struct ctl *ctl, const char *key_file, const char *method, const char *path, const char *body,
	       int (*print)(struct ctl *ctl, const struct rest_answer *a))
{
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	int code = rest_open(&rest, ctl, key_file);
	if (code != CTL_DONE)
		return code;
	code = rest_ask(rest, method, path, body, &a);
	if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.len > 0 ? a.body.data : "{}");
	else if (code == CTL_DONE)
		code = print(ctl, &a);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

static int print_new(struct ctl *ctl, const struct rest_answer *a)
{
	(void)ctl;
	ctl_note("key %s of %s%s. It is shown this once:", rest_text(a->json, "id"), rest_text(a->json, "user"),
		 rest_is(a->json, "admin") ? ", an admin" : "");
	printf("%s\n", rest_text(a->json, "key"));
	return CTL_DONE;
}

static int print_list(struct ctl *ctl, const struct rest_answer *a)
{
	size_t i;
	json_t *row;
	(void)ctl;
	if (!json_is_array(a->json))
		return ctl_fail(CTL_FAILED, "unable to understand the backend's answer: it is no list");
	json_array_foreach(a->json, i, row) json_object_set_new(row, "admin", json_string(rest_is(row, "admin") ? "yes" : ""));
	struct say_table *t = list_table(a->json, columns);
	if (t != NULL)
		say_table_print(t, stdout);
	say_table_free(&t);
	return CTL_DONE;
}

static int print_revoked(struct ctl *ctl, const struct rest_answer *a)
{
	(void)ctl, (void)a;
	printf("revoked\n");
	return CTL_DONE;
}

static int add(struct ctl *ctl, int argc, char **argv)
{
	const char *label = NULL, *key_file = NULL;
	bool is_admin = false;
	const struct opt opts[] = {
		{ "admin", NULL, "may do everything, and act for others", OPT_FLAG, &is_admin, 0, 0, NULL },
		{ "label", "TEXT", "what it is for, shown in the list", OPT_TEXT, &label, 0, 0, NULL },
		{ "key-file", "FILE", key_help, OPT_TEXT, &key_file, 0, 0, NULL },
		{ 0 },
	};
	struct opt_words words = { .usage = "add USER [--admin] [--label TEXT]",
				   .about = "Makes a key for a user and prints it.",
				   .least = 1,
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	json_t *body = json_object();
	body_text(body, "user", words.words[0]);
	body_text(body, "label", label);
	if (is_admin)
		json_object_set_new(body, "admin", json_true());
	char *text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	code = text != NULL ? ask(ctl, key_file, "POST", "/api/keys", text, print_new) : ctl_fail(CTL_FAILED, "no memory");
	free(text);
	return code;
}

static int list(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	const struct opt opts[] = { { "key-file", "FILE", key_help, OPT_TEXT, &key_file, 0, 0, NULL }, { 0 } };
	struct opt_words words = { .usage = "list [--json]", .about = "The keys, without what proves them." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	return code >= 0 ? code : ask(ctl, key_file, "GET", "/api/keys", NULL, print_list);
}

static int end_key(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_ROOM] = "/api/keys/";
	const char *key_file = NULL;
	const struct opt opts[] = { { "key-file", "FILE", key_help, OPT_TEXT, &key_file, 0, 0, NULL }, { 0 } };
	struct opt_words words = { .usage = "revoke ID", .about = "Ends a key, at once and for good.", .least = 1, .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (rest_escape(words.words[0], path + strlen(path), sizeof(path) - strlen(path)) < 0)
		return ctl_misuse(ctl->verb, NULL, NULL, "that is no key's id");
	return ask(ctl, key_file, "DELETE", path, NULL, print_revoked);
}

int key_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command verbs[] = {
		{ "add", "make a key for a user", "USER [--admin] [--label TEXT]", add, CTL_NEEDS_DAEMON },
		{ "list", "the keys", "", list, CTL_NEEDS_DAEMON },
		{ "revoke", "end a key", "ID", end_key, CTL_NEEDS_DAEMON },
		{ 0 },
	};
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		printf("usage: dssctl key VERB …\n\nverbs:\n");
		for (const struct ctl_command *c = verbs; c->name != NULL; c++)
			printf("  %-10s %s\n", c->name, c->help);
		return CTL_DONE;
	}
	if (argc < 2)
		return ctl_misuse(ctl->verb, NULL, NULL, "which? usage: dssctl key add USER | list | revoke ID");
	return ctl_dispatch(ctl, verbs, "verb", argc - 1, argv + 1);
}
