#ifndef DSS_CTL_OPT_H
#define DSS_CTL_OPT_H
#include <stdint.h>
#include "ctl/ctl.h"
/*
 * opt: the options of one command as a table; values are checked while they are read. `--name value`, `--name=value`;
 * options and other words may be mixed; a name of one letter is written -n; after `--` nothing is an option. -C, --json and --help are known everywhere.
 *
 *     int64_t port = 11200;
 *     const struct opt opts[] = { { "port", "N", "the first of its ports", OPT_INT, &port, 0, 65500 }, { 0 } };
 *     struct opt_words words = { .usage = "DIR [options]", .least = 1, .most = 1 };
 *     int code = opt_read(ctl, opts, &words, argc, argv);
 *     if (code >= 0)
 *         return code;
 */
enum opt_kind {
	OPT_FLAG,     /* bool * */
	OPT_TEXT,     /* const char **: borrowed from argv */
	OPT_INT,      /* int64_t *, from least to most */
	OPT_SIZE,     /* const char **: checked to be a size, kept as written */
	OPT_DURATION, /* int64_t *: ms */
	OPT_EACH,     /* called for each: `each` with `to` */
};

struct opt {
	const char *name, *arg, *help;
	enum opt_kind kind;
	void *to;
	int64_t least, most;
	int (*each)(void *to, const char *value, struct err *err);
};

/* Of every command that asks the API; to: a const char *. */
#define OPT_KEY_FILE(to)                                                                                                           \
	{                                                                                                                          \
		"key-file", "FILE", "the API key (else DSS_KEY, else config/admin.key)", OPT_TEXT, to, 0, 0, NULL                  \
	}

enum { OPT_WORDS_MAX = 64 };

struct opt_words {
	const char *usage, *about; /* about: what the command does, may have several lines, may be NULL */
	int least, most;           /* how many words before `--` */
	bool takes_command;        /* whether words may follow `--` */
	int count;
	char *words[OPT_WORDS_MAX]; /* borrowed */
	int ncommand;
	char **command; /* what follows `--`, NULL-terminated as argv is */
};

/* -1: go on. Else the exit code: help was printed, or the misuse told. */
int opt_read(struct ctl *ctl, const struct opt *opts, struct opt_words *words, int argc, char **argv);

#endif
