#ifndef DSS_LOGGER_WRITER_H
#define DSS_LOGGER_WRITER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/list.h"
#include "logger/logfile.h"
#include "sys/loop.h"
/*
 * writer: the thread that touches files. A write to a frozen disk blocks for seconds even with O_NONBLOCK; the loop's thread,
 * which answers the keeper, never waits for one. Orders go in by a queue, in order; each comes back to the loop's thread when
 * it is done. The queue is bounded by its reader's manners: who puts data looks at writer_is_full first and reads no
 * pipe while it is, so that a slow disk slows those who write, and costs no memory here.
 */
enum writer_what {
	WRITER_DATA,    /* append data to file */
	WRITER_MARK,    /* nothing; comes back once all before it is written */
	WRITER_ROUTED,  /* as MARK, of one switch to another sink */
	WRITER_CLOSE,   /* file is used no more; comes back when nothing is owed to it */
	WRITER_REOPEN,  /* all files, by name */
	WRITER_TROUBLE, /* only comes back: text and lost are for the keeper */
	WRITER_STOP,
};

struct writer_order {
	struct list link;
	enum writer_what what;
	void *owner;          /* of no meaning to the writer */
	struct logfile *file; /* borrowed until the order is back */
	char *data;           /* owned by the order */
	size_t len;
	int64_t lost; /* out: bytes of data that could not be written */
	char *text;   /* trouble's, owned by the order */
};

struct writer;
/* Gives an order back, on the loop's thread; the callee frees it. */
typedef void writer_done_fn(void *data, struct writer_order *order);

struct writer *writer_new(struct loop *loop, const char *dir, const struct disk_limits *limits, writer_done_fn *fn, void *data,
			  struct err *err);
/* Takes data (malloc'ed; NULL for all but DATA). -1: no memory, data is freed. */
int writer_put(struct writer *w, enum writer_what what, void *owner, struct logfile *file, char *data, size_t len);
bool writer_is_full(struct writer *w);
/* Writes what is queued, ends the thread and gives back all orders. May wait for the disk. */
void writer_stop(struct writer *w);
void writer_free(struct writer **w);
void writer_order_free(struct writer_order *order);

#endif
