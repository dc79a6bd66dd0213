#ifndef DSS_SYS_WATCH_H
#define DSS_SYS_WATCH_H
#include "sys/loop.h"
#include "base/err.h"
/* watch: one directory, not its children (inotify). Calls fn once, `settle_ms` after the last of a burst of changes,
 * or after ten times that where the burst does not end. When the directory is deleted or moved away, fn is called a last
 * time and never again; watch_free is still the owner's. fn may free the watch. */
struct watch;
typedef void watch_fn(void *data);
struct watch *watch_new(struct loop *loop, const char *dir, int settle_ms, watch_fn *fn, void *data, struct err *err);
void watch_free(struct watch **w);
#endif
