#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/log.h"
#include "bind/config.h"
#include "sys/fds.h"
/* dssd: the backend, and the one who turns config/dss.lua into the keeper's plan. */

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define PLAN_MAX (1 << 20)

static const char usage[] = "usage: dssd plan DIR [-o FILE]   evaluate DIR/config/dss.lua into the keeper's plan\n"
			    "       dssd run DIR              the backend; started by dss-keeper\n"
			    "       dssd --help | --version\n";

static int complain(const char *text)
{
	fprintf(stderr, "dssd: %s\n", text);
	return EXIT_FAILED;
}

static int plan(int argc, char **argv)
{
	char dir[PATH_MAX];
	const char *file = NULL;
	struct err err = { 0 };
	struct buf out;
	int status = EXIT_DONE, c;
	while ((c = getopt(argc, argv, "o:")) != -1) {
		if (c != 'o')
			return fputs(usage, stderr), EXIT_USAGE;
		file = optarg;
	}
	if (optind != argc - 1)
		return fputs(usage, stderr), EXIT_USAGE;
	if (!realpath(argv[optind], dir)) {
		err_sys(&err, errno, "unable to find the instance %s", argv[optind]);
		return complain(err.text);
	}
	buf_init(&out, PLAN_MAX);
	if (config_plan(dir, &out, &err) < 0) {
		if (out.len > 0)
			fprintf(stderr, "%s\n", out.data);
		status = complain(err.text);
	} else if (file) {
		/* the keeper's alone: environments may hold secrets */
		if (fds_replace_file(file, out.data, out.len, 0600, &err) < 0)
			status = complain(err.text);
	} else if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
		err_sys(&err, errno, "unable to write the plan");
		status = complain(err.text);
	}
	buf_fini(&out);
	return status;
}

static int run(int argc, char **argv)
{
	char dir[PATH_MAX];
	struct err err = { 0 };
	if (argc != 2)
		return fputs(usage, stderr), EXIT_USAGE;
	if (!realpath(argv[1], dir)) {
		err_sys(&err, errno, "unable to find the instance %s", argv[1]);
		return complain(err.text);
	}
	log_init("backend", LOG_INFO);
	if (err_set(&err, "the backend is not built yet") < 0) {
		log_error("%s", err.text);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = { { "plan", plan }, { "run", run } };

	if (argc < 2)
		return fputs(usage, stderr), EXIT_USAGE;
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return fputs(usage, stdout), EXIT_DONE;
	if (strcmp(argv[1], "--version") == 0)
		return printf("dssd %s\n", DSS_VERSION), EXIT_DONE;
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "dssd: unknown command \"%s\"\n%s", argv[1], usage);
	return EXIT_USAGE;
}
