/* node_notebook_look: asks the server what its sessions do, and joins its words with the pids and boxes that the door knows. */
#include "node/node_notebook_look.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "fleet/jtext.h"
#include "node/node_sample.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define EVERY_MS        10000 /* while there are kernels; else never */
#define ATTACHED_MS     30000 /* a server of others that tells of none */
#define SOON_MS         300
#define AGAIN_MS        3000
#define FRESH_MS        1000 /* who asks gets a look that is no older */
#define SAVE_APART_MS   60000
#define SAMPLES_AT_ONCE 100
#define LIST_MAX        ((size_t)16 << 20)

/* --- kernels --- */

struct look_kernel *look_find(struct notebook_look *l, const char *kernel)
{
	struct notebook_kernel *k = node_notebooks_find(l->t, kernel);
	return k && k->look ? k->look : map_get(l->others, kernel);
}

static struct look_kernel *of_row(struct notebook_kernel *k)
{
	struct look_kernel *lk = k->look;
	if (!lk && (lk = calloc(1, sizeof(*lk)))) {
		snprintf(lk->id, sizeof(lk->id), "%s", k->id);
		lk->memory_bytes = lk->peak_bytes = lk->cpu_ms = -1;
		k->look = lk;
	}
	return lk;
}

void notebook_look_drop(struct notebook_kernel *k)
{
	free(k->look);
	k->look = NULL;
}

