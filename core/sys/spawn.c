#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sys/fds.h"
#include "sys/proc.h"
#include "sys/spawn_child.h"

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

enum { NO_STEP = -1, CHILD_STACK_BYTES = 32 * 1024 };

/* Where a birth ended. */
struct birth {
	pid_t pid;
	int pidfd;
	int status_fd;
};

/* --- signals stand still around a birth: a handler of ours must never run in the child --- */

static void block_signals(uint64_t *before)
{
	/* Raw, because libc's function leaves its own two signals open. */
	const uint64_t all = ~0ULL;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, before, sizeof(all));
}

static void restore_signals(const uint64_t *before)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, before, NULL, sizeof(*before));
}

/* --- born by clone3 --- */

/*
 * clone3 whose child runs fn(arg) on a stack of its own and never returns: the parent's frames stay as they were.
 * The pid, or -errno.
 */
static long clone3_run(struct clone_args *args, void (*fn)(void *), void *arg)
{
#if defined(__x86_64__)
	long result;
	register void (*child_fn)(void *) __asm__("r12") = fn;
	register void *child_arg __asm__("r13") = arg;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(result)
			 : "0"((long)SYS_clone3), "D"(args), "S"(sizeof(*args)), "r"(child_fn), "r"(child_arg)
			 : "rcx", "r11", "memory", "cc");
	return result;
#elif defined(__aarch64__)
	register long number __asm__("x8") = SYS_clone3;
	register long result __asm__("x0") = (long)args;
	register long size __asm__("x1") = (long)sizeof(*args);
	register void (*child_fn)(void *) __asm__("x19") = fn;
	register void *child_arg __asm__("x20") = arg;
	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x0, x20\n\t"
			 "blr x19\n\t"
			 "brk #1\n"
			 "1:"
			 : "+r"(result)
			 : "r"(number), "r"(size), "r"(child_fn), "r"(child_arg)
			 : "memory", "cc");
	return result;
#else
	(void)args, (void)fn, (void)arg;
	return -ENOSYS;
#endif
}

static struct clone_args clone_args_for(const struct spawn *s, uint64_t flags, int *pidfd)
{
	struct clone_args args = { .flags = flags | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)pidfd, .exit_signal = SIGCHLD };
	if (s->into_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)s->into_fd;
	}
	return args;
}

/*
 * The parent stands until exec or death, so the outcome is known on return. 0 or an errno.
 * noinline: the child's stack lives in this frame.
 */
__attribute__((noinline)) static int be_born_vfork(struct spawn_child *child, struct birth *out)
{
	char stack[CHILD_STACK_BYTES] __attribute__((aligned(16)));
	struct clone_args args = clone_args_for(child->spec, CLONE_VM | CLONE_VFORK, &out->pidfd);
	args.stack = (uint64_t)(uintptr_t)stack;
	args.stack_size = sizeof(stack);
	/* A change of uid makes shared memory undumpable, which also keeps that user's debuggers out while it is shared. */
	int dumpable = child->spec->set_ids ? prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) : 0;
	long pid = clone3_run(&args, spawn_child_run, child);
	if (dumpable == 1)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (pid < 0)
		return (int)-pid;
	out->pid = (pid_t)pid;
	return 0;
}

/* A true copy of the parent. Without clone3: fork, the child joins into_fd itself. 0 or an errno. */
static int be_born_fork(struct spawn_child *child, bool with_clone3, struct birth *out)
{
	struct clone_args args = clone_args_for(child->spec, 0, &out->pidfd);
	child->joins_into_fd = !with_clone3 && child->spec->into_fd >= 0;
	long pid = with_clone3 ? syscall(SYS_clone3, &args, sizeof(args)) : fork();
	if (pid == 0)
		spawn_child_run(child);
	if (pid < 0)
		return errno;
	out->pid = (pid_t)pid;
	if (out->pidfd < 0)
		out->pidfd = proc_pidfd(out->pid, NULL);
	return 0;
}

static bool is_clone3_missing(int errnum)
{
	/* ENOSYS: before 5.3, or a container's filter; EPERM: an older filter; E2BIG: before 5.7, no cgroup member. */
	return errnum == ENOSYS || errnum == EPERM || errnum == E2BIG;
}

/* 0 or an errno. */
static int be_born_with_pipe(struct spawn_child *child, struct birth *out)
{
	int pair[2];
	if (fds_pipe(pair, NULL) < 0)
		return errno;
	/* Above the child's targets, out of the way of dup2. */
	child->status_fd = fcntl(pair[1], F_DUPFD_CLOEXEC, child->first_free_fd);
	int errnum = child->status_fd < 0 ? errno : 0;
	fds_close(&pair[1]);
	if (errnum == 0) {
		errnum = be_born_fork(child, true, out);
		if (is_clone3_missing(errnum))
			errnum = be_born_fork(child, false, out);
	}
	fds_close(&child->status_fd);
	if (errnum != 0) {
		fds_close(&pair[0]);
		return errnum;
	}
	fds_nonblock(pair[0], true, NULL);
	out->status_fd = pair[0];
	return 0;
}

/* --- public --- */

