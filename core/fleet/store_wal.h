#ifndef DSS_FLEET_STORE_WAL_H
#define DSS_FLEET_STORE_WAL_H
#include <sqlite3.h>
/*
 * store_wal: the store's write-ahead log grows a megabyte at a time, not with each commit: an fsync that finds the file's length
 * unchanged has no inode to write, which is a third of its time. SQLite reads the log up to the first frame that is none.
 */
struct store_wal;

/* Takes the connection's WAL hook: checkpoints once the log has that many pages. NULL: no memory; the log then grows as SQLite does it. */
struct store_wal *store_wal_new(sqlite3 *db, const char *path, int checkpoint_pages);
void store_wal_free(struct store_wal **wal);
/* Called within a write transaction, so that nobody else writes to the log. What fails here is no failure: the commit will tell. */
void store_wal_make_room(struct store_wal *wal);

#endif
