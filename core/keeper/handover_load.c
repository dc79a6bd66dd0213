/* handover_load: what the former keeper wrote down (handover.c), taken up by its successor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/map.h"
#include "keeper/adopt.h"
#include "keeper/handover.h"
#include "keeper/proc_end.h"
#include "sys/clock.h"
#include "sys/fds.h"

static int64_t get(const struct wire_view *v, const char *name, int64_t otherwise)
{
	const char *at = wire_get_text(v, WF_note);
	size_t n = strlen(name);
	for (; at && *at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
		if (!strncmp(at, name, n) && at[n] == '=')
			return strtoll(at + n + 1, NULL, 10);
	return otherwise;
}

struct handover {
	char *data;
	size_t len;
	struct wire_view keeper;
};

struct handover *handover_read(int fd, struct err *err)
{
	struct handover *h = calloc(1, sizeof(*h));
	off_t size = lseek(fd, 0, SEEK_END);
	if (h && size > 0 && size < (off_t)HANDOVER_MAX && (h->data = malloc((size_t)size)) &&
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
	const struct {
		char **text;
		enum wire_field f;
	} texts[] = {
		{ &c->by_text, WF_text },          { &c->by_whom, WF_by },          { &c->exec_text, WF_what },
		{ &c->oom_owner, WF_limit_owner }, { &c->victim_of, WF_victim_of }, { &c->text, WF_dir },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		cause_say(texts[i].text, "%s", cause_text(wire_get_text(v, texts[i].f)));
	const char *source = cause_text(wire_get_text(v, WF_peak_source));
	c->peak_source = !strcmp(source, "cgroup") ? "cgroup" : *source ? "rusage" : NULL;
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
	p->start_fd = keep_fd(get(v, "start_fd", -1));
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
	if (out >= 0 &&
	    (p->pipe = output_add(k->output, wire_get_text(v, WF_name), p->desc.sink, p->desc.prefix, p->desc.masks, out)))
		p->pipe->is_finished = get(v, "finished", 0);
	const void *mark = wire_get_bytes(v, HANDOVER_MARK, &len);
	if (mark && len == sizeof(p->mark))
		memcpy(&p->mark, mark, len);
	else /* another version's counters: begin anew */
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
		p->exit_seq = 0; /* nobody waits for its end but the logger */
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
		return 0; /* the new plan has it no more; its process is stopped by the caller */
	s->wanted_up = get(v, "wanted", 1);
	s->crashes = (int)get(v, "crashes", 0);
	s->crashing_since_ms = get(v, "since", 0);
	s->next_wall_ms = get(v, "next", 0);
	s->give_up_wall_ms = get(v, "give_up", 0);
	s->starts = (unsigned)get(v, "starts", 1);
	copy(s->last_cause, sizeof(s->last_cause), v, WF_cause);
	cause_say(&s->last_text, "%s", cause_text(wire_get_text(v, WF_text)));
	for (int i = 0; i < SERVICE_CRASHES_KEPT; i++) {
		char name[16];
		snprintf(name, sizeof(name), "c%d", i);
		s->crash_mono_ms[i] = get(v, name, 0);
	}
	if (s->proc) {
		if (s->state == SERVICE_UP)
			s->due_ms = get(v, "due", 0); /* when its crashes will be forgotten */
		return 0;
	}
	int state = (int)get(v, "state", SERVICE_DOWN);
	if (state == SERVICE_FAILED)
		s->state = SERVICE_FAILED;
	else if (s->wanted_up && (state == SERVICE_BACKOFF || state == SERVICE_STARTING || state == SERVICE_UP)) {
		s->state = SERVICE_BACKOFF; /* the next try, at once if it was due meanwhile */
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
			break; /* the journal begins */
		const char *section = wire_get_text(&v, WF_verb);
		int rc = !strcmp(section, "proc")      ? load_proc(k, &v, err)
			 : !strcmp(section, "service") ? load_service(k, &v)
			 : !strcmp(section, "listen")  ? load_listen(k, &v)
			 : !strcmp(section, "link")    ? load_link(k, &v)
						       : 0;
		if (rc < 0)
			return err_add(err, "unable to take over a %s", section);
		at += n;
		len -= (size_t)n;
	}
	k->procs.serial = (unsigned)handover_number(h, "serial", 0);
	if (journal_load(k->journal, (uint64_t)handover_number(h, "last", 0), (uint64_t)handover_number(h, "acked", 0), at, len,
			 err) < 0)
		return -1;
	if (k->logger)
		output_attach(k->output, k->logger);
	k->backend_said_hello = k->backend && handover_number(h, "hello", 0);
	if (k->backend_said_hello)
		journal_resume(k->journal, k->backend, (uint64_t)handover_number(h, "sent", 0));
	list_each (&k->procs.all, at_proc) {
		struct proc *p = list_of(at_proc, struct proc, link);
		proc_watch(p);
		if (adopt_is(p))
			adopt_watch(p);
	}
	return 0;
}
