#include "logger/writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "sys/clock.h"

enum {
	QUEUE_MAX = 2 * 1024 * 1024, /* bytes; a source puts at most one chunk at a time anyway */
	STACK_BYTES = 128 * 1024,
	SETTLE_S = 1, /* while a file is owed a marker it is tried this often */
};

struct writer {
	struct logfile_env env;
	writer_done_fn *fn;
	void *data;
	struct loop_wake *wake;
	pthread_t thread;
	bool is_running;

	pthread_mutex_t lock; /* over what follows */
	pthread_cond_t filled;
	struct list queue, done;
	size_t queued; /* bytes in queue and in the thread's hands */

	struct list files;   /* the thread's: all it has met and not closed */
	struct list closing; /* the thread's: CLOSE orders whose file is owed a marker */
	int64_t settled_ms;  /* the thread's: when owed markers were last tried */
};

void writer_order_free(struct writer_order *order)
{
	if (order == NULL)
		return;
	free(order->data);
	free(order->text);
	free(order);
}

/* --- the thread --- */

static void give_back(struct writer *w, struct writer_order *order)
{
	pthread_mutex_lock(&w->lock);
	list_push(&w->done, &order->link);
	w->queued -= order->len;
	pthread_mutex_unlock(&w->lock);
	loop_wake_send(w->wake);
}

static void on_trouble(void *data, const char *text, int64_t lost)
{
	struct writer *w = data;
	struct writer_order *order = calloc(1, sizeof(*order));
	if (order == NULL || (order->text = strdup(text)) == NULL) {
		writer_order_free(order);
		return;
	}
	order->what = WRITER_TROUBLE;
	order->lost = lost;
	give_back(w, order);
}

static void meet(struct writer *w, struct logfile *f)
{
	if (list_is_empty(&f->link))
		list_push(&w->files, &f->link);
}

static void settle_all(struct writer *w)
{
	w->settled_ms = clock_mono_ms();
	list_each (&w->files, p)
		logfile_settle(&w->env, list_of(p, struct logfile, link));
}

/* Those whose file is owed nothing any more go back. */
static void finish_closing(struct writer *w, bool at_end)
{
	list_each (&w->closing, p) {
		struct writer_order *order = list_of(p, struct writer_order, link);
		if (order->file->lost > 0 && !at_end)
			continue;
		list_remove(&order->file->link);
		logfile_close(order->file);
		list_remove(&order->link);
		give_back(w, order);
	}
}

static void obey(struct writer *w, struct writer_order *order)
{
	switch (order->what) {
	case WRITER_DATA:
		meet(w, order->file);
		order->lost = logfile_append(&w->env, order->file, order->data, order->len);
		break;
	case WRITER_CLOSE:
		list_push(&w->closing, &order->link);
		finish_closing(w, false);
		return;
	case WRITER_REOPEN:
		list_each (&w->files, p)
			logfile_reopen(&w->env, list_of(p, struct logfile, link));
		break;
	default:
		break;
	}
	give_back(w, order);
}

static bool is_anything_owed(const struct writer *w)
{
	for (const struct list *p = w->files.next; p != &w->files; p = p->next)
		if (list_of(p, struct logfile, link)->lost > 0)
			return true;
	return false;
}

/* The next order, or NULL after SETTLE_S in which none came while a file is owed a marker. */
static struct writer_order *next_order(struct writer *w)
{
	bool is_owed = is_anything_owed(w);
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += SETTLE_S;
	pthread_mutex_lock(&w->lock);
	int rc = 0;
	while (list_is_empty(&w->queue) && rc != ETIMEDOUT)
		rc = is_owed ? pthread_cond_timedwait(&w->filled, &w->lock, &until) : pthread_cond_wait(&w->filled, &w->lock);
	struct list *first = list_first(&w->queue);
	if (first != NULL)
		list_remove(first);
	pthread_mutex_unlock(&w->lock);
	return first != NULL ? list_of(first, struct writer_order, link) : NULL;
}

