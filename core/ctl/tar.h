#ifndef DSS_CTL_TAR_H
#define DSS_CTL_TAR_H
#include <stddef.h>
#include "base/err.h"
/* tar: an archive of plain files whose contents are at hand, compressed by gzip(1), a process of its own. */
struct tar;

/* Makes path anew (0600, never through a link); it must not be there. NULL: err. */
struct tar *tar_open(const char *path, struct err *err);
/* name: up to 99 bytes. -1: err; the archive is of no use then. */
int tar_add(struct tar *tar, const char *name, const char *text, size_t len, struct err *err);
/* 0: it is whole, on the disk. -1: err, and the file is removed. Frees it; NULL inside is fine. */
int tar_close(struct tar **tar, struct err *err);

#endif
