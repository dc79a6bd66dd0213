#include "fleet/store_vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NAME "dss-store"

/* A commit of twenty pages; larger ones go in several pieces. SQLite's own writing takes lengths modulo 128 KB: a longer piece may
 * look like a full disk. */
enum { GATHER_BYTES = 96 * 1024 };

/* SQLite's own file stands behind it, in the same piece of memory. */
struct log_file {
	sqlite3_file base;
	sqlite3_file *real;
	char *gathered; /* of GATHER_BYTES, made with the first write */
	int len;
	sqlite3_int64 at; /* where `gathered` belongs */
};

static sqlite3_vfs own;
static bool is_registered;

static struct log_file *of(sqlite3_file *file)
{
	return (struct log_file *)file;
}

static sqlite3_file *behind(sqlite3_file *file)
{
	return of(file)->real;
}

/* What cannot be written is given up: the commit fails, and its frames are written over by the next one. */
static int flush(sqlite3_file *file)
{
	struct log_file *f = of(file);
	int len = f->len;
	f->len = 0;
	return len > 0 ? f->real->pMethods->xWrite(f->real, f->gathered, len, f->at) : SQLITE_OK;
}

static int log_close(sqlite3_file *file)
{
	struct log_file *f = of(file);
	int flushed = flush(file), closed = f->real->pMethods->xClose(f->real);
	free(f->gathered);
	f->gathered = NULL;
	return flushed != SQLITE_OK ? flushed : closed;
}

static int log_read(sqlite3_file *file, void *to, int n, sqlite3_int64 at)
{
	int rc = flush(file);
	return rc == SQLITE_OK ? behind(file)->pMethods->xRead(behind(file), to, n, at) : rc;
}

static int log_write(sqlite3_file *file, const void *from, int n, sqlite3_int64 at)
{
	struct log_file *f = of(file);
	bool joins = f->len > 0 && at == f->at + f->len && n <= GATHER_BYTES - f->len;
	int rc = joins ? SQLITE_OK : flush(file);
	if (rc != SQLITE_OK)
		return rc;
	if (!f->gathered && n <= GATHER_BYTES)
		f->gathered = malloc(GATHER_BYTES);
	if (!f->gathered || n > GATHER_BYTES)
		return f->real->pMethods->xWrite(f->real, from, n, at);
	if (f->len == 0)
		f->at = at;
	memcpy(f->gathered + f->len, from, (size_t)n);
	f->len += n;
	return SQLITE_OK;
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int rc = flush(file);
	return rc == SQLITE_OK ? behind(file)->pMethods->xTruncate(behind(file), size) : rc;
}

static int log_sync(sqlite3_file *file, int flags)
{
	int rc = flush(file);
	return rc == SQLITE_OK ? behind(file)->pMethods->xSync(behind(file), flags) : rc;
}

static int log_size(sqlite3_file *file, sqlite3_int64 *size)
{
	int rc = flush(file);
	return rc == SQLITE_OK ? behind(file)->pMethods->xFileSize(behind(file), size) : rc;
}

static int log_lock(sqlite3_file *file, int level)
{
	return behind(file)->pMethods->xLock(behind(file), level);
}
static int log_unlock(sqlite3_file *file, int level)
{
	return behind(file)->pMethods->xUnlock(behind(file), level);
}
static int log_check_lock(sqlite3_file *file, int *is_locked)
{
	return behind(file)->pMethods->xCheckReservedLock(behind(file), is_locked);
}
static int log_control(sqlite3_file *file, int word, void *arg)
{
	return behind(file)->pMethods->xFileControl(behind(file), word, arg);
}
static int log_sector(sqlite3_file *file)
{
	return behind(file)->pMethods->xSectorSize(behind(file));
}
static int log_traits(sqlite3_file *file)
{
	return behind(file)->pMethods->xDeviceCharacteristics(behind(file));
}

static const sqlite3_io_methods log_methods = {
	.iVersion = 1, /* shared memory and mapping are the database's, not the log's */
	.xClose = log_close,
	.xRead = log_read,
	.xWrite = log_write,
	.xTruncate = log_truncate,
	.xSync = log_sync,
	.xFileSize = log_size,
	.xLock = log_lock,
	.xUnlock = log_unlock,
	.xCheckReservedLock = log_check_lock,
	.xFileControl = log_control,
	.xSectorSize = log_sector,
	.xDeviceCharacteristics = log_traits,
};

static size_t room_before(void)
{
	return (sizeof(struct log_file) + 15) & ~(size_t)15;
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *got)
{
	sqlite3_vfs *real = vfs->pAppData;
	struct log_file *f = of(file);
	if (!(flags & SQLITE_OPEN_WAL))
		return real->xOpen(real, name, file, flags, got);
	*f = (struct log_file){ .real = (sqlite3_file *)((char *)file + room_before()) };
	int rc = real->xOpen(real, name, f->real, flags, got);
	/* SQLite closes a file that has methods, also where opening it failed. */
	f->base.pMethods = f->real->pMethods ? &log_methods : NULL;
	return rc;
}

static void make(void)
{
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);
	if (!real)
		return;
	own = *real;
	own.pNext = NULL;
	own.zName = NAME;
	own.pAppData = real;
	own.szOsFile = (int)room_before() + real->szOsFile;
	own.xOpen = open_file;
	is_registered = sqlite3_vfs_register(&own, 0) == SQLITE_OK;
}

const char *store_vfs_name(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make);
	return is_registered ? NAME : NULL;
}
