#include "ctl/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys/fds.h"
#include "sys/spawn.h"

#define BLOCK 512
#define GZIP  "/usr/bin/gzip"

struct tar {
	char *path;
	int out, pipe;
	struct spawned gzip;
	bool has_failed;
};

static void discard(struct tar *t)
{
	unlink(t->path);
	fds_close(&t->out);
	fds_close(&t->pipe);
	free(t->path);
	free(t);
}

struct tar *tar_open(const char *path, struct err *err)
{
	int ends[2] = { -1, -1 };
	struct spawn_failure failure;
	char *argv[] = { (char *)"gzip", (char *)"-c", NULL }, *envp[] = { (char *)"LANG=C.UTF-8", NULL };
	struct tar *t = calloc(1, sizeof(*t));
	if (t == NULL || (t->path = strdup(path)) == NULL) {
		free(t);
		return err_set(err, "not enough memory"), NULL;
	}
	t->pipe = -1;
	t->out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (t->out < 0) {
		err_sys(err, errno, "unable to make %s", path);
		free(t->path);
		free(t);
		return NULL;
	}
	signal(SIGPIPE, SIG_IGN);
	if (fds_pipe(ends, err) == 0) {
		struct spawn s = { .path = GZIP,
				   .argv = argv,
				   .envp = envp,
				   .stdin_fd = ends[0],
				   .stdout_fd = t->out,
				   .stderr_fd = STDERR_FILENO,
				   .into_fd = -1,
				   .umask = -1,
				   .no_new_privs = true };
		int rc = spawn_start(&s, &t->gzip, &failure, err);
		fds_close(&ends[0]);
		t->pipe = ends[1];
		if (rc == 0)
			return t;
	}
	discard(t);
	return NULL;
}

static int put(struct tar *t, const char *bytes, size_t len, struct err *err)
{
	if (fds_write_all(t->pipe, bytes, len) == 0)
		return 0;
	t->has_failed = true;
	return err_sys(err, errno, "unable to write %s", t->path), -1;
}

/* Numbers are octal texts; the sum is of all bytes, with blanks in its own place. */
static void make_head(char head[BLOCK], const char *name, size_t len)
{
	static const char magic[] = { 'u', 's', 't', 'a', 'r', '\0', '0', '0' };
	unsigned sum = 0;
	memset(head, 0, BLOCK);
	snprintf(head, 100, "%s", name);
	snprintf(head + 100, 8, "%07o", 0600);
	snprintf(head + 108, 8, "%07o", 0);
	snprintf(head + 116, 8, "%07o", 0);
	snprintf(head + 124, 12, "%011llo", (unsigned long long)len);
	snprintf(head + 136, 12, "%011llo", (unsigned long long)time(NULL));
	memset(head + 148, ' ', 8);
	head[156] = '0';
	memcpy(head + 257, magic, sizeof(magic));
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)head[i];
	snprintf(head + 148, 8, "%06o", sum);
	head[155] = ' ';
}

int tar_add(struct tar *t, const char *name, const char *text, size_t len, struct err *err)
{
	char head[BLOCK], rest[BLOCK] = { 0 };
	if (strlen(name) > 99)
		return err_set(err, "%s is too long a name", name);
	make_head(head, name, len);
	if (put(t, head, BLOCK, err) < 0 || put(t, text, len, err) < 0)
		return -1;
	return len % BLOCK ? put(t, rest, BLOCK - len % BLOCK, err) : 0;
}

int tar_close(struct tar **tp, struct err *err)
{
	static const char end[2 * BLOCK];
	struct tar *t = *tp;
	siginfo_t info = { .si_pid = 0 };
	*tp = NULL;
	if (t == NULL)
		return 0;
	if (!t->has_failed)
		put(t, end, sizeof(end), err);
	fds_close(&t->pipe);
	while (waitid(P_PID, (id_t)t->gzip.pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	fds_close(&t->gzip.pidfd);
	fds_close(&t->gzip.status_fd);
	if (!t->has_failed && (info.si_code != CLD_EXITED || info.si_status != 0)) {
		err_set(err, "unable to write %s: gzip failed", t->path);
		t->has_failed = true;
	}
	if (!t->has_failed && fsync(t->out) < 0) {
		err_sys(err, errno, "unable to write %s", t->path);
		t->has_failed = true;
	}
	if (t->has_failed) {
		discard(t);
		return -1;
	}
	fds_close(&t->out);
	free(t->path);
	free(t);
	return 0;
}
