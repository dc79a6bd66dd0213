#ifndef DSS_KEEPER_CAUSE_H
#define DSS_KEEPER_CAUSE_H
#include <stdbool.h>
#include <stdint.h>
/*
 * cause: why a process ended. Never guessed from 137: the kernel's OOM counters first, then the keeper's own record of who
 * sent what, then a failed exec, then the exit status; else `unknown`. Pure: what it may know is handed to it.
 */
struct cause {
	/* the record, written while it lives */
	char by_cause[24];             /* admin user policy deadline shutdown start_failed lost; "" = nobody sent anything */
	char by_text[256], by_whom[64];
	int by_signal;                 /* 0: a stop or kill; else that one signal, a cause only if it ended by it */
	int exec_errno;                /* 0 = exec succeeded */
	char exec_text[300];
	/* what the end showed */
	bool has_status;
	int status;                    /* as wait4 */
	int64_t oom_kills, pids_refused;
	char oom_owner[256];           /* "" = no level of ours */
	int64_t limit_bytes, peak_bytes, cpu_ms;
	char peak_source[16];          /* cgroup, rusage */
	char victim_of[256];
	/* the verdict */
	const char *name;              /* oom_limit … unknown, exited */
	char text[900];
	int code, signal;              /* -1 where there is none */
};

/* The first record stands: a kill that follows a stop does not change who wanted it. */
void cause_record(struct cause *c, const char *cause, const char *text, const char *by, int signo);
/* Sets name, text, code, signal. who: the process's id, for the text. */
void cause_judge(struct cause *c, const char *who);
/* The constant of that name, "unknown" for one that is none (an exec in place carries names over). */
const char *cause_named(const char *name);
/* The words an order may give as its reason. */
bool cause_is_order(const char *name);

#endif
