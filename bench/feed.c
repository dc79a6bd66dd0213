/*
 * feed MEGABYTES DIR copy|prefix RELAY | feed MEGABYTES DIR logger LOGGER: writes lines of 100 bytes into a pipe that RELAY or the
 * logger reads, and takes the time until the last of them is written to the file. Prints MB/s of input. For the logger it plays
 * the keeper.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "bench.h"
#include "keeper/wire.h"
#include "sys/fds.h"
#include "sys/loop.h"
#include "sys/sock.h"

#define LINE   100
#define CHUNK  (LINE * 600) /* below a pipe's 64 KB */
#define WAIT_S 120

struct link {
	struct loop *loop;
	struct wire_link *wire;
	struct loop_io *fed;
	int read_fd;
	int64_t bytes, lost;
};

static pid_t start(char *const *argv, int in_fd, int pass_fd)
{
	char number[16];
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	if (in_fd >= 0)
		dup2(in_fd, 0);
	if (pass_fd >= 0) {
		snprintf(number, sizeof(number), "%d", pass_fd);
		setenv("DSS_KEEPER_FD", number, 1);
		fcntl(pass_fd, F_SETFD, 0);
	}
	execv(argv[0], argv);
	_exit(127);
}

static pid_t start_feeder(long chunks, int fd)
{
	static char chunk[CHUNK];
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	memset(chunk, 'x', sizeof(chunk));
	for (int i = LINE - 1; i < CHUNK; i += LINE)
		chunk[i] = '\n';
	for (long i = 0; i < chunks; i++)
		for (size_t at = 0; at < sizeof(chunk);) {
			ssize_t n = write(fd, chunk + at, sizeof(chunk) - at);
			if (n < 0)
				_exit(1);
			at += (size_t)n;
		}
	_exit(0);
}

static int wait_for(pid_t pid)
{
	int status;
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

/* --- a plain relay --- */

static int feed_relay(long chunks, const char *dir, char *how, char *relay)
{
	char out[4096];
	int pair[2];
	snprintf(out, sizeof(out), "%s/relay.log", dir);
	char *const argv[] = { relay, how, out, NULL };
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	pid_t reader = start(argv, pair[0], -1);
	close(pair[0]);
	pid_t feeder = start_feeder(chunks, pair[1]);
	close(pair[1]);
	return wait_for(feeder) < 0 || wait_for(reader) < 0 ? -1 : 0;
}

/* --- the logger --- */

static void send(struct link *l, struct buf *b, size_t mark, const int *fds, size_t n)
{
	if (wire_end(b, mark) < 0 || wire_link_send(l->wire, b, fds, n) < 0)
		loop_stop(l->loop);
	buf_fini(b);
}

static void welcome(struct link *l)
{
	struct buf b;
	buf_init(&b, 4096);
	size_t mark = wire_begin(&b, WIRE_welcome);
	wire_int(&b, WF_version, WIRE_VERSION);
	wire_text(&b, WF_instance, "bench");
	wire_text(&b, WF_boot, "bench");
	wire_int(&b, WF_pid, getpid());
	wire_int(&b, WF_seq, 0);
	wire_text(&b, WF_isolation, "none");
	wire_text(&b, WF_cgroups, "none");
	send(l, &b, mark, NULL, 0);
	buf_init(&b, 4096);
	mark = wire_begin(&b, WIRE_pipe);
	wire_text(&b, WF_id, "bench.1");
	wire_text(&b, WF_sink, "kernel:bench");
	wire_text(&b, WF_prefix, "[bench] ");
	send(l, &b, mark, &l->read_fd, 1);
	fds_close(&l->read_fd);
}

/* The feeder has ended, as a keeper would see it. */
static void on_fed(void *data, int fd, int events)
{
	struct link *l = data;
	struct buf b;
	(void)fd;
	(void)events;
	loop_io_free(&l->fed);
	buf_init(&b, 256);
	size_t mark = wire_begin(&b, WIRE_finish);
	wire_text(&b, WF_id, "bench.1");
	send(l, &b, mark, NULL, 0);
}

static void on_message(void *data, struct wire_link *wire, const struct wire_view *msg, const int *fds, size_t nfds)
{
	struct link *l = data;
	(void)wire;
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	if (msg->type == WIRE_hello) {
		welcome(l);
	} else if (msg->type == WIRE_drained) {
		l->bytes = wire_get_int(msg, WF_bytes, -1);
		l->lost = wire_get_int(msg, WF_lost, -1);
		loop_stop(l->loop);
	}
}

static void on_gone(void *data, struct wire_link *wire, const struct err *why)
{
	struct link *l = data;
	(void)wire;
	fprintf(stderr, "feed: the logger left: %s\n", why ? why->text : "");
	loop_stop(l->loop);
}

static int feed_logger(long chunks, char *dir, char *logger)
{
	struct err err = { 0 };
	int pair[2], ends[2], fed[2];
	struct link l = { .loop = loop_new(&err) };
	char *const argv[] = { logger, "--dir",         dir,          "--file-bytes",  "104857600", "--files",
			       "10",   "--total-bytes", "2147483648", "--floor-bytes", "0",         NULL };
	if (!l.loop || sock_pair(pair, &err) < 0 || pipe2(ends, O_CLOEXEC) < 0 || pipe2(fed, O_CLOEXEC) < 0)
		return -1;
	pid_t child = start(argv, -1, pair[1]);
	close(pair[1]);
	pid_t feeder = start_feeder(chunks, ends[1]);
	close(ends[1]);
	close(fed[1]);
	l.read_fd = ends[0];
	if (!(l.fed = loop_io_new(l.loop, fed[0], LOOP_READ, on_fed, &l)) ||
	    !(l.wire = wire_link_new(l.loop, pair[0], 1 << 20, on_message, on_gone, &l)))
		return -1;
	loop_run(l.loop);
	loop_io_free(&l.fed);
	close(fed[0]);
	wire_link_free(&l.wire);
	int rc = l.bytes >= chunks * CHUNK && l.lost == 0 ? 0 : -1;
	if (rc < 0)
		fprintf(stderr, "feed: the logger wrote %lld of %lld bytes, lost %lld\n", (long long)l.bytes,
			(long long)chunks * CHUNK, (long long)l.lost);
	kill(child, SIGTERM);
	wait_for(child);
	wait_for(feeder);
	loop_free(&l.loop);
	return rc;
}

int main(int argc, char **argv)
{
	long megabytes = argc == 5 ? atol(argv[1]) : 0, chunks = megabytes * 1000000 / CHUNK;
	if (megabytes <= 0) {
		fprintf(stderr, "usage: feed MEGABYTES DIR copy|prefix|logger PROGRAM\n");
		return 2;
	}
	alarm(WAIT_S);
	int64_t began = bench_ns();
	int rc = !strcmp(argv[3], "logger") ? feed_logger(chunks, argv[2], argv[4]) : feed_relay(chunks, argv[2], argv[3], argv[4]);
	if (rc < 0) {
		fprintf(stderr, "feed: unable to relay through %s: %s\n", argv[4], strerror(errno));
		return 1;
	}
	printf("%.1f\n", (double)chunks * CHUNK * 1e3 / (double)(bench_ns() - began));
	return 0;
}
