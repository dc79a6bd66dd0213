#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sys/cgroup_tree.h"
#include "sys/fds.h"

#define NO_LIMIT    (INT64_C(1) << 62)
#define SHORT_BYTES 2048 /* a reading below that, into a larger buffer, was the whole file */

int cgroup_tree_open(int root, const char *path, const char *file, int flags)
{
	char rel[CGROUP_PATH_MAX + 64];
	if ((size_t)snprintf(rel, sizeof(rel), "%s%s%s", path, *path ? "/" : "", file) >= sizeof(rel)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return openat(root, *rel ? rel : ".", flags | O_CLOEXEC);
}

int cgroup_tree_read_fd(int fd, char out[CGROUP_FILE_MAX])
{
	size_t len = 0;
	ssize_t n;
	/* A kernfs file ends with a short read only at its end or near a page: a small one needs no second read to see the end. */
	while ((len == 0 || len >= SHORT_BYTES) && len < CGROUP_FILE_MAX - 1 &&
	       (n = pread(fd, out + len, CGROUP_FILE_MAX - 1 - len, (off_t)len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		len += (size_t)n;
	}
	out[len] = '\0';
	return (int)len;
}

int cgroup_tree_read(int root, const char *path, const char *file, char out[CGROUP_FILE_MAX])
{
	int fd = cgroup_tree_open(root, path, file, O_RDONLY);
	if (fd < 0)
		return -1;
	int len = cgroup_tree_read_fd(fd, out);
	fds_close(&fd);
	return len;
}

int cgroup_tree_write(int root, const char *path, const char *file, const char *text)
{
	int fd = cgroup_tree_open(root, path, file, O_WRONLY);
	if (fd < 0)
		return -1;
	ssize_t n, len = (ssize_t)strlen(text);
	do {
		n = write(fd, text, (size_t)len);
	} while (n < 0 && errno == EINTR);
	if (n >= 0 && n != len)
		errno = EIO;
	fds_close(&fd);
	return n == len ? 0 : -1;
}

int64_t cgroup_tree_int(int root, const char *path, const char *file)
{
	char text[CGROUP_FILE_MAX], *end;
	if (cgroup_tree_read(root, path, file, text) < 0)
		return -1;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	return end == text || errno || n < 0 || n >= NO_LIMIT ? -1 : n;
}

bool cgroup_tree_has(int root, const char *path, const char *file)
{
	char rel[CGROUP_PATH_MAX + 64];
	snprintf(rel, sizeof(rel), "%s%s%s", path, *path ? "/" : "", file);
	return faccessat(root, rel, F_OK, 0) == 0;
}

int64_t cgroup_tree_key(const char *text, const char *key)
{
	size_t len = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strtoll(line + len + 1, NULL, 10);
	}
	return -1;
}

int cgroup_tree_make(int root, const char *path)
{
	if (!*path || mkdirat(root, path, 0755) == 0)
		return *path != '\0';
	char level[CGROUP_PATH_MAX];
	if (errno == ENOENT) {
		for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
			snprintf(level, sizeof(level), "%.*s", (int)(slash - path), path);
			if (mkdirat(root, level, 0755) < 0 && errno != EEXIST)
				return -1;
		}
		if (mkdirat(root, path, 0755) == 0)
			return 1;
	}
	struct stat st;
	if (errno != EEXIST || fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	errno = ENOTDIR; /* the name of one of the kernel's files, such as "tasks" */
	return S_ISDIR(st.st_mode) ? 0 : -1;
}

/* One step of a walk, children first; a visitor's -1 (errno) ends it. */
typedef int visit_fn(void *data, int root, const char *path);

static int walk(int root, const char *path, visit_fn *visit, void *data)
{
	int fd = cgroup_tree_open(root, path, "", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1; /* someone else removed it */
	DIR *dir = fdopendir(fd);
	if (!dir) {
		fds_close(&fd);
		return -1;
	}
	struct dirent *e;
	char below[CGROUP_PATH_MAX];
	int rc = 0;
	while (rc == 0 && (e = readdir(dir))) {
		if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if ((size_t)snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", e->d_name) >= sizeof(below)) {
			errno = ENAMETOOLONG;
			rc = -1;
		} else {
			rc = walk(root, below, visit, data);
		}
	}
	int saved = errno;
	closedir(dir);
	errno = saved;
	return rc < 0 ? rc : visit(data, root, path);
}

static int remove_one(void *data, int root, const char *path)
{
	(void)data;
	return !*path || unlinkat(root, path, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

int cgroup_tree_remove(int root, const char *path)
{
	if (*path && unlinkat(root, path, AT_REMOVEDIR) == 0)
		return 0;
	return walk(root, path, remove_one, NULL);
}

struct each {
	cgroup_fn *fn;
	void *data;
};

static int each_one(void *data, int root, const char *path)
{
	struct each *each = data;
	(void)root;
	if (*path)
		each->fn(each->data, path);
	return 0;
}

int cgroup_tree_each(int root, const char *path, cgroup_fn *fn, void *data)
{
	struct each each = { fn, data };
	return walk(root, path, each_one, &each);
}

struct members {
	pid_t *out;
	int room, n;
};

static int members_one(void *data, int root, const char *path)
{
	struct members *m = data;
	int fd = cgroup_tree_open(root, path, "cgroup.procs", O_RDONLY);
	if (fd < 0)
		return errno == ENOENT || errno == ENODEV ? 0 : -1;
	char text[4096];
	ssize_t n;
	pid_t pid = 0;
	bool digits = false;
	while ((n = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
				digits = true;
				continue;
			}
			if (digits && m->n++ < m->room)
				m->out[m->n - 1] = pid;
			pid = 0;
			digits = false;
		}
	int saved = errno;
	fds_close(&fd);
	errno = saved;
	return n == 0 || saved == ENODEV ? 0 : -1; /* ENODEV: removed while we read */
}

int cgroup_tree_members(int root, const char *path, pid_t *out, int room)
{
	struct members m = { out, room, 0 };
	return walk(root, path, members_one, &m) < 0 ? -1 : m.n;
}
