#include "keeper/cause.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include "base/text.h"

#define TEXT_MAX 900

/* oom_limit: where no cgroups count, the backend polls and ends what has passed its limit. oom_heap: a JVM that only collects garbage. */
static const char *const order_causes[] = { "admin",        "user", "policy",    "deadline", "shutdown",
					    "start_failed", "lost", "oom_limit", "oom_heap" };

bool cause_is_order(const char *name)
{
	for (size_t i = 0; i < sizeof(order_causes) / sizeof(order_causes[0]); i++)
		if (!strcmp(order_causes[i], name))
			return true;
	return false;
}

const char *cause_named(const char *name)
{
	static const char *const all[] = { "exited", "oom_host", "limit_threads", "crash", "signal", "unknown" };
	for (size_t i = 0; i < sizeof(order_causes) / sizeof(order_causes[0]); i++)
		if (!strcmp(order_causes[i], name))
			return order_causes[i];
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i], name))
			return all[i];
	return "unknown";
}

void cause_say(char **text, const char *format, ...)
{
	char made[TEXT_MAX];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(made, sizeof(made), format, args);
	va_end(args);
	char *copy = n > 0 ? strdup(made) : NULL;
	free(*text);
	*text = copy;
}

const char *cause_text(const char *text)
{
	return text ? text : "";
}

void cause_fini(struct cause *c)
{
	char **const texts[] = { &c->by_text, &c->by_whom, &c->exec_text, &c->oom_owner, &c->victim_of, &c->text };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		free(*texts[i]);
		*texts[i] = NULL;
	}
}

void cause_record(struct cause *c, const char *cause, const char *text, const char *by, int signo)
{
	if (c->by_cause[0] && c->by_signal == 0)
		return; /* a plain signal, though, gives way to a stop */
	snprintf(c->by_cause, sizeof(c->by_cause), "%s", cause);
	cause_say(&c->by_text, "%.255s", text ? text : "");
	cause_say(&c->by_whom, "%.63s", by ? by : "");
	c->by_signal = signo;
}

/* Signals that a program's own fault raises. */
static bool is_fault(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGILL || signo == SIGFPE || signo == SIGABRT || signo == SIGTRAP ||
	       signo == SIGSYS || signo == SIGXCPU || signo == SIGXFSZ;
}

static void say_oom(struct cause *c, const char *who)
{
	char used[32], limit[32];
	text_print_size(c->peak_bytes, used, sizeof(used));
	if (!c->oom_owner) {
		c->name = "oom_host";
		cause_say(&c->text, "the machine ran out of memory and the kernel chose %s (peak %s)", who, used);
		return;
	}
	c->name = "oom_limit";
	text_print_size(c->limit_bytes, limit, sizeof(limit));
	cause_say(&c->text, "%s used %s; the memory limit of box %s is %s%s%s", who, used, c->oom_owner, limit,
		  c->victim_of ? "; what grew there: " : "", cause_text(c->victim_of));
}

void cause_judge(struct cause *c, const char *who)
{
	c->code = c->has_status && WIFEXITED(c->status) ? WEXITSTATUS(c->status) : -1;
	c->signal = c->has_status && WIFSIGNALED(c->status) ? WTERMSIG(c->status) : -1;
	if (c->oom_kills > 0) {
		say_oom(c, who);
	} else if (c->by_cause[0] && (c->by_signal == 0 || c->by_signal == c->signal)) {
		c->name = cause_named(c->by_cause);
		cause_say(&c->text, "%s%s%s%s", cause_text(c->by_text), c->by_whom ? " (by " : "", cause_text(c->by_whom),
			  c->by_whom ? ")" : "");
	} else if (c->exec_errno || c->exec_text) {
		c->name = "start_failed";
		cause_say(&c->text, "%s", cause_text(c->exec_text));
	} else if (!c->has_status) {
		c->name = "unknown";
		cause_say(&c->text, "%s ended and left no status", who);
	} else if (c->code == 0) {
		c->name = "exited";
		cause_say(&c->text, "%s exited with status 0", who);
	} else if (c->pids_refused > 0) {
		c->name = "limit_threads";
		cause_say(&c->text, "%s reached the limit of processes and threads of its box (%lld refused)", who,
			  (long long)c->pids_refused);
	} else if (c->code > 0) {
		c->name = "crash";
		cause_say(&c->text, "%s exited with status %d", who, c->code);
	} else if (is_fault(c->signal)) {
		c->name = "crash";
		cause_say(&c->text, "%s crashed: SIG%s (%s)", who, sigabbrev_np(c->signal), strsignal(c->signal));
	} else {
		c->name = "signal";
		cause_say(&c->text, "%s was ended by SIG%s, sent by somebody else than dssd", who,
			  sigabbrev_np(c->signal) ? sigabbrev_np(c->signal) : "?");
	}
}
