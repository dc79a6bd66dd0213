#include "net/http_scan.h"

#include "net/http.h"

static const char CONTROL[] = "a control character in the header", BARE_LF[] = "a line of the header ends with LF alone";

/* The reason why c may not stand here, or NULL. */
static const char *scan_line_byte(enum http_scan *at, unsigned char c, enum http_scan stay)
{
	*at = stay;
	if (c == '\r')
		*at = HTTP_SCAN_LINE_LF;
	else if (c == '\n')
		return BARE_LF;
	else if ((c < 0x20 && !(c == '\t' && stay == HTTP_SCAN_VALUE)) || c == 0x7f)
		return CONTROL;
	return NULL;
}

static const char *scan_name_byte(enum http_scan *at, unsigned char c)
{
	if (c == ':') {
		bool is_empty = *at == HTTP_SCAN_FIELD_START;
		*at = HTTP_SCAN_VALUE;
		return is_empty ? "a header field has no name" : NULL;
	}
	if (c == '\r' && *at == HTTP_SCAN_FIELD_START) {
		*at = HTTP_SCAN_END_LF;
		return NULL;
	}
	if (c == ' ' || c == '\t')
		return *at == HTTP_SCAN_FIELD_START ? "a header field is folded over two lines"
						    : "a blank in a header field's name or before its colon";
	*at = HTTP_SCAN_NAME;
	if (c == '\n')
		return BARE_LF;
	if (c == '\r')
		return "a header field has no colon";
	return http_is_token_char((char)c) ? NULL : "a header field's name holds a character that may not stand there";
}

static const char *scan_byte(enum http_scan *at, unsigned char c)
{
	switch (*at) {
	case HTTP_SCAN_START: /* one or more empty lines before a request are read over (RFC 9112, 2.2) */
		if (c != '\r')
			return scan_line_byte(at, c, HTTP_SCAN_LINE);
		*at = HTTP_SCAN_START_LF;
		return NULL;
	case HTTP_SCAN_LINE:
	case HTTP_SCAN_VALUE:
		return scan_line_byte(at, c, *at);
	case HTTP_SCAN_FIELD_START:
	case HTTP_SCAN_NAME:
		return scan_name_byte(at, c);
	case HTTP_SCAN_START_LF:
	case HTTP_SCAN_LINE_LF:
	case HTTP_SCAN_END_LF:
		*at = *at == HTTP_SCAN_START_LF  ? HTTP_SCAN_START
		      : *at == HTTP_SCAN_LINE_LF ? HTTP_SCAN_FIELD_START
						 : HTTP_SCAN_DONE;
		return c == '\n' ? NULL : "a CR in the header without LF";
	case HTTP_SCAN_DONE:
		break;
	}
	return NULL;
}

const char *http_scan(enum http_scan *at, const char *data, size_t len, size_t *used)
{
	const char *why = NULL;
	size_t i = 0;
	while (i < len && *at != HTTP_SCAN_DONE && why == NULL)
		why = scan_byte(at, (unsigned char)data[i++]);
	*used = i;
	return why;
}
