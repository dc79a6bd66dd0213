#include "keeper/adopt.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/map.h"
#include "base/words.h"
#include "keeper/birth.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/proc.h"

#define MEMBERS_MAX 4096
#define ADOPTED     "(adopted)" /* stands for a command we never knew */

static bool is_member(struct cgroup *cg, const char *box, pid_t pid)
{
	static pid_t members[MEMBERS_MAX]; /* the keeper has one thread */
	int n = cgroup_members(cg, box, members, MEMBERS_MAX, NULL);
	for (int i = 0; i < n && i < MEMBERS_MAX; i++)
		if (members[i] == pid)
			return true;
	return false;
}

static void on_gone(void *data, int fd, int events)
{
	struct proc *p = data;
	(void)fd;
	(void)events;
	loop_io_free(&p->status_io);
	if (p->is_reaped)
		return;
	/* ours by now if its parent has gone: then the status is ours too */
	p->cause.has_status = wait4(p->pid, &p->cause.status, WNOHANG, NULL) == p->pid;
	map_remove_u64(p->procs->by_pid, (uint64_t)p->pid);
	p->is_reaped = true;
	proc_feed(p, PROC_EXIT);
}

/* Whom the process runs as, if orders may name that user; in one-user mode all are the same. false: it is not a backend's to have. user: whom the
 * order names, or NULL: in /proc a process that hides its memory belongs to root. */
static bool is_for_orders(const struct procs *t, const struct proc_stat *st, const char *user, const struct account **account)
{
	const struct account *named = user ? accounts_find(t->accounts, user, NULL) : NULL;
	*account = accounts_is_one_user(t->accounts) ? NULL : accounts_for_orders(t->accounts, named ? named->uid : st->uid);
	return accounts_is_one_user(t->accounts) || (*account && proc_is_user(st->pid, st->uid));
}

/* Below core/ live also the keeper and those it cannot do without. */
static int check_process(struct procs *t, const struct wire_view *msg, const struct proc_stat *st, const struct account **account,
			 struct err *err)
{
	static const char *const kept[] = { "core/keeper", "core/logger", "core/backend" };
	pid_t pid = st->pid;
	if (!is_member(t->cg, "core", pid))
		return err_set(err, "process %d does not live in a box of a service", (int)pid);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (is_member(t->cg, kept[i], pid))
			return err_set(err, "process %d lives in box %s and stays there", (int)pid, kept[i]);
	return is_for_orders(t, st, wire_get_text(msg, WF_user), account)
		       ? 0
		       : err_set(err, "process %d runs as uid %u, which is no user that orders may name", (int)pid,
				 (unsigned)st->uid);
}

bool adopt_is(const struct proc *p)
{
	return p->desc.argv && !strcmp(p->desc.argv[0], ADOPTED);
}

void adopt_watch(struct proc *p)
{
	if (!p->is_reaped && !p->status_io)
		p->status_io = loop_io_new(p->procs->loop, p->pidfd, LOOP_READ, on_gone, p);
}

static int describe(struct desc *d, const struct wire_view *msg, struct err *err)
{
	static const struct {
		enum wire_field f;
		const char *word;
	} words[] = {
		{ WF_id, "id" }, { WF_kind, "kind" }, { WF_box, "box" }, { WF_label, "label" }, { WF_parent, "parent" },
	};
	const char *s;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if ((s = wire_get_text(msg, words[i].f)) && desc_set(d, words[i].word, s, err) < 0)
			return err_add(err, "%s", words[i].word);
	for (size_t n = 0; (s = wire_get_nth(msg, WF_limit, n)); n++)
		if (desc_set(d, "limit", s, err) < 0)
			return -1;
	for (size_t n = 0; (s = wire_get_nth(msg, WF_level, n)); n++)
		if (desc_set(d, "level", s, err) < 0)
			return -1;
	/* its output and command are its parent's affair */
	return desc_set(d, "sink", "null", err) < 0 || desc_set(d, "argv", ADOPTED, err) < 0 ? -1 : desc_check(d, err);
}

static int move(struct procs *t, struct desc *d, pid_t pid, struct err *err)
{
	if (cgroup_make(t->cg, d->box, err) < 0 || birth_make_levels(t->cg, d, err) < 0)
		return -1;
	words_free(&d->levels);
	for (size_t i = 0; i < d->nlimits; i++)
		if (cgroup_has(t->cg, d->limits[i].knob) &&
		    cgroup_set(t->cg, d->box, d->limits[i].knob, d->limits[i].value, err) < 0)
			return -1;
	return cgroup_attach(t->cg, d->box, pid, err);
}

int adopt_process(struct procs *t, const struct wire_view *msg, struct err *err)
{
	pid_t pid = (pid_t)wire_get_int(msg, WF_pid, 0);
	const struct account *account = NULL;
	struct proc_stat st;
	struct desc d;
	if (procs_find(t, wire_get_text(msg, WF_id)))
		return 0;
	if (pid <= 1 || pid == getpid() || map_get_u64(t->by_pid, (uint64_t)pid))
		return err_set(err, "pid %d is not one that can be adopted", (int)pid);
	int pidfd = proc_pidfd(pid, err); /* held first, so that all checks are about the same process */
	if (pidfd < 0)
		return -1;
	desc_init(&d);
	if (proc_read(pid, &st) < 0) {
		err_set(err, "process %d is gone", (int)pid);
		goto fail;
	}
	if (check_process(t, msg, &st, &account, err) < 0 || describe(&d, msg, err) < 0 ||
	    (account && desc_set(&d, "user", account->name, err) < 0) || move(t, &d, pid, err) < 0)
		goto fail;
	struct proc *p = proc_enlist(t, &d, NULL, err);
	if (!p)
		goto fail;
	p->account = account;
	p->pid = pid;
	p->pidfd = pidfd;
	p->start_ticks = st.start_ticks;
	p->started_ms = p->ready_ms = clock_wall_ms();
	p->wanted_up = true;
	p->state = PROC_READY;
	cgroup_oom_mark(t->cg, p->desc.box, &p->mark, NULL);
	p->oom_fd = cgroup_oom_fd(t->cg, p->desc.box, NULL);
	adopt_watch(p);
	map_set_u64(t->by_pid, (uint64_t)pid, p);
	proc_watch(p);
	return 0;
fail:
	desc_fini(&d);
	fds_close(&pidfd);
	return -1;
}
