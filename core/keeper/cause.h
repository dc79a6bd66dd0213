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
	char by_cause[24];       /* admin user policy deadline shutdown start_failed lost; "" = nobody sent anything */
	char *by_text, *by_whom; /* all texts are owned and made when there is something to say: NULL = "" */
	int by_signal;           /* 0: a stop or kill; else that one signal, a cause only if it ended by it */
	int exec_errno;          /* 0 = exec succeeded */
	char *exec_text;
	/* what the end showed */
	bool has_status;
	int status; /* as wait4 */
	int64_t oom_kills, pids_refused;
	char *oom_owner; /* NULL = no level of ours */
	int64_t limit_bytes, peak_bytes, cpu_ms;
	const char *peak_source; /* "cgroup", "rusage", NULL = no peak */
	char *victim_of;
	/* the verdict */
	const char *name; /* oom_limit … unknown, exited */
	char *text;
	int code, signal; /* -1 where there is none */
};

void cause_fini(struct cause *c);
/* Gives one of the texts its value, cut to what a person reads; without memory it stays empty. An empty one becomes NULL. */
void cause_say(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A text of it for printing: never NULL. */
const char *cause_text(const char *text);

/* The first record stands: a kill that follows a stop does not change who wanted it. */
void cause_record(struct cause *c, const char *cause, const char *text, const char *by, int signo);
/* Sets name, text, code, signal. who: the process's id, for the text. */
void cause_judge(struct cause *c, const char *who);
/* The constant of that name, "unknown" for one that is none (an exec in place carries names over). */
const char *cause_named(const char *name);
/* The words an order may give as its reason. */
bool cause_is_order(const char *name);

#endif
