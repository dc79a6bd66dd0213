#include "ctl/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fds.h"

extern char **environ;

static int wait_for(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_run(char *const *argv, struct err *err)
{
	pid_t pid;
	int rc = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
	if (rc != 0)
		return err_sys(err, rc, "unable to start %s", argv[0]);
	int status = wait_for(pid);
	return status >= 0 ? status : err_sys(err, errno, "unable to wait for %s", argv[0]);
}

/* The user's own groups; one without a name has none but gid. */
static int become_user(uid_t uid, gid_t gid)
{
	const struct passwd *pw = getpwuid(uid);
	int rc = pw != NULL ? initgroups(pw->pw_name, gid) : setgroups(1, &gid);
	return rc < 0 || setgid(gid) < 0 || setuid(uid) < 0 ? -1 : 0;
}

int child_run_as(char *const *argv, uid_t uid, gid_t gid, struct err *err)
{
	if (geteuid() != 0 || uid == 0)
		return child_run(argv, err);
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(err, errno, "unable to make a process for %s", argv[0]);
	if (pid == 0) {
		if (become_user(uid, gid) == 0 && chdir("/") == 0)
			execv(argv[0], argv);
		fprintf(stderr, "unable to run %s as uid %u: %s\n", argv[0], (unsigned)uid, strerror(errno));
		_exit(126);
	}
	int status = wait_for(pid);
	return status >= 0 ? status : err_sys(err, errno, "unable to wait for %s", argv[0]);
}

/* What the daemon to be tells: first its pid, then, if exec fails, its errno. */
struct birth {
	pid_t pid;
	int errnum;
};

static void tell(int fd, int errnum)
{
	struct birth b = { getpid(), errnum };
	if (write(fd, &b, sizeof(b)) != sizeof(b))
		_exit(126);
}

/* In the daemon to be: only async-signal-safe calls. */
static _Noreturn void become(char *const *argv, int out_fd, int status_fd)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int errnum = 0;
	tell(status_fd, 0);
	umask(022);
	if (null_fd < 0 || chdir("/") < 0 || dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0)
		errnum = errno;
	if (errnum == 0) {
		execve(argv[0], argv, environ);
		errnum = errno;
	}
	tell(status_fd, errnum);
	_exit(127);
}

static _Noreturn void leave_and_become(char *const *argv, int out_fd, int status_fd)
{
	setsid();
	pid_t pid = fork();
	if (pid == 0)
		become(argv, out_fd, status_fd);
	if (pid < 0)
		tell(status_fd, errno);
	_exit(0);
}

/* Whether exec succeeded; *pid is who did it. Ends when the other end of fd is closed, by exec or by an exit. */
static int read_birth(int fd, pid_t *pid, const char *program, struct err *err)
{
	struct birth b = { 0 };
	ssize_t n;
	int errnum = 0;
	*pid = 0;
	while ((n = read(fd, &b, sizeof(b))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(b))
			return err_sys(err, n < 0 ? errno : EIO, "unable to start %s", program);
		*pid = b.pid;
		errnum = b.errnum;
	}
	if (errnum != 0 || *pid == 0)
		return err_sys(err, errnum != 0 ? errnum : EAGAIN, "unable to start %s", program);
	return 0;
}

int child_detach(char *const *argv, int *out_fd, pid_t *daemon_pid, struct err *err)
{
	int out[2] = { -1, -1 }, status[2] = { -1, -1 }, rc = -1;
	if (fds_pipe(out, err) < 0 || fds_pipe(status, err) < 0)
		goto out;
	pid_t pid = fork();
	if (pid < 0) {
		err_sys(err, errno, "unable to make a process for %s", argv[0]);
		goto out;
	}
	if (pid == 0)
		leave_and_become(argv, out[1], status[1]);
	fds_close(&status[1]);
	wait_for(pid);
	if (read_birth(status[0], daemon_pid, argv[0], err) < 0)
		goto out;
	if (fds_nonblock(out[0], true, err) < 0)
		goto out;
	*out_fd = out[0];
	out[0] = -1;
	rc = 0;
out:
	fds_close(&out[0]);
	fds_close(&out[1]);
	fds_close(&status[0]);
	fds_close(&status[1]);
	return rc;
}
