#include "keeper/handover.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/log.h"
#include "keeper/door.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define FDS_MAX  65536
#define FLUSH_MS 1000

/* --- numbers: "name=value name=value" in the field `note` --- */

struct numbers {
	char text[1500];
	size_t len;
};

static void put(struct numbers *n, const char *name, int64_t v)
{
	n->len += (size_t)snprintf(n->text + n->len, sizeof(n->text) - n->len, "%s=%lld ", name, (long long)v);
}

/* --- saving --- */

struct saving {
	struct keeper *k;
	struct buf out;
	int fds[FDS_MAX];
	size_t nfds;
};

static void put_fd(struct saving *s, struct numbers *n, const char *name, int fd)
{
	put(n, name, fd);
	if (fd >= 0 && s->nfds < FDS_MAX)
		s->fds[s->nfds++] = fd;
}

static size_t begin(struct saving *s, const char *section)
{
	size_t mark = wire_begin(&s->out, WIRE_note);
	wire_text(&s->out, WF_verb, section);
	return mark;
}

static int end(struct saving *s, size_t mark, const struct numbers *n)
{
	wire_text(&s->out, WF_note, n->text);
	return wire_end(&s->out, mark);
}

static int save_link(struct saving *s, const char *name, struct wire_link *link)
{
	struct numbers n = { .text = "" };
	if (!link)
		return 0;
	const struct buf *pending = wire_link_pending(link);
	size_t mark = begin(s, "link");
	wire_text(&s->out, WF_name, name);
	put_fd(s, &n, "fd", wire_link_fd(link));
	if (pending && pending->len)
		wire_bytes(&s->out, WF_secrets, pending->data, pending->len);
	return end(s, mark, &n);
}

static int save_keeper(struct saving *s)
{
	struct keeper *k = s->k;
	struct numbers n = { .text = "" };
	size_t mark = begin(s, "keeper");
	put(&n, "started", k->started_ms);
	put(&n, "epoch", k->epoch);
	put(&n, "hello", k->backend_said_hello);
	put(&n, "serial", k->procs.serial);
	put(&n, "last", (int64_t)journal_last(k->journal));
	put(&n, "acked", (int64_t)journal_acked(k->journal));
	put(&n, "sent", (int64_t)journal_sent(k->journal));
	put(&n, "told", k->is_told_ready);
	put_fd(s, &n, "lock", k->lock_fd);
	put_fd(s, &n, "door", door_fd(k));
	put_fd(s, &n, "notify", k->procs.notify_fd);
	put_fd(s, &n, "crumb", k->crumb_fd);
	put_fd(s, &n, "logr", k->log_read_fd);
	put_fd(s, &n, "logw", k->log_write_fd);
	if (end(s, mark, &n) < 0)
		return -1;
	list_each (&k->listens, at) {
		struct keeper_listen *l = list_of(at, struct keeper_listen, link);
		struct numbers m = { .text = "" };
		mark = begin(s, "listen");
		wire_text(&s->out, WF_name, l->name);
		put_fd(s, &m, "fd", l->fd);
		if (end(s, mark, &m) < 0)
			return -1;
	}
	return save_link(s, "backend", k->backend) < 0 || save_link(s, "logger", k->logger) < 0 ? -1 : 0;
}

static void put_cause(struct saving *s, struct numbers *n, const struct cause *c)
{
	const struct {
		enum wire_field f;
		const char *text;
	} texts[] = {
		{ WF_cause, c->by_cause },
		{ WF_text, c->by_text },
		{ WF_by, c->by_whom },
		{ WF_what, c->exec_text },
		{ WF_limit_owner, c->oom_owner },
		{ WF_victim_of, c->victim_of },
		{ WF_state, c->name },
		{ WF_dir, c->text },
		{ WF_peak_source, c->peak_source },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].text && texts[i].text[0])
			wire_text(&s->out, texts[i].f, texts[i].text);
	put(n, "by_signal", c->by_signal);
	put(n, "exec_errno", c->exec_errno);
	put(n, "has_status", c->has_status);
	put(n, "status", c->status);
	put(n, "oom_kills", c->oom_kills);
	put(n, "refused", c->pids_refused);
	put(n, "limit", c->limit_bytes);
	put(n, "peak", c->peak_bytes);
	put(n, "cpu", c->cpu_ms);
	put(n, "code", c->code);
	put(n, "signal", c->signal);
}

