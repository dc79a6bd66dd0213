#include "keeper/sample.h"
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "sys/clock.h"

#define IDS_MAX 500  /* what is read in one turn of the loop */
#define REST_MS 5000 /* peak and CPU time are no news each second */
#define KEEP_MS 5000 /* asked for again within it: its files stay open */

static int read_usage(struct keeper *k, struct proc *p, bool all, int64_t now, struct cgroup_usage *u)
{
	if (all)
		return proc_usage(p, u, NULL);
	bool keep = p->sampled_mono_ms && now - p->sampled_mono_ms < KEEP_MS;
	bool with_rest = !p->sampled_rest_mono_ms || now - p->sampled_rest_mono_ms >= REST_MS;
	p->sampled_mono_ms = now;
	if (with_rest)
		p->sampled_rest_mono_ms = now;
	return cgroup_gauge_read(k->cg, p->desc.box, &p->gauge, keep, with_rest, u, NULL);
}

static void put_line(const char *id, const struct cgroup_usage *u, struct buf *out)
{
	char line[sizeof(((struct desc *)0)->id) + 160];
	snprintf(line, sizeof(line), "%s %lld %lld %lld %lld %lld %lld", id, (long long)u->memory_bytes, (long long)u->peak_bytes,
		 (long long)u->cpu_ms, (long long)u->rss_bytes, (long long)u->limit_bytes, (long long)u->pids);
	wire_text(out, WF_usage, line);
}

int sample_order(struct keeper *k, const struct wire_view *msg, struct err *err)
{
	struct buf b;
	const char *id;
	size_t at = 0;
	bool all = wire_get_int(msg, WF_on, 0) != 0;
	int64_t now = clock_mono_ms();
	if (wire_count(msg, WF_id) > IDS_MAX)
		return err_set(err, "more than %d processes in one sample", IDS_MAX);
	buf_init(&b, WIRE_FRAME_MAX + 64);
	size_t mark = wire_begin(&b, WIRE_samples);
	wire_int(&b, WF_req, wire_get_int(msg, WF_req, 0));
	while ((id = wire_next_text(msg, WF_id, &at))) {
		struct cgroup_usage u;
		struct proc *p = procs_find(&k->procs, id);
		if (p ? p->pid && p->state < PROC_ENDED && read_usage(k, p, all, now, &u) == 0
		      : !strcmp(id, "keeper") && cgroup_usage(k->cg, "core/keeper", &u, NULL) == 0) {
			if (p && u.current_bytes > 0)
				p->seen_bytes = u.current_bytes;
			put_line(id, &u, &b);
		}
	}
	if (wire_end(&b, mark) < 0 || wire_link_send(k->backend, &b, NULL, 0) < 0)
		log_error("unable to answer: the peer reads too slowly");
	buf_fini(&b);
	return 0;
}
