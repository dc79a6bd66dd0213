#ifndef DSS_GATE_PAGES_H
#define DSS_GATE_PAGES_H
#include <stdbool.h>
#include <stddef.h>
#include "gate/server.h"
/*
 * pages: the files of the web page: from the binary, where web/build.mjs has put them, or from a folder while somebody works on them.
 *
 *     struct pages *p = pages_new(&pages_built, NULL);     or "/srv/web": that folder's files as they are now, never kept by a browser
 *     pages_reply(p, req, "web/main-4F2A.js");
 *
 * Each answer says what the page may do (Content-Security-Policy and its like): nothing but what came from here. Names with a hash are
 * kept for ever, others are asked for again and answered 304 while they are the same. A HEAD gets a head.
 */
struct pages_file {
	const char *name; /* "index.html", "web/NAME" */
	const char *type;
	const char *etag; /* without its quotes */
	const char *plain;
	size_t nplain;
	const char *gzip; /* NULL: it would not be smaller */
	size_t ngzip;
	bool is_immutable;
};

struct pages_set {
	const struct pages_file *file;
	size_t n;
	const char *version; /* changes with each file */
};

/* In $(BUILD)/web/pages_data.c. Empty where it was built with WEB=no. */
extern const struct pages_set pages_built;

struct pages;
/* set is borrowed; dir is copied: its files stand in for the set's; NULL: none does. NULL: no memory. */
struct pages *pages_new(const struct pages_set *set, const char *dir);
void pages_free(struct pages **p);

/* Answers with the file of that name; 404 as text where there is none. Of "index.html" and no page: a page that says so. */
void pages_reply(struct pages *p, struct gate_request *req, const char *name);
/* Which page this is. "" = none. Valid until the next call. */
const char *pages_version(struct pages *p);

#endif