static int save_proc(struct saving *s, const struct proc *p)
{
	struct numbers n = { .text = "" };
	int64_t due = p->due[PROC_DUE_DEADLINE];
	size_t mark = begin(s, "proc");
	desc_to_wire(&p->desc, &s->out);
	put(&n, "state", p->state);
	put(&n, "wanted", p->wanted_up);
	put(&n, "frozen", p->is_frozen);
	put(&n, "serial", p->serial);
	put(&n, "pid", p->pid);
	put(&n, "ticks", (int64_t)p->start_ticks);
	put_fd(s, &n, "pidfd", p->pidfd);
	put_fd(s, &n, "status_fd", p->status_fd);
	put_fd(s, &n, "start_fd", p->start_fd);
	put_fd(s, &n, "ready_fd", p->ready_fd);
	put_fd(s, &n, "pipe", p->pipe ? p->pipe->fd : -1);
	put(&n, "finished", p->pipe && p->pipe->is_finished);
	put(&n, "due", due ? (due > clock_mono_ms() ? due - clock_mono_ms() : 1) : 0);
	put(&n, "due_event", p->deadline_event);
	put(&n, "started", p->started_ms);
	put(&n, "ready", p->ready_ms);
	put(&n, "exited", p->exited_ms);
	put(&n, "reaped", p->is_reaped);
	put(&n, "box_quiet", p->is_box_quiet);
	put(&n, "drained", p->is_drained);
	put(&n, "exit_seq", (int64_t)p->exit_seq);
	put_cause(s, &n, &p->cause);
	if (p->pipe)
		wire_text(&s->out, WF_name, p->pipe->id);
	wire_bytes(&s->out, HANDOVER_MARK, &p->mark, sizeof(p->mark));
	return end(s, mark, &n);
}

static int save_service(struct saving *s, const struct service *v)
{
	struct numbers n = { .text = "" };
	size_t mark = begin(s, "service");
	wire_text(&s->out, WF_name, v->plan->desc.id);
	put(&n, "wanted", v->wanted_up);
	put(&n, "state", v->state);
	put(&n, "crashes", v->crashes);
	put(&n, "since", v->crashing_since_ms);
	put(&n, "due", v->due_ms);
	put(&n, "next", v->next_wall_ms);
	put(&n, "give_up", v->give_up_wall_ms);
	put(&n, "starts", v->starts);
	for (int i = 0; i < SERVICE_CRASHES_KEPT; i++) {
		char name[16];
		snprintf(name, sizeof(name), "c%d", i);
		put(&n, name, v->crash_mono_ms[i]);
	}
	wire_text(&s->out, WF_cause, v->last_cause);
	wire_text(&s->out, WF_text, v->last_text);
	return end(s, mark, &n);
}

static int save(struct saving *s, struct err *err)
{
	struct buf events;
	if (save_keeper(s) < 0)
		goto fail;
	list_each (&s->k->procs.all, at)
		if (save_proc(s, list_of(at, struct proc, link)) < 0)
			goto fail;
	list_each (&s->k->services.all, at)
		if (save_service(s, list_of(at, struct service, link)) < 0)
			goto fail;
	/* the journal's frames stand last, as they are */
	buf_init(&events, HANDOVER_MAX);
	int rc = journal_save(s->k->journal, &events);
	if (rc == 0 && events.len)
		rc = buf_put(&s->out, events.data, events.len);
	buf_fini(&events);
	if (rc == 0)
		return 0;
fail:
	return err_set(err, "unable to write down the state: no memory");
}

