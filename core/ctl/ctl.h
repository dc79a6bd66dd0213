#ifndef DSS_CTL_CTL_H
#define DSS_CTL_CTL_H
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
/*
 * ctl: what all commands of dssctl share: the exit codes, which instance is meant, how to speak to people.
 *
 * Results go to standard output, everything else to standard error. With --json standard output carries one JSON value.
 */
enum ctl_exit {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_ABORTED = 3,
	CTL_NOT_FOUND = 4,
	CTL_NOT_ALLOWED = 5,
	CTL_NO_DAEMON = 6,
	CTL_TIMED_OUT = 7,
	CTL_INTERRUPTED = 130, /* Ctrl-C while waiting: the work goes on */
};

struct ctl {
	const char *verb;   /* "submit", "dss start": for texts */
	const char *given;  /* -C DIR, or NULL */
	char dir[PATH_MAX]; /* the instance, absolute; set by ctl_find */
	bool json;
};

/* What a command needs to work; shown in the help. */
enum ctl_needs { CTL_NEEDS_NOTHING, CTL_NEEDS_INSTANCE, CTL_NEEDS_DAEMON };

struct ctl_command {
	const char *name, *help, *usage; /* usage: what follows the name */
	/* argv[0] is the command's name. Returns an exit code. */
	int (*run)(struct ctl *ctl, int argc, char **argv);
	enum ctl_needs needs;
};

/* Sets ctl->dir: -C, else $DSS_HOME, else the current folder. CTL_DONE, or an exit code after telling why. */
int ctl_find(struct ctl *ctl);

/* "dssctl: TEXT" on standard error; returns `code`. */
int ctl_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line on standard error, nothing put before it. */
void ctl_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Wrong usage: the text, the nearest valid word of `words` (may be NULL) and where help is. Returns CTL_USAGE. */
int ctl_misuse(const char *verb, const char *const *words, const char *word, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The keeper could not be spoken to: tells why and what to do, returns the exit code. */
int ctl_unreached(const struct ctl *ctl, const struct err *err);

/* dir/name into out. 0, or -1: too long. */
int ctl_path(const struct ctl *ctl, const char *name, char *out, size_t room, struct err *err);

/* Is the first word --help or -h? Then the verbs of a table are printed. */
bool ctl_help(const struct ctl_command *table, const char *usage, int argc, char **argv);
/* Finds argv[0] in a table that ends with a NULL name and runs it; `what` names the words in texts ("command"). */
int ctl_dispatch(struct ctl *ctl, const struct ctl_command *table, const char *what, int argc, char **argv);
/* All of a command that has verbs alone: help, one of them, or the misuse. usage: "key add USER | list | revoke ID". */
int ctl_verbs(struct ctl *ctl, const struct ctl_command *verbs, const char *usage, int argc, char **argv);

/* The commands, one file per area. */
int init_command(struct ctl *ctl, int argc, char **argv);
int dss_command(struct ctl *ctl, int argc, char **argv);
int status_show(struct ctl *ctl); /* what `status` prints, as --json is set */
int status_command(struct ctl *ctl, int argc, char **argv);
int submit_command(struct ctl *ctl, int argc, char **argv);
int wait_command(struct ctl *ctl, int argc, char **argv);
int result_command(struct ctl *ctl, int argc, char **argv);
int abort_command(struct ctl *ctl, int argc, char **argv);
int tasks_command(struct ctl *ctl, int argc, char **argv);
int ps_command(struct ctl *ctl, int argc, char **argv);
int pools_command(struct ctl *ctl, int argc, char **argv);
int run_command(struct ctl *ctl, int argc, char **argv);
int top_command(struct ctl *ctl, int argc, char **argv);
int logs_command(struct ctl *ctl, int argc, char **argv);
int events_command(struct ctl *ctl, int argc, char **argv);
int key_command(struct ctl *ctl, int argc, char **argv);
int job_command(struct ctl *ctl, int argc, char **argv);
int jobs_command(struct ctl *ctl, int argc, char **argv);
int train_command(struct ctl *ctl, int argc, char **argv);
int models_command(struct ctl *ctl, int argc, char **argv);
int policy_command(struct ctl *ctl, int argc, char **argv);
int alerts_command(struct ctl *ctl, int argc, char **argv);
int why_command(struct ctl *ctl, int argc, char **argv);
int policy_replay_command(struct ctl *ctl, int argc, char **argv); /* `policy replay` */
int repl_command(struct ctl *ctl, int argc, char **argv);
int project_command(struct ctl *ctl, int argc, char **argv);
int usage_command(struct ctl *ctl, int argc, char **argv);
int completion_command(struct ctl *ctl, int argc, char **argv);

#endif
