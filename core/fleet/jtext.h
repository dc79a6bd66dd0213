#ifndef DSS_FLEET_JTEXT_H
#define DSS_FLEET_JTEXT_H
#include <stdint.h>
#include "base/buf.h"
/*
 * jtext: JSON written straight into a buf, for the objects that are written often and whose raw parts (results, payloads) must
 * pass untouched. Reading JSON is jansson's. Failures are the buf's (`failed`), looked at once at the end.
 *
 *     buf_putc(out, '{');
 *     jtext_member(out, "name"); jtext_put(out, name);      the comma is put where one is needed
 *     buf_putc(out, '}');
 */
void jtext_put(struct buf *out, const char *s); /* quoted and escaped; NULL = null; bytes that are not UTF-8 = U+FFFD */
void jtext_put_int(struct buf *out, int64_t v);
void jtext_put_bool(struct buf *out, int is_true);
void jtext_member(struct buf *out, const char *name); /* ,"name": */
void jtext_next(struct buf *out);                     /* the comma between elements */
/* Members with a value at once; _some: left out where the value is NULL, "" or negative. */
void jtext_text(struct buf *out, const char *name, const char *value);
void jtext_some_text(struct buf *out, const char *name, const char *value);
void jtext_int(struct buf *out, const char *name, int64_t value);
void jtext_some_int(struct buf *out, const char *name, int64_t value);
void jtext_bool(struct buf *out, const char *name, int value);
void jtext_raw(struct buf *out, const char *name, const void *json, size_t len);

#endif
