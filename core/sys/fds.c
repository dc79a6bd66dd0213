#include "sys/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Tries at a temporary name that nobody has; leftovers of a crash with our pid are the only rivals. */
enum { TEMP_NAME_TRIES = 100 };

void fds_close(int *fd)
{
	if (*fd < 0)
		return;
	int kept_errno = errno;
	close(*fd); /* not again after EINTR: Linux has closed it */
	*fd = -1;
	errno = kept_errno;
}

int fds_pipe(int pair[2], struct err *err)
{
	if (pipe2(pair, O_CLOEXEC) == 0)
		return 0;
	pair[0] = pair[1] = -1;
	return err_sys(err, errno, "unable to make a pipe");
}

int fds_nonblock(int fd, bool on, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
		return err_sys(err, errno, "unable to set the mode of descriptor %d", fd);
	return 0;
}

int fds_cloexec(int fd, bool on, struct err *err)
{
	int flags = fcntl(fd, F_GETFD);
	if (flags < 0 || fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC) < 0)
		return err_sys(err, errno, "unable to set the mode of descriptor %d", fd);
	return 0;
}

/* --- closing what is not wanted --- */

static void close_between(unsigned from, unsigned to)
{
	if (from > to || close_range(from, to, 0) == 0)
		return;
	/* Before Linux 5.9. */
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && to >= limit.rlim_cur)
		to = (unsigned)limit.rlim_cur;
	for (unsigned fd = from; fd <= to && fd < INT_MAX; fd++)
		close((int)fd);
}

void fds_close_from(int least, const int *keep, size_t n)
{
	unsigned from = least < 0 ? 0 : (unsigned)least;
	for (;;) {
		/* The smallest kept one not yet passed: no copy to sort, so no memory that could be lacking. */
		unsigned next = UINT_MAX;
		for (size_t i = 0; i < n; i++)
			if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (next == UINT_MAX)
			break;
		if (next > from)
			close_between(from, next - 1);
		from = next + 1;
	}
	close_between(from, UINT_MAX);
}

/* --- contents --- */

ssize_t fds_read_at(int dirfd, const char *path, char *out, size_t room, struct err *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, errno, "unable to open %s", path);
	size_t len = 0;
	ssize_t n = 1;
	while (n > 0 && len < room) {
		n = read(fd, out + len, room - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
	}
	int errnum = n < 0 ? errno : len >= room ? EFBIG : 0;
	fds_close(&fd);
	if (errnum != 0)
		return err_sys(err, errnum, "unable to read %s", path);
	out[len] = '\0';
	return (ssize_t)len;
}

ssize_t fds_read_file(const char *path, char *out, size_t room, struct err *err)
{
	return fds_read_at(AT_FDCWD, path, out, room, err);
}

int fds_write_at(int dirfd, const char *path, const char *text, struct err *err)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, errno, "unable to open %s", path);
	size_t len = strlen(text);
	ssize_t n;
	do {
		n = write(fd, text, len);
	} while (n < 0 && errno == EINTR);
	int errnum = n < 0 ? errno : (size_t)n < len ? EIO : 0;
	fds_close(&fd);
	return errnum == 0 ? 0 : err_sys(err, errnum, "unable to write %s", path);
}

/* --- replacing a file --- */

int fds_write_all(int fd, const void *bytes, size_t len)
{
	const char *data = bytes;
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENOSPC; /* never seen; still no reason to turn for ever */
		if (n <= 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Splits path into an open folder and the name in it; the fd, or -1 with errno. */
static int open_parent(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	*name = slash == NULL ? path : slash + 1;
	char dir[PATH_MAX];
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);
	if (**name == '\0' || strlen(*name) > NAME_MAX || len >= sizeof(dir)) {
		errno = **name == '\0' ? EISDIR : ENAMETOOLONG;
		return -1;
	}
	memcpy(dir, path, len);
	dir[len] = '\0';
	const char *at = slash == NULL ? "." : len == 0 ? "/" : dir;
	return open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_temp(int dirfd, char *name, size_t room, mode_t mode)
{
	static unsigned counter;
	for (int i = 0; i < TEMP_NAME_TRIES; i++) {
		unsigned n = __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
		snprintf(name, room, ".dss-tmp.%ld.%u", (long)getpid(), n);
		int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

int fds_replace_file(const char *path, const void *data, size_t len, mode_t mode, struct err *err)
{
	const char *name, *step = "open the folder of";
	char temp[64] = "";
	int fd = -1, errnum = 0, dirfd = open_parent(path, &name);
	if (dirfd < 0)
		goto out;
	step = "make a temporary file beside";
	fd = open_temp(dirfd, temp, sizeof(temp), mode);
	if (fd < 0) {
		errnum = errno;
		temp[0] = '\0'; /* not ours to unlink */
		goto out;
	}
	step = "write";
	if (fds_write_all(fd, data, len) < 0 || fchmod(fd, mode) < 0)
		goto out;
	step = "flush";
	if (fsync(fd) < 0)
		goto out;
	step = "replace";
	if (renameat(dirfd, temp, dirfd, name) < 0)
		goto out;
	temp[0] = '\0';
	step = "flush the folder of";
	if (fsync(dirfd) < 0)
		goto out;
	step = NULL;
out:
	if (step != NULL && errnum == 0)
		errnum = errno;
	if (temp[0] != '\0')
		unlinkat(dirfd, temp, 0);
	fds_close(&fd);
	fds_close(&dirfd);
	return step == NULL ? 0 : err_sys(err, errnum, "unable to %s %s", step, path);
}

int fds_make_dirs(const char *path, mode_t mode, struct err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	if (len == 0 || len >= sizeof(part))
		return err_sys(err, len == 0 ? ENOENT : ENAMETOOLONG, "unable to make directory %s", path);
	memcpy(part, path, len + 1);
	for (char *p = part + 1;; p++) {
		char c = *p;
		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return err_sys(err, errno, "unable to make directory %s", part);
		*p = c;
		if (c == '\0')
			break;
	}
	struct stat st;
	if (stat(path, &st) < 0)
		return err_sys(err, errno, "unable to make directory %s", path);
	return S_ISDIR(st.st_mode) ? 0 : err_sys(err, ENOTDIR, "unable to make directory %s", path);
}

long fds_raise_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	if (limit.rlim_cur != limit.rlim_max) {
		struct rlimit raised = { limit.rlim_max, limit.rlim_max };
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	return limit.rlim_cur > LONG_MAX ? LONG_MAX : (long)limit.rlim_cur;
}
