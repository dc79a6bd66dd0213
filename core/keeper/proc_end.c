#include "keeper/proc_end.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "keeper/orphans.h"
#include "keeper/ready.h"
#include "sys/clock.h"
#include "sys/fds.h"

/* How often an unempty box is looked at after the end of its process: soon at first, since most empty at once. */
#define SETTLE_FIRST_MS 2
#define SETTLE_MOST_MS  500

/* --- the verdict --- */

/* The other process below the level whose limit was hit that grew most since the last sample, more than the victim did: that one need not be the
 * one that grew. */
static void name_grower(struct proc *p)
{
	struct cgroup_usage u;
	const struct proc *most = NULL;
	int64_t most_bytes = p->cause.peak_bytes - p->seen_bytes, bytes = 0;
	char size[32];
	bool is_root = !strcmp(cause_text(p->cause.oom_owner), ".");
	size_t n = strlen(cause_text(p->cause.oom_owner));
	if (!n || !strcmp(p->cause.oom_owner, p->desc.box))
		return;
	list_each (&p->procs->all, at) {
		struct proc *o = list_of(at, struct proc, link);
		bool is_below = is_root || (!strncmp(o->desc.box, p->cause.oom_owner, n) && o->desc.box[n] == '/');
		if (o == p || !is_below || !proc_is_alive(o))
			continue;
		if (cgroup_usage(p->procs->cg, o->desc.box, &u, NULL) == 0 && u.current_bytes - o->seen_bytes > most_bytes) {
			most = o;
			bytes = u.current_bytes;
			most_bytes = bytes - o->seen_bytes;
		}
	}
	if (most)
		cause_say(&p->cause.victim_of, "%s (%s)", most->desc.id, text_print_size(bytes, size, sizeof(size)));
}

static void read_counters(struct proc *p)
{
	struct cgroup_usage u;
	struct cgroup_oom oom;
	struct cause *c = &p->cause;
	bool has_failed = !c->has_status || c->status != 0; /* refused forks explain failures only */
	/* without cgroups a reading costs a scan of /proc and knows no more than wait4 */
	if (cgroup_mode(p->procs->cg) != CGROUP_NONE && cgroup_tally(p->procs->cg, p->desc.box, has_failed, &u, NULL) == 0) {
		if (u.peak_bytes > 0) {
			c->peak_bytes = u.peak_bytes;
			c->peak_source = "cgroup";
		}
		if (u.cpu_ms > c->cpu_ms)
			c->cpu_ms = u.cpu_ms;
		c->limit_bytes = u.limit_bytes;
		c->pids_refused = u.pids_refused > 0 ? u.pids_refused : 0;
		/* the usual end: nobody was killed for memory, so no level above need be asked for its limit */
		if (u.oom_kills >= 0 && u.oom_kills <= p->mark.kills)
			return;
	}
	if (cgroup_oom_since(p->procs->cg, p->desc.box, &p->mark, &oom, NULL) == 0) {
		c->oom_kills = oom.kills > 0 ? oom.kills : 0;
		if (c->oom_kills > 0) {
			cause_say(&c->oom_owner, "%.255s", oom.owner);
			if (oom.owner[0])
				c->limit_bytes = oom.owner_limit_bytes;
			name_grower(p);
		}
	}
}

void proc_judge(struct proc *p)
{
	proc_due(p, PROC_DUE_DEADLINE, -1);
	ready_end(p);
	p->wanted_up = false;
	p->exited_ms = clock_wall_ms();
	read_counters(p);
	cause_judge(&p->cause, p->desc.id);
	proc_tell(p, "exited");
	log_at(!strcmp(p->cause.name, "exited") || p->cause.by_cause[0] ? LOG_INFO : LOG_WARN, "%s (pid %d) ended: %s: %s",
	       p->desc.id, (int)p->pid, p->cause.name, cause_text(p->cause.text));
	p->settle_ms = SETTLE_FIRST_MS;
	if (p->pid)
		proc_settle(p);
	else /* never born: whoever is starting it must get it back first */
		proc_due(p, PROC_DUE_SETTLE, 0);
}

/* --- after the end: the rest of the box, the rest of the output --- */

