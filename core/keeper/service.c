#include "keeper/service.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/text.h"
#include "base/words.h"
#include "keeper/secret.h"
#include "sys/clock.h"

#define BACKOFF_FIRST_MS 1000  /* the pause after the second crash; doubled after each further one */
#define SAFE_WINDOW_MS   60000 /* this many crashes of the backend within a minute: start on the last good policies */
#define SAFE_CRASHES     3

static const char *const states[] = { "down", "starting", "up", "backoff", "stopping", "failed", NULL };
static const char *const events[] = { "start", "ready", "healthy", "exit", "timer", "stop", "give_up", NULL };

static const struct fsm_row rows[] = {
	{ SERVICE_DOWN, SERVICE_START, SERVICE_STARTING, "spawn" },
	{ SERVICE_STARTING, SERVICE_READY, SERVICE_UP, "note" },
	{ SERVICE_STARTING, SERVICE_EXIT, SERVICE_BACKOFF, "schedule" },
	{ SERVICE_STARTING, SERVICE_STOP, SERVICE_STOPPING, "stop the process" },
	{ SERVICE_UP, SERVICE_HEALTHY, SERVICE_UP, "forget crashes" },
	{ SERVICE_UP, SERVICE_EXIT, SERVICE_BACKOFF, "schedule" },
	{ SERVICE_UP, SERVICE_STOP, SERVICE_STOPPING, "stop the process" },
	{ SERVICE_BACKOFF, SERVICE_TIMER, SERVICE_STARTING, "spawn" },
	{ SERVICE_BACKOFF, SERVICE_START, SERVICE_STARTING, "spawn" },
	{ SERVICE_BACKOFF, SERVICE_STOP, SERVICE_DOWN, "" },
	{ SERVICE_BACKOFF, SERVICE_GIVE_UP, SERVICE_FAILED, "tell" },
	{ SERVICE_STOPPING, SERVICE_READY, SERVICE_STOPPING, "" },
	{ SERVICE_STOPPING, SERVICE_STOP, SERVICE_STOPPING, "" },
	{ SERVICE_STOPPING, SERVICE_EXIT, SERVICE_DOWN, "" },
	{ SERVICE_FAILED, SERVICE_START, SERVICE_STARTING, "spawn" },
	{ SERVICE_FAILED, SERVICE_STOP, SERVICE_DOWN, "" },
};

const struct fsm service_fsm = FSM("service", states, events, rows);

const char *service_state_name(const struct service *s)
{
	return states[s->state];
}

static void feed(struct service *s, enum service_event event);

/* --- one timer for all services --- */

static void set_timer(struct services *all)
{
	int64_t next = 0, now = clock_mono_ms();
	list_each (&all->all, at) {
		const struct service *s = list_of(at, struct service, link);
		if (s->due_ms && (!next || s->due_ms < next))
			next = s->due_ms;
	}
	if (next)
		loop_timer_start(all->timer, next > now ? next - now : 0);
	else
		loop_timer_stop(all->timer);
}

static void on_timer(void *data)
{
	struct services *all = data;
	int64_t now = clock_mono_ms();
	list_each (&all->all, at) {
		struct service *s = list_of(at, struct service, link);
		if (!s->due_ms || s->due_ms > now)
			continue;
		s->due_ms = 0;
		feed(s, s->state == SERVICE_UP ? SERVICE_HEALTHY : SERVICE_TIMER);
	}
	set_timer(all);
}

static void due_in(struct service *s, int64_t ms)
{
	s->due_ms = ms < 0 ? 0 : clock_mono_ms() + ms;
	set_timer(s->all);
}

/* --- actions --- */

static void on_ready(void *data, struct proc *p)
{
	struct service *s = data;
	if (p == s->proc)
		feed(s, SERVICE_READY);
}

static void on_ended(void *data, struct proc *p)
{
	struct service *s = data;
	if (p != s->proc)
		return;
	snprintf(s->last_cause, sizeof(s->last_cause), "%s", p->cause.name);
	cause_say(&s->last_text, "%.290s", cause_text(p->cause.text));
	s->proc = NULL;
	feed(s, SERVICE_EXIT);
}

