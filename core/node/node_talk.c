#include "node/node_talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "net/digest.h"
#include "net/json.h"
#include "node/node_gc.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define WAIT_S         30
#define SHORT_MS       30000
#define LONG_MS        (WAIT_S * 1000 + 60000)
#define PAUSE_FIRST_MS 50
#define PAUSE_MOST_MS  2000
#define PROOFS_MOST    4      /* for one request; a peer that closes each proved connection is broken */
#define GARBAGE_MOST   9      /* answers that break off in a row: ten seconds of them */
#define HANG_MS        300000 /* without a word before the task was accepted; after that silence is no death */
#define READ_TO_END_MS 1000
#define STATE_MAX      (2 * 1024 * 1024)

struct ask {
	struct list link;
	struct talk *talk;
	struct client_call *call;
	char method[8], path[96], nonce[33];
	bool is_main, with_body;
	int64_t timeout_ms;
	size_t answer_max;
	int proofs;
	talk_aside_fn *aside; /* NULL: nobody hears the answer */
};

static void ask_free(struct ask *a)
{
	list_remove(&a->link);
	client_cancel(&a->call);
	free(a);
}

/* After any answer: is everything read that a dead kernel left? May free the talk (through the fleet). */
static void check_read(struct talk *t)
{
	if (!t->read_fn || (!list_is_empty(&t->asks) && loop_timer_is_running(t->read_limit)))
		return;
	node_kernel_read_fn *fn = t->read_fn;
	t->read_fn = NULL;
	loop_timer_stop(t->read_limit);
	fn(t->read_data);
}

static void finish_ask(struct ask *a, const struct client_answer *answer)
{
	struct talk *t = a->talk;
	bool is_main = a->is_main;
	talk_aside_fn *aside = a->aside;
	a->call = NULL;
	if (!is_main && answer->outcome == CLIENT_OK && answer->status == 401)
		talk_refused(t, "it refused the backend's token (401)");
	ask_free(a);
	if (is_main) {
		t->is_main_under_way = false;
		if (answer->outcome == CLIENT_OK) {
			t->failures = 0;
			t->silent_since_mono_ms = 0;
		}
		if (!t->is_refused)
			talk_answered(t, answer);
	} else if (aside && !t->is_refused) {
		aside(t, answer);
	}
	check_read(t);
}

static void on_answer(void *data, const struct client_answer *answer);

static struct client_call *request(struct ask *a, const char *path, bool is_proof, struct err *err)
{
	struct talk *t = a->talk;
	char url[KERNEL_URL_MAX + 160];
	snprintf(url, sizeof(url), "%s%s", t->url, path);
	struct client_order o = {
		.method = is_proof ? "GET" : a->method,
		.url = url,
		.peer = t->id,
		.is_known_only = !is_proof,
		.timeout_ms = is_proof ? SHORT_MS : a->timeout_ms,
		.answer_max = is_proof ? 64 * 1024 : a->answer_max,
	};
	if (!is_proof)
		o.bearer = t->token;
	if (!is_proof && a->with_body) {
		o.body = t->body.data;
		o.body_len = t->body.len;
	}
	return client_request(t->all->client, &o, on_answer, a, err);
}

static void broken_off(struct ask *a, const char *why)
{
	struct client_answer none = { .outcome = CLIENT_BROKEN, .body = "", .content_type = "", .error = why };
	finish_ask(a, &none);
}

static void go(struct ask *a, bool is_proof)
{
	struct err err = { 0 };
	char path[160];
	snprintf(path, sizeof(path), "%s", a->path);
	if (is_proof) {
		if (++a->proofs > PROOFS_MOST) {
			broken_off(a, "it closes each connection");
			return;
		}
		if (digest_random_hex(a->nonce, 16, &err) < 0) {
			broken_off(a, err.text);
			return;
		}
		snprintf(path, sizeof(path), "/health?nonce=%s", a->nonce);
	} else {
		a->nonce[0] = 0;
	}
	a->call = request(a, path, is_proof, &err);
	if (!a->call)
		broken_off(a, err.text);
}

