#include "sys/fileset_keep.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fds.h"
#include "sys/fileset.h"

#define FOLDERS_MOST 4096 /* of one look; what is beyond goes the next time */

typedef char folder_name[FILESET_KEEP_ROOM];

/* ".before-20261122-081500", or with "-2" behind it. */
static bool is_kept_name(const char *name)
{
	static const char pattern[] = ".before-########-######";
	size_t i = 0, n = sizeof(pattern) - 1;
	for (; i < n; i++)
		if (pattern[i] == '#' ? name[i] < '0' || name[i] > '9' : name[i] != pattern[i])
			return false;
	if (name[n] == '-' && name[n + 1])
		n += 1 + strspn(name + n + 1, "0123456789");
	return name[n] == '\0' && n < FILESET_KEEP_ROOM;
}

/* "-10" is after "-9", and both after none. */
static int newest_first(const void *a, const void *b)
{
	return strverscmp(b, a);
}

static DIR *open_folder(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (fd >= 0 && !dir)
		fds_close(&fd);
	return dir;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Only what a write put there. */
static bool is_ours(DIR *dir, const char *suffix)
{
	const struct dirent *d;
	struct stat st;
	while ((d = readdir(dir)))
		if (!is_dots(d->d_name) && (!fileset_is_name(d->d_name, suffix) ||
					    fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode)))
			return false;
	return true;
}

static bool drop(int at, const char *name, const char *suffix)
{
	const struct dirent *d;
	DIR *dir = open_folder(at, name);
	bool is_gone = dir && is_ours(dir, suffix);
	if (is_gone) {
		rewinddir(dir);
		while ((d = readdir(dir)))
			if (!is_dots(d->d_name))
				unlinkat(dirfd(dir), d->d_name, 0);
		is_gone = unlinkat(at, name, AT_REMOVEDIR) == 0;
	}
	if (dir)
		closedir(dir);
	return is_gone;
}

size_t fileset_drop_kept(int dirfd, const char *suffix, size_t most, const char *made)
{
	size_t n = 0, gone = 0, stay = 0;
	struct dirent *d;
	struct stat st;
	folder_name *all = malloc(FOLDERS_MOST * sizeof(*all));
	DIR *dir = all ? open_folder(dirfd, ".") : NULL;
	while (dir && n < FOLDERS_MOST && (d = readdir(dir)))
		if (is_kept_name(d->d_name) && fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
			strcpy(all[n++], d->d_name);
	if (dir)
		closedir(dir);
	if (n > 0)
		qsort(all, n, sizeof(*all), newest_first);
	for (size_t i = 0; i < n; i++)
		stay += made && strcmp(all[i], made) == 0;
	for (size_t i = 0; i < n; i++) {
		if (made && strcmp(all[i], made) == 0)
			continue;
		if (stay < most)
			stay++;
		else
			gone += drop(dirfd, all[i], suffix);
	}
	free(all);
	return gone;
}
