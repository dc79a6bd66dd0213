#include "gate/tunnel_head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char OURS[] = "dss-"; /* cookies whose name begins so */
enum { FIELDS_MAX = 200 };

/* Between two neighbours only (RFC 9110, 7.6.1). */
static const char *const hop_by_hop[] = { "connection",
					  "keep-alive",
					  "proxy-connection",
					  "proxy-authorization",
					  "te",
					  "transfer-encoding",
					  "proxy-authenticate",
					  "upgrade",
					  "trailer",
					  NULL };
/* Said by us: what the client says of it is not passed on. */
static const char *const told_by_us[] = { "host",           "cookie",           "expect",
					  "content-length", "x-forwarded-for",  "x-forwarded-proto",
					  "forwarded",      "x-forwarded-host", "x-forwarded-prefix",
					  "x-script-name",  "x-forwarded-user", "x-remote-user",
					  "x-real-ip",      "x-dku-apiticket",  "x-dku-proxyuser",
					  "script-name",    "x-forwarded-port", NULL };
/* They hold for the whole host or origin, which other webapps are of; or a server before us would do what they say. */
static const char *const beyond_the_app[] = { "clear-site-data",
					      "service-worker-allowed",
					      "strict-transport-security",
					      "public-key-pins",
					      "alt-svc",
					      "set-cookie2",
					      "nel",
					      "report-to",
					      "x-accel-redirect",
					      "x-accel-limit-rate",
					      "x-accel-expires",
					      "x-accel-charset",
					      "x-sendfile",
					      "x-lighttpd-send-file",
					      "dss-version",
					      "dss-api-version",
					      NULL };

static bool is_in(const char *const *list, const char *name)
{
	for (; *list != NULL; list++)
		if (strcasecmp(*list, name) == 0)
			return true;
	return false;
}

/* Is word among the comma-separated ones of value? */
static bool has_word(const char *value, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = value; *at != '\0';) {
		at += strspn(at, " \t,");
		size_t n = strcspn(at, ",");
		size_t bare = n;
		while (bare > 0 && (at[bare - 1] == ' ' || at[bare - 1] == '\t'))
			bare--;
		if (bare == len && strncasecmp(at, word, len) == 0)
			return true;
		at += n;
	}
	return false;
}

/* Does Connection name it, so that it ends here? A length that went so would leave a body without an end behind. */
static bool names_it(const struct http_pair *field, size_t n, const char *name)
{
	if (strcasecmp(name, "content-length") == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(field[i].name, "connection") == 0 && has_word(field[i].value, name))
			return true;
	return false;
}

/* --- requests --- */

void tunnel_read_request(const struct http_request *r, struct tunnel_asked *out)
{
	const char *length = http_field(r, "content-length"), *upgrade = http_field(r, "upgrade"),
		   *expect = http_field(r, "expect");
	*out = (struct tunnel_asked){ .is_chunked = http_field(r, "transfer-encoding") != NULL };
	if (length != NULL)
		out->length = strtoull(length, NULL, 10);
	bool has_body = out->is_chunked || out->length > 0;
	out->wants_continue = expect != NULL && r->minor > 0 && has_body;
	/* Nothing else: h2c would be a second protocol past all that is looked at here. */
	out->wants_upgrade = upgrade != NULL && strcasecmp(upgrade, "websocket") == 0 && r->minor > 0 && !has_body &&
			     strcmp(r->method, "GET") == 0 && names_it(r->field, r->nfields, "upgrade");
}

static const char *skip_segments(const char *path, size_t n)
{
	for (; n > 0; n--) {
		path += strspn(path, "/");
		path += strcspn(path, "/?");
	}
	return path;
}

static void put_target(struct buf *out, const struct http_request *r, const struct tunnel_route *route)
{
	const char *target = strncasecmp(r->target, "http://", 7) == 0 ? r->target + 7 + strcspn(r->target + 7, "/") : r->target;
	const char *rest = skip_segments(target, route->depth);
	/* "//host" would be another's name to some. */
	while (rest[0] == '/' && rest[1] == '/')
		rest++;
	buf_printf(out, "%s %s%s HTTP/1.%d\r\n", r->method, *rest == '/' ? "" : "/", rest, r->minor);
}