static void *run(void *data)
{
	struct writer *w = data;
	for (;;) {
		struct writer_order *order = next_order(w);
		bool is_last = order != NULL && order->what == WRITER_STOP;
		if (order != NULL && !is_last)
			obey(w, order);
		/* Also when the others write without a pause. */
		if (is_last || (is_anything_owed(w) && clock_mono_ms() - w->settled_ms >= SETTLE_S * 1000))
			settle_all(w);
		finish_closing(w, is_last);
		if (!is_last)
			continue;
		give_back(w, order);
		return NULL;
	}
}

/* --- the loop's side --- */

static void take_done(struct writer *w, struct list *into)
{
	pthread_mutex_lock(&w->lock);
	struct list *p;
	while ((p = list_first(&w->done)) != NULL) {
		list_remove(p);
		list_push(into, p);
	}
	pthread_mutex_unlock(&w->lock);
}

static void hand_out_done(struct writer *w)
{
	struct list orders = LIST_INIT(orders);
	take_done(w, &orders);
	struct list *p;
	while ((p = list_first(&orders)) != NULL) {
		list_remove(p);
		w->fn(w->data, list_of(p, struct writer_order, link));
	}
}

static void on_wake(void *data)
{
	hand_out_done(data);
}

static int start_thread(struct writer *w, struct err *err)
{
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* Signals are the loop's. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&w->thread, &attr, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		return err_sys(err, rc, "unable to start the writer's thread");
	w->is_running = true;
	return 0;
}

struct writer *writer_new(struct loop *loop, const char *dir, const struct disk_limits *limits, writer_done_fn *fn, void *data,
			  struct err *err)
{
	struct writer *w = calloc(1, sizeof(*w));
	if (w == NULL) {
		err_sys(err, ENOMEM, "unable to make the writer");
		return NULL;
	}
	w->fn = fn;
	w->data = data;
	w->env.trouble = on_trouble;
	w->env.data = w;
	w->env.disk.dir_fd = -1;
	list_init(&w->queue);
	list_init(&w->done);
	list_init(&w->files);
	list_init(&w->closing);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->filled, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&w->lock, NULL);
	w->wake = loop_wake_new(loop, on_wake, w);
	if (w->wake == NULL)
		err_sys(err, ENOMEM, "unable to make the writer");
	if (w->wake == NULL || disk_init(&w->env.disk, dir, limits, err) < 0 || start_thread(w, err) < 0)
		writer_free(&w);
	return w;
}

int writer_put(struct writer *w, enum writer_what what, void *owner, struct logfile *file, char *data, size_t len)
{
	struct writer_order *order = calloc(1, sizeof(*order));
	if (order == NULL) {
		free(data);
		return -1;
	}
	order->what = what;
	order->owner = owner;
	order->file = file;
	order->data = data;
	order->len = len;
	pthread_mutex_lock(&w->lock);
	list_push(&w->queue, &order->link);
	w->queued += len;
	pthread_cond_signal(&w->filled);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

bool writer_is_full(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	bool is_full = w->queued >= QUEUE_MAX;
	pthread_mutex_unlock(&w->lock);
	return is_full;
}

void writer_stop(struct writer *w)
{
	if (!w->is_running || writer_put(w, WRITER_STOP, NULL, NULL, NULL, 0) < 0)
		return;
	pthread_join(w->thread, NULL);
	w->is_running = false;
	hand_out_done(w);
}

void writer_free(struct writer **wp)
{
	struct writer *w = *wp;
	if (w == NULL)
		return;
	writer_stop(w);
	/* Put after the end: nobody but a file's owner waits for these. */
	list_each (&w->queue, p) {
		struct writer_order *order = list_of(p, struct writer_order, link);
		list_remove(p);
		if (order->what == WRITER_CLOSE || order->what == WRITER_ROUTED)
			w->fn(w->data, order);
		else
			writer_order_free(order);
	}
	loop_wake_free(&w->wake);
	disk_fini(&w->env.disk);
	pthread_cond_destroy(&w->filled);
	pthread_mutex_destroy(&w->lock);
	free(w);
	*wp = NULL;
}
