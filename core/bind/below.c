#include "bind/below.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/fds.h"

int below_open(const struct app *app, const char *folder, const char *path, int flags)
{
	char base[PATH_MAX];
	struct open_how how = {
		.flags = (unsigned)flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	if (snprintf(base, sizeof base, "%s/%s", app->dir, folder) >= (int)sizeof base)
		return errno = ENAMETOOLONG, -1;
	int dir = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return -1;
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how), why = errno;
	fds_close(&dir);
	errno = why;
	return fd;
}
