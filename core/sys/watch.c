#include "sys/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "sys/clock.h"
#include "sys/fds.h"

/* Something that never stops changing must not keep the caller waiting for ever: at most this many settle times. */
enum { SETTLES_MAX = 10 };

static const uint32_t CHANGES = IN_CREATE | IN_DELETE | IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB;
static const uint32_t ENDS = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;

struct watch {
	struct loop_io *io; /* NULL: the directory is gone, no call follows the pending one */
	struct loop_timer *settle;
	int fd;
	int settle_ms;
	int64_t burst_began_ms;
	watch_fn *fn;
	void *data;
};

static void on_settled(void *data)
{
	struct watch *w = data;
	w->fn(w->data); /* last: it may free w */
}

static void settle_again(struct watch *w)
{
	int64_t now = clock_mono_ms(), delay = w->settle_ms;
	if (!loop_timer_is_running(w->settle))
		w->burst_began_ms = now;
	int64_t latest = w->burst_began_ms + (int64_t)w->settle_ms * SETTLES_MAX;
	if (now + delay > latest)
		delay = latest - now;
	loop_timer_start(w->settle, delay);
}

static void stop_watching(struct watch *w)
{
	loop_io_free(&w->io);
	fds_close(&w->fd);
}

static void on_events(void *data, int fd, int events)
{
	(void)events;
	struct watch *w = data;
	union {
		struct inotify_event first; /* for its alignment */
		char bytes[8192];
	} room;
	ssize_t n = read(fd, room.bytes, sizeof(room.bytes));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	bool has_ended = n <= 0;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const struct inotify_event *)(room.bytes + at);
		has_ended = has_ended || (e->mask & ENDS) != 0;
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	if (has_ended)
		stop_watching(w);
	settle_again(w);
}

struct watch *watch_new(struct loop *loop, const char *dir, int settle_ms, watch_fn *fn, void *data, struct err *err)
{
	struct watch *w = calloc(1, sizeof(*w));
	if (w == NULL) {
		err_sys(err, ENOMEM, "unable to watch %s", dir);
		return NULL;
	}
	*w = (struct watch){ .settle_ms = settle_ms, .fn = fn, .data = data };
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0 || inotify_add_watch(w->fd, dir, CHANGES | ENDS | IN_ONLYDIR) < 0) {
		/* What the errno says by itself sends people to look at their disk. */
		const char *hint = errno == ENOSPC   ? " (fs.inotify.max_user_watches is used up)"
				   : errno == EMFILE ? " (descriptors or fs.inotify.max_user_instances are used up)"
						     : "";
		err_sys(err, errno, "unable to watch %s%s", dir, hint);
		watch_free(&w);
		return NULL;
	}
	w->io = loop_io_new(loop, w->fd, LOOP_READ, on_events, w);
	w->settle = loop_timer_new(loop, on_settled, w);
	if (w->io == NULL || w->settle == NULL) {
		err_sys(err, ENOMEM, "unable to watch %s", dir);
		watch_free(&w);
	}
	return w;
}

void watch_free(struct watch **w)
{
	if (*w == NULL)
		return;
	loop_timer_free(&(*w)->settle);
	stop_watching(*w);
	free(*w);
	*w = NULL;
}
