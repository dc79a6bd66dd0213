/* node_notebook_unload: orders to the server about one session: unload, interrupt; and what became of them. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "fleet/feed.h"
#include "fleet/jtext.h"
#include "node/node_notebook_look.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define SERVER_MS  5000 /* that long the server may take; then the keeper ends the box */
#define WITHIN_MS  20000
#define POLL_MS    100
#define URL_ROOM   6000
#define TOKEN_ROOM 1000

enum stage { LOOKS_AGAIN, ASKS, ENDS };

struct look_order {
	struct notebook_look *l;
	struct look_order *next;
	bool is_interrupt, is_answered, is_ended;
	bool even_leased; /* its user's wish to keep it does not count */
	enum stage stage;
	char session[64], kernel[64], cause[16], by[160], user[128], project[128];
	char *path, *text; /* owned */
	int64_t round;     /* of the look that is waited for */
	/* as it was when it was decided */
	enum idle_state state;
	int64_t work_ms, connections;
	int64_t began_mono_ms;
	struct client_call *call;
	struct loop_timer *timer;
	node_notebooks_done_fn *fn;
	void *data;
};

/* --- requests --- */

const char *node_notebooks_url(const struct node_notebooks *t)
{
	return t->url;
}

int node_notebooks_token(const struct node_notebooks *t, char *out, size_t room, struct err *err)
{
	if (!t->token_file[0])
		return out[0] = 0, 0;
	ssize_t n = fds_read_file(t->token_file, out, room, err);
	if (n < 0)
		return err_add(err, "unable to read the notebook server's token");
	out[strcspn(out, "\r\n")] = 0;
	for (const char *p = out; *p; p++)
		if (*p < 0x21 || *p > 0x7e)
			return err_set(err, "the notebook server's token holds what no token may hold");
	return 0;
}

struct client_call *node_notebooks_ask(struct node_notebooks *t, const struct client_order *order, const char *path, client_fn *fn,
				       void *data, struct err *err)
{
	char url[URL_ROOM], token[TOKEN_ROOM], field[TOKEN_ROOM + 40];
	const char *fields[] = { field, NULL };
	struct client_order o = *order;
	if (t->is_stopped) {
		err_set(err, "the backend ends");
		return NULL;
	}
	if (!t->url[0]) {
		err_set(err, "there is no notebook server: config/dss.lua names none");
		return NULL;
	}
	if (node_notebooks_token(t, token, sizeof(token), err) < 0)
		return NULL;
	if (snprintf(url, sizeof(url), "%s%s", t->url, path) >= (int)sizeof(url)) {
		err_set(err, "the name is too long");
		return NULL;
	}
	snprintf(field, sizeof(field), "Authorization: token %s", token);
	if (token[0])
		o.fields = fields;
	o.url = url;
	o.peer = "jupyter";
	struct client_call *call = client_request(t->node->client, &o, fn, data, err);
	explicit_bzero(token, sizeof(token));
	explicit_bzero(field, sizeof(field));
	return call;
}

/* --- the end of an order --- */

static void take_out(struct look_order *o)
{
	struct look_order **at = &o->l->orders;
	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
}

static void order_free(struct look_order *o)
{
	client_cancel(&o->call);
	loop_timer_free(&o->timer);
	free(o->path);
	free(o->text);
	free(o);
}

static void tell(const struct look_order *o, const char *why_not)
{
	struct buf detail;
	const char *what = why_not ? "notebook.kept" : o->is_interrupt ? "notebook.interrupted" : "notebook.unloaded";
	buf_init(&detail, 16384);
	buf_putc(&detail, '{');
	jtext_text(&detail, "kernelId", o->kernel);
	jtext_text(&detail, "notebook", o->path);
	jtext_text(&detail, "project", o->project);
	jtext_text(&detail, "user", o->user);
	jtext_text(&detail, "cause", o->cause);
	jtext_some_text(&detail, "by", o->by);
	jtext_some_text(&detail, "reason", o->text);
	jtext_some_text(&detail, "whyNot", why_not);
	buf_putc(&detail, '}');
	struct store_fact fact = {
		what, o->session, detail.failed ? NULL : detail.data, 0, 0, o->user[0] ? o->user : FEED_OWN_ADMIN
	};
	store_add_fact(fleet_store(o->l->t->node->fleet), &fact, NULL, NULL);
	log_info("%s: %s (kernel %s), by %s %s%s%s%s%s", what, o->path, o->kernel, o->cause, o->by, o->text[0] ? ": " : "", o->text,
		 why_not ? ": " : "", why_not ? why_not : "");
	buf_fini(&detail);
}

