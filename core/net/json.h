#ifndef DSS_NET_JSON_H
#define DSS_NET_JSON_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <jansson.h>
#include "base/buf.h"
#include "base/err.h"
/*
 * json: how everybody here reads and writes JSON, on jansson. Strict: UTF-8, no duplicate keys, no trailing bytes,
 * nesting up to JSON_DEPTH_MAX; integers are 64 bit.
 *
 *     const char *title = NULL; int64_t timeout_ms = 0;
 *     if (json_only_keys(body, keys, err) < 0 || json_get_text(body, "title", JSON_OPTIONAL, &title, err) < 0 ||
 *         json_get_int(body, "timeoutMs", JSON_OPTIONAL, 1, INT64_MAX, &timeout_ms, err) < 0)
 *             … 400 with err.text
 */
enum { JSON_DEPTH_MAX = 64 };

enum json_need { JSON_OPTIONAL, JSON_REQUIRED };

/* Any JSON value; the caller owns it (json_decref). NULL with "line 1, column 5: …" in err. */
json_t *json_parse(const void *text, size_t len, struct err *err);
/* The same, and the value must be an object. */
json_t *json_parse_object(const void *text, size_t len, struct err *err);
/* Are these bytes one JSON value? For payloads and results, which are kept as they came and never re-encoded. */
bool json_is_valid(const void *text, size_t len, struct err *err);

/*
 * One member of an object. Absent and null are the same: with JSON_OPTIONAL *out is left as it was (put the default
 * there first), with JSON_REQUIRED it is an error. Errors name the key, what it must be and what it is.
 * What *out points to is borrowed from obj.
 */
int json_get_text(const json_t *obj, const char *key, enum json_need need, const char **out, struct err *err);
int json_get_int(const json_t *obj, const char *key, enum json_need need, int64_t least, int64_t most, int64_t *out,
		 struct err *err);
int json_get_number(const json_t *obj, const char *key, enum json_need need, double *out, struct err *err);
int json_get_bool(const json_t *obj, const char *key, enum json_need need, bool *out, struct err *err);
int json_get_object(const json_t *obj, const char *key, enum json_need need, json_t **out, struct err *err);
int json_get_list(const json_t *obj, const char *key, enum json_need need, json_t **out, struct err *err);

/* A text of an object that we wrote ourselves, cut where it is longer than room; "" where there is none. */
void json_copy_text(const json_t *obj, const char *key, char *out, size_t room);

/* Every key of obj is in words (NULL-terminated); else an error with the nearest word. */
int json_only_keys(const json_t *obj, const char *const *words, struct err *err);

/* "an object", "a string", "an integer", … for error texts. */
const char *json_kind(const json_t *value);

/* Appends compact text; 0, or -1: no room or no memory (b->failed is set too). */
int json_put(struct buf *b, const json_t *value);
/* Appends a quoted, escaped string. Bytes that are not UTF-8 become U+FFFD, so that what results is always JSON. */
int json_put_text(struct buf *b, const char *s, size_t len);

#endif
