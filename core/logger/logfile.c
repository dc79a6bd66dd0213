#include "logger/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "logger/rotate.h"
#include "sys/clock.h"
#include "sys/fds.h"

enum {
	RETRY_MS = 1000,
	TELL_AGAIN_MS = 60 * 1000,
	CHECK_BYTES = 4 * 1024 * 1024, /* the disk's floor is looked at once in so many bytes of a file */
	CAP_MIN = 4096,                /* head, marker and tail have room */
};

struct logfile *logfile_new(const char *folder, const char *name, bool is_job, int64_t cap)
{
	struct logfile *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	list_init(&f->link);
	snprintf(f->folder, sizeof(f->folder), "%s", folder);
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->is_job = is_job;
	f->cap = cap;
	f->fd = -1;
	return f;
}

void logfile_close(struct logfile *f)
{
	fds_close(&f->fd);
}

void logfile_free(struct logfile **f)
{
	if (*f == NULL)
		return;
	logfile_close(*f);
	list_remove(&(*f)->link);
	free(*f);
	*f = NULL;
}

/* --- losing, and saying so --- */

static void tell(struct logfile_env *env, struct logfile *f, const char *what)
{
	struct err text;
	err_set(&text, "%s/%s: %s", f->folder, f->name, what);
	env->trouble(env->data, text.text, f->lost);
}

static const char *reason_of(const struct err *why)
{
	return why->code == ENOSPC ? "disk full" : why->code == EDQUOT ? "disk quota used up" : why->text;
}

/* n bytes are gone. Returns n. */
static int64_t lose(struct logfile_env *env, struct logfile *f, size_t n, const struct err *why)
{
	int64_t now = clock_mono_ms();
	bool is_first = f->lost == 0;
	f->lost += (int64_t)n;
	f->retry_ms = now + RETRY_MS;
	if (!is_first || n == 0)
		return (int64_t)n;
	f->lost_wall_ms = clock_wall_ms();
	snprintf(f->reason, sizeof(f->reason), "%s", reason_of(why));
	if (f->told_ms == 0 || now - f->told_ms >= TELL_AGAIN_MS) {
		f->told_ms = now;
		f->is_trouble_open = true;
		struct err text;
		err_set(&text, "%s; its lines are dropped and counted, next try in 1 s", f->reason);
		tell(env, f, text.text);
	}
	return (int64_t)n;
}

/* --- opening --- */

static int64_t cap_of(const struct logfile_env *env, const struct logfile *f)
{
	int64_t cap = f->cap > 0 ? f->cap : f->is_job ? env->disk.limits.job_bytes : env->disk.limits.file_bytes;
	return cap > CAP_MIN ? cap : CAP_MIN;
}

static int open_it(struct logfile_env *env, struct logfile *f, struct err *err)
{
	int folder = disk_open_folder(&env->disk, f->folder, err);
	if (folder < 0)
		return -1;
	int fd = disk_open_file(folder, f->name, O_RDWR | O_APPEND | O_CREAT, err);
	fds_close(&folder);
	if (fd < 0)
		return -1;
	struct stat st;
	char last = '\n';
	if (fstat(fd, &st) < 0 || (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) < 0)) {
		err_sys(err, errno, "unable to read %s", f->name);
		fds_close(&fd);
		return -1;
	}
	f->fd = fd;
	f->size = st.st_size;
	/* A logger that was killed may have left half a line. */
	f->is_line_open = last != '\n';
	f->since_check = CHECK_BYTES;
	return 0;
}

/* Open, and still the file that people see: when its folder was removed, a new one is made. */
static int ensure_open(struct logfile_env *env, struct logfile *f, struct err *err)
{
	struct stat st;
	if (f->fd >= 0 && fstat(f->fd, &st) == 0) {
		f->size = st.st_size;
		if (st.st_nlink > 0)
			return 0;
	}
	logfile_close(f);
	return open_it(env, f, err);
}

static int check_disk(struct logfile_env *env, struct logfile *f, size_t more, struct err *err)
{
	if (f->since_check >= CHECK_BYTES) {
		if (disk_check_floor(&env->disk, f->fd, err) < 0)
			return -1;
		f->since_check = 0;
	}
	return disk_check_total(&env->disk, f->is_job, (int64_t)more, err);
}

/* --- writing --- */

/* How many bytes went; less than len sets err. */
static size_t put(struct logfile_env *env, struct logfile *f, const char *data, size_t len, struct err *err)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = write(f->fd, data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err_sys(err, n < 0 ? errno : ENOSPC, "unable to write to %s", f->name);
			break;
		}
		done += (size_t)n;
	}
	if (done > 0)
		f->is_line_open = data[done - 1] != '\n';
	f->size += (int64_t)done;
	f->since_check += (int64_t)done;
	disk_count(&env->disk, (int64_t)done);
	return done;
}

