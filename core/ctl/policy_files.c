#include "ctl/policy_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/child.h"
#include "ctl/rest.h"
#include "ctl/say.h"
#include "net/json.h"
#include "sys/fds.h"
#include "sys/fileset.h"
#include "sys/fileset_keep.h"
#include "sys/home.h"

enum { TEXT_MAX = 1024 * 1024 + 1, FILES_MAX = 200, SET_MAX = 64 * 1024 * 1024 };

static const char folder_name[] = "policies";

static bool is_policy(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return d->d_name[0] != '.' && n > 4 && strcmp(d->d_name + n - 4, ".lua") == 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char *list[FILES_MAX + 1];
	size_t n;
};

static void names_fini(struct names *names)
{
	while (names->n > 0)
		free(names->list[--names->n]);
}

/* The files' names in the order in which they are read. */
static int list_folder(const char *folder, struct names *names)
{
	DIR *dir = opendir(folder);
	const struct dirent *d;
	int code = CTL_DONE;
	names->n = 0;
	if (dir == NULL)
		return ctl_fail(CTL_FAILED, "unable to read %s: %s", folder, strerror(errno));
	while (code == CTL_DONE && (d = readdir(dir)) != NULL) {
		if (!is_policy(d))
			continue;
		if (names->n == FILES_MAX)
			code = ctl_fail(CTL_FAILED, "%s has more than %d files", folder, FILES_MAX);
		else if ((names->list[names->n] = strdup(d->d_name)) != NULL)
			names->n++;
		else
			code = ctl_fail(CTL_FAILED, "no memory");
	}
	closedir(dir);
	qsort(names->list, names->n, sizeof(names->list[0]), by_name);
	return code;
}

/* A text as a policy of that name: {"name","text"}; NULL after telling why. */
static json_t *read_one(const char *path, const char *name)
{
	struct err err = { 0 };
	struct stat st;
	json_t *one = NULL;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) { /* a pipe would never end */
		ctl_fail(CTL_FAILED, "unable to read %s: it is no plain file", path);
		return NULL;
	}
	char *text = malloc(TEXT_MAX);
	ssize_t n = text != NULL ? fds_read_file(path, text, TEXT_MAX, &err) : -1;
	if (text == NULL)
		ctl_fail(CTL_FAILED, "no memory");
	else if (n < 0)
		ctl_fail(CTL_FAILED, "%s", err.text);
	else if ((one = json_pack("{s:o, s:s%}", "name", json_sprintf("%s/%s", folder_name, name), "text", text, (size_t)n)) ==
		 NULL)
		ctl_fail(CTL_FAILED, "unable to read %s: it is no UTF-8 text", path);
	free(text);
	return one;
}

static int read_all(const char *folder, void *data)
{
	json_t **out = data;
	char path[PATH_MAX + 300];
	struct names names;
	int code = list_folder(folder, &names);
	*out = json_array();
	for (size_t i = 0; code == CTL_DONE && i < names.n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names.list[i]);
		json_t *one = read_one(path, names.list[i]);
		if (one == NULL || json_array_append_new(*out, one) < 0)
			code = CTL_FAILED;
	}
	names_fini(&names);
	if (code != CTL_DONE)
		json_decref(*out);
	return code;
}

int policy_files_put(struct ctl *ctl, json_t *set, const char *path)
{
	const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
	json_t *row, *one = read_one(path, name);
	size_t i;
	(void)ctl;
	if (one == NULL)
		return CTL_FAILED;
	json_array_foreach(set, i, row)
	{
		int order = strcmp(rest_text(row, "name"), rest_text(one, "name"));
		if (order < 0)
			continue;
		if (order == 0)
			json_array_set_new(set, i, one);
		else
			json_array_insert_new(set, i, one);
		return CTL_DONE;
	}
	json_array_append_new(set, one);
	return CTL_DONE;
}

bool policy_files_equal(const json_t *a, const json_t *b)
{
	json_t *row;
	size_t i;
	if (json_array_size(a) != json_array_size(b))
		return false;
	json_array_foreach(a, i, row)
	{
		const json_t *other = json_array_get(b, i);
		if (strcmp(rest_text(row, "name"), rest_text(other, "name")) != 0 ||
		    strcmp(rest_text(row, "text"), rest_text(other, "text")) != 0)
			return false;
	}
	return true;
}

/* --- checking --- */