/* The description goes through the wire's own form, so that there is one way to copy it. */
static int copy_desc(struct desc *to, const struct desc *from, struct err *err)
{
	struct buf b;
	struct wire_view v;
	int rc = -1;
	desc_init(to);
	buf_init(&b, WIRE_FRAME_MAX);
	size_t mark = wire_begin(&b, WIRE_spawn);
	desc_to_wire(from, &b);
	if (wire_end(&b, mark) < 0 || wire_parse(b.data, b.len, &v, err) <= 0)
		err_set(err, "unable to copy the description of %s", from->id);
	else
		rc = desc_from_wire(to, &v, err);
	buf_fini(&b);
	to->is_starter = from->is_starter; /* a handover has no use for it */
	return rc;
}

static void spawn(struct service *s)
{
	struct services *all = s->all;
	struct proc_fd fds[SERVICE_FDS_MAX];
	struct proc_owner owner = { on_ready, on_ended, s };
	struct desc d;
	struct err err = { 0 };
	size_t nfds = 0;
	s->next_wall_ms = 0;
	s->starts++;
	bool is_given = false;
	if (copy_desc(&d, &s->plan->desc, &err) < 0 || (s->plan->secret && secret_read(s->plan->secret, &d, &err) < 0) ||
	    (all->give && all->give(all->data, s, fds, &nfds, &err) < 0))
		goto failed;
	is_given = true;
	if (!strcmp(d.id, "backend") && service_crashes_within(s, SAFE_WINDOW_MS) >= SAFE_CRASHES) {
		log_warn("backend crashed %d times within a minute: it starts on the last good policies", SAFE_CRASHES);
		words_add(&d.env, "DSS_SAFE=1", NULL);
	}
	struct proc *p = proc_start(all->procs, &d, &owner, fds, nfds, &err);
	if (!p)
		goto failed;
	s->proc = p;
	if (all->given)
		all->given(all->data, s, fds, nfds, true);
	if (p->state == PROC_READY) /* rule `exec`: it was ready before we knew it */
		feed(s, SERVICE_READY);
	return;
failed:
	desc_fini(&d);
	if (is_given && all->given)
		all->given(all->data, s, fds, nfds, false);
	log_error("unable to start %s: %s", s->plan->desc.id, err.text);
	snprintf(s->last_cause, sizeof(s->last_cause), "start_failed");
	cause_say(&s->last_text, "%.290s", err.text);
	feed(s, SERVICE_EXIT);
}

static void note_crash(struct service *s)
{
	int64_t now = clock_mono_ms();
	memmove(s->crash_mono_ms + 1, s->crash_mono_ms, sizeof(s->crash_mono_ms) - sizeof(s->crash_mono_ms[0]));
	s->crash_mono_ms[0] = now;
	if (!s->crashing_since_ms)
		s->crashing_since_ms = now;
	s->crashes++;
}

static int64_t pause_ms(const struct service *s)
{
	int64_t ms = BACKOFF_FIRST_MS;
	if (s->crashes <= 1)
		return 0;
	for (int i = 2; i < s->crashes && ms < s->plan->restart_most_ms; i++)
		ms *= 2;
	return ms < s->plan->restart_most_ms ? ms : s->plan->restart_most_ms;
}

static void schedule(struct service *s)
{
	const struct plan_service *plan = s->plan;
	char pause[40];
	note_crash(s);
	int64_t wait = pause_ms(s), now = clock_mono_ms(), wall = clock_wall_ms();
	/* while the node stops the logger alone is kept up: it has to write what the others said last */
	if (!s->wanted_up || (s->all->is_closing && strcmp(plan->desc.id, "logger"))) {
		feed(s, SERVICE_STOP);
		return;
	}
	if (plan->give_up_ms && now + wait - s->crashing_since_ms > plan->give_up_ms) {
		feed(s, SERVICE_GIVE_UP);
		return;
	}
	s->give_up_wall_ms = plan->give_up_ms ? wall + s->crashing_since_ms + plan->give_up_ms - now : 0;
	if (wait == 0) {
		feed(s, SERVICE_TIMER);
		return;
	}
	s->next_wall_ms = wall + wait;
	log_warn("%s ended %d times without health (%s: %s); retry in %s", plan->desc.id, s->crashes, s->last_cause,
		 cause_text(s->last_text), text_print_duration(wait, pause, sizeof(pause)));
	due_in(s, wait);
}