static int to_memory(const struct buf *b, struct err *err)
{
	int fd = memfd_create("dss-keeper-state", 0);
	size_t done = 0;
	if (fd < 0)
		return err_sys(err, errno, "unable to make a memory file");
	while (done < b->len) {
		ssize_t n = write(fd, b->data + done, b->len - done);
		if (n <= 0) {
			int e = errno;
			close(fd);
			return err_sys(err, e, "unable to write the memory file");
		}
		done += (size_t)n;
	}
	return fd;
}

static void set_cloexec(const struct saving *s, bool on)
{
	for (size_t i = 0; i < s->nfds; i++)
		fds_cloexec(s->fds[i], on, NULL);
}

static int own_program(char *out, size_t room, struct err *err)
{
	ssize_t n = readlink("/proc/self/exe", out, room - 1);
	char *deleted;
	if (n <= 0)
		return err_sys(err, errno, "unable to find my own program");
	out[n] = 0;
	if ((deleted = strstr(out, " (deleted)")) && !deleted[10])
		*deleted = 0; /* an upgrade has put a new file there */
	return access(out, X_OK) == 0 ? 0 : err_sys(err, errno, "unable to run %s", out);
}

/* Half a message would be lost with our memory. */
static int flush(struct keeper *k, struct err *err)
{
	if (k->backend && wire_link_flush(k->backend, FLUSH_MS) < 0 && wire_link_waiting(k->backend) > 0)
		return err_set(err, "unable to hand over: the backend does not read what it is told. Restart it, or try again");
	if (k->logger && wire_link_flush(k->logger, FLUSH_MS) < 0 && wire_link_waiting(k->logger) > 0)
		return err_set(err, "unable to hand over: the logger does not read what it is told. Restart it, or try again");
	return 0;
}

int handover_check(struct keeper *k, struct err *err)
{
	char path[sizeof(k->dir) + 20], program[PATH_MAX];
	struct accounts *accounts = NULL;
	snprintf(path, sizeof(path), "%s/run/keeper.plan", k->dir);
	struct plan *plan = plan_read(path, err);
	int rc = -1;
	if (!plan)
		return -1;
	const struct {
		const char *word, *now, *next;
	} fixed[] = {
		{ "instance", k->plan->instance, plan->instance },
		{ "cgroups", k->plan->cgroups, plan->cgroups },
		{ "control_user", k->plan->control_user, plan->control_user },
	};
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (strcmp(fixed[i].now, fixed[i].next)) {
			err_set(err,
				"unable to take up %s: `%s` cannot change while processes run (\"%s\", was \"%s\"): dss stop, then "
				"start",
				path, fixed[i].word, fixed[i].next, fixed[i].now);
			goto out;
		}
	}
	if ((accounts = accounts_read(plan, err)) && own_program(program, sizeof(program), err) == 0 && flush(k, err) == 0)
		rc = 0;
out:
	accounts_free(&accounts);
	plan_free(&plan);
	return rc;
}

int handover_exec(struct keeper *k, struct err *err)
{
	struct saving *s = calloc(1, sizeof(*s));
	char program[PATH_MAX], fd_text[16], tick_text[16];
	int fd = -1;
	if (!s)
		return err_set(err, "no memory");
	s->k = k;
	buf_init(&s->out, HANDOVER_MAX);
	if (own_program(program, sizeof(program), err) < 0 || flush(k, err) < 0 || save(s, err) < 0 ||
	    (fd = to_memory(&s->out, err)) < 0)
		goto fail;
	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	snprintf(tick_text, sizeof(tick_text), "%d", k->tick_ms);
	char *argv[] = { program, k->dir, "--takeover", fd_text, "--tick-ms", tick_text, k->is_foreground ? "--foreground" : NULL,
			 NULL };
	log_info("handing over to %s", program);
	set_cloexec(s, false);
	execv(program, argv);
	err_sys(err, errno, "unable to exec %s", program);
	set_cloexec(s, true);
fail:
	fds_close(&fd);
	buf_fini(&s->out);
	free(s);
	return -1;
}