void proc_forget(struct proc *p)
{
	struct procs *t = p->procs;
	if (map_get(t->by_id, p->desc.id) == p)
		map_remove(t->by_id, p->desc.id);
	list_remove(&p->link);
	boxes_leave(&t->boxes, p);
	t->count--;
	ready_end(p);
	loop_io_free(&p->status_io);
	loop_io_free(&p->start_io);
	loop_io_free(&p->oom_io);
	fds_close(&p->status_fd);
	fds_close(&p->start_fd);
	fds_close(&p->oom_fd);
	cgroup_gauge_close(t->cg, &p->gauge);
	fds_close(&p->pidfd);
	output_forget(&p->pipe);
	desc_fini(&p->desc);
	cause_fini(&p->cause);
	free(p);
}

static bool is_no_other(void *data, struct proc *o)
{
	return o == data || o->state >= PROC_DEAD;
}

static bool is_box_in_use(struct proc *p)
{
	return !boxes_each_in(&p->procs->boxes, p->desc.box, is_no_other, p);
}

/* The levels above a box below run/ are made for it: they go with the last that is in them. */
static void remove_above(struct proc *p)
{
	char box[sizeof(p->desc.box)];
	memcpy(box, p->desc.box, sizeof(box));
	if (strncmp(box, "run/", 4) != 0 || cgroup_mode(p->procs->cg) == CGROUP_NONE || is_box_in_use(p))
		return;
	for (char *slash; (slash = strrchr(box, '/')) && slash > box + 3;) {
		*slash = '\0';
		if (!boxes_each_below(&p->procs->boxes, box, is_no_other, p) || cgroup_remove(p->procs->cg, box, NULL) < 0)
			return;
	}
}

static void quiet_if(struct proc *p)
{
	struct err err = { 0 };
	if (!p->is_box_quiet || !p->is_drained || p->state != PROC_ENDED)
		return;
	if (!p->owner.ended && !p->is_box_gone && !is_box_in_use(p) && cgroup_remove(p->procs->cg, p->desc.box, &err) < 0) {
		if (err.code == EBUSY) {
			proc_due(p, PROC_DUE_SETTLE, p->settle_ms);
			return;
		}
		log_error("%s", err.text);
	}
	if (!p->owner.ended)
		remove_above(p);
	proc_feed(p, PROC_QUIET);
}

/* Removing is the question, where the box is to go anyway: 1 nobody lives there, 0, -1. */
static int empty_box(struct proc *p, struct err *err)
{
	if (p->owner.ended)
		return cgroup_is_empty(p->procs->cg, p->desc.box, err);
	p->is_box_gone = cgroup_remove(p->procs->cg, p->desc.box, err) == 0;
	if (p->is_box_gone)
		boxes_leave(&p->procs->boxes, p);
	return p->is_box_gone ? 1 : err->code == EBUSY ? 0 : -1;
}

void proc_settle(struct proc *p)
{
	struct proc_owner owner = p->owner;
	struct err err = { 0 };
	if (p->state != PROC_ENDED)
		return;
	if (p->is_box_quiet) { /* only the removal is left */
		p->settle_ms = p->settle_ms * 2 > SETTLE_MOST_MS ? SETTLE_MOST_MS : p->settle_ms * 2;
		quiet_if(p);
		return;
	}
	bool is_none = cgroup_mode(p->procs->cg) == CGROUP_NONE;
	/* Whoever the dead process left behind is our child by now, or below one: with no strange child nobody need be looked for. */
	bool is_alone = is_none && orphans_count(p->procs) == 0;
	int empty = is_alone || is_box_in_use(p) ? 1 : empty_box(p, &err);
	if (empty < 0)
		log_error("%s", err.text);
	if (is_alone && p->pid)
		cgroup_none_forget(p->procs->cg, p->desc.box, p->pid);
	if (empty == 0 || (is_none && !is_alone && orphans_kill(p->procs, p->desc.id) > 0)) {
		proc_kill_box(p);
		proc_due(p, PROC_DUE_SETTLE, p->settle_ms);
		p->settle_ms = p->settle_ms * 2 > SETTLE_MOST_MS ? SETTLE_MOST_MS : p->settle_ms * 2;
		return;
	}
	p->is_box_quiet = true;
	if (owner.ended)
		owner.ended(owner.data, p);
	quiet_if(p);
}

void proc_drained(void *data)
{
	struct proc *p = data;
	p->is_drained = true;
	quiet_if(p);
}
