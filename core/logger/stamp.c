#include "logger/stamp.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "logger/stamp_start.h"
#include "sys/proc.h"

#define PIPE_BYTES  (1 << 20) /* of each of its pipes, where the system gives it */
#define READ_BYTES  (64 * 1024)
#define BLIND_MS    20
#define LINE_BYTES  (16 * 1024)
#define PREFIX_MAX  256
#define OUT_BYTES   (256 * 1024)
#define NAME_MAX_   128
#define NOT_STARTED 127
#define LEFT_SHOWN  8

struct stream {
	const char *word; /* "out", "err" */
	int fd;
	char line[LINE_BYTES]; /* what has no end yet */
	size_t len;
};

static volatile sig_atomic_t child_pid;
static volatile sig_atomic_t was_asked; /* to end: a signal was passed on to the program */
static char out[OUT_BYTES];
static size_t out_len;
static const char *name = "recipe", *script;

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

/* Control characters but the tabulator become "?". */
static void clean(char *p, size_t len)
{
	/* Eight at a time: a byte below 0x20 borrows from its highest bit, 0x7f becomes 0 by ^. Tabulators are looked at below, too. */
	const uint64_t ones = 0x0101010101010101, high = ones << 7;
	for (char *end = p + len; p < end; p += 8) {
		size_t n = (size_t)(end - p) < 8 ? (size_t)(end - p) : 8;
		uint64_t v, del;
		if (n == 8) {
			memcpy(&v, p, 8);
			del = v ^ (ones * 0x7f);
			if (((((v - ones * 0x20) & ~v) | ((del - ones) & ~del)) & high) == 0)
				continue;
		}
		for (size_t i = 0; i < n; i++)
			if (((unsigned char)p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
				p[i] = '?';
	}
}

static void put_line(const char *prefix, size_t prefix_len, const char *text, size_t len)
{
	if (out_len + prefix_len + len + 1 > sizeof(out))
		flush_out();
	memcpy(out + out_len, prefix, prefix_len);
	out_len += prefix_len;
	memcpy(out + out_len, text, len);
	clean(out + out_len, len);
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
				bool has_cr = end && !is_cut && s->len && s->line[s->len - 1] == '\r';
				put_line(prefix, prefix_len, s->line, s->len - has_cr);
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
	was_asked = 1;
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

/* --- what it leaves behind --- */

struct left {
	char text[600];
	int n;
};

static bool name_left(void *data, pid_t pid)
{
	struct left *l = data;
	struct proc_stat st;
	size_t at = strlen(l->text);
	if (proc_read(pid, &st) < 0 || st.ppid != getpid() || st.state == 'Z')
		return true;
	if (l->n++ < LEFT_SHOWN)
		snprintf(l->text + at, sizeof(l->text) - at, "%s%.32s (pid %d)", at ? ", " : "", st.comm, (int)pid);
	return true;
}

/* We are the subreaper: whoever has lost its parent is our child by now. The keeper ends them with our box. Who was asked to end left nobody: all of
 * the box were asked, and are ended with it. */
static void tell_left(void)
{
	struct left l = { .text = "" };
	char text[800];
	if (was_asked || waitpid(-1, NULL, WNOHANG) < 0 || proc_each(name_left, &l, NULL) < 0 || l.n == 0)
		return;
	snprintf(text, sizeof(text), "the program has ended and left %d process%s behind, which end%s with its box: %s%s", l.n,
		 l.n == 1 ? "" : "es", l.n == 1 ? "s" : "", l.text, l.n > LEFT_SHOWN ? ", …" : "");
	say("WARN", text);
}

/* The dead are buried, also those that the program lost. Whether the program is among them. */
static bool reap(int *status)
{
	int one;
	for (pid_t pid; (pid = waitpid(-1, &one, WNOHANG)) > 0;) {
		if (pid != (pid_t)child_pid)
			continue;
		*status = one;
		return true;
	}
	return false;
}

/* The kernel has no memory for a wait, or none for us: the program's end is still the one that is told. Both are read in vain, or not. */
static void pause_instead(struct pollfd fds[2], bool *was_told)
{
	const struct timespec pause = { .tv_nsec = BLIND_MS * 1000000L };
	char text[200];
	snprintf(text, sizeof(text), "unable to wait for the program's output: %s; it is looked at every %d ms", strerror(errno),
		 BLIND_MS);
	if (!*was_told)
		say("WARN", text);
	*was_told = true;
	nanosleep(&pause, NULL);
	fds[0].revents = fds[1].revents = POLLIN;
}

/* Until the program has ended and all that it wrote was read. */
static int follow(struct stream streams[2], const sigset_t *unblocked)
{
	int status = 0;
	bool was_told = false;
	for (bool has_ended = false; !has_ended;) {
		struct pollfd fds[2];
		for (int i = 0; i < 2; i++)
			fds[i] = (struct pollfd){ .fd = streams[i].fd, .events = POLLIN };
		if (ppoll(fds, 2, NULL, unblocked) < 0 && errno != EINTR)
			pause_instead(fds, &was_told);
		has_ended = reap(&status);
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
	tell_left();
	return status;
}

/* 0; or -1: it was said and told. */
static int cannot(const char *text)
{
	int errnum = errno;
	say("ERROR", text);
	stamp_start_failed(errnum, text);
	return -1;
}

/* The place of the program's first word, or -1. */
static int read_arguments(int argc, char **argv)
{
	char text[600];
	int i = 1;
	for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
		const char *value = argv[i + 1];
		if (strcmp(argv[i], "--name") == 0) {
			name = value;
		} else if (strcmp(argv[i], "--script") == 0) {
			script = value;
			if (stamp_start_script(value, text, sizeof(text)) < 0)
				return cannot(text);
		} else if (strcmp(argv[i], "--folder") != 0) {
			break;
		} else if (make_folder(value) < 0) {
			int errnum = errno;
			snprintf(text, sizeof(text), "unable to write to the folder %.400s: %s", value, strerror(errnum));
			errno = errnum;
			return cannot(text);
		}
	}
	if (i + 1 >= argc || strcmp(argv[i], "--") != 0) {
		fputs("usage: dss-logger stamp [--name NAME] [--script FILE] [--folder PATH]… -- PROGRAM [ARGUMENT]…\n", stderr);
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

static int begin(char **argv, struct stream streams[2], const sigset_t *mask)
{
	char text[800];
	int from[2];
	child_pid = stamp_start(argv, from, mask, text, sizeof(text));
	if (child_pid < 0) {
		child_pid = 0;
		return cannot(text);
	}
	stamp_start_told();
	streams[0].fd = from[0];
	streams[1].fd = from[1];
	if (script)
		stamp_start_hint(argv[0], script, text, sizeof(text));
	if (script && text[0])
		say("WARN", text);
	return 0;
}

int stamp_main(int argc, char **argv)
{
	static struct stream streams[2] = { { .word = "out", .fd = -1 }, { .word = "err", .fd = -1 } };
	struct sigaction pass = { .sa_handler = pass_on, .sa_flags = SA_RESTART }, child = { .sa_handler = on_child };
	sigset_t blocked, before;
	stamp_start_init();
	/* The folder of webapps' sockets gives them the backend's group: it, and nobody else, may connect. */
	if (getenv("DSS_WEBAPP_SOCKET"))
		umask(0007);
	int at = read_arguments(argc, argv);
	if (at < 0)
		return 2;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	sigaction(SIGCHLD, &child, NULL);
	if (begin(argv + at, streams, &before) < 0)
		return NOT_STARTED;
	static const int passed[] = { SIGTERM, SIGINT, SIGHUP };
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		sigaction(passed[i], &pass, NULL);
	return end_as(follow(streams, &before));
}
