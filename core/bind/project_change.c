#include "bind/project_change.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bind/project_tell.h"
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

struct removal {
	dev_t device;
	bool is_look;        /* nothing is touched: may all be removed? */
	char path[PATH_MAX]; /* of the folder that is walked; what is too long for it is cut */
	char bad[PATH_MAX];  /* of the first that cannot be removed */
	char owner[64];      /* of the folder in the way; "" = it is not whose it is */
	int why;             /* its errno; 0 = none */
};

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void blame(struct removal *r, const char *name, int why)
{
	if (r->why)
		return;
	r->why = why ? why : EIO;
	int n = name ? snprintf(r->bad, sizeof r->bad, "%s/%s", r->path, name) : snprintf(r->bad, sizeof r->bad, "%s", r->path);
	if (n >= (int)sizeof r->bad)
		r->bad[sizeof r->bad - 1] = '\0';
}

static void name_owner(struct removal *r, uid_t uid)
{
	int why = errno;
	const struct passwd *of = uid != geteuid() ? getpwuid(uid) : NULL;
	if (of)
		snprintf(r->owner, sizeof r->owner, "%s", of->pw_name);
	else if (uid != geteuid())
		snprintf(r->owner, sizeof r->owner, "user %u", (unsigned)uid);
	errno = why;
}

/* What stands in that folder: may it go? */
static bool may_go(struct removal *r, int folder, const char *name, const struct stat *of, const struct stat *entry)
{
	bool is_ours = geteuid() == 0 || of->st_uid == geteuid() || entry->st_uid == geteuid();
	if (entry->st_dev != r->device)
		errno = EXDEV;
	else if (faccessat(folder, ".", W_OK | X_OK, AT_EACCESS) < 0)
		name_owner(r, of->st_uid);
	else if ((of->st_mode & S_ISVTX) && !is_ours)
		errno = EPERM;
	else
		return true;
	blame(r, name, errno);
	return false;
}

static bool walk(struct removal *r, int fd, const char *const *kept, int depth);

