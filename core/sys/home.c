#include "sys/home.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fds.h"

enum { ID_LEN = 8, ORIGIN_ROOM = PATH_MAX + 64 };

/* snprintf with -1 for what was cut. */
static int join(char *out, size_t room, const char *a, const char *b)
{
	int n = snprintf(out, room, "%s/%s", a, b);
	if (n >= 0 && (size_t)n < room)
		return 0;
	if (room > 0)
		out[0] = '\0';
	return -1;
}

/* The folder of our executable. A replaced executable reads as "PATH (deleted)"; its folder is still right. */
static int own_folder(char *out, size_t room)
{
	ssize_t n = readlink("/proc/self/exe", out, room - 1);
	if (n <= 0 || (size_t)n >= room - 1)
		return -1;
	out[n] = '\0';
	char *slash = strrchr(out, '/');
	if (slash == NULL)
		return -1;
	*slash = '\0';
	return 0;
}

int home_program(const char *name, char *out, size_t room)
{
	char folder[PATH_MAX];
	out[0] = '\0';
	if (own_folder(folder, sizeof(folder)) < 0)
		return -1;
	return join(out, room, folder, name);
}

static bool has_lua(const char *folder)
{
	char probe[PATH_MAX];
	struct stat st;
	return join(probe, sizeof(probe), folder, "lua/dss") == 0 && stat(probe, &st) == 0 && S_ISDIR(st.st_mode);
}

int home_share(char *out, size_t room)
{
	static const char *const places[] = { "..", "../..", "../share/dssd" };
	const char *told = getenv("DSS_SHARE");
	char folder[PATH_MAX], place[PATH_MAX], real[PATH_MAX];
	out[0] = '\0';
	if (told != NULL && told[0] != '\0') {
		int n = snprintf(out, room, "%s", told);
		return n >= 0 && (size_t)n < room ? 0 : -1;
	}
	if (own_folder(folder, sizeof(folder)) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (join(place, sizeof(place), folder, places[i]) < 0 || realpath(place, real) == NULL || !has_lua(real))
			continue;
		int n = snprintf(out, room, "%s", real);
		if (n >= 0 && (size_t)n < room)
			return 0;
		out[0] = '\0';
		return -1;
	}
	return -1;
}

/* --- whose folder it is --- */

static int print_origin(const char *dir, char *out, size_t room, struct err *err)
{
	struct stat st;
	if (stat(dir, &st) < 0)
		return err_sys(err, errno, "unable to look at %s", dir);
	snprintf(out, room, "%llu:%llu %s", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, dir);
	return 0;
}

int home_mark_origin(const char *dir, struct err *err)
{
	char path[PATH_MAX], line[ORIGIN_ROOM];
	if (join(path, sizeof(path), dir, "config/instance.origin") < 0)
		return err_sys(err, ENAMETOOLONG, "unable to name the origin of %s", dir);
	if (print_origin(dir, line, sizeof(line) - 1, err) < 0)
		return -1;
	size_t len = strlen(line);
	line[len++] = '\n';
	return fds_replace_file(path, line, len, 0644, err);
}

int home_check_origin(const char *dir, struct err *err)
{
	char path[PATH_MAX], was[ORIGIN_ROOM], is[ORIGIN_ROOM];
	if (join(path, sizeof(path), dir, "config/instance.origin") < 0)
		return err_sys(err, ENAMETOOLONG, "unable to name the origin of %s", dir);
	if (fds_read_file(path, was, sizeof(was), err) < 0 || print_origin(dir, is, sizeof(is), err) < 0)
		return -1;
	was[strcspn(was, "\n")] = '\0';
	char *was_path = strchr(was, ' '), *is_path = strchr(is, ' ');
	if (was_path == NULL)
		return err_sys(err, EINVAL, "unable to read %s, which is not \"DEVICE:INODE PATH\"", path);
	*was_path++ = '\0';
	*is_path++ = '\0';
	if (strcmp(was, is) == 0 || strcmp(was_path, is_path) == 0)
		return 0;
	return err_set(err, "%s is a copy of the instance %s and has its id; give it its own: dssctl init %s --new-id", dir,
		       was_path, dir);
}

int home_instance_id(const char *dir, char *out, size_t room, struct err *err)
{
	char path[PATH_MAX], line[64];
	if (join(path, sizeof(path), dir, "config/instance.id") < 0)
		return err_sys(err, ENAMETOOLONG, "unable to name the instance's id of %s", dir);
	if (fds_read_file(path, line, sizeof(line), err) < 0)
		return -1;
	line[strcspn(line, "\n")] = '\0';
	if (strlen(line) != ID_LEN || strspn(line, "0123456789abcdef") != ID_LEN || room <= ID_LEN)
		return err_set(err, "unable to read %s: it is not %d hex characters", path, ID_LEN);
	memcpy(out, line, ID_LEN + 1);
	return 0;
}