static int make_room(struct logfile_env *env, struct logfile *f, struct err *err)
{
	int folder = disk_open_folder(&env->disk, f->folder, err);
	if (folder < 0)
		return -1;
	int64_t freed = 0, size = 0;
	int rc = f->is_job ? rotate_trim(folder, f->name, cap_of(env, f), &size, err)
			   : rotate_shift(folder, f->name, env->disk.limits.files, &freed, err);
	fds_close(&folder);
	if (rc < 0)
		return -1;
	disk_count(&env->disk, f->is_job ? size - f->size : -freed);
	logfile_close(f);
	return open_it(env, f, err);
}

/* The next piece of data: all of it, or the lines that still fit; 0 = the file is full. */
static size_t piece_that_fits(const struct logfile *f, int64_t cap, const char *data, size_t len, bool whole_lines)
{
	int64_t room = cap - f->size;
	if (room <= 0)
		return 0;
	if ((int64_t)len <= room)
		return len;
	const char *nl = memrchr(data, '\n', (size_t)room);
	if (nl != NULL)
		return (size_t)(nl + 1 - data);
	return whole_lines ? 0 : (size_t)room;
}

static size_t put_within_cap(struct logfile_env *env, struct logfile *f, const char *data, size_t len, struct err *err)
{
	size_t done = 0;
	bool is_fresh = f->size == 0;
	while (done < len) {
		size_t n = piece_that_fits(f, cap_of(env, f), data + done, len - done, !is_fresh);
		if (n == 0) {
			/* A file that is full right after it was made room in would turn for ever. */
			if (is_fresh && f->size > 0 && f->size >= cap_of(env, f)) {
				err_set(err, "unable to make room in %s", f->name);
				break;
			}
			if (make_room(env, f, err) < 0)
				break;
			is_fresh = true;
			continue;
		}
		size_t went = put(env, f, data + done, n, err);
		done += went;
		if (went < n)
			break;
		is_fresh = false;
	}
	return done;
}

/* The marker goes whole or not at all: half of it would be no marker. */
static int put_marker(struct logfile_env *env, struct logfile *f, struct err *err)
{
	char marker[ERR_TEXT_MAX + 160], from[32], to[32];
	int64_t size = f->size;
	bool was_open = f->is_line_open;
	int n = snprintf(marker, sizeof(marker), "%s--- %lld bytes lost: %s from %s to %s ---\n", was_open ? "\n" : "",
			 (long long)f->lost, f->reason, clock_print(f->lost_wall_ms, from, sizeof(from)),
			 clock_print(clock_wall_ms(), to, sizeof(to)));
	if (put(env, f, marker, (size_t)n, err) == (size_t)n)
		return 0;
	if (ftruncate(f->fd, size) == 0) {
		disk_count(&env->disk, size - f->size);
		f->size = size;
		f->is_line_open = was_open;
	}
	return -1;
}

/* Ready to take bytes, with nothing owed. */
static int be_ready(struct logfile_env *env, struct logfile *f, size_t more, struct err *err)
{
	if (f->lost > 0)
		f->since_check = CHECK_BYTES;
	if (ensure_open(env, f, err) < 0 || check_disk(env, f, more, err) < 0)
		return -1;
	if (f->lost == 0)
		return 0;
	if (put_marker(env, f, err) < 0)
		return -1;
	if (f->is_trouble_open) {
		struct err text;
		err_set(&text, "written again; %lld bytes were lost: %s", (long long)f->lost, f->reason);
		tell(env, f, text.text);
		f->is_trouble_open = false;
	}
	f->lost = 0;
	return 0;
}

int64_t logfile_append(struct logfile_env *env, struct logfile *f, const char *data, size_t len)
{
	struct err err = { 0 };
	if (f->lost > 0 && clock_mono_ms() < f->retry_ms) {
		f->lost += (int64_t)len;
		return (int64_t)len;
	}
	if (be_ready(env, f, len, &err) < 0)
		return lose(env, f, len, &err);
	size_t done = put_within_cap(env, f, data, len, &err);
	return done < len ? lose(env, f, len - done, &err) : 0;
}

bool logfile_settle(struct logfile_env *env, struct logfile *f)
{
	struct err err = { 0 };
	if (f->lost == 0)
		return true;
	if (be_ready(env, f, 0, &err) == 0)
		return true;
	f->retry_ms = clock_mono_ms() + RETRY_MS;
	return false;
}

void logfile_reopen(struct logfile_env *env, struct logfile *f)
{
	struct err err;
	bool was_open = f->fd >= 0;
	logfile_close(f);
	/* So that the new file is there when the one who renamed the old one looks; a failure shows at the next line. */
	if (was_open)
		open_it(env, f, &err);
}
