#include "ctl/span.h"

#include <stdbool.h>
#include <string.h>

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* p at the opening quote; past the closing one. */
static const char *skip_text(const char *p)
{
	for (p++; *p != '\0' && *p != '"'; p++)
		if (*p == '\\' && p[1] != '\0')
			p++;
	return *p == '"' ? p + 1 : p;
}

/* Past one value. Depth is counted, not recursed into. */
static const char *skip_value(const char *p)
{
	size_t depth = 0;
	do {
		p = skip_blanks(p);
		if (*p == '\0')
			return p;
		if (*p == '"') {
			p = skip_text(p);
		} else if (*p == '{' || *p == '[') {
			depth++;
			p++;
		} else if (*p == '}' || *p == ']') {
			depth--;
			p++;
		} else if (*p == ',' || *p == ':') {
			p++;
		} else {
			p += strcspn(p, " \t\r\n,:]}");
		}
	} while (depth > 0);
	return p;
}

const char *span_member(const char *text, const char *key, size_t *len)
{
	const char *p = skip_blanks(text);
	size_t key_len = strlen(key);
	if (*p != '{')
		return NULL;
	for (p = skip_blanks(p + 1); *p == '"'; p = skip_blanks(p + 1)) {
		const char *name = p + 1;
		p = skip_text(p);
		bool is_it = (size_t)(p - name) == key_len + 1 && memcmp(name, key, key_len) == 0;
		p = skip_blanks(p);
		if (*p != ':')
			return NULL;
		const char *value = skip_blanks(p + 1);
		p = skip_value(value);
		if (is_it) {
			*len = (size_t)(p - value);
			return value;
		}
		p = skip_blanks(p);
		if (*p != ',')
			return NULL;
	}
	return NULL;
}
