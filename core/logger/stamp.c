#include "logger/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIPE_BYTES  (1 << 20)
#define READ_BYTES  (64 * 1024)
#define LINE_BYTES  (16 * 1024)
#define PREFIX_MAX  256
#define OUT_BYTES   (256 * 1024)
#define NAME_MAX_   128
#define NOT_STARTED 127

struct stream {
	const char *word; /* "out", "err" */
	int fd;
	char line[LINE_BYTES]; /* what has no end yet */
	size_t len;
};

static volatile sig_atomic_t child_pid;
static char out[OUT_BYTES];
static size_t out_len;
static const char *name = "recipe";

static void flush_out(void)
{
	for (size_t at = 0; at < out_len;) {
		ssize_t n = write(STDOUT_FILENO, out + at, out_len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) /* nobody reads our log any more: the program goes on */
			break;
		at += (size_t)n;
	}
	out_len = 0;
}

static size_t make_prefix(char prefix[PREFIX_MAX], const char *thread, const char *level)
{
	static time_t second = -1;
	static char shown[32];
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != second && localtime_r(&now.tv_sec, &tm)) {
		strftime(shown, sizeof(shown), "%Y/%m/%d-%H:%M:%S", &tm);
		second = now.tv_sec;
	}
	int n = snprintf(prefix, PREFIX_MAX, "[%s.%03d] [null-%s-%d] [%s] [act.%.*s]  - ", shown, (int)(now.tv_nsec / 1000000),
			 thread, (int)child_pid, level, NAME_MAX_, name);
	return n < PREFIX_MAX ? (size_t)n : PREFIX_MAX - 1;
}

static void put_line(const char *prefix, size_t prefix_len, const char *text, size_t len)
{
	if (out_len + prefix_len + len + 1 > sizeof(out))
		flush_out();
	memcpy(out + out_len, prefix, prefix_len);
	out_len += prefix_len;
	memcpy(out + out_len, text, len);
	for (char *p = out + out_len, *end = p + len; p < end; p++)
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			*p = '?';
	out_len += len;
	out[out_len++] = '\n';
}

static void say(const char *level, const char *text)
{
	char prefix[PREFIX_MAX];
	size_t n = make_prefix(prefix, "out", level);
	put_line(prefix, n, text, strlen(text));
	flush_out();
}

static void take(struct stream *s, const char *bytes, size_t n)
{
	char prefix[PREFIX_MAX];
	size_t prefix_len = make_prefix(prefix, s->word, "INFO");
	while (n > 0) {
		const char *end = memchr(bytes, '\n', n);
		size_t part = end ? (size_t)(end - bytes) : n, room = sizeof(s->line) - s->len;
		bool is_cut = part > room;
		if (is_cut)
			part = room;
		if (s->len == 0 && end && !is_cut) { /* whole: not copied twice */
			put_line(prefix, prefix_len, bytes, part && bytes[part - 1] == '\r' ? part - 1 : part);
		} else {
			memcpy(s->line + s->len, bytes, part);
			s->len += part;
			if (is_cut || end) {
				put_line(prefix, prefix_len, s->line, s->len);
				s->len = 0;
			}
		}
		if (end && !is_cut)
			part++;
		bytes += part;
		n -= part;
	}
}

/* false: it has come to its end. */
static bool read_some(struct stream *s)
{
	static char bytes[READ_BYTES];
	ssize_t n = read(s->fd, bytes, sizeof(bytes));
	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	take(s, bytes, (size_t)n);
	return true;
}

static void end_stream(struct stream *s)
{
	if (s->len > 0)
		take(s, "\n", 1);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* --- the program --- */

static void pass_on(int signo)
{
	int saved = errno;
	if (child_pid > 0)
		kill((pid_t)child_pid, signo);
	errno = saved;
}

static void on_child(int signo)
{
	(void)signo; /* ends the poll */
}

static int make_folder(const char *path)
{
	char part[4096];
	size_t n = strlen(path);
	if (n >= sizeof(part))
		return errno = ENAMETOOLONG, -1;
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -1;
	}
	return access(path, W_OK | X_OK);
}

static int open_pipe(int pair[2])
{
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	fcntl(pair[0], F_SETPIPE_SZ, PIPE_BYTES); /* less is fine */
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	return 0;
}

