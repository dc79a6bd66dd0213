#include "net/json.h"

#include <stdio.h>
#include <string.h>
#include "base/text.h"
#include "base/utf8.h"

/* --- reading --- */

/* jansson recurses once per level, up to 2048; bodies come from anyone, so the depth is looked at before. Strings are
 * skipped; whether the text is JSON at all is the parser's affair. */
static bool is_too_deep(const char *p, size_t len)
{
	int depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < len; i++) {
		char c = p[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return false;
}

json_t *json_parse(const void *text, size_t len, struct err *err)
{
	json_error_t why;
	if (is_too_deep(text, len)) {
		err_set(err, "unable to read JSON: nested deeper than %d levels", JSON_DEPTH_MAX);
		return NULL;
	}
	json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (value == NULL)
		err_set(err, "unable to read JSON: line %d, column %d: %s", why.line, why.column, why.text);
	return value;
}

json_t *json_parse_object(const void *text, size_t len, struct err *err)
{
	json_t *value = json_parse(text, len, err);
	if (value != NULL && !json_is_object(value)) {
		err_set(err, "unable to read JSON: must be an object, not %s", json_kind(value));
		json_decref(value);
		return NULL;
	}
	return value;
}

bool json_is_valid(const void *text, size_t len, struct err *err)
{
	json_t *value = json_parse(text, len, err);
	bool is_valid = value != NULL;
	json_decref(value);
	return is_valid;
}

const char *json_kind(const json_t *value)
{
	if (value == NULL)
		return "absent";
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number with a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "unknown";
}

/* 1: *value is there; 0: absent and may be; -1: absent and must not be. */
static int find(const json_t *obj, const char *key, enum json_need need, const json_t **value, struct err *err)
{
	*value = json_object_get(obj, key);
	if (*value != NULL && !json_is_null(*value))
		return 1;
	if (need == JSON_OPTIONAL)
		return 0;
	return err_set(err, "\"%s\" is missing", key);
}

static int wrong(const char *key, const char *kind, const json_t *value, struct err *err)
{
	return err_set(err, "\"%s\" must be %s, not %s", key, kind, json_kind(value));
}

int json_get_text(const json_t *obj, const char *key, enum json_need need, const char **out, struct err *err)
{
	const json_t *value;
	int found = find(obj, key, need, &value, err);
	if (found <= 0)
		return found;
	if (!json_is_string(value))
		return wrong(key, "a string", value, err);
	*out = json_string_value(value);
	return 0;
}

void json_copy_text(const json_t *obj, const char *key, char *out, size_t room)
{
	const char *text = json_string_value(json_object_get(obj, key));
	snprintf(out, room, "%s", text ? text : "");
}

int json_get_int(const json_t *obj, const char *key, enum json_need need, int64_t least, int64_t most, int64_t *out,
		 struct err *err)
{
	const json_t *value;
	int found = find(obj, key, need, &value, err);
	if (found <= 0)
		return found;
	if (!json_is_integer(value))
		return wrong(key, "an integer", value, err);
	int64_t n = json_integer_value(value);
	if (n < least)
		return err_set(err, "\"%s\" must be at least %lld, not %lld", key, (long long)least, (long long)n);
	if (n > most)
		return err_set(err, "\"%s\" must be at most %lld, not %lld", key, (long long)most, (long long)n);
	*out = n;
	return 0;
}

int json_get_number(const json_t *obj, const char *key, enum json_need need, double *out, struct err *err)
{
	const json_t *value;
	int found = find(obj, key, need, &value, err);
	if (found <= 0)
		return found;
	if (!json_is_number(value))
		return wrong(key, "a number", value, err);
	*out = json_number_value(value);
	return 0;
}

int json_get_bool(const json_t *obj, const char *key, enum json_need need, bool *out, struct err *err)
{
	const json_t *value;
	int found = find(obj, key, need, &value, err);
	if (found <= 0)
		return found;
	if (!json_is_boolean(value))
		return wrong(key, "true or false", value, err);
	*out = json_is_true(value);
	return 0;
}

static int get_container(const json_t *obj, const char *key, enum json_need need, json_type type, const char *kind, json_t **out,
			 struct err *err)
{
	const json_t *value;
	int found = find(obj, key, need, &value, err);
	if (found <= 0)
		return found;
	if (json_typeof(value) != type)
		return wrong(key, kind, value, err);
	*out = json_object_get(obj, key);
	return 0;
}

int json_get_object(const json_t *obj, const char *key, enum json_need need, json_t **out, struct err *err)
{
	return get_container(obj, key, need, JSON_OBJECT, "an object", out, err);
}

int json_get_list(const json_t *obj, const char *key, enum json_need need, json_t **out, struct err *err)
{
	return get_container(obj, key, need, JSON_ARRAY, "a list", out, err);
}

static bool is_among(const char *word, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

int json_only_keys(const json_t *obj, const char *const *words, struct err *err)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)obj, key, value)
	{
		if (is_among(key, words))
			continue;
		char shown[100];
		text_escape(shown, sizeof(shown), key, strlen(key));
		const char *near = text_nearest(key, words);
		if (near != NULL)
			return err_set(err, "unknown key \"%s\", did you mean \"%s\"?", shown, near);
		return err_set(err, "unknown key \"%s\"", shown);
	}
	return 0;
}

/* --- writing --- */

static int put_piece(const char *text, size_t len, void *data)
{
	return buf_put(data, text, len);
}

int json_put(struct buf *b, const json_t *value)
{
	size_t before = b->len;
	if (json_dump_callback(value, put_piece, b, JSON_COMPACT | JSON_ENCODE_ANY) == 0 && !b->failed)
		return 0;
	b->len = before;
	b->failed = true;
	return -1;
}

static int put_escape(struct buf *b, unsigned char c)
{
	switch (c) {
	case '"':
		return buf_puts(b, "\\\"");
	case '\\':
		return buf_puts(b, "\\\\");
	case '\n':
		return buf_puts(b, "\\n");
	case '\r':
		return buf_puts(b, "\\r");
	case '\t':
		return buf_puts(b, "\\t");
	}
	return buf_printf(b, "\\u%04x", c);
}

int json_put_text(struct buf *b, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t plain = 0; /* start of what can be copied as it is */
	buf_putc(b, '"');
	for (size_t i = 0; i < len;) {
		size_t n = utf8_sequence(s + i, len - i);
		if (n > 1 || (n == 1 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f)) {
			i += n;
			continue;
		}
		buf_put(b, s + plain, i - plain);
		if (n == 0)
			buf_puts(b, "\xef\xbf\xbd");
		else
			put_escape(b, p[i]);
		plain = ++i;
	}
	buf_put(b, s + plain, len - plain);
	buf_putc(b, '"');
	return b->failed ? -1 : 0;
}