static bool is_sound(const struct spawn *s)
{
	if (s->path == NULL || s->path[0] != '/' || s->argv == NULL || s->argv[0] == NULL)
		return false;
	if (s->nfds > SPAWN_FDS_MAX || s->njoin > SPAWN_JOIN_MAX)
		return false;
	for (size_t i = 0; i < s->nfds; i++) {
		if (s->fds[i].to < 3 || s->fds[i].from < 0)
			return false;
		for (size_t j = 0; j < i; j++)
			if (s->fds[j].to == s->fds[i].to)
				return false;
	}
	return true;
}

static int find_first_free_fd(const struct spawn *s)
{
	int free_fd = 3;
	for (size_t i = 0; i < s->nfds; i++)
		if (s->fds[i].to >= free_fd)
			free_fd = s->fds[i].to + 1;
	return free_fd;
}

static int tell_failure(const struct spawn *s, const struct spawn_failure *f, struct err *err)
{
	struct stat st;
	const char *hint = "", *dir = "";
	if (f->step == SPAWN_EXEC && f->errnum == ENOENT && stat(s->path, &st) == 0)
		hint = " (the file is there: its interpreter is missing)";
	if (f->step == NO_STEP && f->errnum == EAGAIN)
		hint = " (a limit of processes is used up: its user's, its box's or the machine's)";
	if (f->step == SPAWN_CWD)
		dir = s->cwd != NULL ? s->cwd : "/";
	return err_sys(err, f->errnum, "unable to start %s: unable to %s%s%s%s", s->path != NULL ? s->path : "a program",
		       spawn_step_name(f->step), *dir ? " " : "", dir, hint);
}

static void bury(struct birth *b)
{
	while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fds_close(&b->pidfd);
	fds_close(&b->status_fd);
}

int spawn_start(const struct spawn *s, struct spawned *out, struct spawn_failure *failure, struct err *err)
{
	*out = (struct spawned){ .pid = -1, .pidfd = -1, .status_fd = -1 };
	struct spawn_failure told = { .step = NO_STEP, .errnum = 0 };
	if (!is_sound(s)) {
		told.errnum = EINVAL;
		*failure = told;
		return tell_failure(s, &told, err);
	}
	struct birth b = { .pid = -1, .pidfd = -1, .status_fd = -1 };
	struct spawn_child child = { .spec = s, .failure = &told, .status_fd = -1, .first_free_fd = find_first_free_fd(s) };
	uint64_t mask;
	block_signals(&mask);
	/* v1's join takes milliseconds, so there the parent does not stand and wait. */
	bool is_vfork = s->njoin == 0;
	int errnum = is_vfork ? be_born_vfork(&child, &b) : 0;
	if (!is_vfork || is_clone3_missing(errnum))
		errnum = be_born_with_pipe(&child, &b);
	restore_signals(&mask);
	if (errnum == 0 && b.pidfd < 0)
		errnum = EMFILE; /* without its pidfd nobody could follow it safely */
	if (errnum != 0) {
		told.errnum = errnum;
	} else if (told.step == NO_STEP) {
		*out = (struct spawned){ .pid = b.pid, .pidfd = b.pidfd, .status_fd = b.status_fd };
		out->start_ticks = proc_start_ticks(b.pid);
		return 0;
	}
	if (b.pid > 0) {
		if (told.step == NO_STEP)
			kill(b.pid, SIGKILL);
		bury(&b);
	}
	*failure = told;
	return tell_failure(s, failure, err);
}

const char *spawn_step_name(int step)
{
	static const char *const names[] = {
		[SPAWN_JOIN] = "join its box",
		[SPAWN_IDS] = "take its user and groups",
		[SPAWN_RLIMIT] = "set its limits",
		[SPAWN_CWD] = "change to its directory",
		[SPAWN_FDS] = "arrange its descriptors",
		[SPAWN_PRIVS] = "give up privileges",
		[SPAWN_EXEC] = "exec",
	};
	if (step < 0 || step >= (int)(sizeof(names) / sizeof(names[0])))
		return "make a process";
	return names[step];
}

/* 0, or the errno that exec would give. */
static int check_program(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? errno : 0;
}

int spawn_find(const char *name, const char *path_list, char *out, size_t room, struct err *err)
{
	int errnum = ENOENT;
	if (name[0] == '/') {
		errnum = strlen(name) < room ? check_program(name) : ENAMETOOLONG;
		if (errnum == 0)
			memcpy(out, name, strlen(name) + 1);
		return errnum == 0 ? 0 : err_sys(err, errnum, "unable to find program %s", name);
	}
	if (name[0] == '\0' || strchr(name, '/') != NULL)
		return err_sys(err, ENOENT, "unable to find program \"%s\": neither an absolute path nor a plain name", name);
	const char *p = path_list;
	while (*p != '\0') {
		size_t len = strcspn(p, ":");
		/* An empty or relative entry would mean "wherever we stand": never. */
		int n = p[0] == '/' ? snprintf(out, room, "%.*s/%s", (int)len, p, name) : -1;
		int found = n < 0 ? ENOENT : (size_t)n < room ? check_program(out) : ENAMETOOLONG;
		if (found == 0)
			return 0;
		if (found == EACCES)
			errnum = EACCES;
		p += len + (p[len] == ':');
	}
	return err_sys(err, errnum, "unable to find program %s in %s", name, path_list);
}
