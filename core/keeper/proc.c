#include "keeper/proc.h"
#include "keeper/proc_end.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "keeper/birth.h"
#include "keeper/orphans.h"
#include "keeper/ready.h"
#include "sys/clock.h"
#include "sys/fds.h"

/* A kill that does not end a process (uninterruptible sleep) is repeated, in case new members came. */
#define KILL_AGAIN_MS 1000
/* After an OOM without a counted kill: 5, 10, … 640 ms. */
#define OOM_LOOK_FIRST_MS 5
#define OOM_LOOK_MOST_MS  640

/* --- the table --- */

static const char *const states[] = { "starting", "up", "ready", "stopping", "killing", "ended", "dead", "gone", NULL };
static const char *const events[] = { "exec_ok",    "exec_failed", "ready", "late", "stop", "kill",
				      "grace_over", "exit",        "quiet", "ack",  NULL };

static const struct fsm_row rows[] = {
	{ PROC_STARTING, PROC_EXEC_OK, PROC_UP, "tell started" },
	{ PROC_STARTING, PROC_EXEC_FAILED, PROC_STARTING, "note the errno" },
	{ PROC_STARTING, PROC_STOP, PROC_STOPPING, "send the stop signal" },
	{ PROC_STARTING, PROC_KILL, PROC_KILLING, "kill the box" },
	{ PROC_STARTING, PROC_EXIT, PROC_ENDED, "judge" },
	{ PROC_UP, PROC_IS_READY, PROC_READY, "tell ready" },
	{ PROC_UP, PROC_LATE, PROC_KILLING, "kill the box" },
	{ PROC_UP, PROC_STOP, PROC_STOPPING, "send the stop signal" },
	{ PROC_UP, PROC_KILL, PROC_KILLING, "kill the box" },
	{ PROC_UP, PROC_EXIT, PROC_ENDED, "judge" },
	{ PROC_READY, PROC_STOP, PROC_STOPPING, "send the stop signal" },
	{ PROC_READY, PROC_KILL, PROC_KILLING, "kill the box" },
	{ PROC_READY, PROC_EXIT, PROC_ENDED, "judge" },
	{ PROC_STOPPING, PROC_EXEC_OK, PROC_STOPPING, "" },
	{ PROC_STOPPING, PROC_EXEC_FAILED, PROC_STOPPING, "note the errno" },
	{ PROC_STOPPING, PROC_IS_READY, PROC_STOPPING, "" },
	{ PROC_STOPPING, PROC_STOP, PROC_STOPPING, "" },
	{ PROC_STOPPING, PROC_KILL, PROC_KILLING, "kill the box" },
	{ PROC_STOPPING, PROC_GRACE_OVER, PROC_KILLING, "kill the box" },
	{ PROC_STOPPING, PROC_EXIT, PROC_ENDED, "judge" },
	{ PROC_KILLING, PROC_EXEC_OK, PROC_KILLING, "" },
	{ PROC_KILLING, PROC_EXEC_FAILED, PROC_KILLING, "note the errno" },
	{ PROC_KILLING, PROC_IS_READY, PROC_KILLING, "" },
	{ PROC_KILLING, PROC_STOP, PROC_KILLING, "" },
	{ PROC_KILLING, PROC_KILL, PROC_KILLING, "" },
	{ PROC_KILLING, PROC_GRACE_OVER, PROC_KILLING, "kill the box" },
	{ PROC_KILLING, PROC_EXIT, PROC_ENDED, "judge" },
	{ PROC_ENDED, PROC_GRACE_OVER, PROC_ENDED, "kill the box" },
	{ PROC_ENDED, PROC_QUIET, PROC_DEAD, "remove the box" },
	{ PROC_DEAD, PROC_ACK, PROC_GONE, "forget" },
};

const struct fsm proc_fsm = FSM("process", states, events, rows);

const char *proc_state_name(const struct proc *p)
{
	return states[p->state];
}
bool proc_is_alive(const struct proc *p)
{
	return p->state < PROC_ENDED;
}

