#include "ctl/rest.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/bell.h"
#include "sys/clock.h"
#include "sys/fds.h"

enum {
	BODY_MAX = 256 * 1024 * 1024,
	KEY_MAX = 512,
	PORTS_MAX = 4096,
	CONNECT_MS = 5000,
	ANSWER_MS = 60000, /* the keeper holds the port: while the backend starts, a request waits */
	PAUSE_MS = 200,
	PAUSE_MOST_MS = 2000,
	HEAD_MAX = 64 * 1024,
	SILENCE_MS = 3000, /* then people are told that somebody keeps them waiting */
};

struct rest {
	struct ctl *ctl;
	CURL *curl;
	struct curl_slist *headers;
	char base[256];        /* of DSS_URL: no instance of this machine is meant; "" = as run/ports.json says */
	char socket[PATH_MAX]; /* "" = TCP */
	int socket_dir;        /* its folder, where the path is too long for a socket; -1 */
	bool is_noted;         /* "waiting for the backend" was said */
	int within_ms;         /* for each answer; 0 = ANSWER_MS */
	int64_t asked_ms;      /* monotonic; 0: no request is under way, or one that is meant to wait */
	volatile sig_atomic_t *stop;
};

/* --- where and who --- */

/* The page's port of this very moment: it changes when the instance was started anew with port 0. */
static int read_port(struct rest *r, int *port, struct err *err)
{
	char path[PATH_MAX], text[PORTS_MAX];
	if (ctl_path(r->ctl, "run/ports.json", path, sizeof(path), err) < 0 || fds_read_file(path, text, sizeof(text), err) < 0)
		return -1;
	json_t *o = json_loads(text, 0, NULL);
	/* behind nginx the page's port may want TLS; "local" is the backend's own, on this machine alone */
	double n = rest_number(o, "local", rest_number(o, "page", 0));
	json_decref(o);
	if (n < 1 || n > 65535)
		return err_set(err, "unable to read %s: it tells no port of the page", path);
	*port = (int)n;
	return 0;
}

/* The url of a path; -1: err. */
static int make_url(struct rest *r, const char *path, char *url, size_t room, struct err *err)
{
	int port = 0, n;
	if (r->base[0] == '\0' && r->socket[0] == '\0' && read_port(r, &port, err) < 0)
		return -1;
	if (r->base[0] != '\0')
		n = snprintf(url, room, "%s%s", r->base, path);
	else if (r->socket[0] != '\0')
		n = snprintf(url, room, "http://localhost%s", path);
	else
		n = snprintf(url, room, "http://127.0.0.1:%d%s", port, path);
	return n < (int)room ? 0 : err_sys(err, ENAMETOOLONG, "unable to ask for %.60s…", path);
}

static int read_key(struct ctl *ctl, const char *key_file, char *key, struct err *err)
{
	char path[PATH_MAX];
	const char *env = getenv("DSS_KEY");
	if (key_file == NULL && env != NULL && env[0] != '\0') {
		if (snprintf(key, KEY_MAX, "%s", env) >= KEY_MAX)
			return err_set(err, "unable to use DSS_KEY: it is too long");
	} else {
		if (key_file == NULL && ctl_path(ctl, "config/admin.key", path, sizeof(path), err) < 0)
			return -1;
		if (fds_read_file(key_file != NULL ? key_file : path, key, KEY_MAX, err) < 0)
			return -1;
		key[strcspn(key, "\r\n")] = '\0';
	}
	for (const char *p = key; *p != '\0'; p++)
		if (*p <= 0x20 || *p >= 0x7f)
			return err_set(err, "unable to use this key: it has blanks or strange characters");
	return key[0] != '\0' ? 0 : err_set(err, "unable to use this key: it is empty");
}

/* The key must not be sent to a stranger who took the port of an instance that is down. */
static int check_keeper(struct ctl *ctl)
{
	struct err err = { 0 };
	struct bell *bell = NULL;
	if (bell_open(&bell, ctl->dir, &err) == 0) {
		bell_close(&bell);
		return CTL_DONE;
	}
	if (bell_is_closed(&err))
		return ctl_fail(CTL_NO_DAEMON, "%s is not running; start it with %s/bin/dss start", ctl->dir, ctl->dir);
	/* The door is its owner's alone; who has a key may still ask. */
	return err.code == EACCES ? CTL_DONE : ctl_fail(CTL_FAILED, "%s", err.text);
}

