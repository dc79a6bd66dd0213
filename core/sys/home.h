#ifndef DSS_SYS_HOME_H
#define DSS_SYS_HOME_H
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
/*
 * home: where our own programs and files lie (found from /proc/self/exe, so that a build folder, an installation and a
 * sanitizer build each use their own), and whether an instance's folder is still the one that was initialised.
 */

/* The program `name` beside our own executable, absolute. 0, or -1 (out is ""): our own place is unknown, or it does not
 * fit. That the program exists is not checked: starting it tells. */
int home_program(const char *name, char *out, size_t room);

/* The folder that has lua/, policies/, kernels/, etc/: $DSS_SHARE, else the first of DIR/.., DIR/../.., DIR/../share/dssd
 * that has lua/dss, where DIR is our executable's. 0, or -1 (out is ""): none of them. */
int home_share(char *out, size_t room);

/* DIR/config/instance.origin is one line, `DEVICE:INODE PATH`. A folder counts as copied when neither its path nor its
 * device and inode are those written there: moving it and restoring it in its place are both fine. dir is absolute. */
int home_mark_origin(const char *dir, struct err *err);
/* 0; -1: it is a copy (err->code 0) or the origin cannot be read (err->code is the errno). */
int home_check_origin(const char *dir, struct err *err);

/* DIR/config/instance.id: 8 hex characters, into out (room >= 9). 0 or -1. */
int home_instance_id(const char *dir, char *out, size_t room, struct err *err);

#endif
