#include "fleet/store.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fleet/store_inner.h"
#include "fleet/store_sql.h"
#include "sys/clock.h"

#define KERNEL_BLOCK 64    /* kernel numbers taken at once */
#define AGAIN_MS     5000  /* a full disk is tried again that often */
#define HELD_MOST    10000 /* facts held meanwhile; the next ones are lost */

/* --- the loop's thread --- */

static void tell_op(struct store_op *op)
{
	const struct err *why = op->answer.outcome == STORE_OK ? NULL : &op->answer.err;
	if (op->job) {
		if (op->job->tell)
			op->job->tell(op->job, &op->answer);
	} else if (op->task_fn) {
		struct future *f = op->f;
		op->f = NULL;
		op->task_fn(op->data, f, why);
	} else if (op->tasks_fn) {
		struct future **list = op->list;
		size_t n = op->nlist;
		op->nlist = 0;
		op->tasks_fn(op->data, list, n, why);
	} else if (op->fn) {
		op->fn(op->data, &op->answer);
	}
}

/* Under the lock. */
static void put_back(struct store *s)
{
	s->waiting += store_thread_take(&s->held, &s->writer.todo, SIZE_MAX);
	s->nheld = 0;
	s->writer.nurgent++;
	pthread_cond_signal(&s->writer.news);
}

static void on_again(void *data)
{
	struct store *s = data;
	pthread_mutex_lock(&s->lock);
	put_back(s);
	pthread_mutex_unlock(&s->lock);
}

/* A fact somebody waits for (it answers for an event of the keeper) is not lost to a disk that is full for a while. True: it is told
 * later. Those who watch see it now: others, which come after it, are not to wait. */
static bool hold_fact(struct store *s, struct store_op *op)
{
	for (int i = 0; i < STORE_WATCHES && !op->was_held; i++)
		if (s->watch[i].kept)
			s->watch[i].kept(s->watch[i].data, op->seq);
	if (op->answer.outcome != STORE_FULL || !op->fn || s->nheld == HELD_MOST)
		return false;
	if (s->nheld++ == 0) {
		log_warn("unable to write down facts: %s; next try in %d s", op->answer.err.text, AGAIN_MS / 1000);
		loop_timer_start(s->again, AGAIN_MS);
	}
	op->was_held = true;
	list_push(&s->held, &op->link);
	return true;
}

/* After a failure of the disk nothing is told any more: nobody can say what is on it. */
static void take_done(struct store *s, struct list *l, bool is_broken)
{
	struct store_op *op = list_of(l, struct store_op, link);
	list_remove(l);
	s->waiting--;
	if (!is_broken && op->kind == STORE_OP_FACT && hold_fact(s, op))
		return;
	if (!is_broken)
		tell_op(op);
	store_op_free(op);
}

static void on_wake(void *data)
{
	struct store *s = data;
	struct list done = LIST_INIT(done);
	pthread_mutex_lock(&s->lock);
	store_thread_take(&s->done, &done, SIZE_MAX);
	bool is_broken = s->is_broken;
	pthread_mutex_unlock(&s->lock);
	list_each (&done, l)
		if (list_of(l, struct store_op, link)->leads)
			take_done(s, l, is_broken);
	for (struct list *l; (l = list_first(&done));)
		take_done(s, l, is_broken);
	if (is_broken && !s->was_told) {
		s->was_told = true;
		if (s->on_fatal)
			s->on_fatal(s->data, s->broken);
	}
}

static void reserve_done(void *data, const struct store_answer *answer)
{
	struct store *s = data;
	s->is_reserving = false;
	if (answer->outcome == STORE_OK)
		s->kernels_reserved += KERNEL_BLOCK;
	else
		log_warn("unable to reserve kernel numbers: %s", answer->err.text);
}

static int post(struct store *s, struct store_line *line, struct store_op *op)
{
	list_init(&op->link);
	pthread_mutex_lock(&s->lock);
	if (s->is_closing || s->is_broken) {
		pthread_mutex_unlock(&s->lock);
		store_op_free(op);
		return -1;
	}
	list_push(&line->todo, &op->link);
	line->nurgent += !op->may_wait;
	bool is_news = !op->may_wait || !line->holds;
	pthread_mutex_unlock(&s->lock);
	/* Not under the lock: it would be the first thing that the woken thread waits for. */
	if (is_news)
		pthread_cond_signal(&line->news);
	s->waiting++;
	return 0;
}

