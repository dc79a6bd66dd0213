/* node_notebook_lease: what is kept of kernels for the next backend: leases, and what idleness is counted from. That of a kernel of ours stands with its
 * row; one of a server that we only attach to has a row for this alone. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/jtext.h"
#include "node/node_notebook_look.h"
#include "sys/clock.h"

#define DETAIL_MAX 4096

/* --- members --- */

static void put_look(const struct look_kernel *lk, struct buf *out)
{
	jtext_int(out, "lookStarted", lk->idle.started_ms);
	jtext_int(out, "lookWork", lk->idle.work_ms);
	jtext_int(out, "lookSeen", lk->idle.seen_ms);
	jtext_int(out, "lookConnected", lk->idle.connected_ms);
	jtext_int(out, "lookActivity", lk->idle.activity_ms);
	jtext_int(out, "lookCpu", lk->idle.cpu_ms);
	jtext_int(out, "lookCpuAt", lk->idle.cpu_at_ms);
	jtext_int(out, "leaseUntil", lk->lease_ms);
	jtext_text(out, "leasedBy", lk->leased_by);
}

static void take_look(struct look_kernel *lk, const json_t *saved)
{
	int64_t now = clock_wall_ms();
	const struct {
		const char *name;
		int64_t *to;
	} members[] = { { "lookStarted", &lk->idle.started_ms },   { "lookWork", &lk->idle.work_ms },
			{ "lookSeen", &lk->idle.seen_ms },         { "lookConnected", &lk->idle.connected_ms },
			{ "lookActivity", &lk->idle.activity_ms }, { "lookCpu", &lk->idle.cpu_ms },
			{ "lookCpuAt", &lk->idle.cpu_at_ms },      { "leaseUntil", &lk->lease_ms } };
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		*members[i].to = json_integer_value(json_object_get(saved, members[i].name));
	if (lk->idle.cpu_at_ms > now) /* the clock was set back: measured anew */
		lk->idle.cpu_at_ms = 0;
	const char *by = json_string_value(json_object_get(saved, "leasedBy"));
	snprintf(lk->leased_by, sizeof(lk->leased_by), "%s", by ? by : "");
	lk->saved_ms = lk->idle.work_ms;
}

void notebook_look_put(const struct notebook_kernel *k, struct buf *out)
{
	if (k->look)
		put_look(k->look, out);
}

void notebook_look_take(struct notebook_kernel *k, const json_t *saved)
{
	struct look_kernel *lk = look_of_row(k);
	if (lk)
		take_look(lk, saved);
}

void notebook_look_drop(struct notebook_kernel *k)
{
	struct look_kernel *lk = k->look;
	k->look = NULL;
	look_free_kernel(lk);
}

/* --- rows of kernels that are not ours --- */

void look_save_other(struct notebook_look *l, struct look_kernel *k)
{
	struct buf detail;
	buf_init(&detail, DETAIL_MAX);
	buf_putc(&detail, '{');
	put_look(k, &detail);
	if (k->process.pid > 0) { /* a pid and a start name a process for as long as the machine runs */
		jtext_text(&detail, "boot", clock_boot_id());
		jtext_int(&detail, "pid", k->process.pid);
		jtext_int(&detail, "ticks", (int64_t)k->process.start_ticks);
		jtext_int(&detail, "startedAt", k->process.started_ms);
		jtext_text(&detail, "user", k->process.user);
	}
	buf_putc(&detail, '}');
	const struct notebook_row row = { k->id, NOTEBOOK_ATTACHED, detail.data };
	k->saved_ms = k->idle.work_ms;
	if (detail.failed || notebook_save(fleet_store(l->t->node->fleet), &row, NULL, NULL) < 0)
		log_error("unable to save what is known of kernel %s: the store takes nothing now", k->id);
	else
		k->is_saved = true;
	buf_fini(&detail);
}

void look_unsave_other(struct notebook_look *l, struct look_kernel *k)
{
	if (k->is_saved && notebook_remove(fleet_store(l->t->node->fleet), k->id, NULL, NULL) < 0)
		log_error("unable to forget what is known of kernel %s: the store takes nothing now", k->id);
	k->is_saved = false;
}

static void take_process(struct look_process *p, const json_t *saved)
{
	const char *boot = json_string_value(json_object_get(saved, "boot")),
		   *user = json_string_value(json_object_get(saved, "user"));
	if (!boot || !boot[0] || strcmp(boot, clock_boot_id()) != 0)
		return;
	p->pid = (int)json_integer_value(json_object_get(saved, "pid"));
	p->start_ticks = (uint64_t)json_integer_value(json_object_get(saved, "ticks"));
	p->started_ms = json_integer_value(json_object_get(saved, "startedAt"));
	snprintf(p->user, sizeof(p->user), "%s", user ? user : "");
}

static void take_other(void *data, const struct notebook_row *row)
{
	struct notebook_look *l = data;
	json_t *d = json_parse_object(row->detail, strlen(row->detail), NULL);
	struct look_kernel *k = d ? look_new_kernel(row->kernel) : NULL;
	if (k && map_set(l->others, row->kernel, k) == 0) {
		take_look(k, d);
		take_process(&k->process, d);
		k->is_saved = true;
	} else {
		look_free_kernel(k);
	}
	json_decref(d);
}

int look_load_others(struct notebook_look *l, struct err *err)
{
	return notebook_load_attached(fleet_store(l->t->node->fleet), take_other, l, err);
}

/* --- leases --- */

int node_notebooks_keep(struct node_notebooks *t, const char *session, int64_t until_ms, const char *by, struct err *err)
{
	struct notebook_session s;
	if (!node_notebooks_session(t, session, &s))
		return err_set(err, "session %s does not exist", session);
	struct notebook_entry *e = (struct notebook_entry *)node_notebooks_find(t, s.kernel);
	struct look_kernel *k = e ? look_of_row(&e->k) : look_find(t->look, s.kernel);
	if (!k)
		return err_set(err, "unable to keep session %s: no memory", session);
	k->lease_ms = until_ms;
	snprintf(k->leased_by, sizeof(k->leased_by), "%s", by);
	if (!e)
		look_save_other(t->look, k);
	if (e ? notebook_keep(e, NULL, NULL) < 0 : !k->is_saved)
		return err_set(err, "unable to keep session %s: the store takes nothing now", session);
	return 0;
}

static bool is_held(const struct look_kernel *k, const char *login, int64_t now)
{
	return k->lease_ms > now && strcmp(k->leased_by, login) == 0;
}

int node_notebooks_leases(struct node_notebooks *t, const char *login)
{
	int n = 0;
	size_t cursor = 0;
	int64_t now = clock_wall_ms();
	for (struct notebook_entry *e; (e = map_next(t->by_id, &cursor));)
		n += e->k.look && e->k.is_alive && is_held(e->k.look, login, now);
	cursor = 0;
	for (struct look_kernel *k; t->look && (k = map_next(t->look->others, &cursor));)
		n += is_held(k, login, now);
	return n;
}

struct notebook_quota node_notebooks_quota(const struct node_notebooks *t)
{
	const struct notebook_quota none = { 0, 0 };
	return t->look ? t->look->quota : none;
}

void node_notebooks_set(struct node_notebooks *t, const struct notebook_quota *quota, bool is_trusted)
{
	t->look->quota = *quota;
	t->look->is_trusted = is_trusted;
}
