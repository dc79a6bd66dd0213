#include "net/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/list.h"
#include "base/text.h"
#include "net/client_curl.h"
#include "net/direct.h"

/* Easy handles kept for the next calls: making one costs more than a small request. */
enum { SPARES = 32 };

struct client {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer *timer;
	struct list calls;
	size_t count;
	CURL *spare[SPARES];
	size_t nspares;
	struct direct *direct;
};

/* --- curl on the loop --- */

static void finish_calls(struct client *c);

static void on_socket_event(void *data, int fd, int events)
{
	struct client *c = data;
	int running, flags = (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
	curl_multi_socket_action(c->multi, fd, flags, &running);
	finish_calls(c);
}

static void on_timeout(void *data)
{
	struct client *c = data;
	int running;
	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finish_calls(c);
}

static int on_timer_wish(CURLM *multi, long delay_ms, void *data)
{
	struct client *c = data;
	(void)multi;
	if (delay_ms < 0)
		loop_timer_stop(c->timer);
	else
		loop_timer_start(c->timer, delay_ms);
	return 0;
}

static int on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *data, void *at_socket)
{
	struct client *c = data;
	struct loop_io *io = at_socket;
	int events = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		loop_io_free(&io);
		curl_multi_assign(c->multi, fd, NULL);
	} else if (io != NULL) {
		loop_io_set(io, events);
	} else {
		io = loop_io_new(c->loop, fd, events, on_socket_event, c);
		if (io == NULL)
			return -1;
		curl_multi_assign(c->multi, fd, io);
	}
	return 0;
}

/* --- the end of a call --- */

static void give_back(struct client *c, CURL *easy)
{
	if (c->nspares == SPARES) {
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy);
	c->spare[c->nspares++] = easy;
}

static void free_call(struct client_call *call)
{
	struct client *c = call->client;
	list_remove(&call->link);
	if (call->direct != NULL) {
		direct_cancel(&call->direct);
		free(call);
		return;
	}
	c->count--;
	curl_multi_remove_handle(c->multi, call->easy);
	give_back(c, call->easy);
	curl_slist_free_all(call->fields);
	curl_slist_free_all(call->connect_to);
	free(call->unix_path);
	buf_fini(&call->answer);
	free(call);
}

static enum client_outcome judge(const struct client_call *call, CURLcode code)
{
	curl_off_t sent_at = 0;
	if (call->is_too_large)
		return CLIENT_TOO_LARGE;
	if (call->is_other)
		return CLIENT_NOT_CONNECTED;
	switch (code) {
	case CURLE_OK:
		return CLIENT_OK;
	case CURLE_FILESIZE_EXCEEDED:
		return CLIENT_TOO_LARGE;
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
		return call->is_refused ? CLIENT_UNKNOWN : CLIENT_NOT_CONNECTED;
	case CURLE_OPERATION_TIMEDOUT:
		curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_at);
		return sent_at == 0 ? CLIENT_NOT_CONNECTED : CLIENT_TIMED_OUT;
	default:
		return CLIENT_BROKEN;
	}
}

/* Our words, not curl's: its texts may hold the names we make up to keep connections apart. */
static void explain(const struct client_call *call, CURLcode code, enum client_outcome outcome, struct err *err)
{
	char amount[40];
	long os_error = 0;
	switch (outcome) {
	case CLIENT_OK:
		return;
	case CLIENT_UNKNOWN:
		err_set(err, "no connection to it is kept");
		break;
	case CLIENT_NOT_CONNECTED:
		curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_error);
		if (code == CURLE_OPERATION_TIMEDOUT)
			err_set(err, "no connection in time");
		else if (call->is_other)
			err_set(err, "who listens on its socket is not the owner of the socket's folder");
		else if (os_error != 0)
			err_sys(err, (int)os_error, "no connection");
		else
			err_set(err, "no connection: %s", curl_easy_strerror(code));
		break;
	case CLIENT_TIMED_OUT:
		err_set(err, "no whole answer within %s", text_print_duration(call->timeout_ms, amount, sizeof(amount)));
		break;
	case CLIENT_TOO_LARGE:
		err_set(err, "the answer is larger than the limit of %s",
			text_print_size((int64_t)call->answer.max, amount, sizeof(amount)));
		break;
	case CLIENT_BROKEN:
		if (call->is_head_too_large)
			err_set(err, "the answer's header is larger than the limit of %d bytes", CLIENT_HEAD_MAX);
		else
			err_set(err, "%s", curl_easy_strerror(code));
		break;
	}
	err_add(err, "unable to %s %s", call->method, call->shown);
}