void notebook_look_put(const struct notebook_kernel *k, struct buf *out)
{
	const struct look_kernel *lk = k->look;
	if (!lk)
		return;
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

void notebook_look_take(struct notebook_kernel *k, const json_t *saved)
{
	struct look_kernel *lk = of_row(k);
	if (!lk)
		return;
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

/* --- a round: the server's sessions and kernels, and samples of the boxes --- */

static void finish_round(struct notebook_look *l);

static void one_less(struct notebook_look *l)
{
	if (--l->open == 0)
		finish_round(l);
}

static void take_answer(struct notebook_look *l, const struct client_answer *a, const char *what, json_t **out)
{
	struct err err = { 0 };
	if (a->outcome != CLIENT_OK)
		err_set(&err, "%s", a->error ? a->error : "no answer");
	else if (a->status != 200)
		err_set(&err, "it answers %d when asked for its %s", a->status, what);
	else if (!(*out = json_parse(a->body, a->len, &err)))
		err_add(&err, "its %s are no JSON", what);
	if (err.text[0] && !l->trouble.text[0])
		l->trouble = err;
}

static void on_sessions(void *data, const struct client_answer *a)
{
	struct notebook_look *l = data;
	l->sessions_call = NULL;
	take_answer(l, a, "sessions", &l->sessions_said);
	one_less(l);
}

static void on_kernels(void *data, const struct client_answer *a)
{
	struct notebook_look *l = data;
	l->kernels_call = NULL;
	take_answer(l, a, "kernels", &l->kernels_said);
	one_less(l);
}

static void on_samples(void *data, const struct wire_view *msg)
{
	struct notebook_look *l = data;
	struct node_sample s;
	size_t at = 0;
	while (node_sample_next(msg, &at, &s)) {
		struct notebook_entry *e = notebook_by_process(l->t, s.id);
		struct look_kernel *k = e ? of_row(&e->k) : NULL;
		if (!k)
			continue;
		k->memory_bytes = s.memory_bytes;
		k->peak_bytes = s.peak_bytes;
		k->cpu_ms = s.cpu_ms;
	}
	one_less(l);
}

static void ask_samples(struct notebook_look *l)
{
	struct node *n = l->t->node;
	size_t cursor = 0, count = 0;
	struct buf *b = NULL;
	if (!n->keeper || n->is_without_samples)
		return;
	for (struct notebook_entry *e; (e = map_next(l->t->by_id, &cursor));) {
		struct look_kernel *k = of_row(&e->k);
		if (k)
			k->cpu_ms = -1;
		if (!e->k.is_alive || !e->k.process[0])
			continue;
		if (!b) {
			b = node_keeper_begin(n->keeper, WIRE_sample);
			wire_int(b, WF_on, 1); /* else it tells the processor time now and then only */
		}
		wire_text(b, WF_id, e->k.process);
		if (++count % SAMPLES_AT_ONCE)
			continue;
		l->open += node_keeper_end(n->keeper, on_samples, l, NULL) == 0;
		b = NULL;
	}
	if (b)
		l->open += node_keeper_end(n->keeper, on_samples, l, NULL) == 0;
}

static struct client_call *ask(struct notebook_look *l, const char *path, client_fn *fn)
{
	struct err err = { 0 };
	const struct client_order order = { .timeout_ms = LOOK_TIMEOUT_MS,
					    .connect_ms = LOOK_TIMEOUT_MS,
					    .answer_max = LOOK_ANSWER_MAX };
	struct client_call *call = node_notebooks_ask(l->t, &order, path, fn, l, &err);
	if (!call && !l->trouble.text[0])
		l->trouble = err;
	l->open += call != NULL;
	return call;
}

static void begin_round(struct notebook_look *l)
{
	if (l->t->is_stopped)
		return;
	l->is_round = true;
	l->is_soon = false;
	l->round++;
	l->trouble = (struct err){ 0 };
	l->open = 1;
	loop_timer_stop(l->timer);
	l->sessions_call = ask(l, "/api/sessions", on_sessions);
	l->kernels_call = ask(l, "/api/kernels", on_kernels);
	ask_samples(l);
	one_less(l);
}

void look_now(struct notebook_look *l)
{
	if (l->is_round)
		l->is_soon = true;
	else
		begin_round(l);
}

/* --- what a round has brought --- */

static void judge_kernel(struct notebook_look *l, struct look_kernel *k, const struct notebook_entry *e, int64_t now)
{
	struct idle_look look = { .state = IDLE_UNKNOWN, .connections = -1, .cpu_ms = -1 };
	if (!l->why[0] && k->round == l->round)
		look = k->said;
	look.at_ms = now;
	if (e) {
		look.cpu_ms = k->cpu_ms;
		look.started_ms = e->k.started_ms;
		if (!e->k.is_alive)
			look.state = IDLE_DEAD; /* whatever the server says: it may go on telling of one that is long gone */
	}
	idle_take(&k->idle, &look);
	if (k->lease_ms && k->lease_ms <= now)
		k->lease_ms = 0;
	if (e && k->idle.work_ms - k->saved_ms >= SAVE_APART_MS) {
		k->saved_ms = k->idle.work_ms;
		notebook_keep(e, NULL, NULL);
	}
}

static bool is_anything(const struct notebook_look *l)
{
	return map_count(l->t->by_id) > 0 || map_count(l->others) > 0;
}

static void answer_askers(struct notebook_look *l);

static void finish_round(struct notebook_look *l)
{
	size_t cursor = 0;
	int64_t now = clock_wall_ms();
	struct err err = l->trouble;
	l->is_round = false;
	l->looked_mono_ms = clock_mono_ms();
	if (!err.text[0])
		look_read(l, l->sessions_said, l->kernels_said, &err);
	json_decref(l->sessions_said);
	json_decref(l->kernels_said);
	l->sessions_said = l->kernels_said = NULL;
	if (err.text[0] && !l->why[0])
		log_warn("notebooks: the server cannot be asked: %s: nobody counts as idle", err.text);
	else if (!err.text[0] && l->why[0])
		log_info("notebooks: the server answers again");
	snprintf(l->why, sizeof(l->why), "%s", err.text);
	for (struct notebook_entry *e; (e = map_next(l->t->by_id, &cursor));) {
		if (l->t->node->facts.is_taken_up && notebook_forget_old(e, now))
			continue;
		struct look_kernel *k = of_row(&e->k);
		if (k)
			judge_kernel(l, k, e, now);
	}
	cursor = 0;
	for (struct look_kernel *k; (k = map_next(l->others, &cursor));) {
		bool has_row = node_notebooks_find(l->t, k->id) != NULL;
		judge_kernel(l, k, NULL, now);
		if (has_row || (!l->why[0] && k->round != l->round)) {
			map_remove(l->others, k->id);
			free(k);
		}
	}
	look_orders_looked(l);
	answer_askers(l);
	if (l->t->is_stopped || l->is_round)
		return;
	if (l->is_soon)
		begin_round(l);
	else if (is_anything(l) || l->t->is_attached)
		loop_timer_start(l->timer, is_anything(l) ? EVERY_MS : ATTACHED_MS);
}

static void on_timer(void *data)
{
	look_now(data);
}

void node_notebooks_look(struct node_notebooks *t)
{
	struct notebook_look *l = t->look;
	if (!l || t->is_stopped)
		return;
	if (l->is_round)
		l->is_soon = true;
	else
		loop_timer_start(l->timer, SOON_MS);
}

void node_notebooks_look_again(struct node_notebooks *t)
{
	struct notebook_look *l = t->look;
	if (l && !l->is_round && is_anything(l) && clock_mono_ms() - l->looked_mono_ms >= AGAIN_MS)
		node_notebooks_look(t);
}

void look_forget_sessions(struct notebook_look *l, const char *kernel)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->sessions[i].kernel, kernel) == 0)
			free(l->sessions[i].path);
		else
			l->sessions[kept++] = l->sessions[i];
	l->n = kept;
}

/* --- sessions --- */

/* The project is the first folder of the path. */
static const char *project_of(const char *path, char *room, size_t size)
{
	size_t n = strcspn(path, "/");
	if (!path[n] || n >= size || !text_is_id(path, n))
		return "";
	memcpy(room, path, n);
	room[n] = 0;
	return room;
}

