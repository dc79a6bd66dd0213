#ifndef DSS_NET_HTTP_SCAN_H
#define DSS_NET_HTTP_SCAN_H
#include <stddef.h>
/*
 * http_scan: the strict look at a request's head, byte by byte, before http-parser gets it. http-parser 2.9.4 takes, and we refuse, because a
 * proxy before us may read it otherwise: a blank before the colon, folded lines, a bare LF, control characters.
 */
enum http_scan {
	HTTP_SCAN_START,
	HTTP_SCAN_START_LF,
	HTTP_SCAN_LINE,
	HTTP_SCAN_LINE_LF,
	HTTP_SCAN_FIELD_START,
	HTTP_SCAN_NAME,
	HTTP_SCAN_VALUE,
	HTTP_SCAN_END_LF,
	HTTP_SCAN_DONE /* the blank line is here, too */
};

/* Goes on from *at, HTTP_SCAN_START at first, up to the head's end. *used: how many bytes were looked at. The reason why the last of them may not
 * stand there, or NULL. */
const char *http_scan(enum http_scan *at, const char *data, size_t len, size_t *used);

#endif
