#ifndef DSS_LOGGER_ROTATE_H
#define DSS_LOGGER_ROTATE_H
#include <stdint.h>
#include "base/err.h"
/*
 * rotate: what happens to a log that has reached its size. A service's log becomes NAME.1, NAME.1 becomes NAME.2, and so on;
 * a job's log stays one file that keeps its first and its last quarter, with a line between them that says how much is left
 * out. Both may block: the writer's thread only.
 */

/* Renames; the caller opens a new file. *freed: bytes of the file that went for good. */
int rotate_shift(int folder_fd, const char *name, int keep, int64_t *freed, struct err *err);

/* Replaces the file by its head (cap/4), a marker and its tail (cap/4). *size: what it has now. The caller's descriptor of
 * the old file is of no more use, also after an error. */
int rotate_trim(int folder_fd, const char *name, int64_t cap, int64_t *size, struct err *err);

#endif