/* Wipes the key. NULL: no memory. */
static struct rest *make(struct ctl *ctl, char *key)
{
	char header[KEY_MAX + 32];
	struct rest *r = calloc(1, sizeof(*r));
	if (r != NULL && (r->curl = curl_easy_init()) != NULL) {
		r->ctl = ctl;
		r->socket_dir = -1;
		snprintf(header, sizeof(header), "Authorization: Bearer %s", key);
		r->headers = curl_slist_append(NULL, header);
		r->headers = curl_slist_append(r->headers, "Content-Type: application/json");
		r->headers = curl_slist_append(r->headers, "Expect:");
		explicit_bzero(header, sizeof(header));
	}
	explicit_bzero(key, KEY_MAX);
	if (r == NULL || r->curl == NULL) {
		free(r);
		return NULL;
	}
	return r;
}

/* DSS_URL: who has a key need not be able to read the instance's folder, nor be on its machine. */
static int open_by_url(struct rest **rest, struct ctl *ctl, const char *url, const char *key_file)
{
	char key[KEY_MAX];
	struct err err = { 0 };
	const char *own = getenv("DSS_KEY");
	size_t n = strlen(url);
	while (n > 0 && url[n - 1] == '/')
		n--;
	size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : n;
	if (n <= scheme || memchr(url + scheme, '/', n - scheme) != NULL || strpbrk(url, " \t\r\n?#@") != NULL)
		return ctl_fail(CTL_USAGE, "DSS_URL is no address such as http://127.0.0.1:11200 or https://node.example:11200");
	if (key_file == NULL && (own == NULL || own[0] == '\0'))
		return ctl_fail(CTL_NOT_ALLOWED, "DSS_URL is set: say who asks with DSS_KEY or --key-file");
	if (read_key(ctl, key_file, key, &err) < 0)
		return ctl_fail(err.code == EACCES ? CTL_NOT_ALLOWED : CTL_FAILED, "%s", err.text);
	snprintf(ctl->dir, sizeof(ctl->dir), "%.*s", (int)n, url);
	if ((*rest = make(ctl, key)) == NULL)
		return ctl_fail(CTL_FAILED, "no memory");
	if (snprintf((*rest)->base, sizeof((*rest)->base), "%.*s", (int)n, url) < (int)sizeof((*rest)->base))
		return CTL_DONE;
	rest_close(rest);
	return ctl_fail(CTL_USAGE, "DSS_URL is too long");
}

int rest_open(struct rest **rest, struct ctl *ctl, const char *key_file)
{
	char key[KEY_MAX];
	struct err err = { 0 };
	const char *url = getenv("DSS_URL");
	if (url != NULL && url[0] != '\0' && ctl->given == NULL)
		return open_by_url(rest, ctl, url, key_file);
	int code = ctl_find(ctl);
	if (code != CTL_DONE)
		return code;
	if (read_key(ctl, key_file, key, &err) < 0)
		return ctl_fail(err.code == EACCES ? CTL_NOT_ALLOWED : CTL_FAILED, "%s", err.text);
	if ((code = check_keeper(ctl)) != CTL_DONE)
		return code;
	*rest = make(ctl, key);
	return *rest != NULL ? CTL_DONE : ctl_fail(CTL_FAILED, "no memory");
}

/* A path that is too long for a socket's address is reached through its folder. */
static int find_socket(struct rest *r, struct err *err)
{
	char run[PATH_MAX];
	if (ctl_path(r->ctl, "run/admin.sock", r->socket, sizeof(r->socket), err) < 0)
		return -1;
	if (access(r->socket, R_OK | W_OK) < 0)
		return err_sys(err, errno, "unable to reach %s", r->socket);
	if (strlen(r->socket) < sizeof(((struct sockaddr_un *)0)->sun_path))
		return 0;
	if (ctl_path(r->ctl, "run", run, sizeof(run), err) < 0)
		return -1;
	if ((r->socket_dir = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return err_sys(err, errno, "unable to open %s", run);
	snprintf(r->socket, sizeof(r->socket), "/proc/self/fd/%d/admin.sock", r->socket_dir);
	return 0;
}

int rest_open_socket(struct rest **rest, struct ctl *ctl)
{
	char none[KEY_MAX] = "";
	struct err err = { 0 };
	int code = ctl_find(ctl);
	if (code != CTL_DONE || (code = check_keeper(ctl)) != CTL_DONE)
		return code;
	if ((*rest = make(ctl, none)) == NULL)
		return ctl_fail(CTL_FAILED, "no memory");
	curl_slist_free_all((*rest)->headers);
	(*rest)->headers = curl_slist_append(NULL, "Content-Type: application/json");
	(*rest)->headers = curl_slist_append((*rest)->headers, "Expect:");
	if (find_socket(*rest, &err) == 0)
		return CTL_DONE;
	rest_close(rest);
	return err.code == EACCES ? ctl_unreached(ctl, &err) : ctl_fail(CTL_FAILED, "%s", err.text);
}

void rest_close(struct rest **rest)
{
	if (*rest == NULL)
		return;
	fds_close(&(*rest)->socket_dir);
	curl_slist_free_all((*rest)->headers);
	curl_easy_cleanup((*rest)->curl);
	free(*rest);
	*rest = NULL;
}

/* --- one request --- */

static size_t take_body(char *data, size_t size, size_t n, void *to)
{
	struct rest_answer *a = to;
	return buf_put(&a->body, data, size * n) == 0 ? n : 0;
}

static size_t take_head(char *data, size_t size, size_t n, void *to)
{
	struct rest_answer *a = to;
	return buf_put(&a->head, data, size * n) == 0 ? n : 0;
}

void rest_stop_on(struct rest *r, volatile sig_atomic_t *stop)
{
	r->stop = stop;
}

static bool is_stopped(const struct rest *r)
{
	return r->stop != NULL && *r->stop != 0;
}

/* Called by curl at least each second. */
static int on_progress(void *data, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
	struct rest *r = data;
	(void)dltotal, (void)dlnow, (void)ultotal, (void)ulnow;
	if (r->asked_ms > 0 && !r->is_noted && clock_mono_ms() - r->asked_ms > SILENCE_MS && isatty(STDERR_FILENO)) {
		ctl_note("the backend does not answer; waiting for it up to %d s (%s/bin/dss status tells how it is)",
			 ANSWER_MS / 1000, r->ctl->dir);
		r->is_noted = true;
	}
	return is_stopped(r);
}

/* What every request has. */
static CURL *prepare(struct rest *r, const char *url)
{
	CURL *c = r->curl;
	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->headers);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, r->base[0] != '\0' ? "http,https" : "http");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, r);
	return c;
}

