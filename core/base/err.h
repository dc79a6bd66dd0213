#ifndef DSS_BASE_ERR_H
#define DSS_BASE_ERR_H
/*
 * err: why something failed, in words an admin can act on.
 *
 * A function that can fail returns 0 or -1 (or NULL) and takes `struct err *err` last. The lowest level that knows
 * why sets it once; callers prefix what they were doing. `err` may be NULL where the caller does not care.
 *
 *     if (open_it(path, err) < 0)
 *         return err_add(err, "unable to start %s", name);
 */

#define ERR_TEXT_MAX 512

struct err {
	int code;                /* an errno, or 0 where none applies */
	char text[ERR_TEXT_MAX]; /* "unable to <verb> <object>: <reason>"; cut, never overrun */
};

/* Sets the text; always returns -1. */
int err_set(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets the text and appends ": " and the errno's text; always returns -1. */
int err_sys(struct err *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Prefixes what the caller was doing and ": "; keeps code; always returns -1. */
int err_add(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
