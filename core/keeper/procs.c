/* procs: the table of proc.h: one timer for all processes, reaping, who is in it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "base/map.h"
#include "keeper/proc.h"
#include "keeper/proc_end.h"
#include "keeper/ready.h"
#include "sys/clock.h"
#include "sys/fds.h"

/* --- one timer for all processes --- */

static void set_alarm(struct procs *t, int64_t at)
{
	if (t->alarm_at && t->alarm_at <= at)
		return;
	int64_t in = at - clock_mono_ms();
	t->alarm_at = at;
	loop_timer_start(t->alarm, in > 0 ? in : 0);
}

void proc_due(struct proc *p, enum proc_due what, int64_t in_ms)
{
	p->due[what] = in_ms < 0 ? 0 : clock_mono_ms() + (in_ms > 0 ? in_ms : 1);
	if (in_ms >= 0)
		set_alarm(p->procs, p->due[what]);
}

static void on_alarm(void *data)
{
	struct procs *t = data;
	int64_t now = clock_mono_ms(), next = 0;
	t->alarm_at = 0;
	list_each (&t->all, at) {
		struct proc *p = list_of(at, struct proc, link);
		bool fires[PROC_DUE_MAX];
		for (int i = 0; i < PROC_DUE_MAX; i++) {
			fires[i] = p->due[i] && p->due[i] <= now;
			if (fires[i])
				p->due[i] = 0;
		}
		if (fires[PROC_DUE_OOM])
			proc_look_for_kill(p);
		if (fires[PROC_DUE_PROBE])
			ready_probe(p);
		if (fires[PROC_DUE_DEADLINE])
			proc_feed(p, p->deadline_event);
		if (fires[PROC_DUE_SETTLE])
			proc_settle(p); /* may free p: last */
	}
	list_each (&t->all, at) {
		const struct proc *p = list_of(at, struct proc, link);
		for (int i = 0; i < PROC_DUE_MAX; i++)
			if (p->due[i] && (!next || p->due[i] < next))
				next = p->due[i];
	}
	if (next) {
		t->alarm_at = 0;
		set_alarm(t, next);
	}
}

/* --- reaping --- */

void procs_reap(struct procs *t)
{
	for (;;) {
		siginfo_t si = { 0 };
		struct rusage ru;
		int status;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
			return;
		struct proc *p = map_get_u64(t->by_pid, (uint64_t)si.si_pid);
		if (wait4(si.si_pid, &status, WNOHANG, &ru) != si.si_pid)
			return;
		if (p)
			proc_reaped(p, status, &ru);
		/* else: an orphan that came to us as the subreaper; its box accounts for it */
	}
}

static void on_sigchld(void *data, int signo)
{
	(void)signo;
	procs_reap(data);
}

/* --- the table's own life --- */

int procs_init(struct procs *t, struct err *err)
{
	list_init(&t->all);
	t->by_id = map_new();
	t->by_pid = map_new();
	t->sigchld = loop_signal_new(t->loop, SIGCHLD, on_sigchld, t);
	t->alarm = loop_timer_new(t->loop, on_alarm, t);
	if (!t->by_id || !t->by_pid || !t->sigchld || !t->alarm || boxes_init(&t->boxes) < 0)
		return err_set(err, "no memory");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return err_sys(err, errno, "unable to become the subreaper");
	return 0;
}

void procs_fini(struct procs *t)
{
	list_each (&t->all, at)
		proc_forget(list_of(at, struct proc, link));
	loop_signal_free(&t->sigchld);
	loop_timer_free(&t->alarm);
	loop_io_free(&t->notify_io);
	fds_close(&t->notify_fd);
	map_free(&t->by_id);
	map_free(&t->by_pid);
	boxes_fini(&t->boxes);
}

struct proc *procs_find(const struct procs *t, const char *id)
{
	return map_get(t->by_id, id);
}

size_t procs_alive(const struct procs *t)
{
	size_t n = 0;
	list_each (&t->all, at)
		n += proc_is_alive(list_of(at, struct proc, link));
	return n;
}

void procs_ack(struct procs *t, uint64_t seq)
{
	journal_ack(t->journal, seq);
	list_each (&t->all, at) {
		struct proc *p = list_of(at, struct proc, link);
		if (p->state == PROC_DEAD && p->exit_seq <= journal_acked(t->journal))
			proc_feed(p, PROC_ACK);
	}
}

struct proc *proc_enlist(struct procs *t, struct desc *desc, const struct proc_owner *owner, struct err *err)
{
	struct proc *p = calloc(1, sizeof(*p));
	if (p)
		p->desc = *desc; /* borrowed until both took it */
	if (!p || boxes_enter(&t->boxes, p) < 0 || map_set(t->by_id, desc->id, p) < 0) {
		if (p)
			boxes_leave(&t->boxes, p);
		free(p);
		desc_fini(desc);
		err_set(err, "no memory");
		return NULL;
	}
	p->procs = t;
	memset(desc, 0, sizeof(*desc));
	if (owner)
		p->owner = *owner;
	p->pidfd = p->status_fd = p->start_fd = p->ready_fd = p->probe_fd = p->oom_fd = -1;
	p->gauge = (struct cgroup_gauge)CGROUP_GAUGE_INIT;
	p->cause.code = p->cause.signal = -1;
	p->serial = ++t->serial;
	list_push(&t->all, &p->link);
	t->count++;
	return p;
}
