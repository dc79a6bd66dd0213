#include "bind/project_change.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fds.h"

#define FILE_NAME  "project.lua"
#define FRESH_NAME ".project.lua.new"
#define TRASH      ".trash-"
#define DEPTH_MAX  200 /* a descriptor each */
#define KEY_MAX    36

static int complain(const char *what, const char *key)
{
	int why = errno ? errno : EIO;
	fprintf(stderr, "dssd project: unable to %s project %s: %s\n", what, key, strerror(why));
	return why < 255 ? why : EIO;
}

static bool is_key(const char *key)
{
	size_t n = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	return n > 0 && n <= KEY_MAX && key[n] == '\0';
}

static int open_projects(const char *dir, const char *key)
{
	char path[PATH_MAX];
	umask(022); /* projects/ itself keeps others out */
	if (!is_key(key) || snprintf(path, sizeof path, "%s/projects", dir) >= (int)sizeof path)
		return errno = EINVAL, -1;
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int open_folder(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

/* --- making --- */

/* Never over one that is there: who comes second is told. */
static int put_file(int folder, const char *text)
{
	unlinkat(folder, FRESH_NAME, 0); /* of one that was killed */
	int fd = openat(folder, FRESH_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	bool ok = fd >= 0 && fds_write_all(fd, text, strlen(text)) == 0 && fsync(fd) == 0 &&
		  linkat(folder, FRESH_NAME, folder, FILE_NAME, 0) == 0;
	int why = errno;
	fds_close(&fd);
	unlinkat(folder, FRESH_NAME, 0);
	errno = why;
	return ok ? 0 : -1;
}

int project_make(const char *dir, const char *key)
{
	const char *text = getenv("DSS_PROJECT_TEXT");
	int folder = -1, rc = 0;
	int projects = open_projects(dir, key);
	if (projects < 0)
		return complain("make", key);
	/* A folder without project.lua is what a removed project left: its data. */
	if ((mkdirat(projects, key, 0755) == 0 || errno == EEXIST) && (folder = open_folder(projects, key)) >= 0 &&
	    (mkdirat(folder, "data", 0755) == 0 || errno == EEXIST) && put_file(folder, text ? text : "project { }\n") == 0)
		fsync(folder);
	else
		rc = complain("make", key);
	fds_close(&folder);
	fds_close(&projects);
	return rc;
}

/* --- removing --- */

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* All in it but `kept`; takes fd. The first error stays in errno, the rest goes all the same. */
static int empty_folder(int fd, dev_t device, const char *kept, int depth)
{
	struct stat st;
	int rc = 0, why = 0;
	DIR *d = fstat(fd, &st) == 0 && st.st_dev == device ? fdopendir(fd) : (errno = EXDEV, NULL);
	if (!d) {
		why = errno;
		fds_close(&fd);
		return errno = why, -1;
	}
	for (const struct dirent *e; (e = readdir(d));) {
		if (is_dots(e->d_name) || (kept && strcmp(e->d_name, kept) == 0))
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0)
			continue;
		int inner = errno == EISDIR || errno == EPERM || errno == EBUSY ? open_folder(dirfd(d), e->d_name) : -1;
		if (inner >= 0 && depth >= DEPTH_MAX) {
			fds_close(&inner);
			errno = ELOOP;
		}
		bool ok = inner >= 0 && empty_folder(inner, device, NULL, depth + 1) == 0 &&
			  unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) == 0;
		if (!ok && rc == 0) {
			rc = -1;
			why = errno;
		}
	}
	closedir(d);
	errno = why;
	return rc;
}

static int remove_all(int projects, const char *name, dev_t device)
{
	int fd = open_folder(projects, name);
	return fd >= 0 && empty_folder(fd, device, NULL, 0) == 0 ? unlinkat(projects, name, AT_REMOVEDIR) : -1;
}

/* Of removals that were killed. */
static void sweep(int projects, dev_t device)
{
	int fd = dup(projects);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	for (const struct dirent *e; d && (e = readdir(d));)
		if (strncmp(e->d_name, TRASH, strlen(TRASH)) == 0)
			remove_all(projects, e->d_name, device);
	if (d)
		closedir(d);
	else
		fds_close(&fd);
}

static int remove_but_data(int projects, const char *key, dev_t device)
{
	int fd = open_folder(projects, key);
	if (fd < 0)
		return -1;
	if (unlinkat(fd, FILE_NAME, 0) < 0 && errno != ENOENT) { /* from here on it is none */
		int why = errno;
		fds_close(&fd);
		return errno = why, -1;
	}
	if (empty_folder(fd, device, "data", 0) < 0)
		return -1;
	/* Without data nothing of it stays. */
	fd = open_folder(projects, key);
	if (fd >= 0 && unlinkat(fd, "data", AT_REMOVEDIR) == 0)
		unlinkat(projects, key, AT_REMOVEDIR);
	fds_close(&fd);
	return 0;
}

int project_remove(const char *dir, const char *key, bool keeps_data)
{
	char trash[KEY_MAX + 40];
	struct stat st, of;
	int rc = 0, projects = open_projects(dir, key);
	if (projects < 0 || fstat(projects, &st) < 0) {
		rc = complain("remove", key);
	} else if (fstatat(projects, key, &of, AT_SYMLINK_NOFOLLOW) < 0) {
		rc = complain("remove", key);
	} else if (!S_ISDIR(of.st_mode)) {
		errno = S_ISLNK(of.st_mode) ? ELOOP : ENOTDIR;
		rc = complain("remove", key);
	} else if (keeps_data) {
		if (remove_but_data(projects, key, st.st_dev) < 0)
			rc = complain("remove", key);
	} else {
		snprintf(trash, sizeof trash, TRASH "%s-%d", key, (int)getpid());
		/* At one moment it is gone, however long the rest takes. */
		if (renameat(projects, key, projects, trash) < 0 || remove_all(projects, trash, st.st_dev) < 0)
			rc = complain("remove", key);
		sweep(projects, st.st_dev);
	}
	fds_close(&projects);
	return rc;
}