static void fill(struct notebook_look *l, const struct look_session *said, const struct notebook_entry *e, struct look_kernel *k,
		 char *project, size_t project_size, struct notebook_session *out)
{
	int64_t now = clock_wall_ms();
	*out = (struct notebook_session){ .id = said ? said->id
						: e  ? e->k.id
						     : k->id,
					  .path = said ? said->path
						  : e  ? e->k.path
						       : "",
					  .user = e ? e->k.user : "",
					  .process = e ? e->k.process : "",
					  .spec = e && e->k.spec[0] ? e->k.spec
						  : k               ? k->spec
								    : "",
					  .pid = e && e->k.is_alive ? e->k.pid : 0,
					  .nsessions = k && k->nsessions ? k->nsessions
						       : said            ? 1
									 : 0,
					  .limit_bytes = e ? e->limit_bytes : 0,
					  .started_ms = e ? e->k.started_ms : 0,
					  .leased_by = k ? k->leased_by : "",
					  .memory_bytes = -1,
					  .peak_bytes = -1,
					  .cpu_ms = -1,
					  .share = -1,
					  .connections = -1,
					  .quiet_ms = -1,
					  .silent_ms = -1 };
	out->kernel = said ? said->kernel : out->id;
	/* As it was told at the door: the server's list of sessions is a file that users' code can write. */
	out->project = e && e->k.project[0] ? e->k.project : project_of(out->path, project, project_size);
	if (e && !e->k.is_alive)
		out->state = IDLE_DEAD;
	if (!k)
		return;
	if (!e || e->k.is_alive) {
		out->memory_bytes = k->memory_bytes;
		out->peak_bytes = k->peak_bytes;
		out->cpu_ms = k->cpu_ms;
		out->state = l->why[0] ? IDLE_UNKNOWN : idle_state(&k->idle, now);
	}
	if (out->state != IDLE_UNKNOWN && out->state != IDLE_DEAD) {
		out->connections = k->idle.connections;
		out->quiet_ms = idle_quiet(&k->idle, now);
		out->silent_ms = idle_silent(&k->idle, now);
	}
	out->share = k->idle.is_measured ? k->idle.share : -1;
	out->work_ms = k->idle.work_ms;
	out->lease_ms = k->lease_ms > now ? k->lease_ms : 0;
	if (!out->started_ms)
		out->started_ms = k->idle.started_ms;
}

static bool has_session(const struct notebook_look *l, const char *kernel)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->sessions[i].kernel, kernel) == 0)
			return true;
	return false;
}

static struct notebook_entry *entry_of(const struct notebook_look *l, const char *kernel)
{
	return (struct notebook_entry *)node_notebooks_find(l->t, kernel);
}

void node_notebooks_each_session(struct node_notebooks *t, notebook_session_fn *fn, void *data)
{
	struct notebook_look *l = t->look;
	struct notebook_session s;
	char project[128];
	size_t cursor = 0;
	for (size_t i = 0; l && i < l->n; i++) {
		fill(l, &l->sessions[i], entry_of(l, l->sessions[i].kernel), look_find(l, l->sessions[i].kernel), project,
		     sizeof(project), &s);
		fn(data, &s);
	}
	/* kernels that no session is told of, alone */
	for (struct notebook_entry *e; l && (e = map_next(t->by_id, &cursor));) {
		struct look_kernel *k = e->k.look;
		if ((k && k->nsessions && has_session(l, e->k.id)) || has_session(l, e->k.id) || !e->k.is_alive)
			continue;
		fill(l, NULL, e, k, project, sizeof(project), &s);
		fn(data, &s);
	}
	cursor = 0;
	for (struct look_kernel *k; l && (k = map_next(l->others, &cursor));) {
		if (has_session(l, k->id))
			continue;
		fill(l, NULL, NULL, k, project, sizeof(project), &s);
		fn(data, &s);
	}
}

bool node_notebooks_session(struct node_notebooks *t, const char *id, struct notebook_session *out)
{
	static char project[128]; /* as long as the loop does not go on, nobody else asks */
	struct notebook_look *l = t->look;
	for (size_t i = 0; l && i < l->n; i++)
		if (strcmp(l->sessions[i].id, id) == 0 || strcmp(l->sessions[i].kernel, id) == 0) {
			fill(l, &l->sessions[i], entry_of(l, l->sessions[i].kernel), look_find(l, l->sessions[i].kernel), project,
			     sizeof(project), out);
			return true;
		}
	struct notebook_entry *e = l ? entry_of(l, id) : NULL;
	struct look_kernel *k = l ? look_find(l, id) : NULL;
	if (!k && !(e && e->k.is_alive))
		return false;
	fill(l, NULL, e, k, project, sizeof(project), out);
	return true;
}

