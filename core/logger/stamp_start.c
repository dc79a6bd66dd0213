#include "logger/stamp_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/apart.h"

#define PIPE_BYTES  (1 << 20)
#define NOT_STARTED 127
#define LOOK_BYTES  4096 /* of a script's beginning */
#define SHOWN_MAX   400
#define WHY_MAX     560 /* the keeper keeps as much */

static int start_fd = -1;

void stamp_start_init(void)
{
	const char *text = getenv("DSS_START_FD");
	start_fd = text ? atoi(text) : -1;
	if (start_fd <= STDERR_FILENO || fcntl(start_fd, F_SETFD, FD_CLOEXEC) < 0)
		start_fd = -1;
	unsetenv("DSS_START_FD");
}

void stamp_start_told(void)
{
	if (start_fd >= 0)
		close(start_fd);
	start_fd = -1;
}

void stamp_start_failed(int errnum, const char *why)
{
	char message[sizeof(errnum) + WHY_MAX];
	size_t n = strnlen(why, WHY_MAX);
	memcpy(message, &errnum, sizeof(errnum));
	memcpy(message + sizeof(errnum), why, n);
	/* less than a pipe takes at once; a keeper that does not listen loses only the words */
	if (start_fd >= 0 && write(start_fd, message, sizeof(errnum) + n) < 0)
		errno = 0;
	stamp_start_told();
}

/* --- why it cannot be run --- */

/* The first bytes of a file; -1 where it cannot be read. Terminated. */
static ssize_t read_head(const char *path, char head[LOOK_BYTES + 1])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd >= 0 ? read(fd, head, LOOK_BYTES) : -1;
	if (fd >= 0)
		close(fd);
	head[n > 0 ? n : 0] = '\0';
	return n;
}

/* exec says ENOENT of a script whose interpreter is missing: people look for the script then. */
static void explain(const char *program, int errnum, char *why, size_t room)
{
	char head[LOOK_BYTES + 1];
	struct stat st;
	const char *reason = strerror(errnum), *path = getenv("PATH");
	if (errnum == ENOENT && !strchr(program, '/')) {
		snprintf(why, room, "unable to run %.*s: it is not installed (searched %.200s)", SHOWN_MAX, program,
			 path ? path : "/bin:/usr/bin");
	} else if (errnum == ENOENT && read_head(program, head) > 2 && head[0] == '#' && head[1] == '!') {
		char *at = head + 2 + strspn(head + 2, " \t");
		size_t n = strcspn(at, " \t\n");
		bool is_windows = n > 0 && at[n - 1] == '\r';
		at[is_windows ? n - 1 : n] = '\0';
		snprintf(why, room, "unable to run %.200s: %s", program,
			 is_windows ? "its lines end as on Windows (CRLF): its first line names a program that ends with \\r; save "
				      "it with Unix line ends"
				    : "the program that its first line names does not exist: ");
		if (!is_windows)
			snprintf(why + strlen(why), room - strlen(why), "%.200s", at);
	} else if (errnum == EACCES && stat(program, &st) == 0 && S_ISREG(st.st_mode)) {
		snprintf(why, room, "unable to run %.*s: %s: it is not executable for user id %u", SHOWN_MAX, program, reason,
			 (unsigned)geteuid());
	} else {
		snprintf(why, room, "unable to run %.*s: %s", SHOWN_MAX, program, reason);
	}
}

int stamp_start_script(const char *path, char *why, size_t room)
{
	struct stat st;
	int errnum = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		errnum = errno;
	else if (!S_ISREG(st.st_mode))
		errnum = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	if (fd >= 0)
		close(fd);
	if (!errnum)
		return 0;
	snprintf(why, room, "unable to read the script %.*s: %s", SHOWN_MAX, path, strerror(errnum));
	errno = errnum;
	return -1;
}

void stamp_start_hint(const char *program, const char *script, char *out, size_t room)
{
	char head[LOOK_BYTES + 1];
	size_t n = strlen(program);
	out[0] = '\0';
	if (n < 2 || strcmp(program + n - 2, "sh") != 0 || read_head(script, head) <= 0 || !strstr(head, "\r\n"))
		return;
	snprintf(out, room,
		 "%.*s has Windows line ends (CRLF): a shell takes each \\r as part of a word; save it with Unix line ends",
		 SHOWN_MAX, script);
}

/* --- birth --- */

static int open_pipe(int pair[2])
{
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	fcntl(pair[0], F_SETPIPE_SZ, PIPE_BYTES); /* less is fine */
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	return 0;
}

/* A kernel that cannot: everything of one user reaches each other, as ever. */
void stamp_start_enclose(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* asked for by the kernel; the keeper has done it */
	apart_enter();
}

static void run(char **argv, const int to_out[2], const int to_err[2], int failure, const sigset_t *mask)
{
	dup2(to_out[1], STDOUT_FILENO);
	dup2(to_err[1], STDERR_FILENO);
	stamp_start_enclose();
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	int error = errno;
	if (write(failure, &error, sizeof(error)) < 0)
		_exit(NOT_STARTED);
	_exit(NOT_STARTED);
}

static pid_t no_process(char *why, size_t room, const char *program)
{
	int errnum = errno;
	snprintf(why, room, "unable to make a process for %.*s: %s", SHOWN_MAX, program, strerror(errnum));
	errno = errnum;
	return -1;
}

pid_t stamp_start(char **argv, int from[2], const sigset_t *mask, char *why, size_t room)
{
	int to_out[2], to_err[2], failure[2], errnum = 0;
	if (open_pipe(to_out) < 0 || open_pipe(to_err) < 0 || pipe2(failure, O_CLOEXEC) < 0)
		return no_process(why, room, argv[0]);
	pid_t pid = fork();
	if (pid < 0)
		return no_process(why, room, argv[0]);
	if (pid == 0)
		run(argv, to_out, to_err, failure[1], mask);
	close(to_out[1]);
	close(to_err[1]);
	close(failure[1]);
	ssize_t n;
	while ((n = read(failure[0], &errnum, sizeof(errnum))) < 0 && errno == EINTR)
		;
	close(failure[0]);
	from[0] = to_out[0];
	from[1] = to_err[0];
	if (n != (ssize_t)sizeof(errnum))
		return pid;
	explain(argv[0], errnum, why, room);
	errno = errnum;
	return -1;
}
