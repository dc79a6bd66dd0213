/*
 * node_notebook_start: a kernel that was announced and is not a process yet: whose it is, a place for it, a nonce. It is a thing of its own until its
 * launcher has registered: under the same id another process may live, whose row, place and box are not touched, whatever becomes of the start.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "fleet/die.h"
#include "fleet/fleet.h"
#include "fleet/jtext.h"
#include "gate/server.h"
#include "net/json.h"
#include "node/node_notebook_inner.h"
#include "sys/clock.h"
#include "sys/proc.h"

#define PATH_MOST   2000
#define PLACE_MS    50000  /* less than the server waits for its answer */
#define REGISTER_MS 120000 /* from the nonce to the launcher, a backend's restart among it */
#define NONCE_BYTES 24

/* --- its life --- */

void notebook_start_answer(struct notebook_start *s, int status, const char *text)
{
	struct gate_request *req = s->req;
	s->req = NULL;
	if (req)
		notebook_refuse(req, status, text);
}

static void let_go(struct notebook_start *s)
{
	explicit_bzero(s->nonce, sizeof(s->nonce));
	notebook_birth_free(&s->birth);
	free(s->path);
	free(s);
}

void notebook_start_free(struct notebook_start **sp)
{
	struct notebook_start *s = *sp;
	*sp = NULL;
	if (!s)
		return;
	notebook_start_answer(s, 409, "another start of this kernel came before");
	loop_timer_free(&s->timer);
	guest_leave(&s->guest);
	s->is_over = true;
	if (s->asked == 0)
		let_go(s);
}

bool notebook_start_is_over(struct notebook_start *s)
{
	s->asked--;
	if (!s->is_over)
		return false;
	if (s->asked == 0)
		let_go(s);
	return true;
}

void notebook_start_fail(struct notebook_start *s, int status, const char *text)
{
	struct notebook_entry *e = s->e;
	char told[1700];
	log_warn("kernel %s of notebook \"%s\" is not started: %s", e->k.id, s->path, text);
	notebook_start_answer(s, status, text);
	notebook_start_free(&e->start);
	if (e->k.is_alive)
		return;
	if (!e->ended_ms) {
		notebook_forget(e);
		return;
	}
	/* its row stays, with why it has ended: and why there is no other in its place */
	snprintf(told, sizeof(told), "%.800s%sIt was not started again: %.700s", e->k.message ? e->k.message : "",
		 e->k.message ? " " : "", text);
	if (!e->k.message || !strstr(e->k.message, "It was not started again: "))
		notebook_set_text(&e->k.message, told);
	notebook_keep(e, NULL, NULL);
}

static void on_late(void *data)
{
	struct notebook_start *s = data;
	char why[800], text[900];
	int position = 0;
	if (s->req && guest_why(s->guest, why, sizeof(why), &position)) {
		snprintf(text, sizeof(text), "no place within %d s, position %d: %s", PLACE_MS / 1000, position, why);
		notebook_start_fail(s, 409, text);
	} else {
		notebook_start_fail(s, 409, "its process did not come");
	}
}

static struct notebook_start *start_new(struct notebook_entry *e, const char *path)
{
	struct notebook_start *s = calloc(1, sizeof(*s));
	if (!s || !(s->path = strdup(path)) || !(s->timer = loop_timer_new(e->in->node->loop, on_late, s))) {
		if (s)
			let_go(s);
		return NULL;
	}
	s->e = e;
	return s;
}

/* --- its row --- */

void notebook_start_put(const struct notebook_start *s, struct buf *out)
{
	buf_putc(out, '{');
	jtext_text(out, "process", s->process);
	jtext_text(out, "nonce", s->nonce_hash);
	jtext_int(out, "server", s->server_pid);
	jtext_int(out, "until", s->until_ms);
	jtext_text(out, "path", s->path);
	jtext_int(out, "limitBytes", s->limit_bytes);
	jtext_member(out, "birth");
	notebook_birth_put(&s->birth, out);
	buf_putc(out, '}');
}

