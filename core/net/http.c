#include "net/http.h"

#include <stdio.h>
#include <string.h>
#include <http_parser.h>
#include "base/text.h"

/* --- reading --- */

static const char *lookup(const struct http_pair *pair, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(pair[i].name, name) == 0)
			return pair[i].value;
	return NULL;
}

const char *http_field(const struct http_request *r, const char *name)
{
	return lookup(r->field, r->nfields, name);
}

const char *http_query(const struct http_request *r, const char *name)
{
	return lookup(r->query, r->nquery, name);
}

long http_decode(char *s, bool plus)
{
	char *out = s;
	for (const char *p = s; *p != '\0'; p++) {
		if (*p != '%') {
			*out++ = plus && *p == '+' ? ' ' : *p;
			continue;
		}
		int high = text_hex_digit(p[1]), low = high < 0 ? -1 : text_hex_digit(p[2]);
		if (low < 0 || (high == 0 && low == 0))
			return -1;
		*out++ = (char)(high << 4 | low);
		p += 2;
	}
	*out = '\0';
	return out - s;
}

int http_put_encoded(struct buf *b, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		bool is_plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
				(c != '\0' && strchr("-._~", c) != NULL);
		if (is_plain)
			buf_putc(b, (char)c);
		else
			buf_printf(b, "%%%02X", c);
	}
	return b->failed ? -1 : 0;
}

/* --- writing --- */

const char *http_reason(int status)
{
	const char *text = http_status_str((enum http_status)status);
	return text[0] == '<' ? "Unknown" : text; /* "<unknown>" there */
}

bool http_is_token_char(char c)
{
	return c > 0x20 && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
}

static bool is_token(const char *s)
{
	if (*s == '\0')
		return false;
	while (http_is_token_char(*s))
		s++;
	return *s == '\0';
}

bool http_is_field(const char *name, const char *value)
{
	if (!is_token(name))
		return false;
	for (; *value != '\0'; value++)
		if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
			return false;
	return true;
}

static int put_field(struct buf *out, const char *name, const char *value, struct err *err)
{
	if (!http_is_field(name, value))
		return err_set(
			err, "unable to send header field \"%.40s\": its name or value holds a character that may not stand there",
			name);
	buf_puts(out, name);
	buf_put(out, ": ", 2);
	buf_puts(out, value);
	buf_put(out, "\r\n", 2);
	return 0;
}

/* 1xx, 204 and 304 never have a body, and 1xx and 204 no length. */
static void put_length(struct buf *out, const struct http_head *head)
{
	if (head->status < 200 || head->status == 204)
		return;
	if (head->is_chunked && head->minor > 0)
		buf_puts(out, "Transfer-Encoding: chunked\r\n");
	else if (!head->is_chunked && head->content_length >= 0)
		buf_printf(out, "Content-Length: %lld\r\n", (long long)head->content_length);
}

int http_put_head(struct buf *out, const struct http_head *head, struct err *err)
{
	size_t before = out->len;
	buf_printf(out, "HTTP/1.1 %d %s\r\n", head->status, http_reason(head->status));
	if (head->content_type != NULL && put_field(out, "Content-Type", head->content_type, err) < 0)
		goto fail;
	for (size_t i = 0; i < head->nfields; i++)
		if (put_field(out, head->field[i].name, head->field[i].value, err) < 0)
			goto fail;
	put_length(out, head);
	/* 1.1 keeps unless told, 1.0 closes unless told. */
	if (!head->keeps_alive)
		buf_puts(out, "Connection: close\r\n");
	else if (head->minor == 0)
		buf_puts(out, "Connection: keep-alive\r\n");
	buf_put(out, "\r\n", 2);
	if (!out->failed)
		return 0;
	err_set(err, "unable to send an answer's head: no memory");
fail:
	out->len = before;
	return -1;
}
