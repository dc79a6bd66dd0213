#include "keeper/birth.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "base/words.h"
#include "keeper/ready.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/spawn.h"

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"
#define FIRST_FD     3

/* All that is open only while a process is being made. */
struct making {
	int out_write, secrets_read, ready_write, start_write;
	struct cgroup_birth box;
	char **env;
	struct spawn spawn;
};

static int fail(struct proc *p, const struct err *err, int errnum)
{
	p->cause.exec_errno = errnum ? errnum : EINVAL;
	cause_say(&p->cause.exec_text, "%.290s", err->text);
	return -1;
}

/* What all below a level may take together; made with the box itself, so that nothing is set of them that only leaves have. One that is in use beyond a limit that was lowered meanwhile keeps what it has: who set
 * the limit tries again. */
int birth_make_levels(struct cgroup *cg, const struct desc *d, struct err *err)
{
	char box[sizeof(d->box)];
	struct desc_limit l;
	for (char **w = d->levels; w && *w; w++) {
		struct err why = { 0 };
		if (desc_level(d, *w, box, &l, err) < 0)
			return -1;
		if (!cgroup_has(cg, l.knob) || cgroup_set(cg, box, l.knob, l.value, &why) == 0)
			continue;
		if (why.code != EBUSY)
			return err_set(err, "%s", why.text);
		log_warn("%s; %s starts there all the same", why.text, d->id);
	}
	return 0;
}

static int make_box(struct proc *p, struct making *m, struct err *err)
{
	struct cgroup *cg = p->procs->cg;
	if (cgroup_make(cg, p->desc.box, err) < 0 || birth_make_levels(cg, &p->desc, err) < 0)
		return -1;
	for (size_t i = 0; i < p->desc.nlimits; i++) {
		const struct desc_limit *l = &p->desc.limits[i];
		if (cgroup_has(cg, l->knob) && cgroup_set(cg, p->desc.box, l->knob, l->value, err) < 0)
			return err_add(err, "box %s", p->desc.box);
	}
	if (cgroup_oom_mark(cg, p->desc.box, &p->mark, err) < 0)
		return -1;
	p->oom_fd = cgroup_oom_fd(cg, p->desc.box, NULL);
	return cgroup_birth(cg, p->desc.box, &m->box, err);
}

/* A pipe belongs to whom its process runs as: programs open /dev/stderr or /proc/self/fd/N anew, which asks for the owner. */
static int make_pipe(const struct proc *p, int pair[2], struct err *err)
{
	if (fds_pipe(pair, err) < 0)
		return -1;
	if (!p->account || fchown(pair[0], p->account->uid, p->account->gid) == 0)
		return 0;
	int errnum = errno;
	fds_close(&pair[0]);
	fds_close(&pair[1]);
	return err_sys(err, errnum, "unable to give a pipe to user %s", p->account->name);
}

static int make_output(struct proc *p, struct making *m, struct err *err)
{
	char name[160];
	int pair[2];
	if (!strcmp(p->desc.sink, "null"))
		return 0;
	if (make_pipe(p, pair, err) < 0)
		return -1;
	m->out_write = pair[1];
	snprintf(name, sizeof(name), "%s.%u", p->desc.id, p->serial);
	p->pipe = output_add(p->procs->output, name, p->desc.sink, p->desc.prefix, p->desc.masks, pair[0]);
	return p->pipe ? 0 : err_set(err, "no memory");
}

/* At most 4096 bytes, which a new pipe always takes. */
static int make_secrets(struct proc *p, struct making *m, struct err *err)
{
	int pair[2];
	if (!p->desc.secrets_len)
		return 0;
	if (make_pipe(p, pair, err) < 0)
		return -1;
	m->secrets_read = pair[0];
	ssize_t n = write(pair[1], p->desc.secrets, p->desc.secrets_len);
	close(pair[1]);
	return n == (ssize_t)p->desc.secrets_len ? 0 : err_sys(err, errno, "unable to hand over the secrets of %s", p->desc.id);
}

static int make_ready(struct proc *p, struct making *m, struct err *err)
{
	int pair[2];
	if (p->desc.ready != DESC_READY_FD)
		return 0;
	if (make_pipe(p, pair, err) < 0 || fds_nonblock(pair[0], true, err) < 0)
		return -1;
	p->ready_fd = pair[0];
	m->ready_write = pair[1];
	return 0;
}

/* Like the pipe that tells how exec went, one step further on: closed = its program runs; a text = why it does not. */
static int make_start(struct proc *p, struct making *m, struct err *err)
{
	int pair[2];
	if (!p->desc.is_starter)
		return 0;
	if (make_pipe(p, pair, err) < 0 || fds_nonblock(pair[0], true, err) < 0)
		return -1;
	p->start_fd = pair[0];
	m->start_write = pair[1];
	return 0;
}

static int put_env(struct making *m, const char *name, const char *value, struct err *err)
{
	char text[300];
	snprintf(text, sizeof(text), "%s=%s", name, value);
	return words_add(&m->env, text, err);
}

