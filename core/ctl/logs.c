/* logs: a service's log, read where it lies (also while nothing runs), or a task's by the API. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/bell.h"
#include "ctl/opt.h"
#include "ctl/rest.h"
#include "sys/fds.h"

enum { LINES = 40, LINES_MOST = 1000000, PIECE = 64 * 1024, LOOK_MS = 200, PATH_ROOM = 400, WAIT_S = 20, ASK_MS = 10000 };

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

static int put(const char *bytes, size_t n)
{
	if (fwrite(bytes, 1, n, stdout) == n && fflush(stdout) == 0)
		return CTL_DONE;
	return errno == EPIPE ? CTL_DONE : ctl_fail(CTL_FAILED, "unable to write the log: %s", strerror(errno));
}

/* --- a file --- */

/* Where its last `lines` lines begin. */
static off_t tail_of(int fd, off_t size, int64_t lines)
{
	static char piece[PIECE];
	off_t at = size;
	bool is_end = true; /* the newline at the very end ends a line, it begins none */
	while (at > 0) {
		size_t n = at > PIECE ? PIECE : (size_t)at;
		if (pread(fd, piece, n, at - (off_t)n) != (ssize_t)n)
			return at;
		for (size_t i = n; i > 0; i--) {
			if (piece[i - 1] == '\n' && !is_end && lines-- <= 1)
				return at - (off_t)n + (off_t)i;
			is_end = false;
		}
		at -= (off_t)n;
	}
	return 0;
}

static int copy_from(int fd, off_t *at)
{
	static char piece[PIECE];
	ssize_t n;
	while ((n = pread(fd, piece, sizeof(piece), *at)) > 0) {
		int code = put(piece, (size_t)n);
		if (code != CTL_DONE || ferror(stdout))
			return code;
		*at += n;
	}
	return n < 0 ? ctl_fail(CTL_FAILED, "unable to read the log: %s", strerror(errno)) : CTL_DONE;
}

/* Goes on in the new file after a rotation. */
static int follow_file(const char *path, int *fd, off_t at)
{
	struct stat here, named;
	int code;
	while ((code = copy_from(*fd, &at)) == CTL_DONE && !stop && !ferror(stdout)) {
		poll(NULL, 0, LOOK_MS);
		if (fstat(*fd, &here) < 0 || stat(path, &named) < 0)
			continue;
		if (here.st_ino == named.st_ino && here.st_dev == named.st_dev) {
			at = here.st_size < at ? 0 : at;
			continue;
		}
		copy_from(*fd, &at); /* what came before it was renamed */
		fds_close(fd);
		*fd = open(path, O_RDONLY | O_CLOEXEC);
		at = 0;
		if (*fd < 0)
			return ctl_fail(CTL_FAILED, "unable to read %s: %s", path, strerror(errno));
	}
	return code;
}

static int show_file(const char *path, int fd, int64_t lines, bool is_following)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return ctl_fail(CTL_FAILED, "unable to read %s: not a plain file", path);
	off_t at = tail_of(fd, st.st_size, lines);
	int code = is_following ? follow_file(path, &fd, at) : copy_from(fd, &at);
	fds_close(&fd);
	return code;
}

/* --- a task's --- */

/* The last lines of a piece; `is_cut`: its first line may have begun before it. */
static const char *last_lines(const struct buf *b, int64_t lines, bool is_cut)
{
	const char *p = b->data + b->len;
	if (p > b->data && p[-1] == '\n')
		p--;
	for (; p > b->data; p--)
		if (p[-1] == '\n' && lines-- <= 1)
			return p;
	const char *nl = is_cut ? memchr(b->data, '\n', b->len) : NULL;
	return nl != NULL ? nl + 1 : b->data;
}

