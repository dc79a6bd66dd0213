#include "net/http.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <http_parser.h>
#include "base/utf8.h"
#include "net/http_chunk.h"
#include "net/http_scan.h"

/*
 * The head is looked at byte by byte (http_scan.h), then given to http-parser in one piece. http-parser 2.9.4 takes, and we refuse as well: two
 * Host fields, HTTP/0.9, several blanks in the request line, CONNECT. It stops at Upgrade; we go on, and whoever handles the request sees the field.
 */
struct http_parse {
	struct http_request r;
	enum http_stage stage;
	enum http_scan scan;
	struct buf head; /* the bytes as they came; names and values point into it */
	size_t name_len[HTTP_FIELDS_MAX], value_len[HTTP_FIELDS_MAX];
	bool in_value; /* http-parser's last callback was for a value */
	char *text;    /* target, path, decoded path and query */
	bool is_head_only;
	bool is_chunked;
	uint64_t left; /* of a body with a length */
	struct http_chunk chunk;
	struct http_fault *fault; /* during a feed */
};

static int fail(struct http_parse *p, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct http_parse *p, int status, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	p->fault->status = status;
	vsnprintf(p->fault->text, sizeof(p->fault->text), fmt, ap);
	va_end(ap);
	return -1;
}

struct http_parse *http_parse_new(size_t body_max)
{
	struct http_parse *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	buf_init(&p->head, HTTP_HEAD_MAX);
	buf_init(&p->r.body, body_max);
	p->r.method = p->r.target = p->r.path = p->r.host = "";
	return p;
}

struct http_parse *http_parse_new_head(void)
{
	struct http_parse *p = http_parse_new(SIZE_MAX / 2);
	if (p != NULL)
		p->is_head_only = true;
	return p;
}

void http_parse_free(struct http_parse **pp)
{
	struct http_parse *p = *pp;
	if (p == NULL)
		return;
	buf_fini(&p->head);
	buf_fini(&p->r.body);
	free(p->text);
	free(p);
	*pp = NULL;
}

enum http_stage http_parse_stage(const struct http_parse *p)
{
	return p->stage;
}

const struct http_request *http_parse_request(const struct http_parse *p)
{
	return &p->r;
}

/* 0, also when more has to come; -1 with the fault set. */
static int scan(struct http_parse *p, const char *data, size_t len, size_t *used)
{
	size_t room = HTTP_HEAD_MAX - p->head.len;
	const char *why = http_scan(&p->scan, data, len < room ? len : room, used);
	if (why != NULL)
		return fail(p, 400, "%s", why);
	if (buf_put(&p->head, data, *used) < 0)
		return fail(p, 503, "no memory for the request");
	if (p->head.len == HTTP_HEAD_MAX && p->scan != HTTP_SCAN_DONE)
		return fail(p, p->scan == HTTP_SCAN_LINE ? 414 : 431, "the header is longer than %d bytes", HTTP_HEAD_MAX);
	return 0;
}

/* --- http-parser's callbacks. The whole head is one buffer, so pieces of a name or value lie side by side. --- */

static int on_name(http_parser *hp, const char *at, size_t len)
{
	struct http_parse *p = hp->data;
	size_t i = p->r.nfields;
	if (i > 0 && !p->in_value) {
		p->name_len[i - 1] += len;
		return 0;
	}
	if (i == HTTP_FIELDS_MAX)
		return fail(p, 431, "more than %d header fields", HTTP_FIELDS_MAX);
	p->r.field[i] = (struct http_pair){ at, "" };
	p->name_len[i] = len;
	p->value_len[i] = 0;
	p->r.nfields++;
	p->in_value = false;
	return 0;
}

static int on_value(http_parser *hp, const char *at, size_t len)
{
	struct http_parse *p = hp->data;
	size_t i = p->r.nfields - 1;
	if (!p->in_value)
		p->r.field[i].value = at;
	p->value_len[i] += len;
	p->in_value = true;
	return 0;
}

