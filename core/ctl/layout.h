#ifndef DSS_CTL_LAYOUT_H
#define DSS_CTL_LAYOUT_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "ctl/account.h"
/*
 * layout: the folders and files of an instance, who owns each and with which mode. docs/security.md gives the reasons.
 * Folders get their owners last, so that nobody but the maker can reach into a half-made instance.
 */
enum layout_owner { LAYOUT_ADMIN, LAYOUT_CONTROL, LAYOUT_RUN };

struct layout {
	int dirfd;                          /* the instance's folder */
	bool set_owners;                    /* root, with users of its own */
	struct account admin, control, run; /* the three of enum layout_owner */
};

/* Makes the folders, private for now. */
int layout_make_folders(const struct layout *l, struct err *err);
/* Gives each folder its owner and mode. */
int layout_hand_over(const struct layout *l, struct err *err);
/* Makes a file whole, new (a link in its place is replaced, not followed). */
int layout_write(const struct layout *l, const char *path, const void *data, size_t len, enum layout_owner owner,
		 enum layout_owner group, mode_t mode, struct err *err);
/* A further folder, e.g. projects/DEMO. */
int layout_folder(const struct layout *l, const char *path, enum layout_owner owner, enum layout_owner group, mode_t mode,
		  struct err *err);
/* The files of a folder (not of those below), to path/. How many, or -1. */
int layout_copy_files(const struct layout *l, const char *from, const char *path, enum layout_owner owner, enum layout_owner group,
		      mode_t mode, struct err *err);

#endif
