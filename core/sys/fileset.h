#ifndef DSS_SYS_FILESET_H
#define DSS_SYS_FILESET_H
#include <stddef.h>
#include <stdbool.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"
/*
 * fileset: small files of a folder as one set: read it, compare it, and make the folder another one: each file whole (a temporary file beside it,
 * flushed, then exchanged), and where one cannot be put in place those before it are taken back. Everything is done under the folder's descriptor.
 * What was there may be kept in a folder within it. It blocks on the disk: not for a loop's thread.
 */
enum { FILESET_FILES_MAX = 200, FILESET_TEXT_MAX = 1024 * 1024, FILESET_NAME_MAX = 64 };

struct fileset_file {
	char *name, *text; /* owned; text has len bytes and a NUL */
	size_t len;
};

struct fileset { /* sorted by name */
	struct fileset_file *at;
	size_t n;
};

/* A name of a file that may stand in a set: no dot in front, no '/', no control character, with that suffix. */
bool fileset_is_name(const char *name, const char *suffix);
/* Copies; keeps the order. -1: no memory, a name that is there already, or too many. */
int fileset_add(struct fileset *set, const char *name, const void *text, size_t len, struct err *err);
/* Plain files with that suffix and no dot in front. -1: one cannot be read, is no plain file or too long; set is empty. */
int fileset_read(int dirfd, const char *suffix, struct fileset *set, struct err *err);
void fileset_fini(struct fileset *set);
const struct fileset_file *fileset_find(const struct fileset *set, const char *name); /* NULL: none */
/* Names of files that are not the same in both, ", " between them; how many there are. out may be NULL. */
size_t fileset_differ(const struct fileset *a, const struct fileset *b, struct buf *out);

struct fileset_write {
	const struct fileset *now, *want; /* what fileset_read told; what is to be there */
	mode_t mode;                      /* of new files */
	const char *keep; /* a folder to make in it for what goes; NULL: it goes. One that is there already is an error */
};
enum { FILESET_KEEP_ROOM = 40 };
/* A name for `keep` that nothing has: ".before-20261122-081500", with "-2" and so on where there was one in that second. */
void fileset_name_keep(int dirfd, char out[FILESET_KEEP_ROOM]);
/* The files that are the same in both are left alone. -1: err says why, the folder is as it was. */
int fileset_write(int dirfd, const struct fileset_write *w, struct err *err);

#endif