static bool is_ours(const char *name, size_t len)
{
	return len >= sizeof(OURS) - 1 && strncasecmp(name, OURS, sizeof(OURS) - 1) == 0;
}

/* Cookies of the app alone; a field of which nothing is left is left out. */
static void put_cookies(struct buf *out, const char *value)
{
	bool is_first = true;
	for (const char *at = value; *at != '\0';) {
		at += strspn(at, " \t;");
		size_t n = strcspn(at, ";");
		/* One without a name may be read as one with ours: "=dss-x=1", "dss-x". */
		if (n > 0 && *at != '=' && !is_ours(at, n)) {
			buf_puts(out, is_first ? "Cookie: " : "; ");
			buf_put(out, at, n);
			is_first = false;
		}
		at += n;
	}
	if (!is_first)
		buf_puts(out, "\r\n");
}

static const char *said(const struct http_request *r, const struct tunnel_route *route, const char *name)
{
	return route->is_proxied ? http_field(r, name) : NULL;
}

static void put_told(struct buf *out, const struct http_request *r, const struct tunnel_route *route)
{
	const char *before = said(r, route, "x-forwarded-for"), *proto = said(r, route, "x-forwarded-proto");
	const char *host = said(r, route, "x-forwarded-host");
	/* what the proxy before us says is the whole way: its own connection to us has no address */
	buf_printf(out, "X-Forwarded-For: %s\r\n", before != NULL ? before : route->peer);
	buf_printf(out, "X-Forwarded-Proto: %s\r\n", proto != NULL && strcasecmp(proto, "https") == 0 ? "https" : "http");
	if (host != NULL || r->host[0] != '\0')
		buf_printf(out, "X-Forwarded-Host: %s\r\n", host != NULL ? host : r->host);
	buf_printf(out, "X-Forwarded-Prefix: %s\r\nX-Script-Name: %s\r\n", route->prefix, route->prefix);
	if (route->user[0] != '\0')
		buf_printf(out, "X-Forwarded-User: %s\r\n", route->user);
}

int tunnel_put_request(struct buf *out, const struct http_request *r, const struct tunnel_route *route)
{
	struct tunnel_asked asked;
	tunnel_read_request(r, &asked);
	put_target(out, r, route);
	buf_printf(out, "Host: %s\r\n", r->host[0] != '\0' ? r->host : "localhost");
	for (size_t i = 0; i < r->nfields; i++) {
		const char *name = r->field[i].name, *value = r->field[i].value;
		bool is_key = strcmp(name, "authorization") == 0 && route->strips_authorization;
		if (strcmp(name, "cookie") == 0)
			put_cookies(out, value);
		/* X_Forwarded_User and X-Forwarded-User are one name to CGI and WSGI. */
		else if (!is_in(hop_by_hop, name) && !is_in(told_by_us, name) && strchr(name, '_') == NULL && !is_key &&
			 !names_it(r->field, r->nfields, name))
			buf_printf(out, "%s: %s\r\n", name, value);
	}
	if (asked.is_chunked)
		buf_puts(out, "Transfer-Encoding: chunked\r\n");
	else if (http_field(r, "content-length") != NULL)
		buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)asked.length);
	put_told(out, r, route);
	buf_puts(out, asked.wants_upgrade ? "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" : "Connection: close\r\n\r\n");
	return out->failed ? -1 : 0;
}

/* --- answers --- */

size_t tunnel_head_length(const char *data, size_t len)
{
	const char *end = len < 4 ? NULL : memmem(data, len, "\r\n\r\n", 4);
	return end == NULL ? 0 : (size_t)(end - data) + 4;
}

struct answer {
	struct http_pair field[FIELDS_MAX];
	size_t n;
	int status, minor;
};

