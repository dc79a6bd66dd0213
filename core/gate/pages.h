#ifndef DSS_GATE_PAGES_H
#define DSS_GATE_PAGES_H
#include <stdbool.h>
#include <stddef.h>
#include "gate/server.h"
/*
 * pages: the files of the web page: from the binary, where web/build.mjs has put them, or from a folder while somebody works on them.
 *
 *     struct pages *p = pages_new(NULL);              "/srv/web": that folder's files as they are now, never kept by a browser
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

/* In $(BUILD)/web/pages_data.c; sorted by name. None where it was built with WEB=no. */
extern const struct pages_file pages_built[];
extern const size_t pages_nbuilt;
extern const char pages_built_version[];

struct pages;
/* dir NULL: the binary's; copied. NULL: no memory. */
struct pages *pages_new(const char *dir);
void pages_free(struct pages **p);

/* Answers with the file of that name; 404 as text where there is none. Of "index.html" and no page: a page that says so. */
void pages_reply(struct pages *p, struct gate_request *req, const char *name);
/* Which page this is: changes with each of its files. "" = none. Valid until the next call. */
const char *pages_version(struct pages *p);

#endif
