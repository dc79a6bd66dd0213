#ifndef DSS_SYS_FILESET_KEEP_H
#define DSS_SYS_FILESET_KEEP_H
#include <stddef.h>
/*
 * fileset_keep: of the folders that fileset_name_keep named, what a set was before it was written over, the newest ones stay. Nothing is followed that
 * is a link, and a folder in which anything else lies than files of a set is somebody's own: it is left as it is. It blocks on the disk.
 */
#define FILESET_KEPT_MOST 5

/* Removes all but the newest `most` under dirfd; made: a name that stays in any case, whatever the clock says; NULL: none. Files of a set have that
 * suffix. Returns how many went; one that cannot go stays. */
size_t fileset_drop_kept(int dirfd, const char *suffix, size_t most, const char *made);

#endif
