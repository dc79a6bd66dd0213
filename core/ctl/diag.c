/* diag: one archive for whoever is to help: what this machine and instance are, without secrets, following no links. */
#include "ctl/diag.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "ctl/opt.h"
#include "ctl/outfile.h"
#include "ctl/rest.h"
#include "ctl/tar.h"
#include "ctl/veil.h"
#include "sys/fds.h"

#define TEXT_MOST   ((size_t)8 << 20)
#define FILE_MOST   (1 << 20)
#define TAIL_MOST   (256 * 1024)
#define FILES_MOST  200
#define NAME_MOST   100
#define LIST_MS     5000
#define SECRET_MOST (4 << 20)

struct diag {
	struct ctl *ctl;
	struct tar *tar;
	struct veil *veil;
	struct buf text, contents;
};

/* --- reading --- */

/* The folder DIR/NAME, not through a link. */
static DIR *open_folder(const struct diag *d, const char *name)
{
	int base = open(d->ctl->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = base >= 0 ? openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL)
		fds_close(&fd);
	fds_close(&base);
	return dir;
}

/* The end of a plain file, up to `most` bytes; returns its size, or -1. flags: O_NOFOLLOW, or 0. */
static off_t read_tail(int folder, const char *name, int flags, size_t most, struct buf *out)
{
	struct stat st;
	int fd = openat(folder, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fds_close(&fd);
		return -1;
	}
	off_t at = st.st_size > (off_t)most ? st.st_size - (off_t)most : 0;
	for (size_t left = most; left > 0;) {
		char piece[16384];
		ssize_t n = pread(fd, piece, left < sizeof(piece) ? left : sizeof(piece), at);
		if (n <= 0)
			break;
		buf_put(out, piece, (size_t)n);
		at += n;
		left -= (size_t)n;
	}
	fds_close(&fd);
	return st.st_size;
}

/* --- what is added --- */

static int add(struct diag *d, const char *name, const char *text, size_t len, struct err *err)
{
	struct buf out;
	buf_init(&out, 4 * TEXT_MOST);
	veil_put(d->veil, text, len, &out);
	int rc = out.failed ? err_set(err, "not enough memory") : tar_add(d->tar, name, out.data ? out.data : "", out.len, err);
	buf_printf(&d->contents, "%s (%zu bytes)\n", name, out.len);
	buf_fini(&out);
	return rc;
}

static bool has_end(const char *name, const char *end)
{
	size_t n = strlen(name), len = strlen(end);
	return n > len && strcmp(name + n - len, end) == 0;
}

/* Plain files of a folder whose names end so. */
static int add_folder(struct diag *d, const char *folder, const char *end, size_t most, struct err *err)
{
	const struct dirent *entry;
	char name[NAME_MOST];
	int count = 0, rc = 0;
	DIR *dir = open_folder(d, folder);
	while (dir != NULL && rc == 0 && count < FILES_MOST && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.' || !has_end(entry->d_name, end) ||
		    snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name) >= (int)sizeof(name))
			continue;
		buf_clear(&d->text);
		off_t size = read_tail(dirfd(dir), entry->d_name, O_NOFOLLOW, most, &d->text);
		if (size < 0)
			buf_printf(&d->contents, "%s: left out: no plain file that can be read\n", name);
		/* a cut line may begin in the middle of a secret */
		const char *line = size > (off_t)most && d->text.data ? memchr(d->text.data, '\n', d->text.len) : NULL;
		size_t cut = size > (off_t)most ? (line ? (size_t)(line - d->text.data) + 1 : d->text.len) : 0;
		if (size >= 0)
			rc = add(d, name, d->text.data ? d->text.data + cut : "", d->text.len - cut, err);
		count++;
	}
	if (dir != NULL)
		closedir(dir);
	return rc;
}

static void put_file(struct diag *d, const char *path, size_t most)
{
	buf_printf(&d->text, "--- %s\n", path);
	if (read_tail(AT_FDCWD, path, O_NOFOLLOW, most, &d->text) < 0)
		buf_puts(&d->text, "cannot be read\n");
	buf_putc(&d->text, '\n');
}

