/*
 * node_notebook_register: the launcher in a kernel's place says the nonce that its start was granted, and is put into its box. It asks again until
 * it has an answer, also another backend than the one that heard it first: the same process with the same nonce is told how that went.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "fleet/die.h"
#include "gate/server.h"
#include "net/json.h"
#include "node/node_notebook_inner.h"
#include "sys/clock.h"
#include "sys/proc.h"

struct boxing {
	struct notebook_start *s;
	struct gate_request *req;
	int pid;
};

void notebook_start_become(struct notebook_start *s, int pid)
{
	struct notebook_entry *e = s->e;
	struct notebook_kernel *k = &e->k;
	if (k->process[0]) /* its end was not told yet */
		snprintf(e->before, sizeof(e->before), "%s", k->process);
	snprintf(k->process, sizeof(k->process), "%s", s->process);
	snprintf(k->project, sizeof(k->project), "%s", s->birth.project);
	snprintf(k->user, sizeof(k->user), "%s", s->birth.user);
	snprintf(k->spec, sizeof(k->spec), "%s", s->birth.spec);
	notebook_set_text(&k->path, s->path);
	snprintf(e->nonce_hash, sizeof(e->nonce_hash), "%s", s->nonce_hash);
	notebook_birth_take(&e->birth, &s->birth);
	e->limit_bytes = s->limit_bytes;
	e->moves++; /* whose an older name is does not count any more */
	e->is_moving = false;
	k->pid = pid;
	k->is_alive = true;
	k->started_ms = clock_wall_ms();
	k->cause[0] = '\0';
	free(k->message);
	k->message = NULL;
	e->ended_ms = 0;
	e->wish = NOTEBOOK_GOES_ON;
	guest_leave(&e->guest);
	e->guest = s->guest;
	s->guest = NULL;
	notebook_start_free(&e->start);
	notebook_keep(e, NULL, NULL);
}

static void on_boxed(void *data, const struct wire_view *msg)
{
	struct boxing *b = data;
	struct notebook_start *s = b->s;
	if (notebook_start_is_over(s)) {
		notebook_refuse(b->req, 409, "the kernel was started once more meanwhile, or has ended");
	} else if (msg->type == WIRE_fail) {
		notebook_refuse(b->req, 409, wire_get_text(msg, WF_text));
		notebook_start_fail(s, 409, wire_get_text(msg, WF_text));
	} else {
		struct notebook_entry *e = s->e;
		die_at("notebook_boxed");
		notebook_start_become(s, b->pid);
		log_info("%s: kernel %s (pid %d) of notebook \"%s\", user %s", e->k.process, e->k.id, b->pid, e->k.path, e->k.user);
		gate_reply_json(b->req, 200, "{}", 2);
		node_notebooks_look(e->in);
	}
	free(b);
}

static bool is_same(const char *kept, const char hash[DIGEST_HEX_SIZE])
{
	return kept[0] && text_is_same_secret(kept, hash, DIGEST_HEX_SIZE - 1);
}

/* One of the two, or none: a start with that nonce, or the kernel whose process came with it. */
static void find(struct node_notebooks *t, const char *nonce, struct notebook_start **start, struct notebook_entry **entry)
{
	char hash[DIGEST_HEX_SIZE];
	size_t cursor = 0;
	digest_sha256_hex(nonce, strlen(nonce), hash);
	*start = NULL;
	*entry = NULL;
	for (struct notebook_entry *e; (e = map_next(t->by_id, &cursor));)
		if (e->start && is_same(e->start->nonce_hash, hash))
			*start = e->start;
		else if (is_same(e->nonce_hash, hash))
			*entry = e;
}

static void order(struct notebook_start *s, struct gate_request *req)
{
	struct err err = { 0 };
	struct boxing *b = calloc(1, sizeof(*b));
	int pid = (int)req->pid;
	if (b) {
		*b = (struct boxing){ s, req, pid };
		s->asked++;
		if (notebook_order_box(s, pid, on_boxed, b, &err) == 0) {
			s->pid = pid;
			die_at("notebook_ordered");
			return;
		}
		s->asked--;
		free(b);
	} else {
		err_set(&err, "the backend has no memory");
	}
	notebook_refuse(req, 409, err.text);
	notebook_start_fail(s, 409, err.text);
}

void notebook_register(struct node_notebooks *t, struct gate_request *req, const json_t *body)
{
	const char *nonce = NULL;
	struct notebook_start *s;
	struct notebook_entry *e;
	struct proc_stat st;
	struct err err = { 0 };
	struct node *n = t->node;
	if (json_get_text(body, "nonce", JSON_REQUIRED, &nonce, &err) < 0) {
		notebook_refuse(req, 400, err.text);
		return;
	}
	if (!n->facts.is_taken_up || !n->keeper || !n->facts.is_connected) { /* it asks again */
		notebook_refuse(req, 503, "the backend is starting");
		return;
	}
	find(t, nonce, &s, &e);
	if (e && e->k.is_alive && e->k.pid == req->pid) {
		gate_reply_json(req, 200, "{}", 2); /* it did not hear it: the backend was replaced */
	} else if (s && s->pid && s->pid == req->pid) {
		notebook_refuse(req, 503, "it is being put into its box");
	} else if (!s || s->pid || proc_read(req->pid, &st) < 0 || st.ppid != s->server_pid) {
		log_warn("pid %d, uid %u wanted to be a notebook's kernel and is none that was announced", (int)req->pid,
			 (unsigned)req->uid);
		notebook_refuse(req, 403, "this process was not announced by the Jupyter server");
	} else {
		order(s, req);
	}
}
