#include "keeper/orders.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "base/text.h"
#include "keeper/adopt.h"
#include "keeper/sample.h"
#include "sys/clock.h"

/* More processes than this on one node is a runaway, not a plan. */
#define PROCS_MAX 20000
#define REPLY_MAX (64 * 1024)
/* A backend that errs may err a thousand times a second: so many refusals are logged, the others are counted. */
#define REFUSALS_MAX       10
#define REFUSALS_WINDOW_MS 10000

/* --- answers --- */

static void send(struct wire_link *link, struct buf *b, size_t mark)
{
	if (wire_end(b, mark) < 0 || wire_link_send(link, b, NULL, 0) < 0)
		log_error("unable to answer: the peer reads too slowly");
	buf_fini(b);
}

void orders_welcome(struct keeper *k, struct wire_link *link)
{
	struct buf b;
	buf_init(&b, REPLY_MAX);
	size_t mark = wire_begin(&b, WIRE_welcome);
	wire_int(&b, WF_version, WIRE_VERSION);
	wire_text(&b, WF_instance, k->plan->instance);
	wire_text(&b, WF_boot, clock_boot_id());
	wire_int(&b, WF_pid, getpid());
	wire_int(&b, WF_seq, (int64_t)journal_last(k->journal));
	wire_text(&b, WF_isolation, keeper_isolation(k));
	wire_text(&b, WF_cgroups, cgroup_mode_name(k->cg));
	if (k->cgroup_note[0])
		wire_text(&b, WF_note, k->cgroup_note);
	wire_int(&b, WF_started_ms, k->started_ms);
	wire_text(&b, WF_dir, k->dir);
	send(link, &b, mark);
}

void orders_ok(struct wire_link *link, int64_t req, const char *id)
{
	struct buf b;
	buf_init(&b, 1024);
	size_t mark = wire_begin(&b, WIRE_ok);
	wire_int(&b, WF_req, req);
	if (id)
		wire_text(&b, WF_id, id);
	send(link, &b, mark);
}

void orders_fail(struct wire_link *link, int64_t req, int code, const char *text)
{
	struct buf b;
	buf_init(&b, 4096);
	size_t mark = wire_begin(&b, WIRE_fail);
	wire_int(&b, WF_req, req);
	wire_int(&b, WF_code, code);
	wire_text(&b, WF_text, text);
	send(link, &b, mark);
}

void orders_done(struct wire_link *link, int64_t req, int64_t count, int64_t code)
{
	struct buf b;
	buf_init(&b, 256);
	size_t mark = wire_begin(&b, WIRE_done);
	wire_int(&b, WF_req, req);
	wire_int(&b, WF_count, count);
	wire_int(&b, WF_code, code);
	send(link, &b, mark);
}

static void put_usage(struct proc *p, struct buf *b)
{
	struct cgroup_usage u;
	if (proc_usage(p, &u, NULL) < 0)
		return;
	const struct {
		enum wire_field f;
		int64_t v;
	} facts[] = {
		{ WF_memory_bytes, u.memory_bytes }, { WF_rss_bytes, u.rss_bytes }, { WF_limit_bytes, u.limit_bytes },
		{ WF_oom_kills, u.oom_kills },       { WF_pids, u.pids },
	};
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		wire_int(b, facts[i].f, facts[i].v);
	if (p->state < PROC_ENDED) { /* an ended one has its peak and CPU time in the verdict */
		wire_int(b, WF_peak_bytes, u.peak_bytes);
		wire_int(b, WF_cpu_ms, u.cpu_ms);
	}
}

static int send_row(struct keeper *k, int64_t req, struct proc *p, bool with_usage)
{
	struct buf b;
	buf_init(&b, REPLY_MAX);
	size_t mark = wire_begin(&b, WIRE_row);
	wire_int(&b, WF_req, req);
	wire_text(&b, WF_id, p->desc.id);
	proc_to_wire(p, &b);
	if (with_usage)
		put_usage(p, &b);
	int rc = wire_end(&b, mark) < 0 ? -1 : wire_link_send(k->backend, &b, NULL, 0);
	buf_fini(&b);
	return rc;
}