static int put_fd(struct making *m, const char *env, int fd, struct err *err)
{
	char number[16];
	struct spawn *s = &m->spawn;
	if (s->nfds == SPAWN_FDS_MAX)
		return err_set(err, "more than %d descriptors to hand on", SPAWN_FDS_MAX);
	s->fds[s->nfds].from = fd;
	s->fds[s->nfds].to = FIRST_FD + (int)s->nfds;
	snprintf(number, sizeof(number), "%d", s->fds[s->nfds++].to);
	return put_env(m, env, number, err);
}

static int make_env(struct proc *p, struct making *m, const struct proc_fd *fds, size_t nfds, struct err *err)
{
	char notify[120];
	for (char **e = p->desc.env; e && *e; e++)
		if (words_add(&m->env, *e, err) < 0)
			return -1;
	if (put_env(m, "DSS_INSTANCE", p->procs->instance, err) < 0 || put_env(m, "DSS_PROCESS", p->desc.id, err) < 0)
		return -1;
	if (p->desc.ready == DESC_READY_NOTIFY) {
		ready_name_notify(p->procs->instance, notify, sizeof(notify));
		if (put_env(m, "NOTIFY_SOCKET", notify, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < nfds; i++)
		if (put_fd(m, fds[i].env, fds[i].fd, err) < 0)
			return -1;
	if (m->secrets_read >= 0 && put_fd(m, "DSS_KERNEL_SECRETS_FD", m->secrets_read, err) < 0)
		return -1;
	if (m->start_write >= 0 && put_fd(m, "DSS_START_FD", m->start_write, err) < 0)
		return -1;
	return m->ready_write < 0 ? 0 : put_fd(m, "DSS_READY_FD", m->ready_write, err);
}

static const char *search_path(const struct proc *p)
{
	for (char **e = p->desc.env; e && *e; e++)
		if (!strncmp(*e, "PATH=", 5))
			return *e + 5;
	return PATH_DEFAULT;
}

static void describe(struct proc *p, struct making *m, const char *program)
{
	struct spawn *s = &m->spawn;
	s->path = program;
	s->argv = p->desc.argv;
	s->envp = m->env;
	s->cwd = p->desc.cwd ? p->desc.cwd : "/";
	if (p->account) {
		s->set_ids = true;
		s->uid = p->account->uid;
		s->gid = p->account->gid;
		s->groups = p->account->groups;
		s->ngroups = p->account->ngroups;
	}
	s->rlimits = p->desc.rlimits;
	s->nrlimits = p->desc.nrlimits;
	s->stdin_fd = -1;
	s->stdout_fd = s->stderr_fd = m->out_write;
	s->into_fd = m->box.into_fd;
	s->njoin = (size_t)m->box.njoin;
	memcpy(s->join_fds, m->box.join_fds, sizeof(s->join_fds));
	/* A service whose plan names root (nginx for port 80) may raise its children; nothing else may. */
	s->no_new_privs = !(p->owner.ended && p->account && p->account->uid == 0);
	/* Kernels, recipes and webapps run users' code, all as one user: none reaches another's memory, environment and ticket. */
	s->is_apart = !p->owner.ended;
	s->umask = -1;
}

int birth(struct proc *p, const struct proc_fd *fds, size_t nfds)
{
	struct making m = { .out_write = -1, .secrets_read = -1, .ready_write = -1, .start_write = -1, .box = { .into_fd = -1 } };
	struct spawned born = { .pidfd = -1, .status_fd = -1 };
	struct spawn_failure failure = { -1, 0 };
	struct err err = { 0 };
	char program[4096];
	int rc = -1;

	if (make_output(p, &m, &err) < 0 || make_box(p, &m, &err) < 0 || make_secrets(p, &m, &err) < 0 ||
	    make_ready(p, &m, &err) < 0 || make_start(p, &m, &err) < 0 || make_env(p, &m, fds, nfds, &err) < 0 ||
	    spawn_find(p->desc.argv[0], search_path(p), program, sizeof(program), &err) < 0) {
		rc = fail(p, &err, err.code);
		goto out;
	}
	describe(p, &m, program);
	if (spawn_start(&m.spawn, &born, &failure, &err) < 0) {
		rc = fail(p, &err, failure.errnum);
		goto out;
	}
	p->pid = born.pid;
	p->pidfd = born.pidfd;
	p->start_ticks = born.start_ticks;
	p->status_fd = born.status_fd;
	p->started_ms = clock_wall_ms();
	cgroup_none_member(p->procs->cg, p->desc.box, p->pid);
	rc = 0;
out:
	if (p->desc.secrets)
		explicit_bzero(p->desc.secrets, p->desc.secrets_len);
	p->desc.secrets_len = 0;
	words_free(&p->desc.env);
	words_free(&p->desc.levels);
	words_cut(p->desc.argv, 1);
	words_free(&m.env);
	cgroup_birth_fini(&m.box);
	fds_close(&m.out_write);
	fds_close(&m.secrets_read);
	fds_close(&m.ready_write);
	fds_close(&m.start_write);
	return rc;
}
