/*
 * dss-logger: reads every process's output pipe and writes the logs. Started by the keeper with its end of a socket pair
 * in DSS_KEEPER_FD; everything else is on the command line. TERM and the keeper's leaving end it after what is in the
 * pipes is written; HUP reopens the files.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/text.h"
#include "logger/launch.h"
#include "logger/relay.h"
#include "logger/stamp.h"
#include "sys/fds.h"
#include "sys/loop.h"

static const char usage[] = "usage: DSS_KEEPER_FD=N dss-logger --dir DIR [--file-bytes N] [--files N] [--job-bytes N] "
			    "[--total-bytes N] [--floor-bytes N]\n";

static const int64_t MB = 1024 * 1024;

struct options {
	const char *dir;
	struct disk_limits limits;
};

static int set_option(struct options *o, const char *name, const char *value, struct err *err)
{
	if (strcmp(name, "--dir") == 0) {
		o->dir = value;
		return 0;
	}
	int64_t files = o->limits.files;
	const struct {
		const char *name;
		int64_t *to, least, most;
	} numbers[] = {
		{ "--file-bytes", &o->limits.file_bytes, 4096, INT64_MAX / 4 },
		{ "--files", &files, 0, 1000 },
		{ "--job-bytes", &o->limits.job_bytes, 4096, INT64_MAX / 4 },
		{ "--total-bytes", &o->limits.total_bytes, 0, INT64_MAX / 4 },
		{ "--floor-bytes", &o->limits.floor_bytes, 0, INT64_MAX / 4 },
	};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(name, numbers[i].name) != 0)
			continue;
		if (text_int(value, numbers[i].least, numbers[i].most, numbers[i].to, err) < 0)
			return err_add(err, "unable to take %s", name);
		o->limits.files = (int)files;
		return 0;
	}
	return err_set(err, "unable to take %s: it is no option", name);
}

static int read_options(int argc, char **argv, struct options *o, struct err *err)
{
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return err_set(err, "unable to take %s: it needs a value", argv[i]);
		if (set_option(o, argv[i], argv[i + 1], err) < 0)
			return -1;
	}
	return o->dir != NULL ? 0 : err_set(err, "unable to start: --dir is missing");
}

static int keeper_fd(struct err *err)
{
	int64_t fd;
	const char *text = getenv("DSS_KEEPER_FD");
	if (text == NULL)
		return err_set(err, "unable to start: DSS_KEEPER_FD is not set, the keeper starts the logger");
	if (text_int(text, 3, 1 << 20, &fd, err) < 0)
		return err_add(err, "unable to take DSS_KEEPER_FD");
	if (fds_cloexec((int)fd, true, err) < 0 || fds_nonblock((int)fd, true, err) < 0)
		return err_add(err, "unable to take DSS_KEEPER_FD");
	return (int)fd;
}

static void on_term(void *data, int signo)
{
	log_info("writing what is left: signal %d", signo);
	relay_close_soon(data);
}

static void on_hup(void *data, int signo)
{
	(void)signo;
	relay_reopen(data);
}

int main(int argc, char **argv)
{
	struct err err;
	struct options o = { .limits = { .file_bytes = 100 * MB,
					 .files = 10,
					 .job_bytes = 50 * MB,
					 .total_bytes = 10240 * MB,
					 .floor_bytes = 1024 * MB } };
	int rc = 1, fd;
	if (argc > 1 && strcmp(argv[1], "stamp") == 0)
		return stamp_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "launch") == 0)
		return launch_main(argc - 1, argv + 1);
	log_init("logger", LOG_INFO);
	/* Two threads, short-lived chunks: a second arena and a late trim would only keep memory. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
	if (read_options(argc, argv, &o, &err) < 0 || (fd = keeper_fd(&err)) < 0) {
		fprintf(stderr, "dss-logger: %s\n%s", err.text, usage);
		return 2;
	}
	fds_raise_limit();
	struct relay *relay = NULL;
	struct loop_signal *term = NULL, *interrupt = NULL, *hup = NULL;
	struct loop *loop = loop_new(&err);
	if (loop == NULL || (relay = relay_new(loop, fd, o.dir, &o.limits, &err)) == NULL)
		goto out;
	term = loop_signal_new(loop, SIGTERM, on_term, relay);
	interrupt = loop_signal_new(loop, SIGINT, on_term, relay);
	hup = loop_signal_new(loop, SIGHUP, on_hup, relay);
	loop_run(loop);
	rc = 0;
out:
	if (rc != 0)
		log_error("%s", err.text);
	loop_signal_free(&term);
	loop_signal_free(&interrupt);
	loop_signal_free(&hup);
	relay_free(&relay);
	loop_free(&loop);
	return rc;
}