static bool walk_below(struct removal *r, int folder, const char *name, int depth)
{
	size_t before = strlen(r->path);
	int inner = open_folder(folder, name), why = errno;
	struct stat st;
	if (inner < 0 || depth >= DEPTH_MAX) {
		if (inner < 0 && fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			name_owner(r, st.st_uid);
		blame(r, name, inner < 0 ? why : ELOOP);
		fds_close(&inner);
		return false;
	}
	snprintf(r->path + before, sizeof r->path - before, "/%s", name);
	bool ok = walk(r, inner, NULL, depth + 1);
	r->path[before] = '\0';
	return ok;
}

static bool one(struct removal *r, int folder, const struct stat *of, const char *name, int depth)
{
	struct stat entry;
	if (r->is_look) {
		if (fstatat(folder, name, &entry, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT || (blame(r, name, errno), false);
		return may_go(r, folder, name, of, &entry) && (!S_ISDIR(entry.st_mode) || walk_below(r, folder, name, depth));
	}
	if (unlinkat(folder, name, 0) == 0)
		return true;
	if (errno != EISDIR && errno != EPERM && errno != EBUSY)
		return blame(r, name, errno), false;
	if (!walk_below(r, folder, name, depth))
		return false;
	return unlinkat(folder, name, AT_REMOVEDIR) == 0 || (blame(r, name, errno), false);
}

static bool is_kept(const char *const *kept, const char *name)
{
	for (; kept && *kept; kept++)
		if (strcmp(*kept, name) == 0)
			return true;
	return false;
}

/* All in it but `kept`; takes fd. The first that fails is blamed, the rest goes all the same. */
static bool walk(struct removal *r, int fd, const char *const *kept, int depth)
{
	struct stat st;
	bool ok = true;
	DIR *d = fstat(fd, &st) == 0 && st.st_dev == r->device ? fdopendir(fd) : (errno = EXDEV, NULL);
	if (!d) {
		blame(r, NULL, errno);
		fds_close(&fd);
		return false;
	}
	for (const struct dirent *e; (e = readdir(d)) && !(r->is_look && !ok);)
		if (!is_dots(e->d_name) && !is_kept(kept, e->d_name))
			ok = one(r, dirfd(d), &st, e->d_name, depth) && ok;
	closedir(d);
	return ok;
}

/* Of removals that an older release left half done. */
static void sweep(int projects, dev_t device)
{
	struct removal r = { .device = device };
	int fd = dup(projects);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	for (const struct dirent *e; d && (e = readdir(d));) {
		int trash = strncmp(e->d_name, TRASH, strlen(TRASH)) == 0 ? open_folder(projects, e->d_name) : -1;
		if (trash >= 0 && walk(&r, trash, NULL, 0))
			unlinkat(projects, e->d_name, AT_REMOVEDIR);
	}
	if (d)
		closedir(d);
	else
		fds_close(&fd);
}

static bool walk_project(struct removal *r, int projects, const char *key, bool is_look, const char *const *kept)
{
	int fd = open_folder(projects, key);
	r->is_look = is_look;
	if (fd >= 0)
		return walk(r, fd, kept, 0);
	blame(r, NULL, errno);
	return false;
}

/* Without data, or where it goes too, nothing of it stays. */
static bool remove_last(struct removal *r, int projects, const char *key, bool keeps_data)
{
	int fd = open_folder(projects, key);
	bool ok = fd >= 0 && (unlinkat(fd, FILE_NAME, 0) == 0 || errno == ENOENT); /* from here on it is none */
	if (!ok)
		blame(r, FILE_NAME, errno);
	else if (!keeps_data || unlinkat(fd, "data", AT_REMOVEDIR) == 0 || errno == ENOENT)
		ok = unlinkat(projects, key, AT_REMOVEDIR) == 0 || keeps_data || (blame(r, NULL, errno), false);
	fds_close(&fd);
	return ok;
}

/* Looks first whether all can go: one that is refused is what it was. project.lua goes last: one that stopped halfway is asked for again. */
static bool remove_it(struct removal *r, int projects, const char *key, bool keeps_data)
{
	static const char *const look_all[] = { NULL }, *const look_some[] = { "data", NULL };
	static const char *const all[] = { FILE_NAME, NULL }, *const some[] = { FILE_NAME, "data", NULL };
	struct stat of, st;
	if (fstat(projects, &of) < 0 || fstatat(projects, key, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return blame(r, NULL, errno), false;
	if (!S_ISDIR(st.st_mode))
		return blame(r, NULL, S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR), false;
	if (!keeps_data && faccessat(projects, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return blame(r, NULL, errno), false;
	return walk_project(r, projects, key, true, keeps_data ? look_some : look_all) &&
	       walk_project(r, projects, key, false, keeps_data ? some : all) && remove_last(r, projects, key, keeps_data);
}

int project_remove(const char *dir, const char *key, bool keeps_data)
{
	struct removal r = { 0 };
	char text[PATH_MAX + 400];
	struct stat st;
	int projects = open_projects(dir, key);
	if (projects < 0 || fstat(projects, &st) < 0) {
		r.why = complain("remove", key);
		fds_close(&projects);
		return r.why;
	}
	r.device = st.st_dev;
	snprintf(r.path, sizeof r.path, "projects/%s", key);
	if (!remove_it(&r, projects, key, keeps_data)) {
		snprintf(text, sizeof text, "%s: %s%s%s%s%s", r.bad, strerror(r.why),
			 r.owner[0] ? " (the folder in the way belongs to " : "", r.owner, r.owner[0] ? ")" : "",
			 r.is_look ? "; nothing was removed" : "");
		fprintf(stderr, "dssd project: unable to remove project %s: %s\n", key, text);
		project_tell_change(text);
	}
	sweep(projects, st.st_dev);
	fds_close(&projects);
	return r.why < 255 ? r.why : EIO;
}
