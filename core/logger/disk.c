#include "logger/disk.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/text.h"
#include "sys/clock.h"
#include "sys/fds.h"

enum {
	FOLDER_MODE = 0750,
	FILE_MODE = 0640,
	SERVICES_SHARE = 10,        /* a tenth of all logs is for services alone */
	COUNT_AGAIN_MS = 10 * 1000, /* people remove logs too: count again before refusing, but not on every line */
};

/* --- opening --- */

static int open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

int disk_init(struct disk *d, const char *dir, const struct disk_limits *limits, struct err *err)
{
	*d = (struct disk){ .limits = *limits };
	d->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (d->dir_fd < 0)
		return err_sys(err, errno, "unable to open folder %s", dir);
	return 0;
}

void disk_fini(struct disk *d)
{
	fds_close(&d->dir_fd);
}

/* The folders of path one by one, made where they are missing. */
static int make_folders(int dir_fd, const char *path)
{
	int at = dir_fd;
	for (const char *p = path; *p != '\0';) {
		char name[NAME_MAX + 1];
		size_t n = strcspn(p, "/");
		if (n >= sizeof(name)) {
			errno = ENAMETOOLONG;
			n = 0;
		}
		memcpy(name, p, n);
		name[n] = '\0';
		int next = -1;
		if (n > 0 && (mkdirat(at, name, FOLDER_MODE) == 0 || errno == EEXIST))
			next = open_beneath(at, name, O_PATH | O_DIRECTORY, 0);
		if (at != dir_fd)
			fds_close(&at);
		if (next < 0)
			return -1;
		at = next;
		p += n;
		p += *p == '/';
	}
	return at;
}

int disk_open_folder(struct disk *d, const char *path, struct err *err)
{
	int fd = open_beneath(d->dir_fd, path, O_PATH | O_DIRECTORY, 0);
	if (fd < 0 && errno == ENOENT)
		fd = make_folders(d->dir_fd, path);
	if (fd < 0 && errno == ELOOP)
		return err_set(err, "unable to open folder %s: a symbolic link stands in the way", path);
	if (fd < 0)
		return err_sys(err, errno, "unable to open folder %s", path);
	return fd;
}

int disk_open_file(int folder_fd, const char *name, int flags, struct err *err)
{
	/* Non-blocking: opening a pipe somebody put there must not hang us; regular files do not care. */
	int fd = open_beneath(folder_fd, name, flags | O_NONBLOCK | O_NOCTTY, FILE_MODE);
	if (fd < 0 && errno == ELOOP)
		return err_set(err, "unable to open %s: it is a symbolic link", name);
	if (fd < 0)
		return err_sys(err, errno, "unable to open %s", name);
	struct stat st;
	const char *why = NULL;
	if (fstat(fd, &st) < 0)
		why = "it cannot be looked at";
	else if (!S_ISREG(st.st_mode))
		why = "it is no regular file";
	else if (st.st_nlink > 1)
		why = "it has a second name (a hard link)";
	if (why == NULL)
		return fd;
	fds_close(&fd);
	return err_set(err, "unable to open %s: %s", name, why);
}

/* --- counting --- */

static bool is_log(const char *name, bool *is_rotated)
{
	size_t len = strlen(name);
	size_t end = len;
	while (end > 0 && isdigit((unsigned char)name[end - 1]))
		end--;
	*is_rotated = end < len && end > 0 && name[end - 1] == '.';
	if (*is_rotated)
		len = end - 1;
	return len > 4 && memcmp(name + len - 4, ".log", 4) == 0;
}

typedef void entry_fn(void *data, int folder_fd, const char *name);

static void each_entry(int dir_fd, const char *path, entry_fn *fn, void *data)
{
	int fd = open_beneath(dir_fd, path, O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL) {
		fds_close(&fd);
		return;
	}
	struct dirent *e;
	while ((e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			fn(data, fd, e->d_name);
	closedir(dir);
}

static void add_size(int64_t *sum, int folder_fd, const char *name)
{
	struct stat st;
	if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		*sum += st.st_size;
}

static void add_service_log(void *data, int folder_fd, const char *name)
{
	bool is_rotated;
	if (is_log(name, &is_rotated))
		add_size(data, folder_fd, name);
}

static void add_job(void *data, int folder_fd, const char *name)
{
	int fd = open_beneath(folder_fd, name, O_PATH | O_DIRECTORY, 0);
	if (fd >= 0)
		add_size(data, fd, "output.log");
	fds_close(&fd);
}

static void add_project(void *data, int folder_fd, const char *name)
{
	each_entry(folder_fd, name, add_job, data);
}

static void count_all(struct disk *d)
{
	d->total = 0;
	d->counted_ms = clock_mono_ms() + 1;
	each_entry(d->dir_fd, "run", add_service_log, &d->total);
	each_entry(d->dir_fd, "jobs", add_project, &d->total);
}

void disk_count(struct disk *d, int64_t delta)
{
	d->total += delta;
	if (d->total < 0)
		d->total = 0;
}

struct oldest {
	char name[NAME_MAX + 1];
	struct timespec when;
	int64_t size;
};

static void find_oldest(void *data, int folder_fd, const char *name)
{
	struct oldest *o = data;
	struct stat st;
	bool is_rotated;
	if (!is_log(name, &is_rotated) || !is_rotated || fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	bool is_older =
		st.st_mtim.tv_sec < o->when.tv_sec || (st.st_mtim.tv_sec == o->when.tv_sec && st.st_mtim.tv_nsec < o->when.tv_nsec);
	if (o->name[0] != '\0' && !is_older)
		return;
	snprintf(o->name, sizeof(o->name), "%s", name);
	o->when = st.st_mtim;
	o->size = st.st_size;
}

/* 0, or -1: there is no rotated log left to remove. */
static int remove_oldest(struct disk *d)
{
	struct oldest o = { .name = "" };
	each_entry(d->dir_fd, "run", find_oldest, &o);
	if (o.name[0] == '\0')
		return -1;
	int fd = open_beneath(d->dir_fd, "run", O_PATH | O_DIRECTORY, 0);
	int rc = fd >= 0 ? unlinkat(fd, o.name, 0) : -1;
	fds_close(&fd);
	if (rc == 0)
		disk_count(d, -o.size);
	return rc;
}

int disk_check_total(struct disk *d, bool is_job, int64_t more, struct err *err)
{
	int64_t most = is_job ? d->limits.total_bytes - d->limits.total_bytes / SERVICES_SHARE : d->limits.total_bytes;
	if (most == 0)
		return 0;
	if (d->counted_ms == 0 || (d->total + more > most && clock_mono_ms() - d->counted_ms >= COUNT_AGAIN_MS))
		count_all(d);
	while (!is_job && d->total + more > most && remove_oldest(d) == 0)
		;
	if (d->total + more <= most)
		return 0;
	char size[32];
	return err_set(err, "all logs together have reached %s (log.total in config/dss.lua%s)",
		       text_print_size(most, size, sizeof(size)), is_job ? ", less a tenth for services" : "");
}

int disk_check_floor(const struct disk *d, int fd, struct err *err)
{
	struct statvfs v;
	if (d->limits.floor_bytes == 0 || fstatvfs(fd, &v) < 0)
		return 0;
	if ((__int128)v.f_bavail * v.f_frsize >= d->limits.floor_bytes)
		return 0;
	char size[32];
	return err_set(err, "less than %s free on the disk (log.floor in config/dss.lua)",
		       text_print_size(d->limits.floor_bytes, size, sizeof(size)));
}