/* --- who asks --- */

static void put_row(void *data, const struct notebook_session *s)
{
	look_put_session(s, data);
}

static void answer_askers(struct notebook_look *l)
{
	struct buf out;
	struct err err = { 0 };
	struct look_asker *next = l->askers;
	if (!next)
		return;
	l->askers = NULL;
	buf_init(&out, LIST_MAX);
	buf_putc(&out, '[');
	node_notebooks_each_session(l->t, put_row, &out);
	buf_putc(&out, ']');
	if (l->why[0])
		err_set(&err, "%s", l->why);
	if (out.failed)
		err_set(&err, "no memory for the list of notebooks");
	for (struct look_asker *a; (a = next);) {
		next = a->next;
		a->fn(a->data, out.failed ? NULL : &out, err.text[0] ? &err : NULL);
		free(a);
	}
	buf_fini(&out);
}

void node_notebooks_list(struct node_notebooks *t, node_notebooks_list_fn *fn, void *data)
{
	struct notebook_look *l = t->look;
	struct err err = { 0 };
	struct look_asker *a = l && !t->is_stopped ? calloc(1, sizeof(*a)) : NULL;
	if (!a) {
		err_set(&err, "unable to list the notebooks: %s", t->is_stopped ? "the backend ends" : "no memory");
		fn(data, NULL, &err);
		return;
	}
	*a = (struct look_asker){ fn, data, l->askers };
	l->askers = a;
	if (l->is_round)
		return;
	if (l->looked_mono_ms && clock_mono_ms() - l->looked_mono_ms < FRESH_MS)
		answer_askers(l);
	else
		begin_round(l);
}

/* --- leases --- */

int node_notebooks_keep(struct node_notebooks *t, const char *session, int64_t until_ms, const char *by, struct err *err)
{
	struct notebook_session s;
	if (!node_notebooks_session(t, session, &s))
		return err_set(err, "session %s does not exist", session);
	struct notebook_entry *e = (struct notebook_entry *)node_notebooks_find(t, s.kernel);
	struct look_kernel *k = e ? of_row(&e->k) : look_find(t->look, s.kernel);
	if (!k)
		return err_set(err, "unable to keep session %s: no memory", session);
	k->lease_ms = until_ms;
	snprintf(k->leased_by, sizeof(k->leased_by), "%s", by);
	if (e && notebook_keep(e, NULL, NULL) < 0)
		return err_set(err, "unable to keep session %s: the store takes nothing now", session);
	return 0;
}

int node_notebooks_leases(struct node_notebooks *t, const char *login)
{
	int n = 0;
	size_t cursor = 0;
	int64_t now = clock_wall_ms();
	for (struct notebook_entry *e; (e = map_next(t->by_id, &cursor));) {
		const struct look_kernel *k = e->k.look;
		n += k && e->k.is_alive && k->lease_ms > now && strcmp(k->leased_by, login) == 0;
	}
	cursor = 0;
	for (struct look_kernel *k; t->look && (k = map_next(t->look->others, &cursor));)
		n += k->lease_ms > now && strcmp(k->leased_by, login) == 0;
	return n;
}

/* --- set-up --- */

int notebook_look_new(struct node_notebooks *t, struct err *err)
{
	struct notebook_look *l = calloc(1, sizeof(*l));
	if (l) {
		l->t = t;
		l->others = map_new();
		l->timer = loop_timer_new(t->node->loop, on_timer, l);
	}
	t->look = l;
	if (!l || !l->others || !l->timer) {
		notebook_look_free(t);
		return err_set(err, "unable to watch the notebooks: no memory");
	}
	if (t->is_attached)
		loop_timer_start(l->timer, SOON_MS);
	return 0;
}

void notebook_look_stop(struct node_notebooks *t)
{
	struct notebook_look *l = t->look;
	struct err err = { 0 };
	if (!l)
		return;
	client_cancel(&l->sessions_call);
	client_cancel(&l->kernels_call);
	loop_timer_stop(l->timer);
	look_orders_free(l);
	err_set(&err, "the backend ends");
	while (l->askers) {
		struct look_asker *a = l->askers;
		l->askers = a->next;
		a->fn(a->data, NULL, &err);
		free(a);
	}
}

void notebook_look_free(struct node_notebooks *t)
{
	struct notebook_look *l = t->look;
	size_t cursor = 0;
	if (!l)
		return;
	t->look = NULL;
	for (size_t i = 0; i < l->n; i++)
		free(l->sessions[i].path);
	free(l->sessions);
	for (struct look_kernel *k; l->others && (k = map_next(l->others, &cursor));)
		free(k);
	if (l->others)
		map_free(&l->others);
	json_decref(l->sessions_said);
	json_decref(l->kernels_said);
	loop_timer_free(&l->timer);
	free(l);
}