/* 0; -1: err->code is ECONNREFUSED or ECONNRESET where another try may help. */
static int ask_once(struct rest *r, const char *method, const char *path, const char *body, struct rest_answer *out,
		    struct err *err)
{
	char url[16 * 1024]; /* the backend takes no longer head; filters are long */
	bool is_local = r->socket[0] != '\0';
	if (make_url(r, path, url, sizeof(url), err) < 0)
		return -1;
	CURL *c = prepare(r, url);
	if (is_local)
		curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, r->socket);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(r->within_ms > 0 ? r->within_ms : ANSWER_MS));
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, out);
	if (body != NULL) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
	}
	buf_clear(&out->body);
	buf_clear(&out->head);
	r->asked_ms = strstr(path, "wait=") == NULL || strstr(path, "wait=0") != NULL ? clock_mono_ms() : 0;
	CURLcode rc = curl_easy_perform(c);
	r->asked_ms = 0;
	if (rc == CURLE_OK) {
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &out->status);
		return 0;
	}
	if (is_local)
		err_set(err, "unable to ask the backend at run/admin.sock: %s", curl_easy_strerror(rc));
	else
		err_set(err, "unable to ask the backend at %.*s: %s", (int)(strlen(url) - strlen(path)), url,
			curl_easy_strerror(rc));
	err->code = rc == CURLE_COULDNT_CONNECT ? ECONNREFUSED
		    : rc == CURLE_RECV_ERROR || rc == CURLE_SEND_ERROR || rc == CURLE_GOT_NOTHING || rc == CURLE_PARTIAL_FILE
			    ? ECONNRESET
		    : rc == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT
						     : EIO;
	return -1;
}

static void note_patience(struct rest *r, const struct err *err)
{
	if (!r->is_noted && isatty(STDERR_FILENO))
		ctl_note("%s; waiting for it up to 60 s", err->text);
	r->is_noted = true;
}

void rest_pause(struct rest *r, int *pause_ms)
{
	if (!is_stopped(r))
		poll(NULL, 0, *pause_ms);
	*pause_ms = *pause_ms * 3 / 2 < PAUSE_MOST_MS ? *pause_ms * 3 / 2 : PAUSE_MOST_MS;
}

/* Of the answer just read. What a command printed may look like JSON. */
static bool is_json(const struct rest *r)
{
	const char *type = NULL;
	curl_easy_getinfo(r->curl, CURLINFO_CONTENT_TYPE, &type);
	return type == NULL || strstr(type, "octet-stream") == NULL;
}

