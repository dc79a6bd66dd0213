/* policy_errors: what a load found, one a line, as JSON. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"
#include "bind/policy_set.h"
#include "fleet/jtext.h"

/* "FILE:LINE: text" → its parts; a text without a place is of the whole folder. */
static void put_error(struct buf *out, const char *line, size_t len)
{
	char text[4096], *at;
	int64_t number = 1;
	snprintf(text, sizeof text, "%.*s", (int)(len < sizeof text ? len : sizeof text - 1), line);
	char *file = text, *rest = text;
	size_t n = strcspn(text, ": ");
	if (text[n] == ':') {
		at = text + n + 1;
		size_t digits = strspn(at, "0123456789");
		if (digits > 0 && digits < 10 && at[digits] == ':') {
			text[n] = at[digits] = '\0';
			text_int(at, 0, INT_MAX, &number, NULL);
			rest = at + digits + 1;
			rest += *rest == ' ';
		}
	}
	jtext_next(out);
	buf_putc(out, '{');
	jtext_text(out, "file", rest == text ? "policies" : file);
	jtext_int(out, "line", number);
	jtext_text(out, "text", rest);
	buf_putc(out, '}');
}

void policy_set_put_errors(struct buf *out, const struct buf *errors)
{
	const char *at = errors->data ? errors->data : "";
	buf_putc(out, '[');
	while (*at) {
		size_t n = strcspn(at, "\n");
		if (n > 0)
			put_error(out, at, n);
		at += n + (at[n] == '\n');
	}
	buf_putc(out, ']');
}
