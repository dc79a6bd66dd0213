#include "ctl/ctl.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/bell.h"

enum { WORDS_MAX = 64 };

int ctl_fail(int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("dssctl: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return code;
}

void ctl_note(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fflush(stdout); /* in the order in which it was said, where both go to one file */
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

int ctl_misuse(const char *verb, const char *const *words, const char *word, const char *fmt, ...)
{
	const char *near = words != NULL && word != NULL ? text_nearest(word, words) : NULL;
	va_list ap;
	va_start(ap, fmt);
	/* "dss …" is called by that name, bin/dss */
	const char *program = strncmp(verb, "dss", 3) == 0 && (verb[3] == ' ' || verb[3] == '\0') ? "" : "dssctl";
	fprintf(stderr, "%s%s%s: ", program, program[0] != '\0' && verb[0] != '\0' ? " " : "", verb);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (near != NULL)
		fprintf(stderr, ", did you mean \"%s\"?", near);
	fprintf(stderr, "\nHelp: %s%s%s%s--help\n", program, program[0] != '\0' ? " " : "", verb, verb[0] != '\0' ? " " : "");
	return CTL_USAGE;
}

int ctl_path(const struct ctl *ctl, const char *name, char *out, size_t room, struct err *err)
{
	int n = snprintf(out, room, "%s/%s", ctl->dir, name);
	if (n < 0 || (size_t)n >= room)
		return err_sys(err, ENAMETOOLONG, "unable to name %s of the instance", name);
	return 0;
}

int ctl_find(struct ctl *ctl)
{
	const char *env = getenv("DSS_HOME");
	const char *meant = ctl->given != NULL ? ctl->given : env != NULL && env[0] != '\0' ? env : ".";
	char probe[PATH_MAX];
	if (realpath(meant, ctl->dir) == NULL)
		return ctl_fail(CTL_NOT_FOUND, "unable to find the instance %s: %s", meant, strerror(errno));
	if (ctl_path(ctl, "config/instance.id", probe, sizeof(probe), NULL) == 0 && access(probe, F_OK) == 0)
		return CTL_DONE;
	if (errno == EACCES)
		return ctl_fail(CTL_NOT_ALLOWED, "unable to read %s: %s; only the instance's users may, and root", probe,
				strerror(errno));
	if (strcmp(meant, ".") == 0 && ctl->given == NULL)
		return ctl_fail(CTL_NOT_FOUND,
				"no instance here: name it with -C DIR or DSS_HOME, or make one with dssctl init DIR");
	return ctl_fail(CTL_NOT_FOUND, "%s is no instance (config/instance.id is missing); make one with dssctl init DIR",
			ctl->dir);
}

int ctl_unreached(const struct ctl *ctl, const struct err *err)
{
	struct stat st;
	if (bell_is_closed(err))
		return ctl_fail(CTL_NO_DAEMON, "%s is not running; start it with %s/bin/dss start", ctl->dir, ctl->dir);
	if (err->code != EACCES && err->code != EPERM)
		return ctl_fail(CTL_FAILED, "%s", err->text);
	const struct passwd *pw = stat(ctl->dir, &st) == 0 ? getpwuid(st.st_uid) : NULL;
	return ctl_fail(CTL_NOT_ALLOWED, "%s; do this as %s, whose instance it is", err->text,
			pw != NULL ? pw->pw_name : "the user");
}

bool ctl_help(const struct ctl_command *table, const char *usage, int argc, char **argv)
{
	if (argc < 2 || (strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0))
		return false;
	printf("usage: dssctl %s\n\nverbs:\n", usage);
	for (const struct ctl_command *c = table; c->name != NULL; c++)
		printf("  %-10s %s\n", c->name, c->help);
	return true;
}

int ctl_dispatch(struct ctl *ctl, const struct ctl_command *table, const char *what, int argc, char **argv)
{
	const char *words[WORDS_MAX];
	size_t n = 0;
	for (const struct ctl_command *c = table; c->name != NULL; c++) {
		if (strcmp(c->name, argv[0]) == 0)
			return c->run(ctl, argc, argv);
		if (n < WORDS_MAX - 1)
			words[n++] = c->name;
	}
	words[n] = NULL;
	char shown[80];
	text_escape(shown, sizeof(shown), argv[0], strlen(argv[0]));
	return ctl_misuse(ctl->verb, words, argv[0], "unknown %s \"%s\"", what, shown);
}

int ctl_verbs(struct ctl *ctl, const struct ctl_command *verbs, const char *usage, int argc, char **argv)
{
	char head[40];
	snprintf(head, sizeof(head), "%.*s VERB …", (int)strcspn(usage, " "), usage);
	if (ctl_help(verbs, head, argc, argv))
		return CTL_DONE;
	if (argc < 2)
		return ctl_misuse(ctl->verb, NULL, NULL, "which? usage: dssctl %s", usage);
	return ctl_dispatch(ctl, verbs, "verb", argc - 1, argv + 1);
}
