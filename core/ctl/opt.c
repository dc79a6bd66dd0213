#include "ctl/opt.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { NAMES_MAX = 64, HELP_COLUMN = 26 };

static int print_help(const struct ctl *ctl, const struct opt *opts, const struct opt_words *words)
{
	printf("usage: dssctl %s %s\n", ctl->verb, words->usage);
	if (words->about != NULL)
		printf("\n%s\n", words->about);
	printf("\noptions:\n");
	for (const struct opt *o = opts; o->name != NULL; o++) {
		char left[80];
		snprintf(left, sizeof(left), "%s%s%s%s", o->name[1] == '\0' ? "-" : "--", o->name, o->arg != NULL ? " " : "",
			 o->arg != NULL ? o->arg : "");
		printf("  %-*s %s\n", HELP_COLUMN, left, o->help);
	}
	printf("  %-*s %s\n", HELP_COLUMN, "-C DIR", "the instance (else DSS_HOME, else the current folder)");
	printf("  %-*s %s\n", HELP_COLUMN, "--json", "print the result as JSON");
	printf("  %-*s %s\n", HELP_COLUMN, "--help", "this text");
	return CTL_DONE;
}

static int set_value(const struct opt *o, const char *value, struct err *err)
{
	int64_t bytes;
	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)o->to = true;
		return 0;
	case OPT_TEXT:
		*(const char **)o->to = value;
		return 0;
	case OPT_INT:
		return text_int(value, o->least, o->most, o->to, err);
	case OPT_SIZE:
		*(const char **)o->to = value;
		return text_size(value, &bytes, err);
	case OPT_DURATION:
		return text_duration(value, o->to, err);
	case OPT_EACH:
		return o->each(o->to, value, err);
	}
	return -1;
}

static int unknown_option(const struct ctl *ctl, const struct opt *opts, const char *arg)
{
	const char *names[NAMES_MAX] = { "--json", "--help" };
	char room[NAMES_MAX][48], shown[80];
	size_t n = 2;
	for (const struct opt *o = opts; o->name != NULL && n < NAMES_MAX - 1; o++, n++) {
		snprintf(room[n], sizeof(room[n]), "--%s", o->name);
		names[n] = room[n];
	}
	names[n] = NULL;
	snprintf(shown, sizeof(shown), "%.*s", (int)strcspn(arg, "="), arg);
	char word[80];
	text_escape(word, sizeof(word), shown, strlen(shown));
	return ctl_misuse(ctl->verb, names, shown, "unknown option \"%s\"", word);
}

/* One option at argv[*i]; moves *i past a value of its own. -1: go on. */
static int read_option(struct ctl *ctl, const struct opt *opts, int argc, char **argv, int *i)
{
	const char *arg = argv[*i];
	if (strcmp(arg, "-C") == 0) {
		if (*i + 1 >= argc)
			return ctl_misuse(ctl->verb, NULL, NULL, "-C wants a folder");
		ctl->given = argv[++*i];
		return -1;
	}
	if (strcmp(arg, "--json") == 0) {
		ctl->json = true;
		return -1;
	}
	bool is_letter = arg[1] != '-' && arg[2] == '\0';
	const char *name = is_letter ? arg + 1 : arg + 2;
	size_t len = is_letter || strncmp(arg, "--", 2) == 0 ? strcspn(name, "=") : 0;
	const struct opt *o = opts;
	while (o->name != NULL && !(strlen(o->name) == len && strncmp(o->name, name, len) == 0 && is_letter == (len == 1)))
		o++;
	if (o->name == NULL)
		return unknown_option(ctl, opts, arg);
	const char *value = name[len] == '=' ? name + len + 1 : NULL;
	if (o->kind == OPT_FLAG && value != NULL)
		return ctl_misuse(ctl->verb, NULL, NULL, "--%s takes no value", o->name);
	if (o->kind != OPT_FLAG && value == NULL) {
		if (*i + 1 >= argc)
			return ctl_misuse(ctl->verb, NULL, NULL, "--%s wants a value: --%s %s", o->name, o->name, o->arg);
		value = argv[++*i];
	}
	struct err err = { 0 };
	if (set_value(o, value, &err) < 0)
		return ctl_misuse(ctl->verb, NULL, NULL, "--%s: %s", o->name, err.text);
	return -1;
}

int opt_read(struct ctl *ctl, const struct opt *opts, struct opt_words *words, int argc, char **argv)
{
	words->count = 0;
	words->ncommand = 0;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			words->command = argv + i + 1;
			words->ncommand = argc - i - 1;
			break;
		}
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return print_help(ctl, opts, words);
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			if (words->count == words->most || words->count == OPT_WORDS_MAX)
				return ctl_misuse(ctl->verb, NULL, NULL, "unexpected \"%s\"; usage: dssctl %s %s", argv[i],
						  ctl->verb, words->usage);
			words->words[words->count++] = argv[i];
			continue;
		}
		int code = read_option(ctl, opts, argc, argv, &i);
		if (code >= 0)
			return code;
	}
	if (words->ncommand > 0 && !words->takes_command)
		return ctl_misuse(ctl->verb, NULL, NULL, "nothing may follow --; usage: dssctl %s %s", ctl->verb, words->usage);
	if (words->count < words->least)
		return ctl_misuse(ctl->verb, NULL, NULL, "too few arguments; usage: dssctl %s %s", ctl->verb, words->usage);
	return -1;
}