static bool is_proved(const struct ask *a, const struct client_answer *answer)
{
	char wanted[DIGEST_HEX_SIZE];
	json_t *body = answer->status == 200 ? json_parse_object(answer->body, answer->len, NULL) : NULL;
	const char *proof = json_string_value(json_object_get(body, "proof"));
	digest_hmac_sha256_hex(a->talk->token, strlen(a->talk->token), a->nonce, strlen(a->nonce), wanted);
	bool is_same = proof && strlen(proof) == strlen(wanted) && text_is_same_secret(proof, wanted, strlen(wanted));
	json_decref(body);
	return is_same;
}

static void on_answer(void *data, const struct client_answer *answer)
{
	struct ask *a = data;
	struct talk *t = a->talk;
	a->call = NULL;
	if (!a->nonce[0]) {
		if (answer->outcome == CLIENT_UNKNOWN)
			go(a, true);
		else
			finish_ask(a, answer);
	} else if (answer->outcome != CLIENT_OK) {
		finish_ask(a, answer);
	} else if (is_proved(a, answer)) {
		go(a, false);
	} else {
		talk_refused(t, "what answers at its address did not prove to be it");
		broken_off(a, "no proof");
	}
}

static int start(struct talk *t, const char *method, const char *path, bool is_main, talk_aside_fn *aside, size_t answer_max,
		 int64_t timeout_ms, struct err *err)
{
	struct ask *a = calloc(1, sizeof(*a));
	if (!a)
		return err_set(err, "no memory");
	a->talk = t;
	a->is_main = is_main;
	a->aside = aside;
	a->with_body = is_main && strcmp(method, "POST") == 0;
	a->answer_max = answer_max;
	a->timeout_ms = timeout_ms;
	snprintf(a->method, sizeof(a->method), "%s", method);
	snprintf(a->path, sizeof(a->path), "%s", path);
	a->call = request(a, a->path, false, err);
	if (!a->call) {
		free(a);
		return -1;
	}
	list_push(&t->asks, &a->link);
	return 0;
}

void talk_go_on(struct talk *t)
{
	struct err err = { 0 };
	char path[96];
	if (t->is_main_under_way || t->is_refused || t->step == TALK_IDLE)
		return;
	const char *method = "GET";
	int64_t timeout_ms = SHORT_MS;
	size_t most = STATE_MAX;
	if (t->step == TALK_POST) {
		method = "POST";
		snprintf(path, sizeof(path), "/task?wait=%d", t->post_wait_s);
	} else if (t->step == TALK_RESULT) {
		snprintf(path, sizeof(path), "/task/%s/result", t->task);
		most = FUTURE_RESULT_MAX;
		timeout_ms = LONG_MS;
	} else if (t->step == TALK_FOLLOW && t->has_seen) {
		snprintf(path, sizeof(path), "/task/%s?wait=%d&seen=%lld", t->task, WAIT_S, (long long)t->seen);
		timeout_ms = LONG_MS;
	} else {
		snprintf(path, sizeof(path), "/task/%s", t->task);
	}
	if (start(t, method, path, true, NULL, most, timeout_ms, &err) == 0) {
		t->is_main_under_way = true;
	} else {
		log_warn("unable to ask %s: %s", t->id, err.text);
		loop_timer_start(t->pause, PAUSE_MOST_MS);
	}
}

void talk_again(struct talk *t, const struct client_answer *a)
{
	int64_t now = clock_mono_ms();
	if (t->read_fn) /* its process is dead: there is nothing more to come */
		return;
	t->failures++;
	if (!t->silent_since_mono_ms)
		t->silent_since_mono_ms = now;
	if (a->outcome == CLIENT_TOO_LARGE || (a->outcome == CLIENT_BROKEN && t->failures > GARBAGE_MOST)) {
		talk_refused(t, "its answers cannot be read: %s", a->error ? a->error : "?");
		return;
	}
	if (!t->was_accepted && !t->may_be_silent && now - t->silent_since_mono_ms > HANG_MS) {
		talk_refused(t, "it has not answered for %d s", HANG_MS / 1000);
		return;
	}
	int64_t pause = PAUSE_FIRST_MS << (t->failures < 7 ? t->failures - 1 : 6);
	if (t->failures == 3)
		log_warn("%s does not answer: %s; asked again", t->id, a->error ? a->error : "?");
	loop_timer_start(t->pause, pause < PAUSE_MOST_MS ? pause : PAUSE_MOST_MS);
}

