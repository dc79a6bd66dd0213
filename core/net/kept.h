#ifndef DSS_NET_KEPT_H
#define DSS_NET_KEPT_H
#include <stddef.h>
#include "base/err.h"
#include "base/list.h"
#include "sys/loop.h"
/*
 * kept: TCP connections to peers, kept for the next use. Connections of one peer are never another's, though the address be the same. An
 * idle one whose other end closes, or says something unasked, is closed at once.
 */
struct kept;
struct kept_place;

struct kept_link {
	int fd;
	struct loop_io *io; /* for loop_io_set */
	void *user;         /* whose it is now; NULL = idle */
	/* inner to kept.c */
	struct list in_place, in_order;
	struct kept *kept;
	struct kept_place *place;
};

/* Of links in use only. A new one is writable once it is connected, or has failed. */
typedef void kept_event_fn(struct kept_link *link, int events);

struct kept *kept_new(struct loop *loop, size_t idle_most, kept_event_fn *fn); /* NULL: no memory */
void kept_free(struct kept **kept);                                            /* links in use are closed before */

/* peer NULL is one, too; host: a numeric address. The link is the caller's until kept_put or kept_close. */
struct kept_link *kept_take(struct kept *kept, const char *peer, const char *host, int port, void *user); /* NULL: none is kept */
struct kept_link *kept_open(struct kept *kept, const char *peer, const char *host, int port, void *user, struct err *err);
struct kept_link *kept_open_again(struct kept_link *old, struct err *err); /* to the same place, for the same user; closes old */
void kept_put(struct kept_link **link);                                    /* for the next one */
void kept_close(struct kept_link **link);                                  /* accepts NULL */

#endif
