#include "fleet/store_wal.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fds.h"

enum { STEP_BYTES = 1 << 20, LEFT_BYTES = 256 * 1024, HEADER_BYTES = 32, FRAME_HEADER_BYTES = 24, PAGE_BYTES = 4096 };

struct store_wal {
	sqlite3 *db;
	char path[4096 + 8];
	int fd, checkpoint_pages;
	int64_t used_bytes; /* of frames, as of the last commit */
	int64_t size_bytes; /* of the file, as far as known */
};

static int on_commit(void *data, sqlite3 *db, const char *name, int pages)
{
	struct store_wal *w = data;
	w->used_bytes = HEADER_BYTES + (int64_t)pages * (FRAME_HEADER_BYTES + PAGE_BYTES);
	if (pages >= w->checkpoint_pages)
		sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return SQLITE_OK;
}

struct store_wal *store_wal_new(sqlite3 *db, const char *path, int checkpoint_pages)
{
	struct store_wal *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->db = db;
	w->fd = -1;
	w->checkpoint_pages = checkpoint_pages;
	snprintf(w->path, sizeof(w->path), "%s-wal", path);
	sqlite3_wal_hook(db, on_commit, w);
	return w;
}

void store_wal_free(struct store_wal **wp)
{
	struct store_wal *w = *wp;
	if (!w)
		return;
	sqlite3_wal_hook(w->db, NULL, NULL);
	fds_close(&w->fd); /* SQLite's locks are on other files: closing this one lets go of none */
	free(w);
	*wp = NULL;
}

void store_wal_make_room(struct store_wal *w)
{
	static const char zeros[64 * 1024];
	struct stat st;
	if (w->used_bytes + LEFT_BYTES <= w->size_bytes)
		return;
	if (w->fd < 0)
		w->fd = open(w->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (w->fd < 0 || fstat(w->fd, &st) < 0)
		return;
	w->size_bytes = st.st_size;
	if (w->used_bytes + LEFT_BYTES <= w->size_bytes)
		return;
	for (int64_t at = w->size_bytes, end = at + STEP_BYTES; at < end; at += (int64_t)sizeof(zeros))
		if (pwrite(w->fd, zeros, sizeof(zeros), at) != (ssize_t)sizeof(zeros))
			break;
	/* As if it had worked: on a full disk it is not tried at every commit. */
	w->size_bytes += STEP_BYTES;
}