static int add_machine(struct diag *d, struct err *err)
{
	static const char *const files[] = { "/etc/os-release",    "/proc/meminfo",
					     "/proc/loadavg",      "/proc/uptime",
					     "/proc/cgroups",      "/proc/mounts",
					     "/proc/self/limits",  "/proc/pressure/memory",
					     "/proc/pressure/cpu", "/proc/sys/vm/overcommit_memory" };
	struct utsname u;
	struct statvfs fs;
	buf_clear(&d->text);
	if (uname(&u) == 0)
		buf_printf(&d->text, "%s %s %s %s\n", u.sysname, u.release, u.version, u.machine);
	buf_printf(&d->text, "processors: %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	if (statvfs(d->ctl->dir, &fs) == 0)
		buf_printf(&d->text, "disk of the instance: %llu MB free of %llu MB, %llu files free\n",
			   (unsigned long long)fs.f_bavail * fs.f_frsize >> 20, (unsigned long long)fs.f_blocks * fs.f_frsize >> 20,
			   (unsigned long long)fs.f_favail);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		put_file(d, files[i], FILE_MOST);
	return add(d, "machine.txt", d->text.data, d->text.len, err);
}

/* Names, owners and sizes; of the secrets there nothing else. */
static int add_names(struct diag *d, struct err *err)
{
	static const char *const folders[] = { ".", "config", "policies", "db", "run", "projects", "jobs" };
	const struct dirent *entry;
	struct stat st;
	buf_clear(&d->text);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		DIR *dir = open_folder(d, folders[i]);
		buf_printf(&d->text, "%s:%s\n", folders[i], dir == NULL ? " cannot be read" : "");
		for (int n = 0; dir != NULL && n < FILES_MOST && (entry = readdir(dir)) != NULL; n++)
			if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
				buf_printf(&d->text, "  %06o %u:%u %10lld %s\n", st.st_mode, st.st_uid, st.st_gid,
					   (long long)st.st_size, entry->d_name);
		if (dir != NULL)
			closedir(dir);
	}
	return add(d, "files.txt", d->text.data, d->text.len, err);
}

