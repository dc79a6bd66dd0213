#ifndef DSS_SYS_LOOP_H
#define DSS_SYS_LOOP_H
#include <stdint.h>
#include <stdbool.h>
#include "base/err.h"
/*
 * loop: the event loop. loop.c is the only file that includes ev.h. Watchers are owned by whoever made them and are
 * freed with their _free, also from inside their own callback. A loop does not reap children (ev_loop_new).
 */
struct loop;
struct loop_io;
struct loop_timer;
struct loop_signal;
struct loop_wake;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop *loop_new(struct err *err);
void loop_free(struct loop **loop);
void loop_run(struct loop *loop); /* until loop_stop */
void loop_run_once(struct loop *loop, bool may_wait);
void loop_stop(struct loop *loop);

/* events: LOOP_READ | LOOP_WRITE, 0 = made but not watching. The fd is borrowed. NULL: no memory. */
typedef void loop_io_fn(void *data, int fd, int events);
struct loop_io *loop_io_new(struct loop *loop, int fd, int events, loop_io_fn *fn, void *data);
void loop_io_set(struct loop_io *io, int events);
void loop_io_go_first(struct loop_io *io); /* from now on it is called before the others that are ready in a turn */
void loop_io_free(struct loop_io **io);

/* One shot unless started again from its callback; monotonic clock. start on a running timer moves it. */
typedef void loop_timer_fn(void *data);
struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *data);
void loop_timer_start(struct loop_timer *t, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_is_running(const struct loop_timer *t);
void loop_timer_free(struct loop_timer **t);

typedef void loop_signal_fn(void *data, int signo);
struct loop_signal *loop_signal_new(struct loop *loop, int signo, loop_signal_fn *fn, void *data);
void loop_signal_free(struct loop_signal **s);

/* Calls fn on the loop's thread after loop_wake_send from any thread; several sends may fold into one call. It does not wait for the end
 * of a turn: fn is called between two descriptors' calls. */
typedef void loop_wake_fn(void *data);
struct loop_wake *loop_wake_new(struct loop *loop, loop_wake_fn *fn, void *data);
void loop_wake_send(struct loop_wake *w);
void loop_wake_free(struct loop_wake **w);

/* Called once each turn before the loop waits: the place to send what a turn has gathered. One per loop owner. */
typedef void loop_before_wait_fn(void *data);
struct loop_prepare;
struct loop_prepare *loop_prepare_new(struct loop *loop, loop_before_wait_fn *fn, void *data);
void loop_prepare_free(struct loop_prepare **p);

#endif