int rest_ask(struct rest *r, const char *method, const char *path, const char *body, struct rest_answer *out)
{
	int64_t deadline_ms = clock_mono_ms() + REST_PATIENCE_MS;
	int pause_ms = PAUSE_MS;
	struct err err = { 0 };
	*out = (struct rest_answer){ 0 };
	buf_init(&out->body, BODY_MAX);
	buf_init(&out->head, HEAD_MAX);
	for (;;) {
		int rc = ask_once(r, method, path, body, out, &err);
		if (rc == 0 && out->status != 503)
			break;
		if (rc == 0)
			err_set(&err, "the backend takes no requests right now (status 503): %.200s",
				out->body.len > 0 ? out->body.data : "");
		if (is_stopped(r))
			return CTL_INTERRUPTED;
		bool may_help = rc == 0 || err.code == ECONNREFUSED || err.code == ECONNRESET || err.code == ENOENT;
		if (!may_help || clock_mono_ms() >= deadline_ms)
			return ctl_fail(err.code == ETIMEDOUT      ? CTL_TIMED_OUT
					: err.code == ECONNREFUSED ? CTL_NO_DAEMON
								   : CTL_FAILED,
					"%s", err.text);
		note_patience(r, &err);
		rest_pause(r, &pause_ms);
	}
	out->json = out->body.len > 0 && is_json(r)
			    ? json_loadb(out->body.data, out->body.len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL)
			    : NULL;
	return out->status < 400 || out->status == 422 ? CTL_DONE : rest_refused(out);
}

int rest_once(struct ctl *ctl, const char *key_file, const char *method, const char *path, const char *body, rest_print_fn *print)
{
	struct rest *rest = NULL;
	struct rest_answer a = { 0 };
	int code = rest_open(&rest, ctl, key_file);
	if (rest == NULL)
		return code;
	code = rest_ask(rest, method, path, body, &a);
	if (code == CTL_DONE && ctl->json)
		printf("%s\n", a.body.len > 0 ? a.body.data : "{}");
	else if (code == CTL_DONE)
		code = print(ctl, &a);
	rest_answer_fini(&a);
	rest_close(&rest);
	return code;
}

/* --- a body without an end --- */

struct stream {
	struct rest *rest;
	struct rest_answer refusal; /* an answer of 400 and over is gathered and told */
	rest_piece_fn *fn;
	void *data;
	bool is_left;
};

static size_t take_piece(char *data, size_t size, size_t n, void *to)
{
	struct stream *s = to;
	long status = 0;
	curl_easy_getinfo(s->rest->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400)
		return take_body(data, size, n, &s->refusal);
	s->is_left = !s->fn(s->data, data, size * n);
	return s->is_left ? 0 : size * n;
}

int rest_stream(struct rest *r, const char *path, const char *header, int quiet_s, rest_piece_fn *fn, void *data)
{
	char url[1024];
	struct err err = { 0 };
	struct stream s = { .rest = r, .fn = fn, .data = data };
	if (make_url(r, path, url, sizeof(url), &err) < 0)
		return ctl_fail(err.code == ENAMETOOLONG ? CTL_USAGE : CTL_NO_DAEMON, "%s", err.text);
	buf_init(&s.refusal.body, BODY_MAX);
	CURL *c = prepare(r, url);
	struct curl_slist *more = curl_slist_append(NULL, "Accept: text/event-stream");
	for (struct curl_slist *h = r->headers; h != NULL; h = h->next)
		more = curl_slist_append(more, h->data);
	if (header != NULL)
		more = curl_slist_append(more, header);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, more);
	if (quiet_s > 0) {
		curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)quiet_s);
	}
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_piece);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &s);
	CURLcode rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &s.refusal.status);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->headers);
	curl_slist_free_all(more);
	int code = CTL_DONE;
	if (s.refusal.status >= 400 && s.refusal.status != 503) {
		s.refusal.json = json_loadb(s.refusal.body.data != NULL ? s.refusal.body.data : "", s.refusal.body.len, 0, NULL);
		code = rest_refused(&s.refusal);
	} else if (is_stopped(r)) {
		code = CTL_INTERRUPTED;
	} else if (rc == CURLE_COULDNT_CONNECT) {
		note_patience(r, &(struct err){ .text = "the backend does not answer" });
	}
	rest_answer_fini(&s.refusal);
	return code;
}

json_t *rest_glance(struct ctl *ctl, const char *path, int within_ms)
{
	char key[KEY_MAX];
	struct err err = { 0 };
	struct rest_answer a = { 0 };
	json_t *json = NULL;
	struct rest *r = read_key(ctl, NULL, key, &err) == 0 ? make(ctl, key) : NULL;
	if (r == NULL)
		return NULL;
	r->within_ms = within_ms;
	r->is_noted = true;
	buf_init(&a.body, BODY_MAX);
	buf_init(&a.head, HEAD_MAX);
	if (ask_once(r, "GET", path, NULL, &a, &err) == 0 && a.status == 200)
		json = json_loadb(a.body.data, a.body.len, JSON_DECODE_INT_AS_REAL, NULL);
	rest_answer_fini(&a);
	rest_close(&r);
	return json;
}
