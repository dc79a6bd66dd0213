#ifndef DSS_CTL_OUTFILE_H
#define DSS_CTL_OUTFILE_H
#include <limits.h>
#include <stddef.h>
#include "base/err.h"
#include "ctl/ctl.h"
/*
 * outfile: a file that a command makes for who asked: it is there whole or not at all, never through a link and never over what is there. Until it is
 * whole it has another name in the same folder.
 */
struct outfile {
	int fd; /* -1: none is open */
	char path[PATH_MAX], part[PATH_MAX];
};

/* What would make it fail later is told now, as far as anybody can know. 0600. */
int outfile_open(struct outfile *f, const char *path, struct err *err);
/* All of it, and its name. -1: nothing is left behind. */
int outfile_write(struct outfile *f, const void *data, size_t len, struct err *err);
/* It is not wanted: nothing is left behind. One that was written, or has failed, is fine. */
void outfile_drop(struct outfile *f);
/* Where it is: the path, as --json {"file": PATH}. */
void outfile_print(const struct ctl *ctl, const char *path);

#endif