/* --- memory --- */

/* An OOM in or above the box. The kernel may have killed a child only: v1 has no group kill, so the keeper ends the leaf. v1 says so before
 * it kills, and counts the kill after: without one yet it is looked at again, for a while. */
void proc_look_for_kill(struct proc *p)
{
	struct cgroup_oom oom;
	if (p->state >= PROC_KILLING || cgroup_oom_since(p->procs->cg, p->desc.box, &p->mark, &oom, NULL) < 0)
		return;
	if (oom.kills > 0) {
		proc_kill_box(p);
	} else if (p->oom_ms <= OOM_LOOK_MOST_MS) {
		proc_due(p, PROC_DUE_OOM, p->oom_ms);
		p->oom_ms *= 2;
	}
}

static void deadline(struct proc *p, enum proc_event event, int64_t in_ms)
{
	p->deadline_event = event;
	proc_due(p, PROC_DUE_DEADLINE, in_ms);
}

/* --- actions --- */

static void send_signal(struct proc *p, int signo)
{
	if (p->pidfd >= 0 && !p->is_reaped && syscall(SYS_pidfd_send_signal, p->pidfd, signo, NULL, 0) < 0 && errno != ESRCH)
		log_error("unable to send SIG%s to %s (pid %d): %s", sigabbrev_np(signo), p->desc.id, (int)p->pid, strerror(errno));
}

void proc_kill_box(struct proc *p)
{
	struct err err = { 0 };
	if (cgroup_kill(p->procs->cg, p->desc.box, &err) < 0)
		log_error("%s", err.text);
	send_signal(p, SIGKILL);
	if (cgroup_mode(p->procs->cg) == CGROUP_NONE)
		orphans_kill(p->procs, p->desc.id);
}

void proc_tell(struct proc *p, const char *what)
{
	struct buf *b = journal_begin(p->procs->journal, p->desc.id, what);
	proc_to_wire(p, b);
	uint64_t seq = journal_end(p->procs->journal);
	if (!strcmp(what, "exited"))
		p->exit_seq = seq;
}

static void send_stop(struct proc *p)
{
	send_signal(p, p->desc.stop_signal);
	send_signal(p, SIGCONT); /* one that stopped itself must wake up to hear it */
	if (p->is_frozen)
		cgroup_freeze(p->procs->cg, p->desc.box, false, NULL);
	deadline(p, PROC_GRACE_OVER, p->desc.grace_ms);
}

/* --- the step --- */

void proc_feed(struct proc *p, enum proc_event event)
{
	const struct fsm_row *row = fsm_step(&proc_fsm, p->state, event);
	enum proc_state before = p->state;
	if (!row) {
		log_debug("%s: %s does not happen in state %s", p->desc.id, events[event], states[p->state]);
		return;
	}
	p->state = row->next;
	switch (event) {
	case PROC_EXEC_OK:
		if (p->state != PROC_UP)
			break;
		proc_tell(p, "started");
		if (p->desc.ready_within_ms > 0)
			deadline(p, PROC_LATE, p->desc.ready_within_ms);
		ready_watch(p);
		break;
	case PROC_IS_READY:
		if (p->state != PROC_READY)
			break;
		deadline(p, PROC_LATE, -1);
		ready_end(p);
		p->ready_ms = clock_wall_ms();
		proc_tell(p, "ready");
		if (p->owner.ready)
			p->owner.ready(p->owner.data, p);
		break;
	case PROC_LATE: {
		char text[100], within[48];
		snprintf(text, sizeof(text), "not ready within %s",
			 text_print_duration(p->desc.ready_within_ms, within, sizeof(within)));
		cause_record(&p->cause, "start_failed", text, NULL, 0);
		proc_kill_box(p);
		deadline(p, PROC_GRACE_OVER, KILL_AGAIN_MS);
		break;
	}
	case PROC_STOP:
		if (before < PROC_STOPPING)
			send_stop(p);
		break;
	case PROC_KILL:
	case PROC_GRACE_OVER:
		if (event == PROC_KILL && before == PROC_KILLING)
			break;
		if (event == PROC_GRACE_OVER && before == PROC_STOPPING)
			log_warn("%s (pid %d) did not stop within %d ms: killing its box", p->desc.id, (int)p->pid,
				 p->desc.grace_ms);
		proc_kill_box(p);
		if (p->state == PROC_KILLING)
			deadline(p, PROC_GRACE_OVER, KILL_AGAIN_MS);
		break;
	case PROC_EXIT:
		if (p->pipe)
			output_finish(p->pipe, proc_drained, p);
		else
			p->is_drained = true;
		proc_judge(p);
		break;
	case PROC_QUIET:
		if (p->owner.ended || !p->exit_seq || p->exit_seq <= journal_acked(p->procs->journal))
			proc_feed(p, PROC_ACK);
		break;
	case PROC_ACK:
		proc_forget(p);
		break;
	case PROC_EXEC_FAILED:
		break;
	}
}