void talk_stop(struct talk *t, const char *cause, const char *text)
{
	if (t->is_refused)
		return;
	t->is_refused = true;
	if (t->read_fn)
		return;
	log_warn("%s; it is stopped", text);
	fleet_kernel_stop(t->all->fleet, t->id, cause, text);
}

void talk_refused(struct talk *t, const char *fmt, ...)
{
	char why[200], text[240];
	va_list args;
	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	snprintf(text, sizeof(text), "kernel %.30s: %s", t->id, why);
	talk_stop(t, "policy", text);
}

int talk_aside(struct talk *t, const char *method, const char *path, bool is_again, talk_aside_fn *fn, struct err *err)
{
	if (t->is_refused)
		return 0;
	list_each (&t->asks, l) { /* asked already, and not answered yet */
		const struct ask *a = list_of(l, struct ask, link);
		if (is_again && !a->is_main && strcmp(a->path, path) == 0)
			return 0;
	}
	return start(t, method, path, false, fn, STATE_MAX, SHORT_MS, err);
}

/* --- the table --- */

static void on_pause(void *data)
{
	talk_go_on(data);
}
static void on_read_limit(void *data)
{
	check_read(data);
}

static void talk_free(struct talk *t)
{
	list_each (&t->asks, l)
		ask_free(list_of(l, struct ask, link));
	loop_timer_free(&t->pause);
	loop_timer_free(&t->read_limit);
	fds_close(&t->kills_fd);
	buf_fini(&t->body);
	explicit_bzero(t->token, sizeof(t->token));
	free(t);
}

struct talk *talk_of(struct node_kernels *all, const struct kernel *k, struct err *err)
{
	struct talk *t = map_get(all->talks, k->id);
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		goto out;
	t->all = all;
	t->kills_fd = -1;
	list_init(&t->asks);
	buf_init(&t->body, TALK_BODY_MAX);
	snprintf(t->id, sizeof(t->id), "%s", k->id);
	snprintf(t->url, sizeof(t->url), "%s", k->url);
	t->is_jvm = k->pool->spec->kind && strcmp(k->pool->spec->kind, "java") == 0;
	t->pause = loop_timer_new(all->loop, on_pause, t);
	t->read_limit = loop_timer_new(all->loop, on_read_limit, t);
	if (t->pause && t->read_limit && kernel_task_token(all->key, all->key_len, k->id, t->token) == 0 &&
	    map_set(all->talks, k->id, t) == 0)
		return t;
	talk_free(t);
out:
	err_set(err, "unable to talk to %s: no memory", k->id);
	return NULL;
}

struct node_kernels *node_kernels_new(struct loop *loop, struct client *client, const void *key, size_t key_len, struct err *err)
{
	struct node_kernels *all = calloc(1, sizeof(*all));
	if (all)
		*all = (struct node_kernels){ .loop = loop, .client = client, .key = key, .key_len = key_len, .talks = map_new() };
	if (!all || !all->talks || !(all->gc_timer = loop_timer_new(loop, node_gc_look, all))) {
		node_kernels_free(&all);
		err_set(err, "unable to talk to kernels: no memory");
		return NULL;
	}
	return all;
}

void node_kernels_set_fleet(struct node_kernels *all, struct fleet *fleet)
{
	all->fleet = fleet;
}

void node_kernels_on_told(struct node_kernels *t, void (*fn)(void *data, const char *task, const json_t *state), void *data)
{
	t->told = fn;
	t->told_data = data;
}

void node_kernels_free(struct node_kernels **allp)
{
	struct node_kernels *all = *allp;
	size_t at = 0;
	struct talk *t;
	if (!all)
		return;
	while (all->talks && (t = map_next(all->talks, &at)))
		talk_free(t);
	if (all->talks)
		map_free(&all->talks);
	loop_timer_free(&all->gc_timer);
	free(all);
	*allp = NULL;
}

void node_kernel_drop(struct node_kernels *all, const char *id)
{
	struct talk *t = map_remove(all->talks, id);
	if (t)
		talk_free(t);
}

void node_kernel_finish(struct node_kernels *all, const char *id, node_kernel_read_fn *fn, void *data)
{
	struct talk *t = map_get(all->talks, id);
	if (!t || list_is_empty(&t->asks)) {
		fn(data);
		return;
	}
	t->read_fn = fn;
	t->read_data = data;
	loop_timer_stop(t->pause);
	loop_timer_start(t->read_limit, READ_TO_END_MS);
}