static int post_task(struct store *s, enum store_op_kind kind, const struct future *f, const struct future *also, store_done_fn *fn,
		     bool leads, void *data)
{
	struct store_op *op = store_op_new(kind, data);
	if (!op)
		return -1;
	op->fn = fn;
	op->leads = leads;
	op->f = store_op_task(f, kind == STORE_OP_INSERT);
	op->also = also ? store_op_task(also, false) : NULL;
	op->may_wait = kind == STORE_OP_INSERT && f->state == FUTURE_QUEUED;
	if (!op->f || (also && !op->also)) {
		store_op_free(op);
		return -1;
	}
	return post(s, &s->writer, op);
}

int store_insert_task(struct store *s, const struct future *f, store_done_fn *fn, void *data)
{
	return post_task(s, STORE_OP_INSERT, f, NULL, fn, false, data);
}
int store_update_task(struct store *s, const struct future *f, store_done_fn *fn, void *data)
{
	return post_task(s, STORE_OP_UPDATE, f, NULL, fn, false, data);
}
int store_update_tasks(struct store *s, const struct future *f, const struct future *also, bool leads, store_done_fn *fn,
		       void *data)
{
	return post_task(s, STORE_OP_UPDATE, f, also, fn, leads, data);
}

static int64_t number_fact(struct store *s, struct store_fact *fact, bool is_kept)
{
	int64_t seq = ++s->fact_seq;
	if (!fact->wall_ms)
		fact->wall_ms = clock_wall_ms();
	if (!fact->mono_ms)
		fact->mono_ms = clock_mono_ms();
	for (int i = 0; i < STORE_WATCHES; i++)
		if (s->watch[i].noted)
			s->watch[i].noted(s->watch[i].data, seq, fact, is_kept);
	return seq;
}

void store_tell_fact(struct store *s, const struct store_fact *fact)
{
	struct store_fact f = *fact;
	number_fact(s, &f, false);
}

void store_watch_facts(struct store *s, const struct store_watch *watch)
{
	int i = 0;
	while (i < STORE_WATCHES && s->watch[i].data && s->watch[i].data != watch->data)
		i++;
	assert(i < STORE_WATCHES);
	s->watch[i] = *watch;
}

void store_unwatch_facts(struct store *s, const void *data)
{
	for (int i = 0; i < STORE_WATCHES; i++)
		if (s->watch[i].data == data)
			s->watch[i] = (struct store_watch){ NULL, NULL, NULL };
}

int store_add_fact(struct store *s, const struct store_fact *noted, store_done_fn *fn, void *data)
{
	struct store_fact f = *noted, *fact = &f;
	struct store_op *op = store_op_new(STORE_OP_FACT, data);
	if (!op)
		return -1;
	op->fn = fn;
	op->may_wait = !fn;
	op->seq = number_fact(s, fact, true);
	op->wall_ms = fact->wall_ms;
	op->mono_ms = fact->mono_ms;
	if (!store_op_text(&op->what, fact->what) || !store_op_text(&op->subject, fact->subject) ||
	    !store_op_text(&op->detail, fact->detail) || !store_op_text(&op->owner, fact->owner)) {
		store_op_free(op);
		return -1;
	}
	return post(s, &s->writer, op);
}

int store_get_task(struct store *s, const char *id, bool with_result, store_task_fn *fn, void *data)
{
	struct store_op *op = store_op_new(STORE_OP_GET, data);
	if (!op)
		return -1;
	snprintf(op->id, sizeof(op->id), "%s", id);
	op->with_result = with_result;
	op->task_fn = fn;
	return post(s, &s->reader, op);
}

int store_list_ended(struct store *s, const char *owner, int limit, store_tasks_fn *fn, void *data)
{
	struct store_op *op = store_op_new(STORE_OP_LIST, data);
	if (!op)
		return -1;
	op->limit = limit;
	op->tasks_fn = fn;
	if (!store_op_text(&op->owner, owner)) {
		store_op_free(op);
		return -1;
	}
	return post(s, &s->reader, op);
}

static int post_job(struct store *s, struct store_line *line, struct store_job *job)
{
	struct store_op *op = store_op_new(STORE_OP_JOB, NULL);
	if (!op) {
		job->release(job);
		return -1;
	}
	op->job = job;
	return post(s, line, op);
}

int store_write_job(struct store *s, struct store_job *job)
{
	return post_job(s, &s->writer, job);
}
int store_read_job(struct store *s, struct store_job *job)
{
	return post_job(s, &s->reader, job);
}

int store_run_now(struct store *s, int (*run)(void *data, struct store_sql *sql, struct err *err), void *data, struct err *err)
{
	return run(data, s->reader.sql, err) == SQLITE_OK ? 0 : -1;
}

void store_get_stats(struct store *s, struct store_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	pthread_mutex_unlock(&s->lock);
	out->waiting = s->waiting;
}