/* The set as the standard input of a program that we start: no name on the disk that somebody could meddle with. */
static int as_input(const json_t *set)
{
	struct buf b;
	buf_init(&b, SET_MAX);
	int fd = json_put(&b, set) == 0 ? memfd_create("policies", MFD_CLOEXEC) : -1;
	if (fd >= 0 && (fds_write_all(fd, b.data, b.len) < 0 || lseek(fd, 0, SEEK_SET) < 0 || dup2(fd, STDIN_FILENO) < 0))
		fds_close(&fd);
	buf_fini(&b);
	if (fd < 0)
		return ctl_fail(CTL_FAILED, "unable to hand on the policies: %s", strerror(errno));
	fds_close(&fd);
	return CTL_DONE;
}

int policy_files_check(struct ctl *ctl, const json_t *set, bool is_quiet)
{
	char program[PATH_MAX];
	struct err err = { 0 };
	if (home_program("dssd", program, sizeof(program)) < 0)
		return ctl_fail(CTL_FAILED, "unable to find dssd: our own place is unknown");
	int code = as_input(set);
	if (code != CTL_DONE)
		return code;
	char *argv[] = { program, (char *)"check", ctl->dir, is_quiet ? (char *)"-q" : ctl->json ? (char *)"--json" : NULL, NULL };
	fflush(stdout);
	int status = policy_files_run(ctl, argv, &err);
	if (status < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	return status == 0   ? CTL_DONE
	       : status == 1 ? CTL_FAILED
			     : ctl_fail(CTL_FAILED, "unable to check: dssd ended with %d", status);
}

/* --- differences --- */

/* The name of a policy without its folder; NULL: no name for a file. */
static const char *file_of(const json_t *row)
{
	const char *name = rest_text(row, "name"), *slash = strrchr(name, '/');
	name = slash != NULL ? slash + 1 : name;
	size_t n = strlen(name);
	return *name != '.' && n > 4 && strcmp(name + n - 4, ".lua") == 0 ? name : NULL;
}

static int unpack(const char *dir, const char *folder, const json_t *set)
{
	char path[PATH_MAX];
	json_t *row;
	size_t i;
	snprintf(path, sizeof(path), "%s/%s", dir, folder);
	if (mkdir(path, 0700) < 0)
		return ctl_fail(CTL_FAILED, "unable to make %s: %s", path, strerror(errno));
	json_array_foreach(set, i, row)
	{
		const char *name = file_of(row), *text = rest_text(row, "text");
		struct err err = { 0 };
		if (name == NULL || snprintf(path, sizeof(path), "%s/%s/%s", dir, folder, name) >= (int)sizeof(path))
			return ctl_fail(CTL_FAILED, "a policy has a name that is none: %s", rest_text(row, "name"));
		if (fds_replace_file(path, text, strlen(text), 0600, &err) < 0)
			return ctl_fail(CTL_FAILED, "%s", err.text);
	}
	return CTL_DONE;
}

static void remove_unpacked(const char *dir, const char *folder, const json_t *set)
{
	char path[PATH_MAX];
	json_t *row;
	size_t i;
	json_array_foreach(set, i, row)
	{
		const char *name = file_of(row);
		if (name != NULL && snprintf(path, sizeof(path), "%s/%s/%s", dir, folder, name) < (int)sizeof(path))
			unlink(path);
	}
	snprintf(path, sizeof(path), "%s/%s", dir, folder);
	rmdir(path);
}

int policy_files_diff(const json_t *a, const char *a_name, const json_t *b, const char *b_name, bool *differs)
{
	char dir[] = "/tmp/dss-policy-XXXXXX", here[PATH_MAX];
	struct err err = { 0 };
	*differs = !policy_files_equal(a, b);
	if (!*differs)
		return CTL_DONE;
	if (getcwd(here, sizeof(here)) == NULL || mkdtemp(dir) == NULL)
		return ctl_fail(CTL_FAILED, "unable to make a folder in /tmp: %s", strerror(errno));
	int code = unpack(dir, a_name, a);
	if (code == CTL_DONE)
		code = unpack(dir, b_name, b);
	char *argv[] = { (char *)"/usr/bin/diff", (char *)"-ruN", (char *)a_name, (char *)b_name, NULL, NULL };
	if (say_has_colour(stdout))
		argv[4] = (char *)"--color=always";
	fflush(stdout);
	if (code == CTL_DONE && chdir(dir) < 0)
		code = ctl_fail(CTL_FAILED, "unable to enter %s: %s", dir, strerror(errno));
	int status = code == CTL_DONE ? child_run(argv, &err) : 0;
	if (status < 0 || status > 1)
		code = ctl_fail(CTL_FAILED, "unable to compare: %s", status < 0 ? err.text : "diff failed");
	if (chdir(here) < 0)
		code = ctl_fail(CTL_FAILED, "unable to go back to %s: %s", here, strerror(errno));
	remove_unpacked(dir, a_name, a);
	remove_unpacked(dir, b_name, b);
	rmdir(dir);
	return code;
}

/* --- who --- */

/* Root writes as whoever owns the folder, or a link in its place: that one could lead root's hand to anywhere. */
static int find_owner(struct ctl *ctl, char *folder, struct stat *owner)
{
	struct err err = { 0 };
	struct stat link;
	if (ctl_path(ctl, folder_name, folder, PATH_MAX, &err) < 0)
		return ctl_fail(CTL_FAILED, "%s", err.text);
	if (lstat(folder, &link) < 0 || stat(folder, owner) < 0)
		return ctl_fail(CTL_FAILED, "unable to look at %s: %s", folder, strerror(errno));
	if (link.st_uid != 0)
		*owner = link;
	return CTL_DONE;
}

int policy_files_run(struct ctl *ctl, char *const *argv, struct err *err)
{
	char folder[PATH_MAX], db[PATH_MAX];
	struct stat owner = { 0 }, backend;
	if (find_owner(ctl, folder, &owner) != CTL_DONE)
		return err_set(err, "unable to run %s", argv[0]);
	if (owner.st_uid == 0)
		return child_run(argv, err);
	if (ctl_path(ctl, "db", db, sizeof(db), err) < 0)
		return -1;
	if (stat(db, &backend) < 0)
		return err_sys(err, errno, "unable to look at %s", db);
	return child_run_as(argv, backend.st_uid, backend.st_gid, err);
}

/* fn as the owner of the folder. What root may do beyond that stays out of its reach, and of what its links lead to. */
static int as_owner(struct ctl *ctl, int (*fn)(const char *folder, void *data), void *data)
{
	char folder[PATH_MAX];
	struct stat owner = { 0 };
	int code = find_owner(ctl, folder, &owner);
	if (code != CTL_DONE)
		return code;
	bool is_for_other = geteuid() == 0 && owner.st_uid != 0;
	gid_t own_gid = getegid();
	if (is_for_other && (setegid(owner.st_gid) < 0 || seteuid(owner.st_uid) < 0))
		return ctl_fail(CTL_FAILED, "unable to act as the owner of %s: %s", folder, strerror(errno));
	code = fn(folder, data);
	if (is_for_other && (seteuid(0) < 0 || setegid(own_gid) < 0))
		return ctl_fail(CTL_FAILED, "unable to be root again: %s", strerror(errno));
	return code;
}

/* --- reading --- */

int policy_files_read(struct ctl *ctl, json_t **out)
{
	*out = NULL;
	return as_owner(ctl, read_all, out);
}

/* --- writing --- */

static int to_fileset(const json_t *set, struct fileset *out, struct err *err)
{
	json_t *row;
	size_t i;
	json_array_foreach(set, i, row)
	{
		const char *name = file_of(row);
		const json_t *text = json_object_get(row, "text");
		if (name == NULL || !fileset_is_name(name, ".lua"))
			return err_set(err, "a policy has a name that is none: %s", rest_text(row, "name"));
		if (fileset_add(out, name, json_string_value(text), json_string_length(text), err) < 0)
			return -1;
	}
	return 0;
}

struct writing {
	const json_t *set;
	char *kept;
};

static int replace_all(const char *folder, void *data)
{
	const struct writing *w = data;
	struct fileset now = { 0 }, want = { 0 };
	struct err err = { 0 };
	char stamp[FILESET_KEEP_ROOM] = "";
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? err_sys(&err, errno, "unable to open %s", folder) : fileset_read(fd, ".lua", &now, &err);
	if (rc == 0)
		rc = to_fileset(w->set, &want, &err);
	if (rc == 0)
		fileset_name_keep(fd, stamp);
	if (rc == 0 && fileset_differ(&now, &want, NULL) > 0 && snprintf(w->kept, PATH_MAX, "%s/%s", folder, stamp) >= PATH_MAX)
		rc = err_set(&err, "the path of %s is too long", folder);
	if (rc == 0)
		rc = fileset_write(fd, &(struct fileset_write){ &now, &want, 0644, stamp }, &err);
	if (rc == 0 && w->kept[0] != '\0')
		fileset_drop_kept(fd, ".lua", FILESET_KEPT_MOST, stamp);
	fileset_fini(&now);
	fileset_fini(&want);
	fds_close(&fd);
	return rc == 0 ? CTL_DONE : ctl_fail(CTL_FAILED, "unable to write in %s: %s", folder, err.text);
}

int policy_files_write(struct ctl *ctl, const json_t *set, char *kept)
{
	struct writing w = { set, kept };
	*kept = '\0';
	return as_owner(ctl, replace_all, &w);
}
