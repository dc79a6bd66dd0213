/*
 * probe: linked into a copy of the keeper with ld's --wrap, notes when the keeper hears of a death, when its successor is
 * spawned, how long the child joins v1 boxes and when it calls exec. The page is the file named by $BENCH_PROBE.
 * The code of the keeper itself is the shipped one.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"
#include "sys/spawn.h"

static struct probe nowhere, *page = &nowhere;
static bool in_child;

int __real_waitid(idtype_t type, id_t id, siginfo_t *si, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *si, int options);
int __real_spawn_start(const struct spawn *s, struct spawned *out, struct spawn_failure *failure, struct err *err);
int __wrap_spawn_start(const struct spawn *s, struct spawned *out, struct spawn_failure *failure, struct err *err);
pid_t __real_setsid(void);
pid_t __wrap_setsid(void);
ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
int __real_execve(const char *path, char *const argv[], char *const env[]);
int __wrap_execve(const char *path, char *const argv[], char *const env[]);

__attribute__((constructor)) static void open_page(void)
{
	const char *path = getenv("BENCH_PROBE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED)
		page = at;
	if (fd >= 0)
		close(fd);
}

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *si, int options)
{
	int rc = __real_waitid(type, id, si, options);
	if (rc == 0 && si->si_pid && !page->reap_ns)
		page->reap_ns = bench_ns();
	return rc;
}

int __wrap_spawn_start(const struct spawn *s, struct spawned *out, struct spawn_failure *failure, struct err *err)
{
	int rc = __real_spawn_start(s, out, failure, err);
	page->spawned_ns = bench_ns();
	return rc;
}

/* The child's first step. With a shared memory (vfork) the flag is the parent's too: execve lowers it. */
pid_t __wrap_setsid(void)
{
	in_child = true;
	page->join_ns = 0;
	return __real_setsid();
}

/* All that a child writes before exec is "0" into cgroup.procs. */
ssize_t __wrap_write(int fd, const void *data, size_t n)
{
	if (!in_child)
		return __real_write(fd, data, n);
	int64_t began = bench_ns();
	ssize_t done = __real_write(fd, data, n);
	page->join_ns += bench_ns() - began;
	return done;
}

int __wrap_execve(const char *path, char *const argv[], char *const env[])
{
	in_child = false;
	page->exec_ns = bench_ns();
	return __real_execve(path, argv, env);
}
