#include "logger/rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/text.h"
#include "logger/disk.h"
#include "sys/fds.h"

enum {
	EDGE_MAX = 64 * 1024, /* how far from a cut a line's end is looked for */
	MARKER_MAX = 160,
	COPY_CHUNK = 64 * 1024,
};
static const char MARKER_HEAD[] = "--- ";
static const char MARKER_MIDDLE[] = " bytes left out here: ";

/* --- services --- */

int rotate_shift(int folder_fd, const char *name, int keep, int64_t *freed, struct err *err)
{
	char from[NAME_MAX + 1], to[NAME_MAX + 1];
	struct stat st;
	*freed = 0;
	snprintf(to, sizeof(to), "%s.%d", name, keep);
	const char *last = keep > 0 ? to : name;
	if (fstatat(folder_fd, last, &st, AT_SYMLINK_NOFOLLOW) == 0 && unlinkat(folder_fd, last, 0) == 0)
		*freed = st.st_size;
	for (int i = keep - 1; i >= 0; i--) {
		snprintf(to, sizeof(to), "%s.%d", name, i + 1);
		snprintf(from, sizeof(from), i > 0 ? "%s.%d" : "%s", name, i);
		if (renameat(folder_fd, from, folder_fd, to) < 0 && errno != ENOENT)
			return err_sys(err, errno, "unable to rename %s to %s", from, to);
	}
	return 0;
}

/* --- jobs --- */

struct cut {
	int64_t head_end;  /* the head is [0, head_end) */
	int64_t gap_start; /* what is left out begins here: behind an earlier marker, if there is one */
	int64_t left_out;  /* bytes an earlier marker tells of */
	int64_t tail_start;
	int64_t size;
};

/* Digits, then the marker's words, at p; the number or -1. */
static int64_t read_marker(const char *p, const char *end, const char **after)
{
	size_t head = sizeof(MARKER_HEAD) - 1, middle = sizeof(MARKER_MIDDLE) - 1;
	if ((size_t)(end - p) < head || memcmp(p, MARKER_HEAD, head) != 0)
		return -1;
	p += head;
	int64_t n = 0;
	const char *digits = p;
	for (; p < end && *p >= '0' && *p <= '9' && p - digits < 18; p++)
		n = n * 10 + (*p - '0');
	if (p == digits || (size_t)(end - p) < middle || memcmp(p, MARKER_MIDDLE, middle) != 0)
		return -1;
	const char *nl = memchr(p, '\n', (size_t)(end - p));
	if (nl == NULL)
		return -1;
	*after = nl + 1;
	return n;
}

/* Where the head ends: at an earlier marker near the quarter, else at the last line's end before it. */
static int find_head(int fd, int64_t quarter, struct cut *c, char *room)
{
	int64_t from = quarter > EDGE_MAX ? quarter - EDGE_MAX : 0;
	ssize_t n = pread(fd, room, (size_t)(quarter - from) + MARKER_MAX, from);
	if (n < 0)
		return -1;
	const char *end = room + n;
	const char *limit = room + (quarter - from);
	c->head_end = quarter < from + n ? quarter : from + n;
	c->gap_start = c->head_end;
	for (const char *line = room; line < end && line <= limit;) {
		const char *after;
		int64_t told = line == room && from > 0 ? -1 : read_marker(line, end, &after);
		if (told >= 0) {
			c->head_end = from + (line - room);
			c->gap_start = from + (after - room);
			c->left_out = told;
			return 0;
		}
		if (line > room)
			c->head_end = c->gap_start = from + (line - room);
		const char *nl = memchr(line, '\n', (size_t)(end - line));
		line = nl != NULL ? nl + 1 : end;
	}
	return 0;
}

static int find_tail(int fd, int64_t quarter, struct cut *c, char *room)
{
	c->tail_start = c->size - quarter;
	if (c->tail_start < c->gap_start)
		c->tail_start = c->gap_start;
	ssize_t n = pread(fd, room, quarter < EDGE_MAX ? (size_t)quarter : EDGE_MAX, c->tail_start);
	if (n < 0)
		return -1;
	const char *nl = memchr(room, '\n', (size_t)n);
	if (nl != NULL && c->tail_start > c->gap_start)
		c->tail_start += nl + 1 - room;
	return 0;
}

static int copy_range(int from, int64_t start, int64_t end, int to, char *room)
{
	while (start < end) {
		off_t off = start;
		ssize_t n = copy_file_range(from, &off, to, NULL, (size_t)(end - start), 0);
		if (n > 0) {
			start += n;
			continue;
		}
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
			return -1;
		/* Not every file system copies by itself. */
		size_t want = end - start < COPY_CHUNK ? (size_t)(end - start) : COPY_CHUNK;
		n = pread(from, room, want, start);
		if (n < 0 || fds_write_all(to, room, (size_t)n) < 0)
			return -1;
		if (n == 0)
			return 0;
		start += n;
	}
	return 0;
}

static int write_cut(int from, int to, const struct cut *c, int64_t cap, char *room)
{
	char marker[MARKER_MAX], size[32], last = '\n';
	if (c->head_end > 0 && pread(from, &last, 1, c->head_end - 1) < 0)
		return -1;
	int64_t left_out = c->left_out + c->tail_start - c->gap_start;
	int n = snprintf(marker, sizeof(marker), "%s%s%lld%sof a log of at most %s its beginning and end are kept ---\n",
			 last == '\n' ? "" : "\n", MARKER_HEAD, (long long)left_out, MARKER_MIDDLE,
			 text_print_size(cap, size, sizeof(size)));
	if (copy_range(from, 0, c->head_end, to, room) < 0 || fds_write_all(to, marker, (size_t)n) < 0)
		return -1;
	return copy_range(from, c->tail_start, c->size, to, room);
}

int rotate_trim(int folder_fd, const char *name, int64_t cap, int64_t *size, struct err *err)
{
	char temp[NAME_MAX + 1];
	int rc = -1, to = -1;
	struct stat st;
	struct cut c = { 0 };
	char *room = malloc(EDGE_MAX + MARKER_MAX);
	if (room == NULL)
		return err_sys(err, ENOMEM, "unable to shorten %s", name);
	int from = disk_open_file(folder_fd, name, O_RDONLY, err);
	if (from < 0)
		goto out;
	snprintf(temp, sizeof(temp), "%s.short", name);
	unlinkat(folder_fd, temp, 0);
	to = disk_open_file(folder_fd, temp, O_WRONLY | O_CREAT | O_EXCL, err);
	if (to < 0)
		goto out;
	if (fstat(from, &st) < 0 || (c.size = st.st_size, find_head(from, cap / 4, &c, room) < 0) ||
	    find_tail(from, cap / 4, &c, room) < 0 || write_cut(from, to, &c, cap, room) < 0 || fstat(to, &st) < 0 ||
	    renameat(folder_fd, temp, folder_fd, name) < 0) {
		err_sys(err, errno, "unable to shorten %s", name);
		unlinkat(folder_fd, temp, 0);
		goto out;
	}
	*size = st.st_size;
	rc = 0;
out:
	fds_close(&from);
	fds_close(&to);
	free(room);
	return rc;
}