static void done(struct look_order *o, const char *why_not)
{
	struct notebook_look *l = o->l;
	take_out(o);
	tell(o, why_not);
	if (!why_not && !o->is_interrupt) {
		look_forget_sessions(l, o->kernel);
		look_forget_other(l, o->kernel);
	}
	if (o->fn)
		o->fn(o->data, why_not);
	order_free(o);
	node_notebooks_look(l->t);
}

/* --- its steps --- */

static bool is_alive(const struct look_order *o)
{
	const struct notebook_kernel *k = node_notebooks_find(o->l->t, o->kernel);
	return k && k->is_alive;
}

static void end_box(struct look_order *o)
{
	struct err err = { 0 };
	if (o->is_ended || !is_alive(o))
		return;
	o->is_ended = true;
	if (node_notebooks_end(o->l->t, o->kernel, o->cause, o->text, &err) < 0) {
		log_warn("unable to end the kernel of %s: %s", o->path, err.text);
		o->is_ended = false;
	}
}

static void on_timer(void *data)
{
	struct look_order *o = data;
	int64_t took = clock_mono_ms() - o->began_mono_ms;
	if (o->stage == LOOKS_AGAIN) {
		done(o, "it could not be looked at once more");
		return;
	}
	if (o->is_answered && !is_alive(o)) {
		done(o, NULL);
		return;
	}
	if (took >= SERVER_MS)
		end_box(o);
	if (took >= WITHIN_MS) {
		done(o, is_alive(o) ? "its kernel did not end" : o->is_answered ? NULL : "the server did not answer");
		return;
	}
	if (!is_alive(o) && o->is_ended) { /* the server may be away: the box is what counts */
		done(o, NULL);
		return;
	}
	loop_timer_start(o->timer, POLL_MS);
}

static void on_answer(void *data, const struct client_answer *a)
{
	struct look_order *o = data;
	char why[ERR_TEXT_MAX];
	bool is_good = a->outcome == CLIENT_OK && (a->status < 300 || a->status == 404);
	o->call = NULL;
	if (a->outcome == CLIENT_OK)
		snprintf(why, sizeof(why), "the notebook server answers %d", a->status);
	else
		snprintf(why, sizeof(why), "%s", a->error);
	if (o->is_interrupt) {
		done(o, is_good && a->status != 404 ? NULL : why);
		return;
	}
	o->is_answered = is_good;
	if (!is_good && !is_alive(o)) {
		done(o, why);
		return;
	}
	if (!is_good)
		end_box(o);
	on_timer(o);
}

static void ask(struct look_order *o)
{
	char path[200];
	struct err err = { 0 };
	const struct client_order order = { .method = o->is_interrupt ? "POST" : "DELETE",
					    .body = o->is_interrupt ? "{}" : NULL,
					    .body_len = o->is_interrupt ? 2 : 0,
					    .timeout_ms = o->is_interrupt ? SERVER_MS : WITHIN_MS,
					    .connect_ms = SERVER_MS };
	o->stage = ASKS;
	o->began_mono_ms = clock_mono_ms();
	if (o->is_interrupt)
		snprintf(path, sizeof(path), "/api/kernels/%s/interrupt", o->kernel);
	else
		snprintf(path, sizeof(path), strcmp(o->session, o->kernel) == 0 ? "/api/kernels/%s" : "/api/sessions/%s",
			 o->session);
	o->call = node_notebooks_ask(o->l->t, &order, path, on_answer, o, &err);
	if (!o->is_interrupt)
		loop_timer_start(o->timer, POLL_MS);
	if (o->call)
		return;
	if (!o->is_interrupt) /* who only wanted a cell to stop keeps its variables */
		end_box(o);
	if (!o->is_ended)
		done(o, err.text);
}

