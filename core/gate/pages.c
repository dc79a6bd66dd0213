#include "gate/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sys/fds.h"

static const char TEXT[] = "text/plain; charset=utf-8", HTML[] = "text/html; charset=utf-8", INDEX[] = "index.html";
/* build.mjs puts it into the head of index.html. */
static const char VERSION_MARK[] = "<meta name=\"dss-version\" content=\"";
#define HEAD_BYTES   8192
#define NAME_MAX_LEN 200

struct pages {
	const struct pages_set *set;
	char *dir; /* NULL: the set */
	char version[64];
};

struct pages *pages_new(const struct pages_set *set, const char *dir)
{
	struct pages *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->set = set;
	snprintf(p->version, sizeof(p->version), "%s", set->version);
	if (dir != NULL && (p->dir = strdup(dir)) == NULL)
		pages_free(&p);
	return p;
}

void pages_free(struct pages **p)
{
	if (*p == NULL)
		return;
	free((*p)->dir);
	free(*p);
	*p = NULL;
}

/* --- what is asked for --- */

/* The next element of a list in a field: without blanks and parameters; what follows its ";" in *rest. */
static bool next_element(const char **at, const char **word, size_t *len, const char **rest, size_t *nrest)
{
	const char *s = *at + strspn(*at, " \t,");
	if (*s == '\0')
		return false;
	size_t whole = strcspn(s, ",");
	*word = s;
	*len = strcspn(s, ",;");
	*rest = s + *len;
	*nrest = whole - *len;
	*at = s + whole;
	while (*len > 0 && (s[*len - 1] == ' ' || s[*len - 1] == '\t'))
		--*len;
	return true;
}

/* "; q=0", "; q=0.000": not wanted. */
static bool is_refused(const char *rest, size_t n)
{
	for (size_t i = 0; i + 2 < n; i++)
		if ((rest[i] == 'q' || rest[i] == 'Q') && rest[i + 1] == '=' && (i == 0 || strchr("; \t", rest[i - 1]) != NULL)) {
			size_t k = i + 2;
			while (k < n && (rest[k] == '0' || rest[k] == '.'))
				k++;
			return k == n || strchr("; \t", rest[k]) != NULL;
		}
	return false;
}

static bool takes_gzip(const struct http_request *http)
{
	const char *at = http_field(http, "accept-encoding"), *word, *rest;
	size_t len, nrest;
	bool by_star = false;
	while (at != NULL && next_element(&at, &word, &len, &rest, &nrest)) {
		if ((len == 4 && strncasecmp(word, "gzip", 4) == 0) || (len == 6 && strncasecmp(word, "x-gzip", 6) == 0))
			return !is_refused(rest, nrest);
		if (len == 1 && *word == '*')
			by_star = !is_refused(rest, nrest);
	}
	return by_star;
}

static bool has_it(const struct http_request *http, const char *etag)
{
	const char *at = http_field(http, "if-none-match"), *word, *rest;
	size_t len, nrest, n = strlen(etag);
	while (at != NULL && next_element(&at, &word, &len, &rest, &nrest)) {
		if (len == 1 && *word == '*')
			return true;
		if (len > 2 && strncmp(word, "W/", 2) == 0) { /* which encoding it has does not matter here */
			word += 2;
			len -= 2;
		}
		if (len == n + 2 && word[0] == '"' && memcmp(word + 1, etag, n) == 0 && word[len - 1] == '"')
			return true;
	}
	return false;
}

/* --- answers --- */

static void set_fields(struct gate_request *req)
{
	static const struct {
		const char *name, *value;
	} fields[] = {
		/* worker-src: the stream that all tabs share; data: small images in style sheets */
		{ "Content-Security-Policy",
		  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src "
		  "'self'; "
		  "worker-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cross-Origin-Opener-Policy", "same-origin" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
	};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		gate_set_field(req, fields[i].name, fields[i].value);
}

static void say(struct gate_request *req, int status, const char *type, const char *text)
{
	gate_set_field(req, "Cache-Control", "no-store");
	gate_reply(req, status, type, text, strlen(text));
}

static void say_missing(struct gate_request *req)
{
	say(req, 404, TEXT, "this version of the page has no such file; load the page anew\n");
}

/* A page of our own, in words: there is none. */
static void say_no_page(struct gate_request *req, const char *why)
{
	char text[1200];
	snprintf(text, sizeof(text),
		 "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>dssd</title></head><body>\n"
		 "<h1>dssd runs here, without its page</h1>\n<p>%s</p>\n"
		 "<p>All else works: <code>bin/dssctl help</code>, <code>bin/dssctl top</code>, and the API.</p>\n</body></html>\n",
		 why);
	say(req, 200, HTML, text);
}

/* --- from the binary --- */

static const struct pages_file *find(const struct pages_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->file[i].name, name) == 0)
			return &set->file[i];
	return NULL;
}

