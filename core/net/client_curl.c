#include "net/client_curl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include "net/direct.h"
#include "net/http.h"
#include "sys/sock.h"

/* Each call under way has one; long polls wait by the hundred. */
static const long READ_BUFFER = 4 * 1024;
/* An idle connection older than this is not used again. */
static const long IDLE_S = 3600;

/* --- curl's callbacks --- */

static size_t on_bytes(char *data, size_t size, size_t n, void *arg)
{
	struct client_call *call = arg;
	if (buf_put(&call->answer, data, size * n) == 0)
		return size * n;
	call->is_too_large = true;
	return 0;
}

static size_t on_head(char *data, size_t size, size_t n, void *arg)
{
	struct client_call *call = arg;
	(void)data;
	call->head_size += size * n;
	if (call->head_size <= CLIENT_HEAD_MAX)
		return size * n;
	call->is_head_too_large = true;
	return 0;
}

/* Called for each new connection, never for a kept one. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct client_call *call = arg;
	(void)purpose;
	call->was_new = true;
	if (call->is_known_only) {
		call->is_refused = true;
		return CURL_SOCKET_BAD;
	}
	return call->unix_fd = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* It is connected, and nothing was sent yet. A connection that was kept has been looked at. */
static int on_connected(void *arg, char *peer, char *own, int peer_port, int own_port)
{
	struct client_call *call = arg;
	(void)peer, (void)own, (void)peer_port, (void)own_port;
	call->is_other = call->was_new && sock_check_own(call->unix_fd, call->unix_path, NULL) < 0;
	return call->is_other ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* --- an order --- */

static int add_line(struct curl_slist **list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int add_line(struct curl_slist **list, const char *fmt, ...)
{
	char *line;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -1;
	struct curl_slist *longer = curl_slist_append(*list, line);
	free(line);
	if (longer == NULL)
		return -1;
	*list = longer;
	return 0;
}

/* One label of a host name, different for every peer (host names do not tell case). */
static void put_label(struct buf *b, const char *peer)
{
	for (; *peer != '\0'; peer++) {
		bool is_plain = (*peer >= 'a' && *peer <= 'z') || (*peer >= '0' && *peer <= '9') || *peer == '-';
		if (is_plain)
			buf_putc(b, *peer);
		else
			buf_printf(b, "_%02x", (unsigned char)*peer);
	}
}

/*
 * With a peer the URL's host becomes the peer's name, while the connection goes to the address as written: curl keeps
 * connections by the URL's host, so that peers never share one.
 */
static int set_url(struct client_call *call, const struct client_order *o, struct err *err)
{
	struct buf url;
	CURLcode code = CURLE_OUT_OF_MEMORY;
	if (strncasecmp(o->url, "http://", 7) != 0)
		return err_set(err, "unable to call %.100s: only http:// is spoken", call->shown);
	/* Part of it may be a kernel's own words, and it ends in a Host field. */
	for (const char *c = o->url; *c != '\0'; c++)
		if ((unsigned char)*c <= 0x20 || *c == 0x7f)
			return err_set(err, "unable to call %.100s: the address holds a blank or a control character", call->shown);
	const char *authority = o->url + 7;
	size_t len = strcspn(authority, "/?#");
	const char *colon = memrchr(authority, ':', len);
	bool has_port = colon != NULL && memchr(colon, ']', (size_t)(authority + len - colon)) == NULL;
	if (len == 0 || memchr(authority, '@', len) != NULL || (o->peer != NULL && !has_port && o->unix_path == NULL))
		return err_set(err, "unable to call %.100s: the address must be host:port", call->shown);
	if (o->peer == NULL || o->unix_path != NULL)
		return curl_easy_setopt(call->easy, CURLOPT_URL, o->url) == CURLE_OK
			       ? 0
			       : err_sys(err, ENOMEM, "unable to call %.100s", call->shown);
	buf_init(&url, 64 * 1024);
	buf_puts(&url, "http://");
	put_label(&url, o->peer);
	buf_puts(&url, ".peer");
	buf_puts(&url, colon);
	if (!url.failed && add_line(&call->connect_to, "::%.*s", (int)len, authority) == 0 &&
	    add_line(&call->fields, "Host: %.*s", (int)len, authority) == 0)
		code = curl_easy_setopt(call->easy, CURLOPT_URL, url.data);
	buf_fini(&url);
	return code == CURLE_OK ? 0 : err_sys(err, ENOMEM, "unable to call %.100s", call->shown);
}

static int set_fields(struct client_call *call, const struct client_order *o, struct err *err)
{
	int failed = add_line(&call->fields, "Expect:");
	if (o->bearer != NULL && !http_is_field("Authorization", o->bearer))
		return err_set(err, "unable to call %.100s: the token holds a character that may not stand in a header",
			       call->shown);
	if (o->content_type != NULL && !http_is_field("Content-Type", o->content_type))
		return err_set(err, "unable to call %.100s: the content type holds a character that may not stand in a header",
			       call->shown);
	if (o->bearer != NULL)
		failed |= add_line(&call->fields, "Authorization: Bearer %s", o->bearer);
	if (o->body_len > 0)
		failed |=
			add_line(&call->fields, "Content-Type: %s", o->content_type != NULL ? o->content_type : "application/json");
	for (const char *const *f = o->fields; f != NULL && *f != NULL; f++) {
		if (strpbrk(*f, "\r\n") != NULL || strchr(*f, ':') == NULL)
			return err_set(err, "unable to call %.100s: a header field is not \"Name: value\"", call->shown);
		failed |= add_line(&call->fields, "%s", *f);
	}
	return failed == 0 ? 0 : err_sys(err, ENOMEM, "unable to call %.100s", call->shown);
}

#define SET(easy, option, value) (failed |= curl_easy_setopt((easy), (option), (value)) != CURLE_OK)

static bool set_body(CURL *easy, const struct client_order *o, const char *method)
{
	bool failed = false;
	if (strcmp(method, "HEAD") == 0) {
		SET(easy, CURLOPT_NOBODY, 1L);
		return !failed;
	}
	if (o->body_len > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
		SET(easy, CURLOPT_POST, 1L);
		SET(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body_len);
		SET(easy, CURLOPT_COPYPOSTFIELDS, o->body_len > 0 ? o->body : "");
	}
	SET(easy, CURLOPT_CUSTOMREQUEST, method);
	return !failed;
}

static bool set_options(struct client_call *call, const struct client_order *o)
{
	CURL *easy = call->easy;
	bool failed = false;
	/* Towards 127.0.0.1 nothing of the environment may lead elsewhere, and bytes arrive as they were sent. */
	SET(easy, CURLOPT_PROXY, "");
	SET(easy, CURLOPT_NOPROXY, "*");
	SET(easy, CURLOPT_PROTOCOLS_STR, "http");
	SET(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
	SET(easy, CURLOPT_NOSIGNAL, 1L);
	SET(easy, CURLOPT_TCP_NODELAY, 1L);
	SET(easy, CURLOPT_PATH_AS_IS, 1L);
	SET(easy, CURLOPT_BUFFERSIZE, READ_BUFFER);
	SET(easy, CURLOPT_MAXAGE_CONN, IDLE_S);
	SET(easy, CURLOPT_USERAGENT, "dssd/" DSS_VERSION);
	SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(o->connect_ms > 0 ? o->connect_ms : CLIENT_CONNECT_MS));
	SET(easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
	SET(easy, CURLOPT_FORBID_REUSE, o->is_last ? 1L : 0L);
	SET(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)call->answer.max);
	SET(easy, CURLOPT_HTTPHEADER, call->fields);
	if (call->connect_to != NULL)
		SET(easy, CURLOPT_CONNECT_TO, call->connect_to);
	if (o->unix_path != NULL) {
		failed |= (call->unix_path = strdup(o->unix_path)) == NULL;
		SET(easy, CURLOPT_UNIX_SOCKET_PATH, o->unix_path);
		SET(easy, CURLOPT_PREREQFUNCTION, on_connected);
		SET(easy, CURLOPT_PREREQDATA, call);
	}
	SET(easy, CURLOPT_PRIVATE, call);
	SET(easy, CURLOPT_WRITEFUNCTION, on_bytes);
	SET(easy, CURLOPT_WRITEDATA, call);
	SET(easy, CURLOPT_HEADERFUNCTION, on_head);
	SET(easy, CURLOPT_HEADERDATA, call);
	SET(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	SET(easy, CURLOPT_OPENSOCKETDATA, call);
	return !failed && set_body(easy, o, call->method);
}

int client_curl_set_up(struct client_call *call, const struct client_order *o, struct err *err)
{
	if (set_url(call, o, err) < 0 || set_fields(call, o, err) < 0)
		return -1;
	return set_options(call, o) ? 0 : err_sys(err, ENOMEM, "unable to %s %.100s", call->method, call->shown);
}
