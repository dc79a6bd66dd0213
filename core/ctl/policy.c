/* policy: the policies of an instance: what is in force, a check before saving, their specs, differences, the versions before, and back to one of them. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/child.h"
#include "ctl/list.h"
#include "ctl/opt.h"
#include "ctl/policy_files.h"
#include "ctl/rest.h"
#include "sys/clock.h"
#include "sys/home.h"

enum { TAKEN_WAIT_MS = 15000, VERSIONS_SHOWN = 20 };

/* A list from the API as an owned copy. */
static int get_list(struct rest *rest, const char *path, json_t **out)
{
	struct rest_answer a;
	int code = rest_ask(rest, "GET", path, NULL, &a);
	if (code == CTL_DONE)
		code = rest_check_list(a.json);
	*out = code == CTL_DONE ? json_incref(a.json) : NULL;
	rest_answer_fini(&a);
	return code;
}

static int get_version(struct rest *rest, const char *number, json_t **out)
{
	char path[96];
	int64_t n;
	if (text_int(number, 1, INT64_MAX, &n, NULL) < 0)
		return ctl_misuse("policy", NULL, NULL, "\"%s\" is no version: dssctl policy history lists them", number);
	snprintf(path, sizeof(path), "/api/policies/versions/%lld", (long long)n);
	return get_list(rest, path, out);
}

/* --- show --- */

static int print_errors(const json_t *state)
{
	const json_t *row;
	size_t i;
	char text[1200];
	json_t *errors = json_object_get(state, "errors");
	json_array_foreach(errors, i, row)
	{
		const char *words = rest_text(row, "text");
		text_escape(text, sizeof(text), words, strlen(words));
		printf("%s:%.0f: %s\n", rest_text(row, "file"), rest_number(row, "line", 1), text);
	}
	return json_array_size(errors) > 0;
}

static void print_state(const json_t *state, const json_t *files)
{
	json_t *row;
	size_t i;
	printf("version %.0f is in force: %zu file%s", rest_number(state, "version", 0), json_array_size(files),
	       json_array_size(files) == 1 ? "" : "s");
	json_array_foreach(files, i, row)
	{
		const char *name = rest_text(row, "name"), *slash = strrchr(name, '/');
		printf("%s%s", i == 0 ? ", " : " ", slash != NULL ? slash + 1 : name);
	}
	printf("%s\n", rest_is(state, "lastGood") ? " (the last good set, not policies/)" : "");
	if (rest_is(state, "observe"))
		printf("observe: rules only say what they would do (dssctl why --would); config/dss.lua says so\n");
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct rest *rest = NULL;
	struct rest_answer state = { 0 };
	json_t *files = NULL;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = {
		.usage = "[show] [--json]",
		.about = "What is in force, and what is wrong with the files in policies/. Exit 1 where something is."
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = rest_ask(rest, "GET", "/api/policies/state", NULL, &state);
	if (code == CTL_DONE)
		code = get_list(rest, "/api/policies", &files);
	if (code == CTL_DONE && ctl->json) {
		printf("%s\n", state.body.data);
		code = json_array_size(json_object_get(state.json, "errors")) > 0 ? CTL_FAILED : CTL_DONE;
	} else if (code == CTL_DONE) {
		print_state(state.json, files);
		if (print_errors(state.json)) {
			ctl_note("The set before stays in force; dssctl policy diff shows what is new.");
			code = CTL_FAILED;
		}
	}
	json_decref(files);
	rest_answer_fini(&state);
	rest_close(&rest);
	return code;
}

/* --- check --- */

static int check(struct ctl *ctl, int argc, char **argv)
{
	const struct opt opts[] = { { 0 } };
	json_t *set = NULL;
	struct opt_words words = {
		.usage = "check [FILE…] [--json]",
		.about = "Evaluates policies/ with each FILE in the place of the one of its name (or beside them), and takes\n"
			 "nothing into force. Works without a running instance.",
		.most = OPT_WORDS_MAX
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = ctl_find(ctl)) != CTL_DONE)
		return code;
	if ((code = policy_files_read(ctl, &set)) != CTL_DONE)
		return code;
	for (int i = 0; code == CTL_DONE && i < words.count; i++)
		code = policy_files_put(ctl, set, words.words[i]);
	if (code == CTL_DONE)
		code = policy_files_check(ctl, set, false);
	json_decref(set);
	return code;
}

