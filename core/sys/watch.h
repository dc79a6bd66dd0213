#ifndef DSS_SYS_WATCH_H
#define DSS_SYS_WATCH_H
#include "sys/loop.h"
#include "base/err.h"
/* watch: one directory, not its children (inotify). Calls fn once, `settle_ms` after the last of a burst of changes. */
struct watch;
typedef void watch_fn(void *data);
struct watch *watch_new(struct loop *loop, const char *dir, int settle_ms, watch_fn *fn, void *data, struct err *err);
void watch_free(struct watch **w);
#endif