static void finish(struct client_call *call, CURLcode code)
{
	struct client_answer answer = { .outcome = judge(call, code), .was_new = call->was_new, .body = "", .content_type = "" };
	struct err err;
	long status = 0;
	char *type = NULL;
	if (answer.outcome == CLIENT_OK) {
		curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
		answer.status = (int)status;
		answer.body = call->answer.data != NULL ? call->answer.data : "";
		answer.len = call->answer.len;
		answer.content_type = type != NULL ? type : "";
	} else {
		explain(call, code, answer.outcome, &err);
		answer.error = err.text;
	}
	client_fn *fn = call->fn;
	void *data = call->data;
	/* Whoever is told may cancel all he knows of, this one included. */
	call->fn = NULL;
	fn(data, &answer);
	free_call(call);
}

static void finish_calls(struct client *c)
{
	CURLMsg *msg;
	int left;
	while ((msg = curl_multi_info_read(c->multi, &left)) != NULL) {
		struct client_call *call = NULL;
		if (msg->msg != CURLMSG_DONE)
			continue;
		CURLcode code = msg->data.result;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		finish(call, code);
	}
}

/* --- making a call --- */

static void on_direct_answer(void *data, const struct client_answer *answer)
{
	struct client_call *call = data;
	client_fn *fn = call->fn;
	call->fn = NULL;
	fn(call->data, answer);
	list_remove(&call->link);
	free(call);
}

static struct client_call *request_direct(struct client *c, const struct client_order *o, client_fn *fn, void *data,
					  struct err *err)
{
	struct client_call *call = calloc(1, sizeof(*call));
	if (call != NULL) {
		*call = (struct client_call){ .client = c, .fn = fn, .data = data };
		list_init(&call->link);
		list_push(&c->calls, &call->link);
		call->direct = direct_request(c->direct, o, on_direct_answer, call, err);
	} else {
		err_sys(err, ENOMEM, "unable to call a server");
	}
	if (call != NULL && call->direct != NULL)
		return call;
	if (call != NULL)
		list_remove(&call->link);
	free(call);
	return NULL;
}

struct client_call *client_request(struct client *c, const struct client_order *o, client_fn *fn, void *data, struct err *err)
{
	if (direct_takes(o))
		return request_direct(c, o, fn, data, err);
	struct client_call *call = calloc(1, sizeof(*call));
	CURL *easy = c->nspares > 0 ? c->spare[--c->nspares] : curl_easy_init();
	if (call == NULL || easy == NULL) {
		free(call);
		if (easy != NULL)
			give_back(c, easy);
		err_sys(err, ENOMEM, "unable to call %.100s", o->unix_path != NULL ? o->unix_path : "a server");
		return NULL;
	}
	*call = (struct client_call){ .client = c, .easy = easy, .fn = fn, .data = data, .is_known_only = o->is_known_only };
	call->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : CLIENT_TIMEOUT_MS;
	snprintf(call->method, sizeof(call->method), "%s", o->method != NULL ? o->method : "GET");
	text_escape(call->shown, sizeof(call->shown), o->url, strcspn(o->url, "?#"));
	buf_init(&call->answer, o->answer_max > 0 ? o->answer_max : CLIENT_ANSWER_MAX);
	list_init(&call->link);
	list_push(&c->calls, &call->link);
	c->count++;
	if (client_curl_set_up(call, o, err) == 0) {
		if (curl_multi_add_handle(c->multi, easy) == CURLM_OK)
			return call;
		err_sys(err, ENOMEM, "unable to %s %.100s", call->method, call->shown);
	}
	free_call(call);
	return NULL;
}

void client_cancel(struct client_call **call)
{
	if (*call != NULL && (*call)->fn != NULL)
		free_call(*call);
	*call = NULL;
}

size_t client_count(const struct client *c)
{
	return c->count + direct_count(c->direct);
}

/* --- life --- */

struct client *client_new(struct loop *loop, size_t kept_connections_max, struct err *err)
{
	struct client *c = calloc(1, sizeof(*c));
	if (c == NULL || curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK) {
		free(c);
		err_sys(err, ENOMEM, "unable to make an HTTP client");
		return NULL;
	}
	c->loop = loop;
	list_init(&c->calls);
	c->multi = curl_multi_init();
	c->timer = loop_timer_new(loop, on_timeout, c);
	c->direct = direct_new(loop, kept_connections_max);
	if (c->multi == NULL || c->timer == NULL || c->direct == NULL) {
		client_free(&c);
		err_sys(err, ENOMEM, "unable to make an HTTP client");
		return NULL;
	}
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)kept_connections_max);
	return c;
}

void client_free(struct client **cp)
{
	struct client *c = *cp;
	if (c == NULL)
		return;
	list_each (&c->calls, p)
		free_call(list_of(p, struct client_call, link));
	direct_free(&c->direct);
	while (c->nspares > 0)
		curl_easy_cleanup(c->spare[--c->nspares]);
	if (c->multi != NULL)
		curl_multi_cleanup(c->multi);
	loop_timer_free(&c->timer);
	curl_global_cleanup();
	free(c);
	*cp = NULL;
}
