#ifndef DSS_FLEET_STORE_VFS_H
#define DSS_FLEET_STORE_VFS_H
/*
 * store_vfs: the files of SQLite, with a write-ahead log that is written in one go. SQLite writes two pieces for each page of a commit,
 * twenty for the end of a task; here they are gathered until the log is synced, read or looked at, so that what is on the disk when a
 * commit has succeeded is the same. Needs `synchronous = FULL`: with less SQLite would tell readers of frames that are not written yet.
 */

/* The name to open a database with; NULL (SQLite's own files): it cannot be registered. Any thread. */
const char *store_vfs_name(void);

#endif