/* --- test --- */

/* Specs are programs: those of an instance whose policies are the backend's user's root runs as that user. Of any other folder: as it is called. */
static int run_tests_of(const char *dir, char **child, struct err *err)
{
	char path[PATH_MAX], inside[PATH_MAX + 16], db[PATH_MAX + 32];
	struct stat folder, backend;
	if (realpath(dir, path) == NULL)
		return child_run(child, err);
	child[2] = path;
	/* DIR, DIR/policies or DIR/policies/spec */
	snprintf(inside, sizeof(inside), "%s/policies", path);
	bool is_instance = stat(inside, &folder) == 0;
	if (!is_instance && stat(path, &folder) < 0)
		return child_run(child, err);
	bool is_backends = false;
	for (int up = 0; !is_backends && up < 3; up++) {
		static const char *const ways[] = { "db", "../db", "../../db" };
		snprintf(db, sizeof(db), "%s/%s", path, ways[up]);
		is_backends = stat(db, &backend) == 0 && backend.st_uid == folder.st_uid;
	}
	return is_backends ? child_run_as(child, backend.st_uid, backend.st_gid, err) : child_run(child, err);
}

static int test(struct ctl *ctl, int argc, char **argv)
{
	const struct opt opts[] = { { 0 } };
	char program[PATH_MAX];
	char *child[OPT_WORDS_MAX + 8] = { program, (char *)"test", ctl->dir, (char *)"--" };
	struct err err = { 0 };
	int n = 4;
	struct opt_words words = {
		.usage = "test [DIR] [-- OPTIONS OF BUSTED]",
		.about = "Runs the specs in policies/spec, or in DIR/spec: what your policies are meant to do, held against what\n"
			 "they do. With your rights, and without a backend. Exit 1: some failed. docs/policy-testing.md says how.",
		.most = 1,
		.takes_command = true
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (words.count == 0 && (code = ctl_find(ctl)) != CTL_DONE))
		return code;
	if (home_program("dssd", program, sizeof(program)) < 0)
		return ctl_fail(CTL_FAILED, "unable to find dssd beside this program");
	if (words.count > 0)
		child[2] = words.words[0];
	if (ctl->json) {
		child[n++] = (char *)"-o";
		child[n++] = (char *)"json";
	}
	for (int i = 0; i < words.ncommand && n < OPT_WORDS_MAX; i++)
		child[n++] = words.command[i];
	fflush(stdout);
	int status = words.count > 0 ? run_tests_of(words.words[0], child, &err) : policy_files_run(ctl, child, &err);
	if (status < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	return status <= CTL_USAGE || status == CTL_INTERRUPTED ? status : CTL_FAILED;
}

/* --- diff --- */

static const char *text_in(const json_t *set, const char *name)
{
	const json_t *row;
	size_t i;
	json_array_foreach(set, i, row) if (strcmp(rest_text(row, "name"), name) == 0) return rest_text(row, "text");
	return NULL;
}

static void put_changes(json_t *out, const json_t *set, const json_t *other, bool is_new)
{
	const json_t *row;
	size_t i;
	json_array_foreach(set, i, row)
	{
		const char *name = rest_text(row, "name"), *text = text_in(other, name);
		if (text == NULL)
			json_array_append_new(out, json_pack("{s:s,s:s}", "file", name, "change", is_new ? "added" : "removed"));
		else if (is_new && strcmp(text, rest_text(row, "text")) != 0)
			json_array_append_new(out, json_pack("{s:s,s:s}", "file", name, "change", "changed"));
	}
}

/* For programs: which files, not which lines. */
static void print_changes(const json_t *a, const char *a_name, const json_t *b, const char *b_name)
{
	json_t *files = json_array();
	put_changes(files, a, b, false);
	put_changes(files, b, a, true);
	json_t *all =
		json_pack("{s:s,s:s,s:b,s:o}", "from", a_name, "to", b_name, "differs", json_array_size(files) > 0, "files", files);
	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

static int diff(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct rest *rest = NULL;
	json_t *a = NULL, *b = NULL;
	char a_name[40] = "in-force", b_name[40] = "policies";
	bool differs = false;
	const struct opt opts[] = { OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "diff [N [M]]",
				   .about = "What differs between the set in force and policies/; between version N and policies/; "
					    "or between two versions.",
				   .most = 2 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	if (words.count > 0) {
		snprintf(a_name, sizeof(a_name), "version-%.24s", words.words[0]);
		code = get_version(rest, words.words[0], &a);
	} else {
		code = get_list(rest, "/api/policies", &a);
	}
	if (code == CTL_DONE && words.count > 1) {
		snprintf(b_name, sizeof(b_name), "version-%.24s", words.words[1]);
		code = get_version(rest, words.words[1], &b);
	} else if (code == CTL_DONE) {
		code = policy_files_read(ctl, &b);
	}
	if (code == CTL_DONE && ctl->json)
		print_changes(a, a_name, b, b_name);
	else if (code == CTL_DONE)
		code = policy_files_diff(a, a_name, b, b_name, &differs);
	if (code == CTL_DONE && !differs && !ctl->json)
		ctl_note("No difference.");
	json_decref(a);
	json_decref(b);
	rest_close(&rest);
	return code;
}

/* --- history --- */

static const struct list_column columns[] = {
	{ "VERSION", "version", LIST_NUMBER }, { "SINCE", "takenAt", LIST_SINCE }, { "BY", "by", LIST_TEXT },
	{ "HASH", "hash", LIST_TEXT },         { "NOTE", "note", LIST_TEXT },      { NULL, NULL, LIST_TEXT },
};

static int print_history(struct ctl *ctl, const struct rest_answer *a)
{
	json_t *row;
	size_t i;
	(void)ctl;
	if (rest_check_list(a->json) != CTL_DONE)
		return CTL_FAILED;
	json_array_foreach(a->json, i, row)
	{
		char hash[13];
		snprintf(hash, sizeof(hash), "%s", rest_text(row, "hash"));
		json_object_set_new(row, "hash", json_string(hash));
	}
	list_print(a->json, columns);
	return CTL_DONE;
}

static int history(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	int64_t limit = VERSIONS_SHOWN;
	char path[64];
	const struct opt opts[] = { { "limit", "N", "how many, newest first", OPT_INT, &limit, 1, 10000, NULL },
				    OPT_KEY_FILE(&key_file),
				    { 0 } };
	struct opt_words words = { .usage = "history [--limit N] [--json]", .about = "The sets that were in force, newest first." };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0)
		return code;
	snprintf(path, sizeof(path), "/api/policies/versions?limit=%lld", (long long)limit);
	return rest_once(ctl, key_file, "GET", path, NULL, print_history);
}

/* --- rollback --- */

static bool is_agreed(void)
{
	char line[16];
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return false;
	fprintf(stderr, "Write these files to policies/? [y/N] ");
	return fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

/* Until the backend has taken what was written, or says what is wrong with it. */
static int wait_taken(struct rest *rest, const json_t *set)
{
	int64_t until = clock_mono_ms() + TAKEN_WAIT_MS;
	int pause = 0;
	for (;;) {
		struct rest_answer state = { 0 };
		json_t *now = NULL;
		/* The files first: a version that is asked for after them is theirs, one from before may be that of the set before. */
		int code = get_list(rest, "/api/policies", &now);
		if (code == CTL_DONE)
			code = rest_ask(rest, "GET", "/api/policies/state", NULL, &state);
		bool is_there = code == CTL_DONE && policy_files_equal(now, set);
		if (is_there)
			printf("version %.0f is in force\n", rest_number(state.json, "version", 0));
		else if (code == CTL_DONE && clock_mono_ms() > until)
			code = print_errors(state.json)
				       ? CTL_FAILED
				       : ctl_fail(CTL_TIMED_OUT,
						  "the backend has not taken the files yet; look with dssctl policy");
		json_decref(now);
		rest_answer_fini(&state);
		if (is_there || code != CTL_DONE)
			return code;
		rest_pause(rest, &pause);
	}
}

/* The backend does it where it may write in policies/: it looks for mistakes, and answers once they are in force. */
static int roll_back_there(struct ctl *ctl, struct rest *rest, const char *number)
{
	struct rest_answer a = { 0 };
	char body[96], folder[PATH_MAX];
	struct err err = { 0 };
	snprintf(body, sizeof(body), "{\"version\":%lld,\"overwrite\":true}", strtoll(number, NULL, 10));
	int code = rest_ask(rest, "POST", "/api/policies/rollback", body, &a);
	if (code == CTL_DONE && rest_text(a.json, "kept")[0] != '\0' &&
	    ctl_path(ctl, rest_text(a.json, "kept"), folder, sizeof(folder), &err) == 0)
		ctl_note("what was there is kept in %s", folder);
	if (code == CTL_DONE)
		printf("version %.0f is in force\n", rest_number(a.json, "version", 0));
	rest_answer_fini(&a);
	return code;
}

static int roll_back_here(struct ctl *ctl, struct rest *rest, const json_t *set)
{
	char kept[PATH_MAX];
	int code = policy_files_write(ctl, set, kept);
	if (code == CTL_DONE && kept[0] != '\0')
		ctl_note("what was there is kept in %s", kept);
	return code == CTL_DONE ? wait_taken(rest, set) : code;
}

static bool may_write_there(struct rest *rest)
{
	struct rest_answer state = { 0 };
	bool may = rest_ask(rest, "GET", "/api/policies/state", NULL, &state) == CTL_DONE && rest_is(state.json, "writable");
	rest_answer_fini(&state);
	return may;
}

static int roll_back(struct ctl *ctl, struct rest *rest, const char *number, bool is_yes)
{
	json_t *set = NULL, *present = NULL;
	char name[40];
	bool differs = false;
	int code = get_version(rest, number, &set);
	if (code == CTL_DONE)
		code = policy_files_read(ctl, &present);
	snprintf(name, sizeof(name), "version-%.24s", number);
	if (code == CTL_DONE)
		code = policy_files_diff(present, "policies", set, name, &differs);
	if (code == CTL_DONE && !differs)
		ctl_note("policies/ is that version already.");
	/* What was good then may not be now: another program, another user, another word. It says what is wrong; nothing was changed. */
	if (code == CTL_DONE && differs)
		code = policy_files_check(ctl, set, true);
	if (code == CTL_DONE && differs && !is_yes && !is_agreed())
		code = ctl_fail(CTL_ABORTED, "nothing was changed%s", isatty(STDIN_FILENO) ? "" : "; without a terminal say --yes");
	if (code == CTL_DONE && differs)
		code = may_write_there(rest) ? roll_back_there(ctl, rest, number) : roll_back_here(ctl, rest, set);
	else if (code == CTL_DONE)
		code = wait_taken(rest, set);
	json_decref(set);
	json_decref(present);
	return code;
}

static int rollback(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	struct rest *rest = NULL;
	bool is_yes = false;
	const struct opt opts[] = { { "yes", NULL, "do not ask", OPT_FLAG, &is_yes, 0, 0, NULL }, OPT_KEY_FILE(&key_file), { 0 } };
	struct opt_words words = { .usage = "rollback N [--yes]",
				   .about = "Makes policies/ what it was in version N, once that is seen to be free of mistakes, "
					    "and waits until it is\n"
					    "in force. What is there now is kept in a folder in policies/.",
				   .least = 1,
				   .most = 1 };
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = rest_open(&rest, ctl, key_file)) != CTL_DONE)
		return code;
	code = roll_back(ctl, rest, words.words[0], is_yes);
	rest_close(&rest);
	return code;
}

static const struct ctl_command verbs[] = {
	{ "show", "what is in force, and what is wrong with policies/", "", show, CTL_NEEDS_DAEMON },
	{ "check", "look for mistakes before saving", "[FILE…]", check, CTL_NEEDS_INSTANCE },
	{ "test", "run your own specs of them", "[DIR]", test, CTL_NEEDS_INSTANCE },
	{ "diff", "what differs from what is in force", "[N [M]]", diff, CTL_NEEDS_DAEMON },
	{ "history", "the sets that were in force", "", history, CTL_NEEDS_DAEMON },
	{ "rollback", "back to one of them", "N", rollback, CTL_NEEDS_DAEMON },
	{ "replay", "recorded decisions made again, also by other policies", "[--policies DIR]", policy_replay_command,
	  CTL_NEEDS_INSTANCE },
	{ 0 },
};

int policy_command(struct ctl *ctl, int argc, char **argv)
{
	if (ctl_help(verbs, "policy [VERB …]", argc, argv))
		return CTL_DONE;
	if (argc < 2 || argv[1][0] == '-')
		return show(ctl, argc, argv);
	return ctl_dispatch(ctl, verbs, "verb", argc - 1, argv + 1);
}
