/* proc_wire: a process as the fields of a `row` or an `event`. */
#include "keeper/proc.h"

static void put_text(struct buf *out, enum wire_field f, const char *s)
{
	if (s && *s)
		wire_text(out, f, s);
}

static void put_int(struct buf *out, enum wire_field f, int64_t v)
{
	if (v)
		wire_int(out, f, v);
}

static void put_end(const struct proc *p, struct buf *out)
{
	const struct cause *c = &p->cause;
	put_int(out, WF_exited_ms, p->exited_ms);
	put_text(out, WF_cause, c->name);
	put_text(out, WF_text, c->text);
	wire_int(out, WF_code, c->exec_errno ? c->exec_errno : c->code);
	wire_int(out, WF_signal, c->signal);
	wire_int(out, WF_cpu_ms, c->cpu_ms);
	wire_int(out, WF_peak_bytes, c->peak_bytes);
	put_text(out, WF_peak_source, c->peak_source);
	put_int(out, WF_limit_bytes, c->limit_bytes);
	put_text(out, WF_limit_owner, c->oom_owner);
	put_text(out, WF_victim_of, c->victim_of);
	put_int(out, WF_oom_kills, c->oom_kills);
	put_text(out, WF_by, c->by_whom);
	put_int(out, WF_lost, p->pipe ? p->pipe->lost : 0);
}

void proc_to_wire(struct proc *p, struct buf *out)
{
	char where[512];
	put_text(out, WF_kind, p->desc.kind);
	put_text(out, WF_state, proc_state_name(p));
	wire_text(out, WF_wanted, p->wanted_up ? "up" : "down");
	wire_int(out, WF_pid, p->pid);
	put_int(out, WF_start_ticks, (int64_t)p->start_ticks);
	put_text(out, WF_user, p->account ? p->account->name : "");
	put_text(out, WF_box, p->desc.box);
	put_text(out, WF_cgroup, cgroup_where(p->procs->cg, p->desc.box, where, sizeof(where)));
	put_text(out, WF_sink, p->desc.sink);
	put_text(out, WF_parent, p->desc.parent);
	put_text(out, WF_label, p->desc.label);
	put_int(out, WF_started_ms, p->started_ms);
	put_int(out, WF_ready_ms, p->ready_ms);
	if (p->state >= PROC_ENDED && p->cause.name)
		put_end(p, out);
}
