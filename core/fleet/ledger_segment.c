#include "fleet/ledger_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define NAME_ROOM 64

struct segment {
	int64_t epoch, number, bytes, last_ms;
};

struct ledger_segments {
	int dirfd, fd; /* fd: of the newest of `all`, -1 = none is open */
	char dir[PATH_MAX];
	int64_t epoch, number, sum;
	struct segment *all; /* oldest first */
	size_t count, room;
};

static const char *name_of(const struct segment *s, char out[NAME_ROOM])
{
	snprintf(out, NAME_ROOM, "%lld-%lld.jsonl", (long long)s->epoch, (long long)s->number);
	return out;
}

static int by_age(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;
	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static int add(struct ledger_segments *s, const struct segment *one)
{
	if (s->count == s->room) {
		size_t room = s->room ? s->room * 2 : 64;
		struct segment *more = realloc(s->all, room * sizeof(*more));
		if (!more)
			return -1;
		s->all = more;
		s->room = room;
	}
	s->all[s->count++] = *one;
	s->sum += one->bytes;
	return 0;
}

static int list_folder(struct ledger_segments *s, struct err *err)
{
	int fd = openat(s->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d) {
		int why = errno;
		fds_close(&fd);
		return err_sys(err, why, "unable to list %s", s->dir);
	}
	struct dirent *e;
	int rc = 0;
	while (rc == 0 && (e = readdir(d))) {
		long long epoch, number;
		struct stat st;
		char name[NAME_ROOM];
		if (sscanf(e->d_name, "%lld-%lld.jsonl", &epoch, &number) != 2)
			continue;
		struct segment one = { .epoch = epoch, .number = number };
		if (strcmp(name_of(&one, name), e->d_name) != 0 || fstatat(s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		one.bytes = st.st_size;
		one.last_ms = (int64_t)st.st_mtim.tv_sec * 1000;
		if (one.epoch == s->epoch && one.number > s->number)
			s->number = one.number;
		if (add(s, &one) < 0)
			rc = err_set(err, "unable to list %s: no memory", s->dir);
	}
	closedir(d);
	if (s->count)
		qsort(s->all, s->count, sizeof(*s->all), by_age);
	return rc;
}

struct ledger_segments *ledger_segments_open(const char *dir, int64_t epoch, struct err *err)
{
	struct ledger_segments *s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(err, "unable to open %s: no memory", dir);
		return NULL;
	}
	s->fd = s->dirfd = -1;
	s->epoch = epoch;
	snprintf(s->dir, sizeof(s->dir), "%s", dir);
	if (fds_make_dirs(dir, 0700, err) < 0)
		ledger_segments_close(&s);
	else if ((s->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) < 0) {
		err_sys(err, errno, "unable to open %s", dir);
		ledger_segments_close(&s);
	} else if (list_folder(s, err) < 0)
		ledger_segments_close(&s);
	return s;
}

void ledger_segments_close(struct ledger_segments **sp)
{
	struct ledger_segments *s = *sp;
	if (!s)
		return;
	fds_close(&s->fd);
	fds_close(&s->dirfd);
	free(s->all);
	free(s);
	*sp = NULL;
}

/* All or nothing: what was cut off is taken back, so that no torn line stands between others. */
static int put(struct ledger_segments *s, const void *data, size_t len, int64_t now_ms, struct err *err)
{
	struct segment *open = &s->all[s->count - 1];
	char name[NAME_ROOM];
	if (fds_write_all(s->fd, data, len) < 0) {
		int why = errno;
		if (ftruncate(s->fd, open->bytes) < 0)
			fds_close(&s->fd); /* goes on in a new one */
		return err_sys(err, why, "unable to write %s/%s", s->dir, name_of(open, name));
	}
	open->bytes += (int64_t)len;
	open->last_ms = now_ms;
	s->sum += (int64_t)len;
	return 0;
}

static int open_next(struct ledger_segments *s, int64_t now_ms, struct err *err)
{
	struct segment one = { .epoch = s->epoch, .number = s->number + 1, .last_ms = now_ms };
	char name[NAME_ROOM], head[160];
	fds_close(&s->fd);
	s->fd = openat(s->dirfd, name_of(&one, name), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->fd < 0)
		return err_sys(err, errno, "unable to make %s/%s", s->dir, name);
	if (add(s, &one) < 0) {
		fds_close(&s->fd);
		unlinkat(s->dirfd, name, 0);
		return err_set(err, "unable to make %s/%s: no memory", s->dir, name);
	}
	s->number++;
	snprintf(head, sizeof(head), "{\"segment\":1,\"epoch\":%lld,\"number\":%lld,\"boot\":\"%s\"}\n", (long long)one.epoch,
		 (long long)one.number, clock_boot_id());
	return put(s, head, strlen(head), now_ms, err);
}

int ledger_segments_append(struct ledger_segments *s, const void *lines, size_t len, int64_t now_ms, struct err *err)
{
	bool is_full = s->fd >= 0 && s->all[s->count - 1].bytes >= LEDGER_SEGMENT_BYTES;
	if ((s->fd < 0 || is_full) && open_next(s, now_ms, err) < 0)
		return -1;
	return put(s, lines, len, now_ms, err);
}

void ledger_segments_trim(struct ledger_segments *s, int64_t now_ms, int64_t window_ms, int64_t most_bytes)
{
	size_t n = 0, removable = s->fd >= 0 ? s->count - 1 : s->count;
	while (n < removable && (s->all[n].last_ms < now_ms - window_ms || s->sum > most_bytes)) {
		char name[NAME_ROOM];
		if (unlinkat(s->dirfd, name_of(&s->all[n], name), 0) < 0 && errno != ENOENT) {
			log_warn("unable to remove %s/%s: %s", s->dir, name, strerror(errno));
			break;
		}
		s->sum -= s->all[n++].bytes;
	}
	if (n == 0)
		return;
	s->count -= n;
	memmove(s->all, s->all + n, s->count * sizeof(*s->all));
}

void ledger_segments_count(const struct ledger_segments *s, int64_t *segments, int64_t *bytes)
{
	*segments = (int64_t)s->count;
	*bytes = s->sum;
}
