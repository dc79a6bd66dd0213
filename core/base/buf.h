#ifndef DSS_BASE_BUF_H
#define DSS_BASE_BUF_H
#include <stddef.h>
#include <stdbool.h>
/*
 * buf: growable bytes with a ceiling. `data` is always NUL-terminated once anything was put (the NUL is not counted).
 * A put that would pass `max` or finds no memory sets `failed` and changes nothing else; callers may put many times
 * and look at `failed` once.
 *
 *     struct buf b; buf_init(&b, 64 * 1024);
 *     buf_printf(&b, "%s\n", name);
 *     if (b.failed) ...
 *     buf_fini(&b);
 */
struct buf {
	char *data;
	size_t len, cap, max;
	bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
void buf_clear(struct buf *b);                       /* len = 0, failed = false; keeps memory */
int buf_put(struct buf *b, const void *p, size_t n); /* 0 or -1 */
int buf_puts(struct buf *b, const char *s);
int buf_putc(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop(struct buf *b, size_t n);     /* removes n bytes from the front */
char *buf_reserve(struct buf *b, size_t n); /* room for n more bytes at data+len, or NULL; then b->len += used */
char *buf_steal(struct buf *b);             /* returns owned data (never NULL unless failed), buf is empty after */

#endif
