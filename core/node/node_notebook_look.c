/* node_notebook_look: asks the server what its sessions do, and joins its words with the pids and boxes that the door knows. */
#include "node/node_notebook_look.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/alerts.h"
#include "node/node_inner.h"
#include "node/node_sample.h"
#include "sys/clock.h"

#define EVERY_MS        10000 /* while there are kernels; else never */
#define ATTACHED_MS     30000 /* a server of others that tells of none */
#define SOON_MS         300
#define AGAIN_MS        3000
#define FRESH_MS        1000 /* who asks gets a look that is no older */
#define SAVE_APART_MS   60000
#define SAMPLES_AT_ONCE 100
#define ALERT           "notebooks"
#define ALERT_AFTER_MS  30000 /* of looks that all failed: one that is started anew is back by then */
#define UNHEARD_MS      2000  /* that much after what its server heard of it last a process is another than that server speaks to */

/* --- kernels --- */

struct look_kernel *look_new_kernel(const char *id)
{
	struct look_kernel *k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	snprintf(k->id, sizeof(k->id), "%s", id);
	k->memory_bytes = k->peak_bytes = k->cpu_ms = k->process.total_ms = -1;
	return k;
}

void look_free_kernel(struct look_kernel *k)
{
	if (k)
		free(k->process.members);
	free(k);
}

struct look_kernel *look_find(struct notebook_look *l, const char *kernel)
{
	struct notebook_kernel *k = node_notebooks_find(l->t, kernel);
	return k && k->look ? k->look : map_get(l->others, kernel);
}

struct look_kernel *look_of_row(struct notebook_kernel *k)
{
	if (!k->look)
		k->look = look_new_kernel(k->id);
	return k->look;
}

/* --- a round: the server's sessions and kernels, and samples of the boxes --- */

static void take_answers(struct notebook_look *l);