static int add_lists(struct diag *d, struct err *err)
{
	static const char *const lists[][2] = {
		{ "health", "/health" },
		{ "processes", "/api/processes?members=true" },
		{ "tasks", "/api/tasks?ended=200" },
		{ "boxes", "/api/boxes" },
		{ "alerts", "/api/alerts" },
		{ "pools", "/api/pools" },
		{ "node", "/api/node" },
		{ "slots", "/api/slots" },
		{ "jobs", "/api/jobs?limit=100" },
		{ "webapps", "/api/webapps" },
		{ "policies", "/api/policies/state" },
		{ "versions", "/api/policies/versions?limit=20" },
		{ "decisions", "/api/decisions?limit=500" },
		{ "macro-runs", "/api/macro-runs" },
	};
	char name[NAME_MOST];
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		json_t *json = rest_glance(d->ctl, lists[i][1], LIST_MS);
		char *text = json != NULL ? json_dumps(json, JSON_INDENT(1) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
		json_decref(json);
		snprintf(name, sizeof(name), "lists/%s.json", lists[i][0]);
		if (text == NULL)
			buf_printf(&d->contents, "%s: left out: the backend does not answer\n", name);
		int rc = text != NULL ? add(d, name, text, strlen(text), err) : 0;
		free(text);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int add_versions(struct diag *d, struct err *err)
{
	char line[100];
	time_t now = time(NULL);
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_clear(&d->text);
	buf_printf(&d->text, "dssd %s\nmade %s\ninstance %s\n", DSS_VERSION, line, d->ctl->dir);
	return add(d, "versions.txt", d->text.data, d->text.len, err);
}

/* --- secrets of the instance --- */

/* A secret that was not learned would leave the house: rather no archive. Also what a link points to: it is read to be taken out, never to be added. */
static int learn_file(struct diag *d, int folder, const char *name, struct err *err)
{
	buf_clear(&d->text);
	off_t size = read_tail(folder, name, 0, SECRET_MOST, &d->text);
	if (size > SECRET_MOST)
		return err_set(err, "unable to take secrets out: config/%s is larger than %d MB; move it out of config/", name,
			       SECRET_MOST >> 20);
	if (size > 0 && (d->text.failed || veil_learn(d->veil, d->text.data, d->text.len) < 0))
		return err_set(err, "unable to take the secrets of config/%s out: not enough memory", name);
	return 0;
}

/* Whatever in config/ is no configuration: keys, tokens, certificates' keys. */
static int learn_secrets(struct diag *d, struct err *err)
{
	const struct dirent *entry;
	int rc = 0;
	DIR *dir = open_folder(d, "config");
	while (dir != NULL && rc == 0 && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' && !has_end(entry->d_name, ".lua") && strncmp(entry->d_name, "instance.", 9) != 0)
			rc = learn_file(d, dirfd(dir), entry->d_name, err);
	if (dir != NULL)
		closedir(dir);
	return rc;
}

static int make(struct diag *d, const char *path, struct err *err)
{
	static const char head[] =
		"What is here: see below. Secrets are ****: keys and tokens of the instance, values whose names say that they are "
		"secret,\n"
		"words of 32 and more letters and digits. Links were not followed. Look through it before it leaves the house.\n\n";
	if (learn_secrets(d, err) < 0 || (d->tar = tar_open(path, err)) == NULL)
		return -1;
	buf_puts(&d->contents, head);
	int rc = add_versions(d, err) < 0 || add_machine(d, err) < 0 || add_names(d, err) < 0 ||
				 add_folder(d, "config", ".lua", FILE_MOST, err) < 0 ||
				 add_folder(d, "policies", ".lua", FILE_MOST, err) < 0 ||
				 add_folder(d, "run", ".log", TAIL_MOST, err) < 0 ||
				 add_folder(d, "run", "ports.json", FILE_MOST, err) < 0 || add_lists(d, err) < 0 ||
				 tar_add(d->tar, "README.txt", d->contents.data, d->contents.len, err) < 0
			 ? -1
			 : 0;
	struct err late = { 0 };
	if (tar_close(&d->tar, &late) < 0 && rc == 0) {
		*err = late;
		return -1;
	}
	if (rc < 0)
		unlink(path);
	return rc;
}

int diag_command(struct ctl *ctl, int argc, char **argv)
{
	char name[PATH_MAX];
	const char *out = NULL;
	struct err err = { 0 };
	const struct opt opts[] = { { "out", "FILE", "the archive; it must not be there (else diagnosis-TIME.tar.gz here)",
				      OPT_TEXT, &out, 0, 0, NULL },
				    { 0 } };
	struct opt_words words = {
		.usage = "[--out FILE]",
		.about = "Makes one archive for whoever is to help: versions, configuration and policies without secrets, ends of\n"
			 "logs, lists, what the machine is. Works without the backend, too: its lists are left out then."
	};
	int code = opt_read(ctl, opts, &words, argc, argv);
	if (code >= 0 || (code = ctl_find(ctl)) != CTL_DONE)
		return code;
	struct diag d = { .ctl = ctl, .veil = veil_new() };
	if (d.veil == NULL)
		return ctl_fail(CTL_FAILED, "not enough memory");
	snprintf(name, sizeof(name), "diagnosis-%lld.tar.gz", (long long)time(NULL));
	out = out != NULL ? out : name;
	umask(077);
	buf_init(&d.text, TEXT_MOST);
	buf_init(&d.contents, TEXT_MOST);
	code = make(&d, out, &err) < 0 ? ctl_fail(CTL_FAILED, "%s", err.text) : CTL_DONE;
	if (code == CTL_DONE)
		outfile_print(ctl, out);
	buf_fini(&d.text);
	buf_fini(&d.contents);
	veil_free(&d.veil);
	return code;
}