/* NULL: it is still what the decision was about. */
static const char *why_kept(const struct look_order *o, const struct notebook_session *s)
{
	if (s->state == IDLE_UNKNOWN)
		return "kept: nobody knows what it does now";
	if (o->is_interrupt)
		return s->state == IDLE_BUSY ? NULL : "no cell runs any more";
	if (s->lease_ms > 0 && !o->even_leased)
		return "kept: its user asked for it";
	if (o->state != IDLE_BUSY && (s->state == IDLE_BUSY || s->work_ms > o->work_ms))
		return "kept: it has begun to work again";
	if (o->connections <= 0 && s->connections > 0)
		return "kept: a client has come";
	return NULL;
}

void look_orders_looked(struct notebook_look *l)
{
	struct notebook_session s;
	const char *why;
	bool is_any;
	do { /* each takes itself out of the list, or goes on */
		is_any = false;
		for (struct look_order *o = l->orders; o && !is_any; o = o->next) {
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): who is freed was taken from its list before; the analyzer does not follow links */
			if (o->stage != LOOKS_AGAIN || l->round < o->round)
				continue;
			is_any = true;
			if (!node_notebooks_session(l->t, o->session, &s))
				done(o, "it is gone");
			else if ((why = why_kept(o, &s)))
				done(o, why);
			else
				ask(o);
			break;
		}
	} while (is_any);
}

void look_orders_free(struct notebook_look *l)
{
	while (l->orders) {
		struct look_order *o = l->orders;
		l->orders = o->next;
		if (o->fn)
			o->fn(o->data, "the backend ends");
		order_free(o);
	}
}

bool node_notebooks_is_ordered(const struct node_notebooks *t, const char *session, bool is_interrupt)
{
	for (const struct look_order *o = t->look ? t->look->orders : NULL; o; o = o->next)
		if (o->is_interrupt == is_interrupt && (strcmp(o->session, session) == 0 || strcmp(o->kernel, session) == 0))
			return true;
	return false;
}

enum what { UNLOAD, UNLOAD_LEASED, INTERRUPT };

static void order(struct node_notebooks *t, const char *session, enum what what, const char *cause, const char *by,
		  const char *text, node_notebooks_done_fn *fn, void *data)
{
	struct notebook_session s;
	struct look_order *o = t->look && !t->is_stopped && node_notebooks_session(t, session, &s) ? calloc(1, sizeof(*o)) : NULL;
	if (o) {
		*o = (struct look_order){ .l = t->look,
					  .is_interrupt = what == INTERRUPT,
					  .even_leased = what == UNLOAD_LEASED,
					  .path = strdup(s.path),
					  .text = strdup(text ? text : ""),
					  .state = s.state,
					  .work_ms = s.work_ms,
					  .connections = s.connections,
					  .timer = loop_timer_new(t->node->loop, on_timer, o),
					  .fn = fn,
					  .data = data };
		snprintf(o->session, sizeof(o->session), "%s", s.id);
		snprintf(o->kernel, sizeof(o->kernel), "%s", s.kernel);
		snprintf(o->cause, sizeof(o->cause), "%s", cause);
		snprintf(o->by, sizeof(o->by), "%s", by ? by : "");
		snprintf(o->user, sizeof(o->user), "%s", s.user);
		snprintf(o->project, sizeof(o->project), "%s", s.project);
	}
	if (!o || !o->path || !o->text || !o->timer) {
		if (o)
			order_free(o);
		if (fn)
			fn(data, o ? "no memory" : "it does not exist");
		return;
	}
	o->next = t->look->orders;
	t->look->orders = o;
	if (strcmp(cause, "policy") != 0) {
		ask(o);
		return;
	}
	o->round = t->look->round + 1;
	loop_timer_start(o->timer, WITHIN_MS);
	look_now(t->look);
}

void node_notebooks_unload(struct node_notebooks *t, const char *session, const char *cause, const char *by, const char *text,
			   node_notebooks_done_fn *fn, void *data)
{
	order(t, session, UNLOAD, cause, by, text, fn, data);
}

void node_notebooks_unload_leased(struct node_notebooks *t, const char *session, const char *cause, const char *by,
				  const char *text, node_notebooks_done_fn *fn, void *data)
{
	order(t, session, UNLOAD_LEASED, cause, by, text, fn, data);
}

void node_notebooks_interrupt(struct node_notebooks *t, const char *session, const char *cause, const char *by, const char *text,
			      node_notebooks_done_fn *fn, void *data)
{
	order(t, session, INTERRUPT, cause, by, text, fn, data);
}