static int show_task(struct ctl *ctl, const char *key_file, const char *id, int64_t lines, bool is_following)
{
	char escaped[PATH_ROOM - 100], path[PATH_ROOM];
	struct rest *rest = NULL;
	int64_t offset = -PIECE;
	bool is_whole = false, is_first = true;
	int code = rest_open(&rest, ctl, key_file);
	if (code != CTL_DONE)
		return code;
	rest_stop_on(rest, &stop);
	rest_escape(id, escaped, sizeof(escaped));
	/* Without --follow: one look at the end, and on to what that look did not reach. */
	while (code == CTL_DONE && !stop && !is_whole && !ferror(stdout)) {
		struct rest_answer a = { 0 };
		snprintf(path, sizeof(path), "/api/tasks/%s/log?offset=%lld&wait=%d", escaped, (long long)offset,
			 is_following && !is_first ? WAIT_S : 0);
		code = rest_ask(rest, "GET", path, NULL, &a);
		if (code == CTL_DONE) {
			int64_t start = (int64_t)rest_field(&a, "Log-Offset", 0);
			const char *from = a.body.len > 0 ? a.body.data : "";
			if (is_first && a.body.len > 0)
				from = last_lines(&a.body, lines, start > 0);
			code = put(from, a.body.len - (size_t)(a.body.len > 0 ? from - a.body.data : 0));
			offset = start + (int64_t)a.body.len;
			is_whole = strcasestr(a.head.data != NULL ? a.head.data : "", "\nLog-Whole: true") != NULL ||
				   (!is_following && offset >= (int64_t)rest_field(&a, "Log-Size", 0));
		}
		is_first = false;
		rest_answer_fini(&a);
	}
	rest_close(&rest);
	return stop ? CTL_DONE : code;
}

/* --- which --- */

static void find_service(void *data, const struct bell_row *row)
{
	const char **name = data;
	if (*name != NULL && strcmp(row->kind, "service") == 0 && strcmp(row->name, *name) == 0)
		*name = NULL;
}

/* It has no log, but it is there, or it is one of ours. */
static bool is_silent_service(struct ctl *ctl, const char *name)
{
	struct bell *bell = NULL;
	struct err err = { 0 };
	if (strcmp(name, "keeper") == 0 || strcmp(name, "logger") == 0 || strcmp(name, "backend") == 0)
		return true;
	if (bell_open(&bell, ctl->dir, &err) < 0)
		return false;
	bell_ask(bell, "status", "", false, ASK_MS, find_service, NULL, &name, &err);
	bell_close(&bell);
	return name == NULL;
}

static int open_service(struct ctl *ctl, const char *name, char *path, size_t room, int *fd)
{
	char file[200];
	struct err err = { 0 };
	/* The name that people have looked for for as long as there was a jupyter. */
	snprintf(file, sizeof(file), "run/%s.log", strcmp(name, "jupyter") == 0 ? "ipython" : name);
	if (ctl_path(ctl, file, path, room, &err) < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*fd >= 0)
		return CTL_DONE;
	return errno == ENOENT   ? CTL_NOT_FOUND
	       : errno == EACCES ? ctl_fail(CTL_NOT_ALLOWED, "unable to read %s: %s", path, strerror(errno))
				 : ctl_fail(CTL_FAILED, "unable to read %s: %s", path, strerror(errno));
}

int logs_command(struct ctl *ctl, int argc, char **argv)
{
	const char *key_file = NULL;
	int64_t lines = LINES;
	bool is_following = false;
	int fd = -1;
	char path[PATH_MAX];
	struct sigaction act = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
	const struct opt opts[] = {
		{ "follow", NULL, "go on with what comes, until Ctrl-C or the task's end", OPT_FLAG, &is_following, 0, 0, NULL },
		{ "n", "LINES", "how many of the last lines (40)", OPT_INT, &lines, 1, LINES_MOST, NULL },
		OPT_KEY_FILE(&key_file),
		{ 0 },
	};
	struct opt_words words = {
		.usage = "[NAME|TASK] [--follow] [-n LINES]",
		.about = "The last lines of a log: of a service (run/NAME.log; backend where none is named), which works\n"
			 "while nothing runs, or of a task that has a log of its own.",
		.most = 1
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = ctl_find(ctl)) != CTL_DONE)
		return code;
	const char *name = words.count > 0 ? words.words[0] : "backend";
	if (!text_is_id(name, strlen(name)))
		return ctl_misuse(ctl->verb, NULL, NULL, "that is neither a service's name nor a task's id");
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	code = open_service(ctl, name, path, sizeof(path), &fd);
	if (code == CTL_DONE)
		return show_file(path, fd, lines, is_following);
	if (code == CTL_NOT_FOUND && is_silent_service(ctl, name)) {
		ctl_note("%s has written nothing yet", name);
		return CTL_DONE;
	}
	return code == CTL_NOT_FOUND ? show_task(ctl, key_file, name, lines, is_following) : code;
}