/* --- what an order may name --- */

static struct proc *find(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	const char *id = wire_get_text(msg, WF_id);
	struct proc *p = procs_find(&k->procs, id);
	if (!p)
		err_set(err, "process \"%s\" does not exist", id);
	else if (p->owner.ended) {
		err_set(err, "\"%s\" is a service: only the door may order it", id);
		p = NULL;
	}
	return p;
}

static bool is_box_allowed(const char *box)
{
	return !strncmp(box, "warm/", 5) || !strncmp(box, "run/", 4);
}

/* A box that holds a process holds no other boxes: its limits would be theirs, and its end as well. */
static int check_nesting(const struct keeper *k, const char *box, struct err *err)
{
	const struct proc *p = boxes_crossing(&k->procs.boxes, box);
	return p ? err_set(err, "box \"%s\" would lie in another, or another in it: \"%s\" of %s", box, p->desc.box, p->desc.id)
		 : 0;
}

/* What is asked of each new entry, born here or adopted. A service's name or kind would pass for that service after an exec in place. */
static int check_entry(struct keeper *k, const char *id, const char *kind, const char *box, struct err *err)
{
	if (k->services.is_closing)
		return err_set(err, "the node is stopping");
	if (k->procs.count >= PROCS_MAX)
		return err_set(err, "more than %d processes", PROCS_MAX);
	if (!strcmp(kind, "service") || services_find(&k->services, id))
		return err_set(err, "\"%s\" of kind \"%s\" would pass for a service: only the plan declares those", id, kind);
	return is_box_allowed(box) ? check_nesting(k, box, err) : err_set(err, "box \"%s\" is not below warm/ or run/", box);
}

static int check_spawn(struct keeper *k, const struct desc *d, struct err *err)
{
	if (check_entry(k, d->id, d->kind, d->box, err) < 0)
		return -1;
	if (!strncmp(d->sink, "service:", 8))
		return err_set(err, "sink \"%s\" belongs to a service", d->sink);
	if (accounts_is_one_user(k->accounts))
		return d->user[0] ? err_set(err, "user \"%s\": this instance runs as one user", d->user) : 0;
	const struct account *a = accounts_find(k->accounts, d->user, err);
	if (!a)
		return -1;
	return a->for_orders ? 0 : err_set(err, "user \"%s\" may not run processes by order", d->user);
}

/* --- the orders: 0 = answered, 1 = answer ok, -1 = answer fail --- */

static int order_hello(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	int64_t version = wire_get_int(msg, WF_version, 0);
	if (version != WIRE_VERSION && version != WIRE_VERSION - 1)
		return err_set(err, "wire version %lld: this keeper speaks %d and %d; restart it with the new version",
			       (long long)version, WIRE_VERSION, WIRE_VERSION - 1);
	k->epoch = wire_get_int(msg, WF_epoch, 0);
	k->backend_said_hello = true;
	orders_welcome(k, k->backend);
	journal_attach(k->journal, k->backend);
	log_info("backend says hello, epoch %lld", (long long)k->epoch);
	keeper_tell_drain(k);
	return 0;
}

static int order_heartbeat(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	(void)err;
	k->beat = true;
	/* A count that was on its way before the backend heard of the drain says nothing of what it took since. */
	if (k->phase != KEEPER_DRAINING || wire_get_int(msg, WF_on, 0))
		k->busy = wire_get_int(msg, WF_count, k->busy);
	return 0;
}

static int order_spawn(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	struct desc d;
	const char *id = wire_get_text(msg, WF_id);
	if (procs_find(&k->procs, id)) /* a backend that died after the order asks again: the same process */
		return 1;
	desc_init(&d);
	if (desc_from_wire(&d, msg, err) < 0 || check_spawn(k, &d, err) < 0) {
		desc_fini(&d);
		return -1;
	}
	return proc_start(&k->procs, &d, NULL, NULL, 0, err) ? 1 : -1;
}