int64_t store_next_kernel(struct store *s)
{
	if (s->kernels_reserved - s->next_kernel < KERNEL_BLOCK / 2 && !s->is_reserving) {
		struct store_op *op = store_op_new(STORE_OP_META, s);
		if (op) {
			op->fn = reserve_done;
			op->value = s->kernels_reserved + KERNEL_BLOCK - 1;
			s->is_reserving = post(s, &s->writer, op) == 0;
		}
	}
	return s->next_kernel < s->kernels_reserved ? s->next_kernel++ : 0;
}

size_t store_waiting(const struct store *s)
{
	return s->waiting;
}
int64_t store_epoch(const struct store *s)
{
	return s->epoch;
}

int store_load_open(struct store *s, store_load_fn *fn, void *data, struct err *err)
{
	return store_sql_each_open(s->reader.sql, fn, data, err) == SQLITE_OK ? 0 : -1;
}

/* --- open and close --- */

static int start_line(struct store *s, struct store_line *line, void *(*run)(void *), struct err *err)
{
	int rc = pthread_create(&line->thread, NULL, run, s);
	if (rc)
		return err_sys(err, rc, "unable to start a thread of the store");
	line->runs = true;
	return 0;
}

static int count_epoch(struct store *s, struct err *err)
{
	struct store_sql *sql = s->writer.sql;
	int64_t last_kernel = 0;
	if (store_sql_get_meta(sql, "epoch", &s->epoch, err) != SQLITE_OK ||
	    store_sql_get_meta(sql, "kernel", &last_kernel, err) != SQLITE_OK)
		return -1;
	s->epoch++;
	s->next_kernel = last_kernel + 1;
	s->kernels_reserved = s->next_kernel + KERNEL_BLOCK;
	if (store_sql_run(sql, "BEGIN IMMEDIATE", err) != SQLITE_OK)
		return -1;
	if (store_sql_set_meta(sql, "epoch", s->epoch, err) != SQLITE_OK ||
	    store_sql_set_meta(sql, "kernel", s->kernels_reserved - 1, err) != SQLITE_OK ||
	    store_sql_run(sql, "COMMIT", err) != SQLITE_OK) {
		store_sql_run(sql, "ROLLBACK", NULL);
		return -1;
	}
	return 0;
}

static void init_line(struct store *s, struct store_line *line)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&line->news, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&line->todo);
	line->store = s;
}

struct store *store_open(struct loop *loop, const char *path, store_fatal_fn *on_fatal, void *data, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(err, "unable to open %s: no memory", path);
		return NULL;
	}
	s->loop = loop;
	s->on_fatal = on_fatal;
	s->data = data;
	list_init(&s->done);
	list_init(&s->held);
	pthread_mutex_init(&s->lock, NULL);
	init_line(s, &s->writer);
	init_line(s, &s->reader);
	s->wake = loop_wake_new(loop, on_wake, s);
	s->again = loop_timer_new(loop, on_again, s);
	if (!s->wake || !s->again) {
		err_set(err, "unable to open %s: no memory", path);
		goto out;
	}
	s->writer.sql = store_sql_open(path, false, err);
	if (!s->writer.sql || store_sql_prepare(s->writer.sql, err) < 0 || count_epoch(s, err) < 0)
		goto out;
	s->reader.sql = store_sql_open(path, true, err);
	if (!s->reader.sql || start_line(s, &s->writer, store_thread_write, err) < 0 ||
	    start_line(s, &s->reader, store_thread_read, err) < 0)
		goto out;
	return s;
out:
	store_close(&s);
	return NULL;
}

static void free_ops(struct list *ops)
{
	list_each (ops, l) {
		list_remove(l);
		store_op_free(list_of(l, struct store_op, link));
	}
}

void store_close(struct store **sp)
{
	struct store *s = *sp;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	put_back(s); /* a last try */
	s->is_closing = true;
	pthread_cond_signal(&s->reader.news);
	pthread_mutex_unlock(&s->lock);
	bool was_open = s->writer.runs;
	if (s->writer.runs)
		pthread_join(s->writer.thread, NULL);
	if (s->reader.runs)
		pthread_join(s->reader.thread, NULL);
	/* An end in order gives back the numbers that were not used. */
	if (was_open && !s->is_broken && s->next_kernel > 0)
		store_sql_set_meta(s->writer.sql, "kernel", s->next_kernel - 1, NULL);
	store_sql_close(&s->reader.sql);
	store_sql_close(&s->writer.sql);
	free_ops(&s->done);
	free_ops(&s->writer.todo);
	free_ops(&s->reader.todo);
	loop_wake_free(&s->wake);
	loop_timer_free(&s->again);
	pthread_cond_destroy(&s->writer.news);
	pthread_cond_destroy(&s->reader.news);
	pthread_mutex_destroy(&s->lock);
	free(s);
	*sp = NULL;
}