static void forget_crashes(struct service *s)
{
	s->crashes = 0;
	s->crashing_since_ms = 0;
	s->give_up_wall_ms = 0;
}

static void enter(struct service *s, enum service_event event)
{
	switch (event) {
	case SERVICE_START:
		if (s->state == SERVICE_STARTING)
			spawn(s);
		break;
	case SERVICE_TIMER:
		spawn(s);
		break;
	case SERVICE_READY:
		if (s->state != SERVICE_UP)
			break;
		log_info("%s is ready", s->plan->desc.id);
		due_in(s, s->crashes ? s->plan->healthy_ms : -1);
		services_kick(s->all);
		break;
	case SERVICE_HEALTHY:
		log_info("%s is healthy again", s->plan->desc.id);
		forget_crashes(s);
		break;
	case SERVICE_EXIT:
		if (s->state == SERVICE_BACKOFF)
			schedule(s);
		else if (s->wanted_up && !s->all->is_closing)
			feed(s, SERVICE_START); /* a restart was asked for */
		break;
	case SERVICE_GIVE_UP:
		log_error("%s is given up after %d ends without health: start it by hand once the cause is gone (%s: %s)",
			  s->plan->desc.id, s->crashes, s->last_cause, cause_text(s->last_text));
		break;
	case SERVICE_STOP:
		break;
	}
}

static void feed(struct service *s, enum service_event event)
{
	const struct fsm_row *row = fsm_step(&service_fsm, (int)s->state, event);
	if (!row) {
		log_debug("%s: %s does not happen in state %s", s->plan->desc.id, events[event], states[s->state]);
		return;
	}
	if (s->state != (enum service_state)row->next) {
		s->changed_wall_ms = clock_wall_ms();
		s->due_ms = 0;
		if (row->next != SERVICE_BACKOFF)
			s->next_wall_ms = 0;
	}
	s->state = (enum service_state)row->next;
	enter(s, event);
	if (s->all->changed)
		s->all->changed(s->all->data, s);
}

/* --- public --- */

int services_init(struct services *all, struct procs *procs, const struct plan *plan, struct err *err)
{
	list_init(&all->all);
	all->procs = procs;
	all->timer = loop_timer_new(procs->loop, on_timer, all);
	if (!all->timer)
		return err_set(err, "no memory");
	list_each (&plan->services, at) {
		struct service *s = calloc(1, sizeof(*s));
		if (!s)
			return err_set(err, "no memory");
		s->all = all;
		s->plan = list_of(at, struct plan_service, link);
		s->changed_wall_ms = clock_wall_ms();
		list_push(&all->all, &s->link);
	}
	return 0;
}

void services_fini(struct services *all)
{
	list_each (&all->all, at) {
		struct service *s = list_of(at, struct service, link);
		free(s->last_text);
		free(s);
	}
	loop_timer_free(&all->timer);
}

struct service *services_find(const struct services *all, const char *name)
{
	list_each (&all->all, at) {
		struct service *s = list_of(at, struct service, link);
		if (!strcmp(s->plan->desc.id, name))
			return s;
	}
	return NULL;
}

void services_wake(struct services *all)
{
	set_timer(all);
}

static bool may_start(const struct service *s)
{
	for (char **a = s->plan->after; a && *a; a++) {
		const struct service *o = services_find(s->all, *a);
		if (o && o->state != SERVICE_UP)
			return false;
	}
	return true;
}

void services_kick(struct services *all)
{
	/* A start may end in "ready" at once, which kicks again: one more round, not one more stack frame for each service. */
	all->is_kicked_again = true;
	if (all->is_kicking)
		return;
	all->is_kicking = true;
	while (all->is_kicked_again) {
		all->is_kicked_again = false;
		list_each (&all->all, at) {
			struct service *s = list_of(at, struct service, link);
			if (!all->is_closing && s->wanted_up && s->state == SERVICE_DOWN && may_start(s))
				feed(s, SERVICE_START);
		}
	}
	all->is_kicking = false;
}