/* An end by memory is the backend's to tell only where no kernel counter can: without cgroups, by its samples. */
static int check_cause(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	const char *cause = wire_get_text(msg, WF_cause);
	bool is_counted = !strcmp(cause, "oom_limit") && cgroup_mode(k->cg) != CGROUP_NONE;
	return cause_is_order(cause) && !is_counted ? 0 : err_set(err, "cause \"%s\" is none that an order can have", cause);
}

static int order_stop(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	struct proc *p = find(k, msg, err);
	if (!p || check_cause(k, msg, err) < 0)
		return -1;
	int64_t grace = wire_get_int(msg, WF_grace_ms, -1);
	if (grace > 24 * 3600 * 1000)
		return err_set(err, "a grace of %lld ms", (long long)grace);
	proc_stop(p, wire_get_text(msg, WF_cause), wire_get_text(msg, WF_text), wire_get_text(msg, WF_by), (int)grace);
	return 1;
}

static int order_signal(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	struct proc *p = find(k, msg, err);
	int64_t signo = wire_get_int(msg, WF_signal, 0);
	if (!p || check_cause(k, msg, err) < 0)
		return -1;
	if (signo < 1 || signo > SIGRTMAX)
		return err_set(err, "signal %lld does not exist", (long long)signo);
	return proc_signal(p, (int)signo, wire_get_text(msg, WF_cause), wire_get_text(msg, WF_text), err) < 0 ? -1 : 1;
}

static int order_route(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	struct proc *p = find(k, msg, err);
	const char *sink = wire_get_text(msg, WF_sink);
	struct desc probe;
	if (!p)
		return -1;
	if (!p->pipe)
		return err_set(err, "%s has no output to route", p->desc.id);
	probe = p->desc; /* borrowed, only to check the words */
	if (desc_set(&probe, "sink", sink, err) < 0 || desc_check(&probe, err) < 0 || !strncmp(sink, "service:", 8))
		return err_add(err, "unable to route to \"%s\"", sink);
	const char *prefix = wire_get_text(msg, WF_prefix);
	if (desc_set(&p->desc, "prefix", prefix ? prefix : "", err) < 0)
		return -1;
	memcpy(p->desc.sink, probe.sink, sizeof(probe.sink));
	int rc = output_route(p->pipe, sink, prefix, wire_get_int(msg, WF_req, 0), k->epoch);
	return rc < 0 ? err_set(err, "the logger's queue is full") : rc == 0 ? 1 : 0;
}

/* Should the logger die before it says so, nobody answers: the next one gets the pipe with the new sink, and the backend waits no longer
 * than it likes. */
void orders_routed(void *keeper, const char *id, int64_t req, int64_t epoch)
{
	struct keeper *k = keeper;
	if (k->backend && k->backend_said_hello && epoch == k->epoch)
		orders_ok(k->backend, req, id);
}

static bool restore(void *data, struct proc *p)
{
	struct keeper *k = data;
	for (size_t i = 0; p->state < PROC_ENDED && i < p->desc.nlimits; i++)
		if (p->desc.limits[i].knob == CGROUP_CPU)
			cgroup_set(k->cg, p->desc.box, CGROUP_CPU, p->desc.limits[i].value, NULL);
	return true;
}

static int order_limit(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	const char *box = wire_get_text(msg, WF_box);
	enum cgroup_knob knob;
	if (!is_box_allowed(box))
		return err_set(err, "box \"%s\" is not below warm/ or run/", box);
	if (desc_knob(wire_get_text(msg, WF_knob), &knob, err) < 0)
		return -1;
	if (!boxes_has(&k->procs.boxes, box)) /* boxes come and go with processes: one that an order made would stay for ever */
		return err_sys(err, ENOENT, "unable to limit box \"%s\"", box);
	if (cgroup_set(k->cg, box, knob, wire_get_int(msg, WF_value, -1), err) < 0)
		return -1;
	/* Boxes below it that had to take less get what they were ordered with again (cgroup v1). */
	if (knob == CGROUP_CPU)
		boxes_each(&k->procs.boxes, box, restore, k);
	return 1;
}

