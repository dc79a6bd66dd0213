#include "sys/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sys/apart.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum { EXIT_NOT_STARTED = 127, SIGNALS = 64, STANDARD_FDS = 3, SOURCES_MAX = STANDARD_FDS + SPAWN_FDS_MAX };

/* AddressSanitizer's marks on stack frames live in memory; a child that shares it with its parent and leaves by exec would
 * leave its marks behind. */
#define IN_CHILD __attribute__((no_sanitize("address", "undefined")))

/* The kernel's struct sigaction is at most this large; all zero is "default". */
struct kernel_sigaction {
	unsigned long words[8];
};

/* Raw, because libc's functions skip its own two signals and, for ids, order every thread of the *parent* about. */
IN_CHILD static void reset_dispositions(void)
{
	const struct kernel_sigaction by_default = { { 0 } };
	for (int signo = 1; signo <= SIGNALS; signo++)
		syscall(SYS_rt_sigaction, signo, &by_default, NULL, sizeof(uint64_t));
}

IN_CHILD static void unblock_signals(void)
{
	const uint64_t none = 0;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

IN_CHILD static int write_text(int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t n;
	do {
		n = write(fd, text, len);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)len ? 0 : -1;
}

IN_CHILD static int write_text_at(int dirfd, const char *path, const char *text)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int r = write_text(fd, text);
	int errnum = errno;
	close(fd);
	errno = errnum;
	return r;
}

/* --- the steps, in the order in which they are taken; each 0, or -1 with errno --- */

IN_CHILD static int join_boxes(const struct spawn_child *c)
{
	const struct spawn *s = c->spec;
	if (c->joins_into_fd && write_text_at(s->into_fd, "cgroup.procs", "0") < 0)
		return -1;
	for (size_t i = 0; i < s->njoin; i++)
		if (write_text(s->join_fds[i], "0") < 0)
			return -1;
	return 0;
}

IN_CHILD static int mark_rest_cloexec(int from)
{
	if (syscall(SYS_close_range, (unsigned)from, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return 0;
	/* Before Linux 5.11. */
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	for (int fd = from; (rlim_t)fd < limit.rlim_cur; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

/* Every source is first copied above every target, so that no target overwrites a source that is still needed. */
IN_CHILD static int arrange_fds(const struct spawn_child *c)
{
	const struct spawn *s = c->spec;
	int from[SOURCES_MAX] = { s->stdin_fd, s->stdout_fd, s->stderr_fd }, to[SOURCES_MAX] = { 0, 1, 2 };
	size_t n = STANDARD_FDS;
	for (size_t i = 0; i < s->nfds; i++, n++) {
		from[n] = s->fds[i].from;
		to[n] = s->fds[i].to;
	}
	int null_fd = -1;
	for (size_t i = 0; i < n; i++) {
		if (from[i] < 0 && null_fd < 0) {
			null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
			if (null_fd < 0)
				return -1;
		}
		from[i] = fcntl(from[i] < 0 ? null_fd : from[i], F_DUPFD_CLOEXEC, c->first_free_fd);
		if (from[i] < 0)
			return -1;
	}
	for (size_t i = 0; i < n; i++)
		if (dup2(from[i], to[i]) < 0) /* the copy is not close-on-exec */
			return -1;
	/* Between the targets stands what the parent happened to have there. */
	for (int fd = STANDARD_FDS; fd < c->first_free_fd; fd++) {
		size_t i = STANDARD_FDS;
		while (i < n && to[i] != fd)
			i++;
		if (i == n)
			close(fd);
	}
	return mark_rest_cloexec(c->first_free_fd);
}

IN_CHILD static const char *print_int(int value, char *end)
{
	unsigned n = value < 0 ? 0U - (unsigned)value : (unsigned)value;
	*--end = '\0';
	do {
		*--end = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	if (value < 0)
		*--end = '-';
	return end;
}

IN_CHILD static int set_oom_score(const struct spawn_child *c)
{
	char digits[16];
	if (c->spec->oom_score_adj == 0)
		return 0;
	const char *text = print_int(c->spec->oom_score_adj, digits + sizeof(digits));
	if (write_text_at(AT_FDCWD, "/proc/self/oom_score_adj", text) == 0)
		return 0;
	/* Going down takes CAP_SYS_RESOURCE, which root in a container lacks: a wish, not a condition. */
	return errno == EACCES || errno == EPERM ? 0 : -1;
}

IN_CHILD static int set_rlimits(const struct spawn_child *c)
{
	for (size_t i = 0; i < c->spec->nrlimits; i++) {
		const struct spawn_rlimit *r = &c->spec->rlimits[i];
		if (syscall(SYS_prlimit64, 0, r->resource, &r->value, NULL) < 0)
			return -1;
	}
	return set_oom_score(c);
}

/*
 * Only the effective uid changes here, which is what decides about files. Real and saved uid follow right before exec:
 * until then processes of that user may not signal this one. A SIGSTOP by one of them would otherwise stop the parent
 * too, which waits until exec.
 */
IN_CHILD static int take_ids(const struct spawn_child *c)
{
	const struct spawn *s = c->spec;
	if (!s->set_ids)
		return 0;
	if (syscall(SYS_setgroups, s->ngroups, s->groups) < 0 || syscall(SYS_setresgid, s->gid, s->gid, s->gid) < 0)
		return -1;
	return (int)syscall(SYS_setresuid, -1, s->uid, -1);
}

IN_CHILD static int change_directory(const struct spawn_child *c)
{
	return chdir(c->spec->cwd != NULL ? c->spec->cwd : "/");
}

IN_CHILD static int give_up_privs(const struct spawn_child *c)
{
	umask(c->spec->umask < 0 ? 022 : (mode_t)c->spec->umask);
	if (!c->spec->no_new_privs)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (c->spec->is_apart)
		apart_enter();
	return 0;
}

/* All else is done before, so that nothing but exec follows: from here on that user's SIGSTOP would stop the parent too. */
IN_CHILD static int finish_ids(const struct spawn_child *c)
{
	const struct spawn *s = c->spec;
	unblock_signals();
	return s->set_ids ? (int)syscall(SYS_setresuid, s->uid, s->uid, s->uid) : 0;
}

IN_CHILD static int become(const struct spawn_child *c)
{
	static char *const nothing[] = { NULL };
	execve(c->spec->path, c->spec->argv, c->spec->envp != NULL ? c->spec->envp : nothing);
	return -1;
}

static const struct {
	int (*take)(const struct spawn_child *c);
	enum spawn_step step;
} steps[] = {
	{ join_boxes, SPAWN_JOIN },      { arrange_fds, SPAWN_FDS },     { set_rlimits, SPAWN_RLIMIT }, { take_ids, SPAWN_IDS },
	{ change_directory, SPAWN_CWD }, { give_up_privs, SPAWN_PRIVS }, { finish_ids, SPAWN_IDS },     { become, SPAWN_EXEC },
};

IN_CHILD _Noreturn void spawn_child_run(void *spawn_child)
{
	const struct spawn_child *c = spawn_child;
	setsid(); /* cannot fail: a newborn leads no group */
	reset_dispositions();
	size_t i = 0;
	while (steps[i].take(c) == 0)
		i++;
	struct spawn_failure failure = { .step = (int)steps[i].step, .errnum = errno };
	c->failure->step = failure.step;
	c->failure->errnum = failure.errnum;
	if (c->status_fd >= 0) {
		ssize_t n = write(c->status_fd, &failure, sizeof(failure));
		(void)n; /* nobody left to tell */
	}
	_exit(EXIT_NOT_STARTED);
}