static int take_status(struct answer *a, const char *line, struct err *err)
{
	bool is_http = strncmp(line, "HTTP/1.", 7) == 0 && (line[7] == '0' || line[7] == '1') && line[8] == ' ' && line[9] >= '1' &&
		       line[9] <= '9' && line[10] >= '0' && line[10] <= '9' && line[11] >= '0' && line[11] <= '9' &&
		       (line[12] == ' ' || line[12] == '\0');
	if (!is_http)
		return err_set(err, "what it says is not HTTP");
	a->minor = line[7] - '0';
	a->status = atoi(line + 9);
	return 0;
}

static int take_field(struct answer *a, char *line, struct err *err)
{
	char *colon = strchr(line, ':');
	if (colon == NULL || colon == line)
		return err_set(err, "a line of its answer's header is no field");
	*colon = '\0';
	char *value = colon + 1 + strspn(colon + 1, " \t"), *end = value + strlen(value);
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	if (!http_is_field(line, value))
		return err_set(err, "a field of its answer's header holds what may not stand there");
	if (a->n == FIELDS_MAX)
		return err_set(err, "its answer has more than %d header fields", (int)FIELDS_MAX);
	a->field[a->n++] = (struct http_pair){ line, value };
	return 0;
}

static int read_head(struct answer *a, char *data, size_t len, struct err *err)
{
	if (memchr(data, '\0', len) != NULL)
		return err_set(err, "its answer's header holds a NUL");
	data[len - 2] = '\0'; /* the blank line */
	for (char *line = data, *next; *line != '\0'; line = next) {
		next = strstr(line, "\r\n");
		*next = '\0';
		next += 2;
		if (strpbrk(line, "\r\n") != NULL)
			return err_set(err, "a line of its answer's header ends with CR or LF alone");
		if ((line == data ? take_status(a, line, err) : take_field(a, line, err)) < 0)
			return -1;
	}
	return a->status > 0 ? 0 : err_set(err, "what it says is not HTTP");
}

/* How its body ends; two ways to read it are none. */
static int read_length(const struct answer *a, const struct http_request *r, struct tunnel_answered *out, struct err *err)
{
	int lengths = 0, codings = 0;
	out->length = -1;
	out->has_body = !r->is_head && a->status >= 200 && a->status != 204 && a->status != 304;
	for (size_t i = 0; i < a->n; i++) {
		const char *value = a->field[i].value;
		if (strcasecmp(a->field[i].name, "content-length") == 0) {
			size_t digits = strspn(value, "0123456789");
			if (lengths++ > 0 || digits == 0 || digits > 18 || value[digits] != '\0')
				return err_set(err, "its answer's Content-Length is no number, or came twice");
			out->length = (int64_t)strtoull(value, NULL, 10);
		} else if (strcasecmp(a->field[i].name, "transfer-encoding") == 0) {
			if (codings++ > 0 || strcasecmp(value, "chunked") != 0)
				return err_set(err, "its answer has a Transfer-Encoding other than chunked");
			out->is_chunked = true;
		}
	}
	if (lengths > 0 && codings > 0)
		return err_set(err, "its answer has both Content-Length and Transfer-Encoding");
	if (out->is_chunked && r->minor == 0)
		return err_set(err, "its answer is chunked, which its client does not read");
	return 0;
}

static bool begins_with_prefix(const char *path, const struct tunnel_route *route)
{
	size_t n = strlen(route->prefix);
	return strncmp(path, route->prefix, n) == 0 && (path[n] == '\0' || strchr("/?#;", path[n]) != NULL);
}

/* "/login" and "http://our-host/login" are beneath the prefix for the client; what lies elsewhere stays. */
static void put_location(struct buf *out, const char *name, const char *value, const struct http_request *r,
			 const struct tunnel_route *route)
{
	const char *path = value;
	size_t host = strlen(r->host);
	size_t scheme = strncasecmp(value, "http://", 7) == 0 ? 7 : strncasecmp(value, "https://", 8) == 0 ? 8 : 0;
	if (scheme > 0 && host > 0 && strncasecmp(value + scheme, r->host, host) == 0 &&
	    strchr("/?#", value[scheme + host]) != NULL)
		path = value + scheme + host;
	bool is_path = (path != value && *path != '/') || (path[0] == '/' && path[1] != '/' && path[1] != '\\');
	if (!is_path || begins_with_prefix(path, route))
		buf_printf(out, "%s: %s\r\n", name, value);
	else
		buf_printf(out, "%s: %s%s%s\r\n", name, route->prefix, *path == '/' ? "" : "/", path);
}

