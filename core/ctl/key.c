/* key: who may use the API: keys with their users. A new key is shown once; the instance keeps its hash only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/body.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/rest.h"

enum { PATH_ROOM = 600 };

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
	if (rest_check_list(a->json) != CTL_DONE)
		return CTL_FAILED;
	json_array_foreach(a->json, i, row) json_object_set_new(row, "admin", json_string(rest_is(row, "admin") ? "yes" : ""));
	list_print(a->json, columns);
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
		OPT_KEY_FILE(&key_file),
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
	code = text != NULL ? rest_once(ctl, key_file, "POST", "/api/keys", text, print_new) : ctl_fail(CTL_FAILED, "no memory");
	free(text);
	return code;
}

static int list(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "list [--json]", .about = "The keys, without what proves them." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	return code >= 0 ? code : rest_once(ctl, key_file, "GET", "/api/keys", NULL, print_list);
}

static int end_key(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_ROOM] = "/api/keys/";
	const char *key_file = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "revoke ID", .about = "Ends a key, at once and for good.", .least = 1, .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	if (rest_escape(words.words[0], path + strlen(path), sizeof(path) - strlen(path)) < 0)
		return ctl_misuse(ctl->verb, NULL, NULL, "that is no key's id");
	return rest_once(ctl, key_file, "DELETE", path, NULL, print_revoked);
}

int key_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command verbs[] = {
		{ "add", "make a key for a user", "USER [--admin] [--label TEXT]", add, CTL_NEEDS_DAEMON },
		{ "list", "the keys", "", list, CTL_NEEDS_DAEMON },
		{ "revoke", "end a key", "ID", end_key, CTL_NEEDS_DAEMON },
		{ 0 },
	};
	return ctl_verbs(ctl, verbs, "key add USER | list | revoke ID", argc, argv);
}