/* --- watchers --- */

/* Of a starter: what became of the program that it starts. */
static void on_start(void *data, int fd, int ev)
{
	struct proc *p = data;
	struct {
		int errnum;
		char text[600];
	} said = { 0 };
	ssize_t n = read(fd, &said, sizeof(said) - 1);
	(void)ev;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	loop_io_free(&p->start_io);
	fds_close(&p->start_fd);
	if (n <= (ssize_t)sizeof(said.errnum)) {
		proc_feed(p, PROC_EXEC_OK);
		return;
	}
	for (char *at = said.text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	p->cause.exec_errno = said.errnum;
	cause_say(&p->cause.exec_text, "%s", said.text);
	proc_feed(p, PROC_EXEC_FAILED);
}

static bool awaits_start(struct proc *p)
{
	if (p->start_fd >= 0 && !p->start_io)
		p->start_io = loop_io_new(p->procs->loop, p->start_fd, LOOP_READ, on_start, p);
	return p->start_io != NULL;
}

void proc_exec_outcome(struct proc *p, const struct spawn_failure *failure)
{
	loop_io_free(&p->status_io);
	fds_close(&p->status_fd);
	if (!failure) {
		if (!awaits_start(p))
			proc_feed(p, PROC_EXEC_OK);
		return;
	}
	p->cause.exec_errno = failure->errnum;
	cause_say(&p->cause.exec_text, "unable to %s %.200s: %s", spawn_step_name(failure->step),
		  failure->step == SPAWN_CWD && p->desc.cwd ? p->desc.cwd : p->desc.argv[0], strerror(failure->errnum));
	proc_feed(p, PROC_EXEC_FAILED);
}

static void on_status(void *data, int fd, int ev)
{
	struct proc *p = data;
	struct spawn_failure failure;
	ssize_t n = read(fd, &failure, sizeof(failure));
	(void)ev;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	proc_exec_outcome(p, n == (ssize_t)sizeof(failure) ? &failure : NULL);
}

static void on_oom(void *data, int fd, int ev)
{
	struct proc *p = data;
	(void)ev;
	cgroup_oom_drain(p->procs->cg, p->desc.box, fd);
	p->oom_ms = OOM_LOOK_FIRST_MS;
	proc_look_for_kill(p);
}

void proc_watch(struct proc *p)
{
	if (p->status_fd >= 0 && !p->status_io)
		p->status_io = loop_io_new(p->procs->loop, p->status_fd, LOOP_READ, on_status, p);
	else if (p->state < PROC_ENDED)
		awaits_start(p);
	if (p->oom_fd >= 0 && !p->oom_io && !p->is_reaped)
		p->oom_io = loop_io_new(p->procs->loop, p->oom_fd, LOOP_READ, on_oom, p);
	if (p->state == PROC_UP)
		ready_watch(p);
	if (p->pipe && p->pipe->is_finished)
		output_finish(p->pipe, proc_drained, p);
}

void proc_reaped(struct proc *p, int status, const struct rusage *ru)
{
	map_remove_u64(p->procs->by_pid, (uint64_t)p->pid);
	p->is_reaped = true;
	p->cause.has_status = true;
	p->cause.status = status;
	p->cause.cpu_ms =
		ru->ru_utime.tv_sec * 1000 + ru->ru_utime.tv_usec / 1000 + ru->ru_stime.tv_sec * 1000 + ru->ru_stime.tv_usec / 1000;
	p->cause.peak_bytes = (int64_t)ru->ru_maxrss * 1024;
	p->cause.peak_source = "rusage";
	loop_io_free(&p->oom_io);
	fds_close(&p->oom_fd);
	cgroup_gauge_close(p->procs->cg, &p->gauge);
	if (p->status_fd >= 0)
		on_status(p, p->status_fd, LOOP_READ); /* what exec said comes before the exit */
	if (p->start_fd >= 0)
		on_start(p, p->start_fd, LOOP_READ);
	proc_feed(p, PROC_EXIT);
}

/* --- birth --- */

struct proc *proc_start(struct procs *t, struct desc *desc, const struct proc_owner *owner, const struct proc_fd *fds, size_t nfds,
			struct err *err)
{
	const struct account *account = NULL;
	if (!accounts_is_one_user(t->accounts)) {
		const char *user = desc->user[0] ? desc->user : accounts_control(t->accounts)->name;
		account = accounts_find(t->accounts, user, err);
		if (!account) {
			desc_fini(desc);
			return NULL;
		}
	}
	struct proc *p = proc_enlist(t, desc, owner, err);
	if (!p)
		return NULL;
	p->account = account;
	p->wanted_up = true;
	p->state = PROC_STARTING;
	if (birth(p, fds, nfds) < 0) {
		p->is_reaped = true;
		proc_feed(p, PROC_EXEC_FAILED);
		proc_feed(p, PROC_EXIT);
		return p;
	}
	if (map_set_u64(t->by_pid, (uint64_t)p->pid, p) < 0)
		log_error("%s (pid %d) cannot be looked up: no memory", p->desc.id, (int)p->pid);
	log_info("started %s (pid %d)", p->desc.id, (int)p->pid);
	proc_watch(p);
	if (p->status_fd < 0)
		proc_exec_outcome(p, NULL);
	return p;
}

/* --- commands --- */

void proc_stop(struct proc *p, const char *cause, const char *text, const char *by, int grace_ms)
{
	if (!proc_is_alive(p))
		return;
	p->wanted_up = false;
	cause_record(&p->cause, cause, text, by, 0);
	if (grace_ms >= 0)
		p->desc.grace_ms = grace_ms;
	if (p->desc.grace_ms == 0)
		proc_feed(p, PROC_KILL);
	else
		proc_feed(p, PROC_STOP);
}

void proc_kill(struct proc *p, const char *cause, const char *text, const char *by)
{
	if (!proc_is_alive(p))
		return;
	p->wanted_up = false;
	cause_record(&p->cause, cause, text, by, 0);
	proc_feed(p, PROC_KILL);
}

int proc_signal(struct proc *p, int signo, const char *cause, const char *text, struct err *err)
{
	if (!proc_is_alive(p) || p->pidfd < 0)
		return err_set(err, "%s has ended", p->desc.id);
	cause_record(&p->cause, cause, text, NULL, signo);
	if (syscall(SYS_pidfd_send_signal, p->pidfd, signo, NULL, 0) < 0)
		return err_sys(err, errno, "unable to signal %s", p->desc.id);
	return 0;
}

int proc_label(struct proc *p, const char *label, struct err *err)
{
	return desc_set(&p->desc, "label", label, err);
}

void proc_make_ready(struct proc *p)
{
	if (p->state == PROC_UP)
		proc_feed(p, PROC_IS_READY);
}

int proc_usage(struct proc *p, struct cgroup_usage *out, struct err *err)
{
	return cgroup_usage(p->procs->cg, p->desc.box, out, err);
}
