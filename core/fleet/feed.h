#ifndef DSS_FLEET_FEED_H
#define DSS_FLEET_FEED_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "fleet/store.h"
/*
 * feed: facts for those who follow along: the newest ones in a ring, older ones from the store. Written as server-sent events with the
 * id `epoch-seq`, in their order, and a fact that is kept only once it is on disk, as all before it. Within an epoch every seq from feed_first to feed_last is in the ring; the store keeps those of the facts that no
 * other table tells.
 */
struct feed;

#define FEED_RING       4096
#define FEED_READ_MOST  10000   /* facts of one read of the store */
#define FEED_DETAIL_MAX 16384   /* a longer detail is left out */
#define FEED_OWN_ADMIN  "admin" /* owner of facts that admins alone may see */

/* Watches the store's facts, which it borrows. `news` is called when feed_last has grown. NULL: no memory. */
struct feed *feed_new(struct store *store, void (*news)(void *data), void *data);
void feed_free(struct feed **feed); /* after the store was closed, or with nothing being read */
int64_t feed_epoch(const struct feed *feed);
int64_t feed_first(const struct feed *feed); /* the oldest seq in the ring; last + 1 = the ring is empty */
int64_t feed_last(const struct feed *feed);  /* 0 = none yet */

/* What that fact is, "alert.raised"; NULL: it is not in the ring. Borrowed until the next fact. */
const char *feed_what(const struct feed *feed, int64_t seq);
/* Everybody's, and one's own. login NULL = an admin: all. */
bool feed_may_see(const char *owner, const char *login);
/* Those after `seq` in the ring that login may see, as text/event-stream. Returns the last seq looked at; stops once out holds
 * most_bytes. */
int64_t feed_put(const struct feed *feed, int64_t seq, const char *login, size_t most_bytes, struct buf *out);

/* The same of the store: after (epoch, seq) and before what the ring holds now. out is borrowed for the call, NULL with why; is_cut:
 * there were more than FEED_READ_MOST. -1: fn is not called. */
typedef void feed_read_fn(void *data, const struct buf *out, bool is_cut, const struct err *why);
int feed_read(struct feed *feed, int64_t epoch, int64_t seq, const char *login, feed_read_fn *fn, void *data);

#endif