static int order_freeze(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	struct proc *p = find(k, msg, err);
	bool on = wire_get_int(msg, WF_on, 0) != 0;
	if (!p || cgroup_freeze(k->cg, p->desc.box, on, err) < 0)
		return -1;
	p->is_frozen = on;
	return 1;
}

static int order_label(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	struct proc *p = find(k, msg, err);
	return p && proc_label(p, wire_get_text(msg, WF_label), err) == 0 ? 1 : -1;
}

static int order_box(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	const char *id = wire_get_text(msg, WF_id);
	if (!procs_find(&k->procs, id) && check_entry(k, id, wire_get_text(msg, WF_kind), wire_get_text(msg, WF_box), err) < 0)
		return -1;
	return adopt_process(&k->procs, msg, err) < 0 ? -1 : 1;
}

static int order_list(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	int64_t req = wire_get_int(msg, WF_req, 0), n = 0;
	list_each (&k->procs.all, at) {
		if (send_row(k, req, list_of(at, struct proc, link), false) < 0)
			return err_set(err, "the answer is larger than the queue: list again once it is read");
		n++;
	}
	orders_done(k->backend, req, n, 0);
	return 0;
}

static int order_reopen(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	(void)msg;
	(void)err;
	output_reopen(k->output);
	return 1;
}

static int order_ack(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	(void)err;
	procs_ack(&k->procs, (uint64_t)wire_get_int(msg, WF_seq, 0));
	return 0;
}

static int order_usage(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	struct proc *p = find(k, msg, err);
	if (!p)
		return -1;
	send_row(k, wire_get_int(msg, WF_req, 0), p, true);
	if (wire_get_int(msg, WF_on, 0)) /* a task begins or ends: what was counted before is not its doing */
		cgroup_oom_mark(k->cg, p->desc.box, &p->mark, NULL);
	return 0;
}

static const struct {
	enum wire_type type;
	int (*fn)(struct keeper *k, const struct wire_view *msg, struct err *err);
} orders[] = {
	{ WIRE_hello, order_hello }, { WIRE_heartbeat, order_heartbeat }, { WIRE_spawn, order_spawn },
	{ WIRE_stop, order_stop },   { WIRE_signal, order_signal },       { WIRE_route, order_route },
	{ WIRE_limit, order_limit }, { WIRE_freeze, order_freeze },       { WIRE_label, order_label },
	{ WIRE_box, order_box },     { WIRE_list, order_list },           { WIRE_reopen, order_reopen },
	{ WIRE_ack, order_ack },     { WIRE_usage, order_usage },         { WIRE_sample, sample_order },
};

void orders_tell_refusals(struct keeper *k)
{
	if (k->refusals > REFUSALS_MAX)
		log_warn("refused %lld more orders of the backend", (long long)k->refusals - REFUSALS_MAX);
	k->refusals = 0;
}

static void note_refusal(struct keeper *k, int type, const struct err *err)
{
	int64_t now = clock_mono_ms();
	if (now - k->refusals_since_ms >= REFUSALS_WINDOW_MS) {
		orders_tell_refusals(k);
		k->refusals_since_ms = now;
	}
	if (++k->refusals <= REFUSALS_MAX)
		log_warn("refused an order of the backend: %s: %s", wire_type_name(type), err->text);
}

void orders_message(struct keeper *k, const struct wire_view *msg)
{
	struct err err = { 0 };
	int64_t req = wire_get_int(msg, WF_req, 0);
	int rc = -1;
	if (wire_check(msg, 'B', &err) == 0) {
		if (!k->backend_said_hello && msg->type != WIRE_hello) {
			err_set(&err, "%s before hello", wire_type_name(msg->type));
		} else {
			err_set(&err, "%s is no order", wire_type_name(msg->type));
			for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
				if ((int)orders[i].type == msg->type)
					rc = orders[i].fn(k, msg, &err);
		}
	}
	if (rc < 0) {
		note_refusal(k, msg->type, &err);
		orders_fail(k->backend, req, err.code ? err.code : EINVAL, err.text);
	} else if (rc > 0) {
		orders_ok(k->backend, req, wire_get_text(msg, WF_id));
	}
}
