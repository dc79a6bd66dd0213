#include "keeper/handover.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/log.h"
#include "base/map.h"
#include "keeper/adopt.h"
#include "keeper/door.h"
#include "keeper/orphans.h"
#include "keeper/proc_end.h"
#include "sys/clock.h"
#include "sys/fds.h"

/* 20,000 processes with long command lines still fit. */
#define STATE_MAX (256u << 20)
#define FDS_MAX   65536
#define FLUSH_MS  1000
/* Carries the counters of a box; a description has no such field. */
#define MARK_FIELD WF_key

/* --- numbers: "name=value name=value" in the field `note` --- */

struct numbers {
	char text[1500];
	size_t len;
};

static void put(struct numbers *n, const char *name, int64_t v)
{
	n->len += (size_t)snprintf(n->text + n->len, sizeof(n->text) - n->len, "%s=%lld ", name, (long long)v);
}

static int64_t get(const struct wire_view *v, const char *name, int64_t otherwise)
{
	const char *at = wire_get_text(v, WF_note);
	size_t n = strlen(name);
	for (; at && *at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
		if (!strncmp(at, name, n) && at[n] == '=')
			return strtoll(at + n + 1, NULL, 10);
	return otherwise;
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
	put_fd(s, &n, "logr", k->log_read_fd);
	put_fd(s, &n, "logw", k->log_write_fd);
	if (end(s, mark, &n) < 0)
		return -1;
	list_each(&k->listens, at) {
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
	const struct { enum wire_field f; const char *text; } texts[] = {
		{ WF_cause, c->by_cause }, { WF_text, c->by_text }, { WF_by, c->by_whom }, { WF_what, c->exec_text },
		{ WF_limit_owner, c->oom_owner }, { WF_victim_of, c->victim_of }, { WF_state, c->name }, { WF_dir, c->text },
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
	wire_bytes(&s->out, MARK_FIELD, &p->mark, sizeof(p->mark));
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
	list_each(&s->k->procs.all, at)
		if (save_proc(s, list_of(at, struct proc, link)) < 0)
			goto fail;
	list_each(&s->k->services.all, at)
		if (save_service(s, list_of(at, struct service, link)) < 0)
			goto fail;
	/* the journal's frames stand last, as they are */
	buf_init(&events, STATE_MAX);
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
		*deleted = 0;                    /* an upgrade has put a new file there */
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
	const struct { const char *word, *now, *next; } fixed[] = {
		{ "instance", k->plan->instance, plan->instance }, { "cgroups", k->plan->cgroups, plan->cgroups },
		{ "control_user", k->plan->control_user, plan->control_user },
	};
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (strcmp(fixed[i].now, fixed[i].next)) {
			err_set(err, "unable to take up %s: `%s` cannot change while processes run (\"%s\", was \"%s\"): dss stop, then start", path,
				fixed[i].word, fixed[i].next, fixed[i].now);
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
	buf_init(&s->out, STATE_MAX);
	if (own_program(program, sizeof(program), err) < 0 || flush(k, err) < 0 || save(s, err) < 0 || (fd = to_memory(&s->out, err)) < 0)
		goto fail;
	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	snprintf(tick_text, sizeof(tick_text), "%d", k->tick_ms);
	char *argv[] = { program, k->dir, "--takeover", fd_text, "--tick-ms", tick_text, k->is_foreground ? "--foreground" : NULL, NULL };
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

/* --- taking over --- */

struct handover {
	char *data;
	size_t len;
	struct wire_view keeper;
};

struct handover *handover_read(int fd, struct err *err)
{
	struct handover *h = calloc(1, sizeof(*h));
	off_t size = lseek(fd, 0, SEEK_END);
	if (h && size > 0 && size < (off_t)STATE_MAX && (h->data = malloc((size_t)size)) &&
	    pread(fd, h->data, (size_t)size, 0) == (ssize_t)size) {
		h->len = (size_t)size;
		if (wire_parse(h->data, h->len, &h->keeper, err) > 0 && !strcmp(wire_get_text(&h->keeper, WF_verb), "keeper")) {
			close(fd);
			return h;
		}
	}
	err_set(err, "unable to read what the former keeper left: descriptor %d", fd);
	handover_free(&h);
	return NULL;
}

void handover_free(struct handover **handover)
{
	struct handover *h = *handover;
	*handover = NULL;
	if (h)
		free(h->data);
	free(h);
}

int64_t handover_number(const struct handover *h, const char *name, int64_t otherwise)
{
	return get(&h->keeper, name, otherwise);
}

static int keep_fd(int64_t fd)
{
	if (fd >= 0)
		fds_cloexec((int)fd, true, NULL);
	return (int)fd;
}

static void copy(char *out, size_t room, const struct wire_view *v, enum wire_field f)
{
	const char *s = wire_get_text(v, f);
	snprintf(out, room, "%s", s ? s : "");
}

static void load_cause(struct cause *c, const struct wire_view *v)
{
	copy(c->by_cause, sizeof(c->by_cause), v, WF_cause);
	copy(c->by_text, sizeof(c->by_text), v, WF_text);
	copy(c->by_whom, sizeof(c->by_whom), v, WF_by);
	copy(c->exec_text, sizeof(c->exec_text), v, WF_what);
	copy(c->oom_owner, sizeof(c->oom_owner), v, WF_limit_owner);
	copy(c->victim_of, sizeof(c->victim_of), v, WF_victim_of);
	copy(c->text, sizeof(c->text), v, WF_dir);
	copy(c->peak_source, sizeof(c->peak_source), v, WF_peak_source);
	if (wire_has(v, WF_state))
		c->name = cause_named(wire_get_text(v, WF_state));
	c->by_signal = (int)get(v, "by_signal", 0);
	c->exec_errno = (int)get(v, "exec_errno", 0);
	c->has_status = get(v, "has_status", 0);
	c->status = (int)get(v, "status", 0);
	c->oom_kills = get(v, "oom_kills", 0);
	c->pids_refused = get(v, "refused", 0);
	c->limit_bytes = get(v, "limit", 0);
	c->peak_bytes = get(v, "peak", 0);
	c->cpu_ms = get(v, "cpu", 0);
	c->code = (int)get(v, "code", -1);
	c->signal = (int)get(v, "signal", -1);
}

static int load_proc(struct keeper *k, const struct wire_view *v, struct err *err)
{
	struct desc d;
	size_t len = 0;
	desc_init(&d);
	if (desc_from_wire(&d, v, err) < 0)
		return -1;
	struct proc *p = proc_enlist(&k->procs, &d, NULL, err);
	if (!p)
		return -1;
	if (!accounts_is_one_user(k->accounts))
		p->account = p->desc.user[0] ? accounts_find(k->accounts, p->desc.user, NULL) : accounts_control(k->accounts);
	p->state = (enum proc_state)get(v, "state", PROC_DEAD);
	p->wanted_up = get(v, "wanted", 0);
	p->is_frozen = get(v, "frozen", 0);
	p->serial = (unsigned)get(v, "serial", 0);
	p->pid = (pid_t)get(v, "pid", 0);
	p->start_ticks = (uint64_t)get(v, "ticks", 0);
	p->pidfd = keep_fd(get(v, "pidfd", -1));
	p->status_fd = keep_fd(get(v, "status_fd", -1));
	p->ready_fd = keep_fd(get(v, "ready_fd", -1));
	p->started_ms = get(v, "started", 0);
	p->ready_ms = get(v, "ready", 0);
	p->exited_ms = get(v, "exited", 0);
	p->is_reaped = get(v, "reaped", 0);
	p->is_box_quiet = get(v, "box_quiet", 0);
	p->is_drained = get(v, "drained", 0);
	p->exit_seq = (uint64_t)get(v, "exit_seq", 0);
	p->deadline_event = (enum proc_event)get(v, "due_event", 0);
	load_cause(&p->cause, v);
	int out = keep_fd(get(v, "pipe", -1));
	if (out >= 0 && (p->pipe = output_add(k->output, wire_get_text(v, WF_name), p->desc.sink, p->desc.prefix, p->desc.masks, out)))
		p->pipe->is_finished = get(v, "finished", 0);
	const void *mark = wire_get_bytes(v, MARK_FIELD, &len);
	if (mark && len == sizeof(p->mark))
		memcpy(&p->mark, mark, len);
	else                                     /* another version's counters: begin anew */
		cgroup_oom_mark(k->cg, p->desc.box, &p->mark, NULL);
	if (!p->is_reaped) {
		cgroup_none_member(k->cg, p->desc.box, p->pid);
		p->oom_fd = cgroup_oom_fd(k->cg, p->desc.box, NULL);
		map_set_u64(k->procs.by_pid, (uint64_t)p->pid, p);
	}
	struct service *s = services_find(&k->services, p->desc.id);
	if (s && !strcmp(p->desc.kind, "service") && p->state < PROC_ENDED)
		service_adopt(s, p);
	else if (!strcmp(p->desc.kind, "service"))
		p->exit_seq = 0;                 /* nobody waits for its end but the logger */
	if (get(v, "due", 0))
		proc_due(p, PROC_DUE_DEADLINE, get(v, "due", 0));
	if (p->state == PROC_ENDED)
		proc_due(p, PROC_DUE_SETTLE, 1);
	return 0;
}

static int load_service(struct keeper *k, const struct wire_view *v)
{
	struct service *s = services_find(&k->services, wire_get_text(v, WF_name));
	if (!s)
		return 0;                        /* the new plan has it no more; its process is stopped by the caller */
	s->wanted_up = get(v, "wanted", 1);
	s->crashes = (int)get(v, "crashes", 0);
	s->crashing_since_ms = get(v, "since", 0);
	s->next_wall_ms = get(v, "next", 0);
	s->give_up_wall_ms = get(v, "give_up", 0);
	s->starts = (unsigned)get(v, "starts", 1);
	copy(s->last_cause, sizeof(s->last_cause), v, WF_cause);
	copy(s->last_text, sizeof(s->last_text), v, WF_text);
	for (int i = 0; i < SERVICE_CRASHES_KEPT; i++) {
		char name[16];
		snprintf(name, sizeof(name), "c%d", i);
		s->crash_mono_ms[i] = get(v, name, 0);
	}
	if (s->proc) {
		if (s->state == SERVICE_UP)
			s->due_ms = get(v, "due", 0);    /* when its crashes will be forgotten */
		return 0;
	}
	int state = (int)get(v, "state", SERVICE_DOWN);
	if (state == SERVICE_FAILED)
		s->state = SERVICE_FAILED;
	else if (s->wanted_up && (state == SERVICE_BACKOFF || state == SERVICE_STARTING || state == SERVICE_UP)) {
		s->state = SERVICE_BACKOFF;      /* the next try, at once if it was due meanwhile */
		s->due_ms = get(v, "due", 0) ? get(v, "due", 0) : clock_mono_ms();
	}
	return 0;
}

static int load_listen(struct keeper *k, const struct wire_view *v)
{
	struct keeper_listen *l = calloc(1, sizeof(*l));
	if (!l)
		return -1;
	copy(l->name, sizeof(l->name), v, WF_name);
	l->fd = keep_fd(get(v, "fd", -1));
	list_push(&k->listens, &l->link);
	return 0;
}

static int load_link(struct keeper *k, const struct wire_view *v)
{
	size_t len = 0;
	const void *pending = wire_get_bytes(v, WF_secrets, &len);
	return keeper_take_link(k, wire_get_text(v, WF_name), keep_fd(get(v, "fd", -1)), pending, len);
}

int handover_apply(struct handover *h, struct keeper *k, struct err *err)
{
	const char *at = h->data;
	size_t len = h->len;
	struct wire_view v;
	k->started_ms = handover_number(h, "started", 0);
	k->epoch = handover_number(h, "epoch", 0);
	k->is_told_ready = handover_number(h, "told", 0);
	while (len > 0) {
		ssize_t n = wire_parse(at, len, &v, err);
		if (n <= 0)
			return err_set(err, "the state of the former keeper is cut");
		if (v.type != WIRE_note)
			break;                   /* the journal begins */
		const char *section = wire_get_text(&v, WF_verb);
		int rc = !strcmp(section, "proc") ? load_proc(k, &v, err) : !strcmp(section, "service") ? load_service(k, &v) :
			 !strcmp(section, "listen") ? load_listen(k, &v) : !strcmp(section, "link") ? load_link(k, &v) : 0;
		if (rc < 0)
			return err_add(err, "unable to take over a %s", section);
		at += n;
		len -= (size_t)n;
	}
	k->procs.serial = (unsigned)handover_number(h, "serial", 0);
	if (journal_load(k->journal, (uint64_t)handover_number(h, "last", 0), (uint64_t)handover_number(h, "acked", 0), at, len, err) < 0)
		return -1;
	if (k->logger)
		output_attach(k->output, k->logger);
	k->backend_said_hello = k->backend && handover_number(h, "hello", 0);
	if (k->backend_said_hello)
		journal_resume(k->journal, k->backend, (uint64_t)handover_number(h, "sent", 0));
	list_each(&k->procs.all, at_proc) {
		struct proc *p = list_of(at_proc, struct proc, link);
		proc_watch(p);
		if (adopt_is(p))
			adopt_watch(p);
	}
	return 0;
}