static void put_attribute(struct buf *out, const char *at, size_t n, const struct tunnel_route *route)
{
	size_t name = 0;
	while (name < n && at[name] != '=' && at[name] != ' ' && at[name] != '\t')
		name++;
	if (name == 6 && strncasecmp(at, "domain", 6) == 0)
		return;
	if (name != 4 || strncasecmp(at, "path", 4) != 0) {
		buf_printf(out, "; %.*s", (int)n, at);
		return;
	}
	const char *eq = memchr(at, '=', n), *end = at + n;
	const char *path = eq != NULL ? eq + 1 + strspn(eq + 1, " \t") : end;
	while (end > path && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	size_t len = path < end ? (size_t)(end - path) : 0;
	char text[TUNNEL_PREFIX_MAX * 2];
	snprintf(text, sizeof(text), "%.*s", (int)len, path < end ? path : "");
	if (begins_with_prefix(text, route))
		buf_printf(out, "; Path=%.*s", (int)len, path);
	else
		buf_printf(out, "; Path=%s%s%.*s", route->prefix, text[0] == '/' ? "" : "/", text[0] == '/' ? (int)len : 0, path);
}

/* It cannot have our names, and holds beneath the app's prefix, on this host alone. */
static void put_set_cookie(struct buf *out, const char *value, const struct tunnel_route *route)
{
	value += strspn(value, " \t");
	size_t first = strcspn(value, ";");
	if (memchr(value, '=', first) == NULL || *value == '=' || is_ours(value, first))
		return;
	buf_printf(out, "Set-Cookie: %.*s", (int)first, value);
	for (const char *at = value + first; *at != '\0';) {
		at += strspn(at, " \t;");
		size_t n = strcspn(at, ";");
		if (n > 0)
			put_attribute(out, at, n, route);
		at += n;
	}
	buf_puts(out, "\r\n");
}

static void put_field(struct buf *out, const struct http_pair *f, const struct http_request *r, const struct tunnel_route *route)
{
	if (strcasecmp(f->name, "set-cookie") == 0)
		put_set_cookie(out, f->value, route);
	else if (strcasecmp(f->name, "location") == 0 || strcasecmp(f->name, "content-location") == 0)
		put_location(out, f->name, f->value, r, route);
	else
		buf_printf(out, "%s: %s\r\n", f->name, f->value);
}

int tunnel_put_answer(struct buf *out, char *data, size_t len, const struct http_request *r, const struct tunnel_route *route,
		      bool keeps, struct tunnel_answered *answered, struct err *err)
{
	struct answer a = { .n = 0 };
	struct tunnel_asked asked;
	*answered = (struct tunnel_answered){ .length = -1 };
	if (read_head(&a, data, len, err) < 0 || read_length(&a, r, answered, err) < 0)
		return -1;
	answered->status = a.status;
	tunnel_read_request(r, &asked);
	if (a.status == 101 && !asked.wants_upgrade)
		return err_set(err, "it changes the protocol, which nobody asked for");
	if (a.status < 200 && a.status != 101)
		return 0;
	buf_printf(out, "HTTP/1.1 %d %s\r\n", a.status, http_reason(a.status));
	for (size_t i = 0; i < a.n; i++)
		if (!is_in(hop_by_hop, a.field[i].name) && !is_in(beyond_the_app, a.field[i].name) &&
		    !names_it(a.field, a.n, a.field[i].name))
			put_field(out, &a.field[i], r, route);
	if (answered->is_chunked)
		buf_puts(out, "Transfer-Encoding: chunked\r\n");
	bool has_end = !answered->has_body || answered->length >= 0 || answered->is_chunked;
	buf_puts(out, a.status == 101    ? "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
		      : keeps && has_end ? "Connection: keep-alive\r\n\r\n"
					 : "Connection: close\r\n\r\n");
	return out->failed ? err_set(err, "its answer's header is too long") : 0;
}