static void run(char **argv, const int to_out[2], const int to_err[2], int failure, const sigset_t *mask)
{
	dup2(to_out[1], STDOUT_FILENO);
	dup2(to_err[1], STDERR_FILENO);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	int error = errno;
	if (write(failure, &error, sizeof(error)) < 0)
		_exit(NOT_STARTED);
	_exit(NOT_STARTED);
}

/* 0, or -1 with errno. */
static int start(char **argv, struct stream streams[2], const sigset_t *mask)
{
	int to_out[2], to_err[2], failure[2], error = 0;
	if (open_pipe(to_out) < 0 || open_pipe(to_err) < 0 || pipe2(failure, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0)
		run(argv, to_out, to_err, failure[1], mask);
	child_pid = pid;
	close(to_out[1]);
	close(to_err[1]);
	close(failure[1]);
	ssize_t n;
	while ((n = read(failure[0], &error, sizeof(error))) < 0 && errno == EINTR)
		;
	close(failure[0]);
	streams[0].fd = to_out[0];
	streams[1].fd = to_err[0];
	if (n == (ssize_t)sizeof(error))
		return errno = error, -1;
	return 0;
}

/* Until the program has ended and all that it wrote was read. */
static int follow(struct stream streams[2], const sigset_t *unblocked)
{
	int status = 0;
	for (bool has_ended = false; !has_ended;) {
		struct pollfd fds[2];
		for (int i = 0; i < 2; i++)
			fds[i] = (struct pollfd){ .fd = streams[i].fd, .events = POLLIN };
		if (ppoll(fds, 2, NULL, unblocked) < 0 && errno != EINTR)
			break;
		has_ended = waitpid((pid_t)child_pid, &status, WNOHANG) == (pid_t)child_pid;
		for (int i = 0; i < 2; i++)
			if (streams[i].fd >= 0 && fds[i].revents && !read_some(&streams[i]))
				end_stream(&streams[i]);
		flush_out();
	}
	/* What is left in the pipes; who still holds them is not waited for. */
	for (int i = 0; i < 2; i++) {
		int64_t left = 4 * PIPE_BYTES;
		while (streams[i].fd >= 0 && left > 0) {
			struct pollfd p = { .fd = streams[i].fd, .events = POLLIN };
			if (poll(&p, 1, 0) <= 0)
				break;
			left -= READ_BYTES;
			if (!read_some(&streams[i]))
				break;
		}
		end_stream(&streams[i]);
	}
	flush_out();
	return status;
}

static int read_arguments(int argc, char **argv)
{
	char text[4400];
	int i = 1;
	for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
		if (strcmp(argv[i], "--name") == 0) {
			name = argv[i + 1];
		} else if (strcmp(argv[i], "--folder") != 0) {
			break;
		} else if (make_folder(argv[i + 1]) < 0) {
			snprintf(text, sizeof(text), "unable to make %s: %s", argv[i + 1], strerror(errno));
			say("ERROR", text);
			return -1;
		}
	}
	if (i + 1 >= argc || strcmp(argv[i], "--") != 0) {
		fputs("usage: dss-logger stamp [--name NAME] [--folder PATH]… -- PROGRAM [ARGUMENT]…\n", stderr);
		return -1;
	}
	return i + 1;
}

/* As it ended, so do we. */
static int end_as(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	int signo = WTERMSIG(status);
	sigset_t all;
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	signal(signo, SIG_DFL);
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	raise(signo);
	return 128 + signo;
}

int stamp_main(int argc, char **argv)
{
	static struct stream streams[2] = { { .word = "out", .fd = -1 }, { .word = "err", .fd = -1 } };
	struct sigaction pass = { .sa_handler = pass_on, .sa_flags = SA_RESTART }, child = { .sa_handler = on_child };
	sigset_t blocked, before;
	char text[600];
	int at = read_arguments(argc, argv);
	if (at < 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	sigaction(SIGCHLD, &child, NULL);
	if (start(argv + at, streams, &before) < 0) {
		snprintf(text, sizeof(text), "unable to start %.400s: %s", argv[at], strerror(errno));
		say("ERROR", text);
		return NOT_STARTED;
	}
	static const int passed[] = { SIGTERM, SIGINT, SIGHUP };
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		sigaction(passed[i], &pass, NULL);
	return end_as(follow(streams, &before));
}
