#include "fleet/jtext.h"

#include <inttypes.h>
#include <string.h>

#include "net/json.h"

void jtext_put(struct buf *out, const char *s)
{
	if (s)
		json_put_text(out, s, strlen(s));
	else
		buf_puts(out, "null");
}

void jtext_put_int(struct buf *out, int64_t v)
{
	buf_printf(out, "%" PRId64, v);
}
void jtext_put_bool(struct buf *out, int is_true)
{
	buf_puts(out, is_true ? "true" : "false");
}

void jtext_next(struct buf *out)
{
	char last = out->len ? out->data[out->len - 1] : '{';
	if (last != '{' && last != '[')
		buf_putc(out, ',');
}

void jtext_member(struct buf *out, const char *name)
{
	jtext_next(out);
	jtext_put(out, name);
	buf_putc(out, ':');
}

void jtext_text(struct buf *out, const char *name, const char *value)
{
	jtext_member(out, name);
	jtext_put(out, value);
}

void jtext_some_text(struct buf *out, const char *name, const char *value)
{
	if (value && *value)
		jtext_text(out, name, value);
}

void jtext_int(struct buf *out, const char *name, int64_t value)
{
	jtext_member(out, name);
	jtext_put_int(out, value);
}

void jtext_some_int(struct buf *out, const char *name, int64_t value)
{
	if (value >= 0)
		jtext_int(out, name, value);
}

void jtext_bool(struct buf *out, const char *name, int value)
{
	jtext_member(out, name);
	jtext_put_bool(out, value);
}

void jtext_raw(struct buf *out, const char *name, const void *json, size_t len)
{
	jtext_member(out, name);
	buf_put(out, json, len);
}
