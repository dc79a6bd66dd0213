#include "ctl/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/json.h"
#include "sys/fds.h"

#define NAMES_MOST 10

int outfile_open(struct outfile *f, const char *path, struct err *err)
{
	struct stat st;
	f->fd = -1;
	if (lstat(path, &st) == 0)
		return err_set(err, "unable to make %s: it is there already", path);
	for (int i = 0; f->fd < 0 && i < NAMES_MOST; i++) {
		if (snprintf(f->path, sizeof(f->path), "%s", path) >= (int)sizeof(f->path) ||
		    snprintf(f->part, sizeof(f->part), "%s.%ld-%d.part", path, (long)getpid(), i) >= (int)sizeof(f->part))
			return err_set(err, "unable to make %s: the name is too long", path);
		f->fd = open(f->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (f->fd < 0 && errno != EEXIST)
			break;
	}
	return f->fd >= 0 ? 0 : err_sys(err, errno, "unable to make %s", path);
}

void outfile_drop(struct outfile *f)
{
	if (f->fd < 0)
		return;
	fds_close(&f->fd);
	unlink(f->part);
}

/* A link, not a rename: it does not replace what has come there meanwhile, on every file system that knows links. */
static int give_name(const struct outfile *f)
{
	if (link(f->part, f->path) == 0)
		return unlink(f->part);
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
		return -1;
	return renameat2(AT_FDCWD, f->part, AT_FDCWD, f->path, RENAME_NOREPLACE);
}

int outfile_write(struct outfile *f, const void *data, size_t len, struct err *err)
{
	if (fds_write_all(f->fd, data, len) == 0 && fsync(f->fd) == 0 && give_name(f) == 0) {
		fds_close(&f->fd);
		return 0;
	}
	err_sys(err, errno, "unable to write %s", f->path);
	outfile_drop(f);
	return -1;
}

void outfile_print(const struct ctl *ctl, const char *path)
{
	struct buf b;
	buf_init(&b, 8 * PATH_MAX);
	if (!ctl->json)
		printf("%s\n", path);
	else if (json_put_text(&b, path, strlen(path)) == 0)
		printf("{\"file\": %s}\n", b.data);
	buf_fini(&b);
}
