#ifndef DSS_SYS_PROC_H
#define DSS_SYS_PROC_H
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"
/* proc: what /proc tells of a process. Identity = boot id + pid + start time; a pid alone names nobody. */

struct proc_stat {
	pid_t pid, ppid, pgid, session;
	char state; /* R S D Z T … */
	char comm[32];
	uint64_t start_ticks; /* since boot, in clock ticks */
	uint64_t cpu_ms;      /* user + system, own threads only */
	uint64_t reaped_ms;   /* the same of children that ended and were waited for, and of theirs */
	int64_t rss_bytes;    /* counted per core and added up late: 0 in a newborn, some hundred KB off later */
	uid_t uid;            /* effective, from the owner of /proc/PID */
};

/* -1: gone or not readable. */
int proc_read(pid_t pid, struct proc_stat *out);
/* The same of it alone, in fewer steps: 0 where it is gone or not readable. */
uint64_t proc_start_ticks(pid_t pid);
bool proc_is_same(pid_t pid, uint64_t start_ticks); /* alive (not a zombie) and the same process */
/* Whether it runs as that user and can become nobody else by itself. The owner of /proc/PID is root where a process hides its memory. */
bool proc_is_user(pid_t pid, uid_t uid);
/* NUL-separated environment value of `name`, into out; false: not there or not readable. */
bool proc_env(pid_t pid, const char *name, char *out, size_t room);
/* argv joined with blanks, control characters escaped. */
bool proc_cmdline(pid_t pid, char *out, size_t room);
/* Calls fn for each process, until it returns false. */
typedef bool proc_fn(void *data, pid_t pid);
int proc_each(proc_fn *fn, void *data, struct err *err);
/* Who listens on that TCP port: pid (0 = cannot tell), and a text such as "pid 812 (nginx, user root)";
 * "another process (user root)" or "another process" where /proc hides it. */
pid_t proc_port_holder(int port, char *text, size_t room);
/* The same of a Unix socket: a path, or "@name" of an abstract one. */
pid_t proc_unix_holder(const char *name, char *text, size_t room);
int proc_pidfd(pid_t pid, struct err *err);  /* pidfd_open; -1 */
int proc_pidfd_signal(int pidfd, int signo); /* 0, or -1 with errno: ESRCH it has ended */
/* To that very process, never to another that has its number by now. 0, or -1 with errno. */
int proc_signal_same(pid_t pid, uint64_t start_ticks, int signo);
int64_t proc_memory_total(void); /* bytes of the machine */
int64_t proc_pss(pid_t pid);     /* bytes, -1 where not readable */
#endif
