#ifndef DSS_BIND_POLICY_WRITE_H
#define DSS_BIND_POLICY_WRITE_H
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/err.h"
#include "bind/policies.h"
#include "sys/fileset.h"
#include "sys/loop.h"
/*
 * policy_write: puts a set of files into policies/ in a thread of its own (a disk may hang), one set at a time. It is refused where what is there is
 * not the set that one believes to be there, unless that is meant to be overwritten; then what was there is kept in a folder in policies/.
 */
struct policy_writer;

enum policy_write_status {
	POLICY_WRITE_DONE,
	POLICY_WRITE_DIFFERS,     /* text: the names of the files that do */
	POLICY_WRITE_NOT_ALLOWED, /* the folder is not ours to write in */
	POLICY_WRITE_FAILED,
};

struct policy_written {
	enum policy_write_status status;
	const char *text; /* why; "" where it is done */
	const char *kept; /* the folder's name; "" = none was made */
	bool is_changed;  /* something was written */
};
typedef void policy_write_fn(void *data, const struct policy_written *w);

/* folder: DIR/policies, copied. NULL: no memory. */
struct policy_writer *policy_writer_new(struct loop *loop, const char *folder);
/* Waits for a write that runs, not long. */
void policy_writer_free(struct policy_writer **writer);
bool policy_writer_is_busy(const struct policy_writer *writer);

/* A set as the JSON list [{"name","text"}], names with "policies/" in front or without, as files. -1: it is none. */
int policy_write_read(const char *texts, size_t len, struct fileset *out, struct err *err);
/* Is p that set, and nothing else? */
bool policy_write_is(const struct fileset *want, const struct policies *p);

/* Takes want and believed (empty afterwards, also where it fails). fn is called once, later. -1: it is not. */
int policy_write_start(struct policy_writer *writer, struct fileset *want, struct fileset *believed, bool overwrites,
		       policy_write_fn *fn, void *data, struct err *err);

#endif