static void reply_built(struct gate_request *req, const struct pages_file *f)
{
	char etag[80];
	bool is_page = strcmp(f->name, INDEX) == 0, is_packed = f->gzip != NULL && takes_gzip(req->http);
	snprintf(etag, sizeof(etag), "W/\"%s\"", f->etag);
	gate_set_field(req, "ETag", etag);
	gate_set_field(req, "Cache-Control", f->is_immutable ? "public, max-age=31536000, immutable" : "no-cache");
	gate_set_field(req, "Vary", is_page ? "Accept, Accept-Encoding" : "Accept-Encoding");
	if (has_it(req->http, f->etag)) {
		gate_reply(req, 304, NULL, "", 0);
		return;
	}
	if (is_packed)
		gate_set_field(req, "Content-Encoding", "gzip");
	gate_reply(req, 200, f->type, is_packed ? f->gzip : f->plain, is_packed ? f->ngzip : f->nplain);
}

/* --- from a folder --- */

static const char *type_of(const char *name)
{
	static const struct {
		const char *end, *type;
	} types[] = {
		{ ".html", HTML },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" },
		{ ".svg", "image/svg+xml" },
		{ ".png", "image/png" },
		{ ".woff2", "font/woff2" },
		{ ".txt", TEXT },
		{ ".webmanifest", "application/manifest+json" },
	};
	const char *end = strrchr(name, '.');
	for (size_t i = 0; end != NULL && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(end, types[i].end) == 0)
			return types[i].type;
	return NULL;
}

/* One step down: no "..", no hidden file, no link. */
static int open_step(int at, const char *name, size_t len, int flags)
{
	char step[NAME_MAX_LEN + 1];
	if (len == 0 || len > NAME_MAX_LEN || name[0] == '.' || memchr(name, '/', len) != NULL)
		return -1;
	memcpy(step, name, len);
	step[len] = '\0';
	return openat(at, step, flags | O_NOFOLLOW | O_CLOEXEC);
}

/* A regular file beneath dir, at most one folder down. The descriptor, or -1. */
static int open_below(const char *dir, const char *name, int64_t *bytes)
{
	struct stat st;
	const char *slash = strchr(name, '/');
	int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at >= 0 && slash != NULL) {
		int sub = open_step(at, name, (size_t)(slash - name), O_PATH | O_DIRECTORY);
		fds_close(&at);
		at = sub;
		name = slash + 1;
	}
	/* O_NONBLOCK: a pipe in that place must not hold up the daemon */
	int fd = at < 0 ? -1 : open_step(at, name, strlen(name), O_RDONLY | O_NONBLOCK);
	fds_close(&at);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		fds_close(&fd);
	if (fd >= 0)
		*bytes = st.st_size;
	return fd;
}

static void reply_below(struct pages *p, struct gate_request *req, const char *name)
{
	int64_t bytes;
	const char *type = type_of(name);
	int fd = type == NULL ? -1 : open_below(p->dir, name, &bytes);
	if (fd >= 0) {
		gate_set_field(req, "Cache-Control", "no-store");
		gate_reply_file(req, 200, type, fd, 0, bytes);
	} else if (strcmp(name, INDEX) == 0) {
		say_no_page(req, "The folder that the option <code>--web-dir</code> or <code>web { dir = … }</code> of "
				 "config/dss.lua names has no index.html that the daemon's user may read.");
	} else {
		say_missing(req);
	}
}

/* --- the words for others --- */

void pages_reply(struct pages *p, struct gate_request *req, const char *name)
{
	set_fields(req);
	if (p->dir != NULL) {
		reply_below(p, req, name);
		return;
	}
	const struct pages_file *f = find(p->set, name);
	if (f != NULL)
		reply_built(req, f);
	else if (strcmp(name, INDEX) == 0)
		say_no_page(req, "It was built with <code>make WEB=no</code>.");
	else
		say_missing(req);
}

static void read_version(struct pages *p)
{
	char head[HEAD_BYTES + 1];
	int64_t bytes;
	int fd = open_below(p->dir, INDEX, &bytes);
	ssize_t n = fd < 0 ? -1 : read(fd, head, HEAD_BYTES);
	fds_close(&fd);
	p->version[0] = head[n > 0 ? n : 0] = '\0';
	const char *at = strstr(head, VERSION_MARK);
	if (at == NULL)
		return;
	at += sizeof(VERSION_MARK) - 1;
	snprintf(p->version, sizeof(p->version), "%.*s", (int)strspn(at, "0123456789abcdef"), at);
}

const char *pages_version(struct pages *p)
{
	if (p->dir != NULL)
		read_version(p);
	return p->version;
}