static void one_less(struct notebook_look *l)
{
	if (--l->open == 0)
		take_answers(l);
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
		struct look_kernel *k = e ? look_of_row(&e->k) : NULL;
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
		struct look_kernel *k = look_of_row(&e->k);
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
	l->is_soon = l->is_due = false;
	l->round++;
	l->began_mono_ms = clock_mono_ms();
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

/* --- a server that cannot be asked --- */

/* Without what was asked for: of our own server nobody needs its address, and of another it is said once. */
static const char *reason_of(const char *text)
{
	static const char asked[] = "unable to GET ";
	const char *reason = strncmp(text, asked, sizeof(asked) - 1) == 0 ? strstr(text, ": ") : NULL;
	return reason ? reason + 2 : text;
}

static const char *say_since(const struct notebook_look *l, char *out, size_t room)
{
	time_t at = (time_t)(l->failing_ms / 1000);
	bool is_long = clock_mono_ms() - l->failing_mono_ms > 12 * 3600 * 1000;
	struct tm tm;
	/* With its zone: whoever reads it may sit in another. */
	if (!localtime_r(&at, &tm) || !strftime(out, room, is_long ? "%Y-%m-%d %H:%M:%S %Z" : "%H:%M:%S %Z", &tm))
		snprintf(out, room, "a while ago");
	return out;
}

static void say_remedy(const struct notebook_look *l, char *out, size_t room)
{
	if (l->t->is_attached)
		snprintf(out, room, "see to the server at %s", l->t->url);
	else
		snprintf(out, room, "dss restart jupyter keeps the kernels");
}

void look_say_why(const struct notebook_look *l, char *out, size_t room)
{
	char since[64], remedy[NOTEBOOK_URL_MAX + 40];
	if (!l->t->url[0]) { /* there is nothing that could be put right */
		snprintf(out, room, "%s", l->why);
		return;
	}
	say_remedy(l, remedy, sizeof(remedy));
	snprintf(out, room, "%s, since %s; %s", l->why, say_since(l, since, sizeof(since)), remedy);
}

static void raise_alert(struct notebook_look *l)
{
	char since[64], remedy[NOTEBOOK_URL_MAX + 40], text[1200];
	say_remedy(l, remedy, sizeof(remedy));
	snprintf(text, sizeof(text),
		 "the notebook server cannot be asked since %s (%s): nobody counts as idle, and nothing is unloaded meanwhile; %s",
		 say_since(l, since, sizeof(since)), l->why, remedy);
	alerts_renew(fleet_alerts(l->t->node->fleet), ALERT, ALERT_WARNING, NULL, NULL, text);
	l->is_alerted = true;
}

static void answers_well(struct notebook_look *l)
{
	if (l->why[0])
		log_info("notebooks: the server answers again");
	if (l->is_alerted)
		alerts_clear(fleet_alerts(l->t->node->fleet), ALERT);
	l->is_alerted = false;
	l->failing_ms = 0;
	l->why[0] = '\0';
}

static void answers_badly(struct notebook_look *l, const char *text)
{
	int64_t now = clock_mono_ms();
	if (!l->failing_ms) {
		log_warn("notebooks: the server cannot be asked: %s; nobody counts as idle", text);
		l->failing_mono_ms = l->began_mono_ms;
		l->failing_ms = clock_wall_ms() - (now - l->began_mono_ms);
	}
	snprintf(l->why, sizeof(l->why), "%s", reason_of(text));
	if (l->t->url[0] && now - l->failing_mono_ms >= ALERT_AFTER_MS)
		raise_alert(l);
}

/* --- what a round has brought --- */

/* Of a kernel that we did not start nothing is known but what was found; without its process the server is believed only where the admin says so. */
static void judge_other(const struct notebook_look *l, struct look_kernel *k, struct idle_look *look)
{
	const struct look_process *p = &k->process;
	bool is_first = k->idle.started_ms == 0;
	look->is_trusted = !p->pid && l->is_trusted;
	look->cpu_ms = p->pid ? k->cpu_ms : -1;
	if (p->pid)
		look->started_ms = p->started_ms;
	else /* as long as we know it */
		look->started_ms = !is_first ? k->idle.started_ms : look->is_trusted ? look->activity_ms : 0;
	if (p->is_dead)
		look->state = IDLE_DEAD;
	else if (!look->is_exact && !look->activity_ms)
		look->state = IDLE_UNKNOWN;
	else if (p->pid && !look->is_exact && p->started_ms > look->activity_ms + UNHEARD_MS)
		look->state = IDLE_UNKNOWN; /* it was started again, and its server tells of the one before */
	if (p->pid && (is_first || p->started_ms != k->idle.started_ms))
		k->idle.work_ms = look->at_ms; /* what it did before we looked nobody knows */
}

/* A server calls starting whom it took up and has not heard of: that is no word about one that was there before it. */
static bool is_older(const struct notebook_look *l, const struct notebook_entry *e)
{
	return e->k.started_ms < l->t->server_started_ms && notebook_wish_of(e) == NOTEBOOK_GOES_ON;
}

static void judge_kernel(struct notebook_look *l, struct look_kernel *k, const struct notebook_entry *e, int64_t now)
{
	struct idle_look look = { .state = IDLE_UNKNOWN, .connections = -1, .cpu_ms = -1 };
	if (!l->why[0] && k->round == l->round)
		look = k->said;
	look.at_ms = now;
	if (e) {
		look.cpu_ms = k->cpu_ms;
		look.started_ms = e->k.started_ms;
		k->is_unheard = look.state == IDLE_STARTING && is_older(l, e);
		if (!e->k.is_alive) /* whatever the server says: it may go on telling of one that is long gone */
			look.state = look_gone(l, e, now);
		else if (k->is_unheard)
			look.state = IDLE_UNKNOWN;
	} else {
		judge_other(l, k, &look);
	}
	bool is_another = !e && look.started_ms != k->idle.started_ms;
	idle_take(&k->idle, &look);
	if (k->lease_ms && k->lease_ms <= now)
		k->lease_ms = 0;
	/* a stretch of work that is over is kept with its processor time, or the next backend would take it for new */
	int64_t work = k->idle.work_ms;
	bool is_old = work - k->saved_ms >= SAVE_APART_MS || (work != k->saved_ms && now - work >= SAVE_APART_MS);
	if (!is_old && !is_another)
		return;
	k->saved_ms = k->idle.work_ms;
	if (e)
		notebook_keep(e, NULL, NULL);
	else
		look_save_other(l, k);
}

static bool is_anything(const struct notebook_look *l)
{
	return map_count(l->t->by_id) > 0 || map_count(l->others) > 0;
}

void look_forget_other(struct notebook_look *l, const char *kernel)
{
	struct look_kernel *k = map_remove(l->others, kernel);
	if (!k)
		return;
	look_unsave_other(l, k);
	look_free_kernel(k);
}

/* One that the server does not tell of any more is forgotten. */
static void judge_others(struct notebook_look *l, int64_t now)
{
	size_t cursor = 0;
	for (struct look_kernel *k; (k = map_next(l->others, &cursor));) {
		bool has_row = node_notebooks_find(l->t, k->id) != NULL;
		if (!has_row && (l->why[0] || k->round == l->round)) {
			judge_kernel(l, k, NULL, now);
			continue;
		}
		if (!has_row) /* else the row is its own by now */
			look_unsave_other(l, k);
		map_remove(l->others, k->id);
		look_free_kernel(k);
	}
}

static void finish_round(struct notebook_look *l)
{
	size_t cursor = 0;
	int64_t now = clock_wall_ms();
	l->is_round = false;
	l->looked_mono_ms = clock_mono_ms();
	for (struct notebook_entry *e; (e = map_next(l->t->by_id, &cursor));) {
		if (l->t->node->facts.is_taken_up && notebook_forget_old(e, now))
			continue;
		struct look_kernel *k = look_of_row(&e->k);
		if (k)
			judge_kernel(l, k, e, now);
	}
	judge_others(l, now);
	look_orders_looked(l);
	look_answer_askers(l);
	if (l->t->is_stopped || l->is_round)
		return;
	if (l->is_soon)
		begin_round(l);
	else if (is_anything(l) || l->t->is_attached ||
		 (l->why[0] && l->t->url[0])) /* an alert ends also where no kernel is left */
		loop_timer_start(l->timer, is_anything(l) ? EVERY_MS : ATTACHED_MS);
}

static void take_answers(struct notebook_look *l)
{
	struct err err = l->trouble;
	if (!err.text[0])
		look_read(l, l->sessions_said, l->kernels_said, &err);
	json_decref(l->sessions_said);
	json_decref(l->kernels_said);
	l->sessions_said = l->kernels_said = NULL;
	if (err.text[0])
		answers_badly(l, err.text);
	else
		answers_well(l);
	if (!look_find_begin(l)) /* with the server away, too: who works then has worked */
		finish_round(l);
}

void look_found(struct notebook_look *l)
{
	finish_round(l);
}

void look_for(struct notebook_look *l, struct look_asker *a)
{
	a->next = l->askers;
	l->askers = a;
	if (l->is_round)
		return;
	if (l->looked_mono_ms && clock_mono_ms() - l->looked_mono_ms < FRESH_MS)
		look_answer_askers(l);
	else
		begin_round(l);
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
	if (l->is_round) {
		l->is_soon = true;
	} else if (!l->is_due) { /* who asks again and again does not put it off */
		l->is_due = true;
		loop_timer_start(l->timer, SOON_MS);
	}
}

void node_notebooks_look_again(struct node_notebooks *t)
{
	struct notebook_look *l = t->look;
	if (l && !l->is_round && is_anything(l) && clock_mono_ms() - l->looked_mono_ms >= AGAIN_MS)
		node_notebooks_look(t);
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
	if (t->is_attached && (look_find_new(l, err) < 0 || look_load_others(l, err) < 0)) {
		notebook_look_free(t);
		return -1;
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
	look_find_stop(l);
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
	look_find_free(l);
	look_free_sessions(l->sessions, l->n);
	map_free(&l->by_id);
	map_free(&l->by_kernel);
	for (struct look_kernel *k; l->others && (k = map_next(l->others, &cursor));)
		look_free_kernel(k);
	map_free(&l->others);
	json_decref(l->sessions_said);
	json_decref(l->kernels_said);
	loop_timer_free(&l->timer);
	free(l);
}