void service_start(struct service *s)
{
	s->wanted_up = true;
	forget_crashes(s);
	if (s->state == SERVICE_DOWN)
		services_kick(s->all);
	else if (s->state == SERVICE_BACKOFF || s->state == SERVICE_FAILED)
		feed(s, SERVICE_START);
}

static void stop_proc(struct service *s, const char *cause, const char *text, const char *by, bool now)
{
	if (s->state == SERVICE_DOWN)
		return;
	feed(s, SERVICE_STOP);
	if (!s->proc)
		return;
	if (now)
		proc_kill(s->proc, cause, text, by);
	else
		proc_stop(s->proc, cause, text, by, -1);
}

void service_stop(struct service *s, const char *cause, const char *text, const char *by, bool now)
{
	s->wanted_up = false;
	stop_proc(s, cause, text, by, now);
}

void service_restart(struct service *s, const char *by)
{
	s->wanted_up = true;
	forget_crashes(s);
	if (s->proc)
		stop_proc(s, "admin", "restart", by, false);
	else
		service_start(s);
}

int service_reload(struct service *s, struct err *err)
{
	const char *name = s->plan->desc.id;
	if (!s->plan->reload_signal)
		return err_set(err, "service %s cannot be reloaded: config/dss.lua says no `reload` for it; dss restart %s", name,
			       name);
	if (s->state != SERVICE_UP)
		return err_set(err, "service %s is not ready (%s): there is nothing to reload", name, states[s->state]);
	return proc_signal(s->proc, s->plan->reload_signal, "admin", "reload", err);
}

int service_crashes_within(const struct service *s, int64_t window_ms)
{
	int64_t now = clock_mono_ms();
	int n = 0;
	for (int i = 0; i < SERVICE_CRASHES_KEPT; i++)
		n += s->crash_mono_ms[i] && now - s->crash_mono_ms[i] <= window_ms;
	return n;
}

void service_to_wire(struct service *s, struct buf *out)
{
	wire_text(out, WF_id, s->plan->desc.id);
	wire_text(out, WF_name, s->plan->desc.id);
	wire_text(out, WF_kind, "service");
	/* what an admin wants to read: ready, not the inner word "up" */
	wire_text(out, WF_state, s->state == SERVICE_UP ? "ready" : service_state_name(s));
	wire_text(out, WF_wanted, s->wanted_up ? "up" : "down");
	wire_int(out, WF_pid, s->proc ? s->proc->pid : 0);
	wire_text(out, WF_box, s->plan->desc.box);
	wire_int(out, WF_crashes, s->crashes);
	wire_int(out, WF_count, s->starts ? (int64_t)s->starts - 1 : 0);
	if (s->proc) {
		struct cgroup_usage u;
		char where[512];
		wire_int(out, WF_started_ms, s->proc->started_ms);
		wire_int(out, WF_ready_ms, s->proc->ready_ms);
		wire_text(out, WF_cgroup, cgroup_where(s->all->procs->cg, s->plan->desc.box, where, sizeof(where)));
		if (proc_usage(s->proc, &u, NULL) == 0)
			wire_int(out, WF_memory_bytes, u.memory_bytes);
	}
	if (s->last_cause[0]) {
		wire_text(out, WF_cause, s->last_cause);
		wire_text(out, WF_text, s->last_text);
	}
	if (s->next_wall_ms)
		wire_int(out, WF_next_ms, s->next_wall_ms);
	if (s->give_up_wall_ms && s->crashes)
		wire_int(out, WF_give_up_ms, s->give_up_wall_ms);
}

void service_adopt(struct service *s, struct proc *p)
{
	s->wanted_up = p->wanted_up;
	s->proc = p;
	s->starts++;
	p->owner = (struct proc_owner){ on_ready, on_ended, s };
	s->state = p->state == PROC_READY ? SERVICE_UP : p->state >= PROC_STOPPING ? SERVICE_STOPPING : SERVICE_STARTING;
}