static int on_head_end(http_parser *hp)
{
	struct http_parse *p = hp->data;
	p->r.keeps_alive = http_should_keep_alive(hp) != 0;
	hp->upgrade = 0;
	return 1; /* no body: bodies are read here, by length or by http_chunk */
}

/* Ends names and values with NUL in place: what follows each is a colon, a blank or a CR. */
static void finish_fields(struct http_parse *p)
{
	for (size_t i = 0; i < p->r.nfields; i++) {
		char *name = (char *)p->r.field[i].name, *value = (char *)p->r.field[i].value;
		name[p->name_len[i]] = '\0';
		for (char *c = name; *c != '\0'; c++)
			*c = *c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c;
		size_t n = p->value_len[i];
		if (n == 0) {
			p->r.field[i].value = "";
			continue;
		}
		while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
			n--;
		value[n] = '\0';
	}
}

/* --- what the head means --- */

/* "METHOD target HTTP/1.x", one blank each: checked before http-parser sees it, which takes more. Changes nothing. */
static int check_line(struct http_parse *p, const char *line, size_t *method_len, size_t *target_len)
{
	*method_len = strcspn(line, " \r");
	const char *target = line + *method_len + (line[*method_len] == ' ');
	*target_len = strcspn(target, " \r");
	const char *version = target + *target_len;
	bool is_http = strncmp(version, " HTTP/", 6) == 0 && version[6] >= '0' && version[6] <= '9' && version[7] == '.' &&
		       version[8] >= '0' && version[8] <= '9' && version[9] == '\r';
	if (!is_http || *method_len == 0 || *target_len == 0)
		return fail(p, 400, "the request line is not: method, target, HTTP/1.1");
	if (version[6] != '1' || version[8] > '1')
		return fail(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	p->r.minor = version[8] - '0';
	if (strncmp(line, "CONNECT ", 8) == 0)
		return fail(p, 501, "CONNECT is not served");
	return 0;
}

/* Fields of which two would be two meanings. */
static int refuse_doubles(struct http_parse *p)
{
	static const char *const single[] = {
		"host", "content-length", "transfer-encoding", "authorization", "content-type", "expect", NULL
	};
	for (const char *const *name = single; *name != NULL; name++) {
		int n = 0;
		for (size_t i = 0; i < p->r.nfields; i++)
			n += strcmp(p->r.field[i].name, *name) == 0;
		if (n > 1)
			return fail(p, 400, "header field %s came twice", *name);
	}
	return 0;
}

static int check_host(struct http_parse *p)
{
	const char *host = http_field(&p->r, "host");
	if (host == NULL && p->r.minor > 0)
		return fail(p, 400, "header field Host is missing");
	p->r.host = host == NULL ? "" : host;
	for (const char *c = p->r.host; *c != '\0'; c++)
		if (!((*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') || strchr(".-_:[]", *c) != NULL))
			return fail(p, 400, "header field Host is not a name and port");
	return 0;
}

static int check_length(struct http_parse *p)
{
	const char *length = http_field(&p->r, "content-length"), *coding = http_field(&p->r, "transfer-encoding");
	if (length != NULL && coding != NULL)
		return fail(p, 400, "both Content-Length and Transfer-Encoding");
	if (coding != NULL) {
		if (p->r.minor == 0)
			return fail(p, 400, "Transfer-Encoding does not exist in HTTP/1.0");
		if (strcasecmp(coding, "chunked") != 0)
			return fail(p, 501, "the only Transfer-Encoding taken is chunked");
		p->is_chunked = true;
		http_chunk_init(&p->chunk);
		return 0;
	}
	if (length == NULL)
		return 0;
	size_t digits = strspn(length, "0123456789");
	if (digits == 0 || digits > 18 || length[digits] != '\0')
		return fail(p, 400, "Content-Length is not a number");
	p->left = strtoull(length, NULL, 10);
	if (p->left > p->r.body.max)
		return fail(p, 413, "the body has %s bytes, the limit is %zu", length, p->r.body.max);
	return 0;
}

static int add_segment(struct http_parse *p, char *segment)
{
	if (*segment == '\0')
		return 0;
	if (p->r.nsegments == HTTP_SEGMENTS_MAX)
		return fail(p, 400, "the path has more than %d segments", HTTP_SEGMENTS_MAX);
	long n = http_decode(segment, false);
	if (n < 0 || !utf8_is_valid(segment, (size_t)n))
		return fail(p, 400, "the path holds a bad %% escape, a NUL, or bytes that are not UTF-8");
	if (strcmp(segment, "..") == 0 || strcmp(segment, ".") == 0)
		return fail(p, 400, "the path holds a segment \"%s\"", segment);
	p->r.segment[p->r.nsegments++] = segment;
	return 0;
}

static int add_query(struct http_parse *p, char *pair)
{
	if (*pair == '\0')
		return 0;
	if (p->r.nquery == HTTP_QUERY_MAX)
		return fail(p, 400, "the query has more than %d parameters", HTTP_QUERY_MAX);
	char *value = strchr(pair, '=');
	if (value != NULL)
		*value++ = '\0';
	else
		value = pair + strlen(pair);
	long n = http_decode(pair, true), m = *value == '\0' ? 0 : http_decode(value, true);
	if (n < 0 || m < 0 || !utf8_is_valid(pair, (size_t)n) || !utf8_is_valid(value, (size_t)m))
		return fail(p, 400, "the query holds a bad %% escape, a NUL, or bytes that are not UTF-8");
	p->r.query[p->r.nquery++] = (struct http_pair){ pair, value };
	return 0;
}

/* Calls add for each piece between separators. */
static int split(struct http_parse *p, char *text, char separator, int (*add)(struct http_parse *p, char *piece))
{
	for (char *next; text != NULL; text = next) {
		next = strchr(text, separator);
		if (next != NULL)
			*next++ = '\0';
		if (add(p, text) < 0)
			return -1;
	}
	return 0;
}

/* "http://host/path" is what a client says to a proxy; servers must take it too. */
static int strip_authority(struct http_parse *p, char **target)
{
	if (strncasecmp(*target, "http://", 7) != 0)
		return 0;
	char *authority = *target + 7;
	size_t n = strcspn(authority, "/?");
	if (strlen(p->r.host) != n || strncasecmp(authority, p->r.host, n) != 0)
		return fail(p, 400, "the target's host is not the one of the Host field");
	if (authority[n] != '/')
		return fail(p, 400, "the target has no path");
	*target = authority + n;
	return 0;
}

static int check_target(struct http_parse *p, char *target)
{
	size_t len = strlen(target);
	if (strchr(target, '#') != NULL)
		return fail(p, 400, "the target holds a fragment");
	p->text = malloc(3 * (len + 1));
	if (p->text == NULL)
		return fail(p, 503, "no memory for the request");
	p->r.target = memcpy(p->text, target, len + 1);
	if (strcmp(target, "*") == 0 && strcmp(p->r.method, "OPTIONS") == 0) {
		p->r.path = p->r.target;
		return 0;
	}
	if (strip_authority(p, &target) < 0)
		return -1;
	if (*target != '/')
		return fail(p, 400, "the target does not begin with /");
	char *path = p->text + len + 1, *decoded = path + len + 1;
	strcpy(path, target);
	path[strcspn(path, "?")] = '\0';
	p->r.path = path;
	strcpy(decoded, target);
	char *query = strchr(decoded, '?');
	if (query != NULL)
		*query++ = '\0';
	if (split(p, decoded, '/', add_segment) < 0)
		return -1;
	return query == NULL ? 0 : split(p, query, '&', add_query);
}

/* 1: the client waits for a "100 Continue". */
static int check_expect(struct http_parse *p)
{
	const char *expect = http_field(&p->r, "expect");
	if (expect == NULL || p->r.minor == 0)
		return 0;
	if (strcasecmp(expect, "100-continue") != 0)
		return fail(p, 417, "the only Expect known is 100-continue");
	return p->is_chunked || p->left > 0;
}

static int run_http_parser(struct http_parse *p, char *head, size_t len)
{
	static const http_parser_settings settings = {
		.on_header_field = on_name,
		.on_header_value = on_value,
		.on_headers_complete = on_head_end,
	};
	http_parser hp;
	http_parser_init(&hp, HTTP_REQUEST);
	hp.data = p;
	p->fault->status = 0;
	size_t used = http_parser_execute(&hp, &settings, head, len);
	enum http_errno why = HTTP_PARSER_ERRNO(&hp);
	if (p->fault->status != 0)
		return -1;
	if (why == HPE_INVALID_METHOD)
		return fail(p, 501, "the method is not known");
	if (why != HPE_OK || used != len)
		return fail(p, 400, "not a valid HTTP request: %s", http_errno_description(why));
	return 0;
}

/* The head is whole. -1, 0, or 1: the client waits for a "100 Continue". */
static int take_head(struct http_parse *p)
{
	char *head = p->head.data;
	size_t len = p->head.len, method_len, target_len;
	for (; *head == '\r'; head += 2)
		len -= 2;
	if (check_line(p, head, &method_len, &target_len) < 0 || run_http_parser(p, head, len) < 0)
		return -1;
	char *target = head + method_len + 1;
	head[method_len] = target[target_len] = '\0';
	p->r.method = head;
	p->r.is_head = strcmp(head, "HEAD") == 0;
	finish_fields(p);
	if (refuse_doubles(p) < 0 || check_host(p) < 0 || check_target(p, target) < 0 || check_length(p) < 0)
		return -1;
	return check_expect(p);
}

/* --- feeding --- */

static enum http_step feed_body(struct http_parse *p, const char *data, size_t len, size_t *used)
{
	enum http_chunk_step step;
	const char *why = NULL;
	if (!p->is_chunked) {
		size_t n = len < p->left ? len : (size_t)p->left;
		*used = n;
		step = buf_put(&p->r.body, data, n) < 0 ? HTTP_CHUNK_FULL : HTTP_CHUNK_MORE;
		p->left -= n;
		if (step == HTTP_CHUNK_MORE && p->left == 0)
			step = HTTP_CHUNK_DONE;
	} else {
		step = http_chunk_feed(&p->chunk, data, len, used, &p->r.body, &why);
	}
	switch (step) {
	case HTTP_CHUNK_MORE:
		return HTTP_MORE;
	case HTTP_CHUNK_DONE:
		p->stage = HTTP_AT_END;
		return HTTP_DONE;
	case HTTP_CHUNK_BAD:
		fail(p, 400, "%s", why);
		return HTTP_BAD;
	case HTTP_CHUNK_FULL:
		break;
	}
	fail(p, 413, "the body is longer than the limit of %zu bytes", p->r.body.max);
	return HTTP_BAD;
}

enum http_step http_parse_feed(struct http_parse *p, const void *data, size_t len, size_t *used, struct http_fault *fault)
{
	assert(p->stage != HTTP_AT_END);
	const char *bytes = data;
	size_t in_head = 0;
	int waits = 0;
	*used = 0;
	p->fault = fault;
	if (p->stage == HTTP_IN_HEAD) {
		if (scan(p, bytes, len, &in_head) < 0)
			return HTTP_BAD;
		*used = in_head;
		if (p->scan != HTTP_SCAN_DONE)
			return HTTP_MORE;
		waits = take_head(p);
		if (waits < 0)
			return HTTP_BAD;
		p->stage = p->is_head_only ? HTTP_AT_END : HTTP_IN_BODY;
		if (p->is_head_only)
			return HTTP_DONE;
	}
	if (waits > 0)
		return HTTP_CONTINUE;
	if (len == in_head && (p->is_chunked || p->left > 0))
		return HTTP_MORE;
	size_t in_body;
	enum http_step step = feed_body(p, bytes + in_head, len - in_head, &in_body);
	*used = in_head + in_body;
	return step;
}