struct notebook_start *notebook_start_again(struct notebook_entry *e, const json_t *saved)
{
	int64_t until_ms = json_integer_value(json_object_get(saved, "until")), left = until_ms - clock_wall_ms();
	const char *path = json_string_value(json_object_get(saved, "path"));
	const json_t *birth = json_object_get(saved, "birth"); /* an older backend had it in the kernel's own row */
	struct notebook_start *s = saved && left > 0 ? start_new(e, path ? path : e->k.path) : NULL;
	if (!s)
		return NULL;
	json_copy_text(saved, "process", s->process, sizeof(s->process));
	json_copy_text(saved, "nonce", s->nonce_hash, sizeof(s->nonce_hash));
	s->server_pid = (int)json_integer_value(json_object_get(saved, "server"));
	s->limit_bytes = birth ? json_integer_value(json_object_get(saved, "limitBytes")) : e->limit_bytes;
	s->until_ms = until_ms;
	notebook_birth_read(&s->birth, birth);
	if (!birth) {
		s->birth = e->birth;
		s->birth.tags = json_incref(e->birth.tags);
	}
	loop_timer_start(s->timer, left < REGISTER_MS ? left : REGISTER_MS);
	return s;
}

/* --- announced: whose it is, a place, a nonce --- */

static void on_kept(void *data, const struct store_answer *kept)
{
	struct notebook_start *s = data;
	char text[DIGEST_HEX_SIZE + 32];
	if (notebook_start_is_over(s))
		return;
	if (kept->outcome != STORE_OK) {
		notebook_start_fail(s, 503, kept->err.text);
		return;
	}
	die_at("notebook_granted");
	int len = snprintf(text, sizeof(text), "{\"nonce\":\"%s\"}", s->nonce);
	struct gate_request *req = s->req;
	s->req = NULL;
	if (req)
		gate_reply_json(req, 200, text, (size_t)len);
	explicit_bzero(text, sizeof(text));
	explicit_bzero(s->nonce, sizeof(s->nonce));
	loop_timer_start(s->timer, REGISTER_MS);
}

static void go_on(struct notebook_start *s)
{
	struct err err = { 0 };
	loop_timer_stop(s->timer);
	if (digest_random_hex(s->nonce, NONCE_BYTES, &err) < 0) {
		notebook_start_fail(s, 503, err.text);
		return;
	}
	digest_sha256_hex(s->nonce, strlen(s->nonce), s->nonce_hash);
	s->until_ms = clock_wall_ms() + REGISTER_MS;
	s->asked++;
	if (notebook_keep(s->e, on_kept, s) < 0) {
		s->asked--;
		notebook_start_fail(s, 503, "the store takes nothing now");
	}
}

static void on_place(void *data, struct guest *g, const struct err *why)
{
	struct notebook_start *s = data;
	(void)g;
	if (why)
		notebook_start_fail(s, 409, why->text);
	else
		go_on(s);
}

/* One that is started instead of another waits for the place of that, too, which is given back once it has ended. */
static void ask_place(struct notebook_start *s)
{
	struct node *n = s->e->in->node;
	struct err err = { 0 };
	struct guest_facts facts = notebook_facts(&s->birth, s->process, 0);
	int64_t limit = notebook_find_limit(n, &facts, &err);
	if (limit < 0) {
		notebook_start_fail(s, 409, err.text);
		return;
	}
	facts.memory_bytes = s->limit_bytes = limit;
	s->guest = guest_ask(fleet_guests(n->fleet), &facts, NULL, on_place, s);
	if (!s->guest)
		notebook_start_fail(s, 503, "the backend has no memory");
	else
		loop_timer_start(s->timer, PLACE_MS);
}

static void on_whose(void *data, const struct notebook_whose *w)
{
	struct notebook_start *s = data;
	if (notebook_start_is_over(s))
		return;
	if (w->refusal) {
		notebook_start_fail(s, w->status, w->refusal);
		return;
	}
	snprintf(s->birth.project, sizeof(s->birth.project), "%s", w->project);
	snprintf(s->birth.user, sizeof(s->birth.user), "%s", w->user);
	s->birth.tags = json_is_array(w->tags) ? json_incref((json_t *)w->tags) : NULL;
	ask_place(s);
}

