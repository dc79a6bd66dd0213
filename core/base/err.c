#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t put(struct err *err, size_t at, const char *fmt, va_list ap)
{
	int n = vsnprintf(err->text + at, sizeof(err->text) - at, fmt, ap);
	if (n < 0) {
		err->text[at] = '\0';
		return at;
	}
	at += (size_t)n;
	return at < sizeof(err->text) ? at : sizeof(err->text) - 1;
}

int err_set(struct err *err, const char *fmt, ...)
{
	if (err == NULL)
		return -1;
	va_list ap;
	va_start(ap, fmt);
	put(err, 0, fmt, ap);
	va_end(ap);
	err->code = 0;
	return -1;
}

int err_sys(struct err *err, int errnum, const char *fmt, ...)
{
	if (err == NULL)
		return -1;
	va_list ap;
	va_start(ap, fmt);
	size_t at = put(err, 0, fmt, ap);
	va_end(ap);
	char room[128];
	snprintf(err->text + at, sizeof(err->text) - at, ": %s", strerror_r(errnum, room, sizeof(room)));
	err->code = errnum;
	return -1;
}

int err_add(struct err *err, const char *fmt, ...)
{
	if (err == NULL)
		return -1;
	char reason[ERR_TEXT_MAX];
	memcpy(reason, err->text, sizeof(reason));
	va_list ap;
	va_start(ap, fmt);
	size_t at = put(err, 0, fmt, ap);
	va_end(ap);
	snprintf(err->text + at, sizeof(err->text) - at, ": %s", reason);
	return -1;
}
