#include "bind/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fds.h"
#include "sys/home.h"
#include "sys/spawn.h"

#define SAID_MAX 600
#define END_MS   10 /* who was killed ends in that time, unless it hangs in a system call; then it is waited for without us */

struct helper {
	struct loop_io *end, *says;
	struct loop_timer *limit;
	pid_t pid;
	int pidfd, said_fd;
	bool is_late, is_ended; /* by its deadline; by who started it: nobody is told */
	char said[SAID_MAX];    /* the beginning; the rest is read, too, so that it never waits for us */
	size_t nsaid;
	helper_fn *fn;
	void *data;
};

/* Its status as waitid tells it. False: it has not ended. */
static bool reap(const struct helper *h, siginfo_t *info)
{
	info->si_pid = 0;
	while (waitid(P_PID, (id_t)h->pid, info, WEXITED | WNOHANG) < 0)
		if (errno != EINTR)
			return true; /* no child of ours any more */
	return info->si_pid != 0;
}

static void drop(struct helper *h)
{
	loop_io_free(&h->end);
	loop_io_free(&h->says);
	loop_timer_free(&h->limit);
	fds_close(&h->pidfd);
	fds_close(&h->said_fd);
	free(h);
}

/* False: there is no more for now, or for good. */
static bool read_said(struct helper *h)
{
	char piece[4096];
	ssize_t n = read(h->said_fd, piece, sizeof piece);
	if (n <= 0)
		return n < 0 && errno == EINTR;
	size_t room = sizeof h->said - 1 - h->nsaid, len = (size_t)n < room ? (size_t)n : room;
	memcpy(h->said + h->nsaid, piece, len);
	h->nsaid += len;
	return true;
}

static void on_says(void *data, int fd, int events)
{
	struct helper *h = data;
	(void)fd;
	(void)events;
	errno = 0;
	if (!read_said(h) && errno != EAGAIN)
		loop_io_free(&h->says); /* it was closed */
}

static void on_end(void *data, int fd, int events)
{
	struct helper *h = data;
	siginfo_t info = { .si_pid = 0 };
	char why[SAID_MAX + 64] = "";
	(void)fd;
	(void)events;
	if (!reap(h, &info))
		return;
	if (h->is_ended) {
		drop(h);
		return;
	}
	/* what a pipe holds at most, though somebody it left behind may write on */
	for (int i = 0; i < 32 && h->nsaid < sizeof h->said - 1 && read_said(h); i++)
		;
	h->said[strcspn(h->said, "\n")] = '\0';
	if (h->is_late)
		snprintf(why, sizeof why, "it took too long");
	else if (info.si_code != CLD_EXITED)
		snprintf(why, sizeof why, "its process was killed by signal %d", info.si_status);
	else if (info.si_status != 0)
		snprintf(why, sizeof why, "%s", h->said[0] ? h->said : "its process failed without a word");
	helper_fn *fn = h->fn;
	void *to = h->data;
	drop(h);
	fn(to, why[0] ? why : NULL);
}

static void on_limit(void *data)
{
	struct helper *h = data;
	h->is_late = true;
	kill(h->pid, SIGKILL);
}

struct helper *helper_start(struct loop *loop, char *const *argv, int64_t time_ms, helper_fn *fn, void *data, struct err *err)
{
	char program[PATH_MAX], share[PATH_MAX + 16] = "DSS_SHARE=";
	int said[2] = { -1, -1 };
	struct spawned spawned;
	struct spawn_failure failure;
	char *envp[] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", (char *)"LANG=C.UTF-8", share, NULL };
	struct helper *h = calloc(1, sizeof *h);
	if (!h)
		return err_set(err, "not enough memory"), NULL;
	h->pidfd = h->said_fd = -1;
	h->fn = fn;
	h->data = data;
	h->limit = loop_timer_new(loop, on_limit, h);
	home_share(share + strlen(share), PATH_MAX);
	if (!h->limit || home_program(argv[0], program, sizeof program) < 0 || fds_pipe(said, err) < 0) {
		if (!err->text[0])
			err_set(err, "unable to find %s", argv[0]);
		drop(h);
		return NULL;
	}
	h->said_fd = said[0];
	fcntl(h->said_fd, F_SETFL, O_NONBLOCK);
	struct spawn s = { .path = program,
			   .argv = argv,
			   .envp = envp,
			   .stdin_fd = -1,
			   .stdout_fd = -1,
			   .stderr_fd = said[1],
			   .into_fd = -1,
			   .umask = 077,
			   .no_new_privs = true };
	int rc = spawn_start(&s, &spawned, &failure, err);
	fds_close(&said[1]);
	if (rc < 0) {
		drop(h);
		return NULL;
	}
	fds_close(&spawned.status_fd); /* one that is not executed ends with a status of its own */
	h->pid = spawned.pid;
	h->pidfd = spawned.pidfd;
	h->end = loop_io_new(loop, h->pidfd, LOOP_READ, on_end, h);
	h->says = loop_io_new(loop, h->said_fd, LOOP_READ, on_says, h);
	if (!h->end || !h->says) {
		err_set(err, "not enough memory");
		helper_end(&h);
		return NULL;
	}
	loop_timer_start(h->limit, time_ms);
	return h;
}

void helper_end(struct helper **hp)
{
	struct helper *h = *hp;
	siginfo_t info;
	*hp = NULL;
	if (!h)
		return;
	kill(h->pid, SIGKILL);
	struct pollfd ended = { .fd = h->pidfd, .events = POLLIN };
	poll(&ended, 1, END_MS);
	if (reap(h, &info) || !h->end) {
		drop(h);
		return;
	}
	h->is_ended = true;
	loop_timer_stop(h->limit);
}
