#ifndef DSS_SYS_FDS_H
#define DSS_SYS_FDS_H
#include <stddef.h>
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"
/* fds: file descriptors, all close-on-exec at birth, and file contents. */

void fds_close(int *fd);                    /* accepts -1; sets -1; keeps errno */
int fds_pipe(int pair[2], struct err *err); /* both ends blocking */
int fds_nonblock(int fd, bool on, struct err *err);
int fds_cloexec(int fd, bool on, struct err *err);
/* Closes every fd >= least except those in keep (sorted or not, n of them). */
void fds_close_from(int least, const int *keep, size_t n);
/* Puts the whole of a small file into out, NUL-terminated; the length, or -1. A file over `room - 1` is an error. */
ssize_t fds_read_file(const char *path, char *out, size_t room, struct err *err);
ssize_t fds_read_at(int dirfd, const char *path, char *out, size_t room, struct err *err);
/* Writes all of it to an existing file (a /proc or cgroup file) in one write. */
int fds_write_at(int dirfd, const char *path, const char *text, struct err *err);
/* All of it to a blocking descriptor; 0, or -1 with errno. */
int fds_write_all(int fd, const void *data, size_t len);
/* Whole or not at all: temporary name in the same folder, fsync, rename, fsync of the folder. */
int fds_replace_file(const char *path, const void *data, size_t len, mode_t mode, struct err *err);
int fds_make_dirs(const char *path, mode_t mode, struct err *err); /* mkdir -p */
/* Lowers nothing; raises the soft limit of open files to the hard one; returns the limit. */
long fds_raise_limit(void);
#endif