/* Nobody waits for its nonce any more: what it would hold is given back. */
static void on_gone(void *data, struct gate_request *req)
{
	(void)req;
	notebook_start_fail(data, 409, "who announced it has gone");
}

/* Only a child of the server that announced it can come with its nonce. */
static bool is_orphan(const struct notebook_start *s)
{
	struct proc_stat st;
	if (s->pid || s->server_pid <= 0)
		return false;
	return (kill(s->server_pid, 0) < 0 && errno == ESRCH) || (proc_read(s->server_pid, &st) == 0 && st.state == 'Z');
}

void notebook_starts_look(struct node_notebooks *t)
{
	bool is_any;
	do { /* one that fails may take its entry out of the table */
		size_t cursor = 0;
		is_any = false;
		for (struct notebook_entry *e; !is_any && (e = map_next(t->by_id, &cursor));)
			if ((is_any = e->start && is_orphan(e->start)))
				notebook_start_fail(e->start, 409, "the notebook server that announced it has ended");
	} while (is_any);
}

static bool is_spec(const char *s)
{
	return strlen(s) < sizeof(((struct notebook_kernel *)0)->spec) && text_is_id(s, strlen(s));
}

static int read_announcement(const json_t *body, const char **kernel, const char **path, const char **cwd, const char **spec,
			     struct err *err)
{
	*path = *cwd = "";
	if (json_get_text(body, "kernel", JSON_REQUIRED, kernel, err) < 0 ||
	    json_get_text(body, "path", JSON_OPTIONAL, path, err) < 0 || json_get_text(body, "cwd", JSON_OPTIONAL, cwd, err) < 0 ||
	    json_get_text(body, "spec", JSON_REQUIRED, spec, err) < 0)
		return -1;
	*path = *path ? *path : "";
	*cwd = *cwd ? *cwd : "";
	if (!text_is_id(*kernel, strlen(*kernel)) || strlen(*kernel) >= sizeof(((struct notebook_kernel *)0)->id))
		return err_set(err, "\"%.80s\" is no kernel's id", *kernel);
	return strlen(*path) <= PATH_MOST ? 0 : err_set(err, "the notebook's name is longer than %d bytes", PATH_MOST);
}

void notebook_announce(struct node_notebooks *t, struct gate_request *req, const json_t *body)
{
	const char *kernel = NULL, *path = NULL, *cwd = NULL, *spec = NULL;
	struct node *n = t->node;
	struct err err = { 0 };
	if (read_announcement(body, &kernel, &path, &cwd, &spec, &err) < 0) {
		notebook_refuse(req, 400, err.text);
		return;
	}
	if (n->is_draining || !n->facts.is_taken_up) {
		notebook_refuse(req, 503, "the backend starts nothing now");
		return;
	}
	struct notebook_entry *e = notebook_get(t, kernel);
	if (e && e->is_unwanted) {
		char text[1700];
		snprintf(text, sizeof(text), "%.1500s Open the notebook again for a new kernel.",
			 e->k.message ? e->k.message : "It was ended.");
		notebook_refuse(req, 409, text);
		return;
	}
	struct notebook_start *s = e ? start_new(e, path) : NULL;
	if (!s) {
		notebook_refuse(req, 503, "the backend has no memory");
		return;
	}
	notebook_start_free(&e->start);
	e->start = s;
	s->req = req;
	gate_on_gone(req, on_gone, s);
	s->server_pid = (int)req->pid;
	snprintf(s->process, sizeof(s->process), "notebook-%lld-%lld", (long long)n->facts.epoch, (long long)++t->last);
	snprintf(s->birth.spec, sizeof(s->birth.spec), "%s", is_spec(spec) ? spec : "");
	notebook_birth_name(&s->birth, path);
	s->asked++;
	notebook_ask_whose(t, path, cwd, on_whose, s);
}
