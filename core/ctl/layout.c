#include "ctl/layout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "sys/fds.h"

enum { FILE_MAX = 1024 * 1024 };

/* run/ is sticky: the control user adds logs and sockets there and cannot replace the plan or the door, which are root's. */
static const struct {
	const char *path;
	enum layout_owner owner, group;
	mode_t mode;
} folders[] = {
	{ "bin", LAYOUT_ADMIN, LAYOUT_ADMIN, 0755 },
	{ "config", LAYOUT_ADMIN, LAYOUT_CONTROL, 0750 },
	{ "policies", LAYOUT_CONTROL, LAYOUT_CONTROL, 0750 },
	{ "projects", LAYOUT_RUN, LAYOUT_CONTROL, 0750 },
	{ "jobs", LAYOUT_CONTROL, LAYOUT_CONTROL, 0750 },
	{ "scenarios", LAYOUT_CONTROL, LAYOUT_CONTROL, 0750 },
	{ "run", LAYOUT_ADMIN, LAYOUT_CONTROL, 01770 },
	{ "db", LAYOUT_CONTROL, LAYOUT_CONTROL, 0700 },
	/* What the run user makes there belongs to the control user's group. */
	{ "webapps", LAYOUT_RUN, LAYOUT_CONTROL, 02770 },
	/* The backend's socket for the Jupyter server, which the run user reaches and cannot replace; below, what the server writes. */
	{ "notebooks", LAYOUT_CONTROL, LAYOUT_RUN, 0710 },
	{ "notebooks/server", LAYOUT_RUN, LAYOUT_CONTROL, 0700 },
	{ ".", LAYOUT_ADMIN, LAYOUT_ADMIN, 0755 },
};
enum { FOLDERS = sizeof(folders) / sizeof(folders[0]) };

static const struct account *who(const struct layout *l, enum layout_owner o)
{
	return o == LAYOUT_ADMIN ? &l->admin : o == LAYOUT_CONTROL ? &l->control : &l->run;
}

/* For one user a group is nothing to share with: it may be everybody's ("users"). */
static mode_t mode_of(const struct layout *l, mode_t mode)
{
	return l->set_owners ? mode : mode & 0755;
}

static int give(const struct layout *l, int fd, const char *path, enum layout_owner owner, enum layout_owner group, mode_t mode,
		struct err *err)
{
	if (l->set_owners && fchown(fd, who(l, owner)->uid, who(l, group)->gid) < 0)
		return err_sys(err, errno, "unable to give %s to its owner", path);
	if (fchmod(fd, mode_of(l, mode)) < 0)
		return err_sys(err, errno, "unable to set the mode of %s", path);
	return 0;
}

static int open_folder(const struct layout *l, const char *path, struct err *err)
{
	int fd = openat(l->dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 ? fd : err_sys(err, errno, "unable to open %s", path);
}

int layout_make_folders(const struct layout *l, struct err *err)
{
	for (int i = 0; i < FOLDERS - 1; i++)
		if (mkdirat(l->dirfd, folders[i].path, 0700) < 0)
			return err_sys(err, errno, "unable to make %s", folders[i].path);
	return 0;
}

int layout_hand_over(const struct layout *l, struct err *err)
{
	for (int i = 0; i < FOLDERS; i++) {
		int fd = open_folder(l, folders[i].path, err);
		int rc = fd < 0 ? -1 : give(l, fd, folders[i].path, folders[i].owner, folders[i].group, folders[i].mode, err);
		fds_close(&fd);
		if (rc < 0)
			return -1;
	}
	return 0;
}

int layout_folder(const struct layout *l, const char *path, enum layout_owner owner, enum layout_owner group, mode_t mode,
		  struct err *err)
{
	if (mkdirat(l->dirfd, path, 0700) < 0)
		return err_sys(err, errno, "unable to make %s", path);
	int fd = open_folder(l, path, err);
	int rc = fd < 0 ? -1 : give(l, fd, path, owner, group, mode, err);
	fds_close(&fd);
	return rc;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int layout_write(const struct layout *l, const char *path, const void *data, size_t len, enum layout_owner owner,
		 enum layout_owner group, mode_t mode, struct err *err)
{
	char fresh[PATH_MAX];
	int rc = -1;
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	unlinkat(l->dirfd, fresh, 0);
	int fd = openat(l->dirfd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "unable to make %s", path);
	if (write_all(fd, data, len) < 0 || fsync(fd) < 0)
		err_sys(err, errno, "unable to write %s", path);
	else if (give(l, fd, path, owner, group, mode, err) == 0)
		rc = 0;
	if (close(fd) < 0 && rc == 0)
		rc = err_sys(err, errno, "unable to write %s", path);
	if (rc == 0 && renameat(l->dirfd, fresh, l->dirfd, path) < 0)
		rc = err_sys(err, errno, "unable to put %s in its place", path);
	if (rc < 0)
		unlinkat(l->dirfd, fresh, 0);
	return rc;
}

/* Of a regular file; a folder or a device counts as nothing to copy (0). 1 copied. */
static int copy_file(const struct layout *l, int fromfd, const char *name, const char *path, enum layout_owner owner,
		     enum layout_owner group, mode_t mode, struct err *err)
{
	struct stat st;
	if (fstatat(fromfd, name, &st, 0) < 0 || !S_ISREG(st.st_mode))
		return 0;
	struct buf b;
	buf_init(&b, FILE_MAX);
	char to[PATH_MAX];
	snprintf(to, sizeof(to), "%s/%s", path, name);
	char *room = buf_reserve(&b, (size_t)st.st_size + 1);
	ssize_t n = room != NULL ? fds_read_at(fromfd, name, room, (size_t)st.st_size + 1, err)
				 : err_set(err, "unable to copy %s: it is larger than %d bytes", name, FILE_MAX);
	int rc = n < 0 ? -1 : layout_write(l, to, room, (size_t)n, owner, group, mode, err);
	buf_fini(&b);
	return rc < 0 ? -1 : 1;
}

int layout_copy_files(const struct layout *l, const char *from, const char *path, enum layout_owner owner, enum layout_owner group,
		      mode_t mode, struct err *err)
{
	DIR *d = opendir(from);
	if (d == NULL)
		return err_sys(err, errno, "unable to open %s", from);
	int count = 0, rc = 0;
	struct dirent *e;
	while (rc >= 0 && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		rc = copy_file(l, dirfd(d), e->d_name, path, owner, group, mode, err);
		count += rc > 0;
	}
	closedir(d);
	return rc < 0 ? -1 : count;
}
