#include "fleet/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/list.h"
#include "base/log.h"
#include "fleet/die.h"
#include "fleet/store_op.h"
#include "fleet/store_sql.h"
#include "sys/clock.h"

#define KERNEL_BLOCK      64   /* kernel numbers taken at once */
#define GROUP_MOST        2000 /* operations in one commit */
#define IDLE_CHECKPOINT_S 2    /* the log goes into the file once nobody writes */

struct line { /* a thread and the operations that wait for it */
	struct store *store;
	pthread_t thread;
	pthread_cond_t news;
	struct list todo;
	struct store_sql *sql;
	bool runs;
};

struct store {
	struct loop *loop;
	struct loop_wake *wake;
	pthread_mutex_t lock;
	struct line writer, reader;
	struct list done; /* under lock: for the loop, in order */
	size_t waiting;   /* loop's thread */
	bool is_closing, is_broken, was_told;
	char broken[ERR_TEXT_MAX];
	int64_t epoch, fact_seq;
	int64_t next_kernel, kernels_reserved; /* loop's thread: numbers below reserved are ours */
	bool is_reserving;
	store_fatal_fn *on_fatal;
	void *data;
	struct store_watch watch;
	struct store_stats stats; /* under lock */
};

/* --- the writer's thread --- */

static bool is_fatal(int rc)
{
	rc &= 0xff;
	return rc == SQLITE_IOERR || rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB || rc == SQLITE_READONLY || rc == SQLITE_CANTOPEN;
}

static int run_op(struct store *s, struct store_op *op, struct err *err)
{
	struct store_sql *sql = s->writer.sql;
	switch (op->kind) {
	case STORE_OP_INSERT:
		return store_sql_insert(sql, op->f, op->answer.id, err);
	case STORE_OP_UPDATE: {
		int rc = store_sql_update(sql, op->f, err);
		return rc == SQLITE_OK && op->also ? store_sql_update(sql, op->also, err) : rc;
	}
	case STORE_OP_META:
		return store_sql_set_meta(sql, "kernel", op->value, err);
	case STORE_OP_FACT: {
		struct store_fact fact = { op->what, op->subject, op->detail, op->wall_ms, op->mono_ms, op->owner };
		return store_sql_fact(sql, s->epoch, op->seq, &fact, clock_boot_id(), err);
	}
	case STORE_OP_JOB:
		return op->job->run(op->job, sql, err);
	default:
		return SQLITE_MISUSE;
	}
}

/* In a savepoint, so that a bad neighbour fails alone. Returns SQLITE_OK unless the whole group has to be given up. */
static int run_one(struct store *s, struct store_op *op)
{
	struct store_sql *sql = s->writer.sql;
	struct err err = { 0 };
	int rc = store_sql_run(sql, "SAVEPOINT op", &op->answer.err);
	if (rc != SQLITE_OK)
		return rc;
	rc = run_op(s, op, &err);
	op->answer.outcome = rc == SQLITE_OK                               ? STORE_OK
			     : rc == SQLITE_CONSTRAINT && op->answer.id[0] ? STORE_DUPLICATE
			     : rc == STORE_SQL_EXCLUDED                    ? STORE_EXCLUDED
									   : STORE_FAILED;
	op->answer.err = err;
	if (rc == SQLITE_FULL || is_fatal(rc) || !store_sql_in_transaction(sql))
		return rc == SQLITE_OK ? SQLITE_ABORT : rc;
	return store_sql_run(sql, rc == SQLITE_OK ? "RELEASE op" : "ROLLBACK TO op; RELEASE op", &op->answer.err);
}

static int run_group(struct store *s, struct list *group, struct err *err)
{
	struct store_sql *sql = s->writer.sql;
	int rc = store_sql_run(sql, "BEGIN IMMEDIATE", err);
	if (rc != SQLITE_OK)
		return rc;
	list_each (group, l) {
		struct store_op *op = list_of(l, struct store_op, link);
		rc = run_one(s, op);
		if (rc != SQLITE_OK) {
			*err = op->answer.err;
			break;
		}
		if (op->kind == STORE_OP_UPDATE && op->f->state == FUTURE_DONE)
			die_at("result_written");
	}
	if (rc == SQLITE_OK)
		rc = store_sql_run(sql, "COMMIT", err);
	if (rc != SQLITE_OK && store_sql_in_transaction(sql))
		store_sql_run(sql, "ROLLBACK", NULL);
	return rc;
}

static void count_group(struct store *s, size_t n, bool is_ok)
{
	pthread_mutex_lock(&s->lock);
	s->stats.commits += is_ok;
	s->stats.failed_commits += !is_ok;
	s->stats.operations += n;
	pthread_mutex_unlock(&s->lock);
}

static void write_group(struct store *s, struct list *group)
{
	struct err err = { 0 };
	int rc = run_group(s, group, &err);
	count_group(s, list_count(group), rc == SQLITE_OK);
	if (rc == SQLITE_OK)
		return;
	list_each (group, l) {
		struct store_answer *a = &list_of(l, struct store_op, link)->answer;
		a->outcome = rc == SQLITE_FULL ? STORE_FULL : STORE_FAILED;
		a->id[0] = 0;
		a->err = err;
	}
	if (!is_fatal(rc))
		return;
	pthread_mutex_lock(&s->lock);
	s->is_broken = true;
	snprintf(s->broken, sizeof(s->broken), "%s", err.text);
	pthread_mutex_unlock(&s->lock);
}

static size_t take(struct list *from, struct list *to, size_t most)
{
	size_t n = 0;
	list_each (from, l) {
		if (n++ >= most)
			break;
		list_remove(l);
		list_push(to, l);
	}
	return n;
}

/* Called with the lock held. */
static void wait_for_news(struct line *line, bool *may_checkpoint)
{
	if (!*may_checkpoint) {
		pthread_cond_wait(&line->news, &line->store->lock);
		return;
	}
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_CHECKPOINT_S;
	if (pthread_cond_timedwait(&line->news, &line->store->lock, &until) == 0)
		return;
	*may_checkpoint = false;
	pthread_mutex_unlock(&line->store->lock);
	store_sql_checkpoint(line->sql);
	pthread_mutex_lock(&line->store->lock);
}

static void *write_on(void *data)
{
	struct store *s = data;
	bool may_checkpoint = false;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct list group = LIST_INIT(group);
		if (take(&s->writer.todo, &group, GROUP_MOST) == 0) {
			if (s->is_closing)
				break;
			wait_for_news(&s->writer, &may_checkpoint);
			continue;
		}
		bool is_broken = s->is_broken;
		pthread_mutex_unlock(&s->lock);
		if (!is_broken)
			write_group(s, &group);
		may_checkpoint = true;
		pthread_mutex_lock(&s->lock);
		take(&group, &s->done, SIZE_MAX);
		loop_wake_send(s->wake);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* --- the reader's thread --- */

static void keep_row(void *data, struct future *f)
{
	struct store_op *op = data;
	struct future **more = realloc(op->list, (op->nlist + 1) * sizeof(*more));
	if (!more) {
		future_free(&f);
		return;
	}
	op->list = more;
	op->list[op->nlist++] = f;
}

static void read_one(struct store *s, struct store_op *op)
{
	int rc = op->kind == STORE_OP_JOB ? op->job->run(op->job, s->reader.sql, &op->answer.err)
		 : op->kind == STORE_OP_GET
			 ? store_sql_get(s->reader.sql, op->id, op->with_result, &op->f, &op->answer.err)
			 : store_sql_each_ended(s->reader.sql, op->owner, op->limit, keep_row, op, &op->answer.err);
	op->answer.outcome = rc == SQLITE_OK ? STORE_OK : STORE_FAILED;
}

static void *read_on(void *data)
{
	struct store *s = data;
	pthread_mutex_lock(&s->lock);
	while (!s->is_closing) {
		struct list one = LIST_INIT(one);
		if (take(&s->reader.todo, &one, 1) == 0) {
			pthread_cond_wait(&s->reader.news, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		read_one(s, list_of(list_first(&one), struct store_op, link));
		pthread_mutex_lock(&s->lock);
		take(&one, &s->done, 1);
		loop_wake_send(s->wake);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

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

static void on_wake(void *data)
{
	struct store *s = data;
	struct list done = LIST_INIT(done);
	pthread_mutex_lock(&s->lock);
	take(&s->done, &done, SIZE_MAX);
	bool is_broken = s->is_broken;
	pthread_mutex_unlock(&s->lock);
	struct list *l;
	/* After a failure of the disk nothing is told any more: nobody can say what is on it. */
	while ((l = list_first(&done))) {
		struct store_op *op = list_of(l, struct store_op, link);
		list_remove(l);
		s->waiting--;
		if (!is_broken && op->kind == STORE_OP_FACT && s->watch.kept)
			s->watch.kept(s->watch.data, op->seq);
		if (!is_broken)
			tell_op(op);
		store_op_free(op);
	}
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

static int post(struct store *s, struct line *line, struct store_op *op)
{
	list_init(&op->link);
	pthread_mutex_lock(&s->lock);
	if (s->is_closing || s->is_broken) {
		pthread_mutex_unlock(&s->lock);
		store_op_free(op);
		return -1;
	}
	list_push(&line->todo, &op->link);
	pthread_cond_signal(&line->news);
	pthread_mutex_unlock(&s->lock);
	s->waiting++;
	return 0;
}

static int post_task(struct store *s, enum store_op_kind kind, const struct future *f, const struct future *also, store_done_fn *fn,
		     void *data)
{
	struct store_op *op = store_op_new(kind, data);
	if (!op)
		return -1;
	op->fn = fn;
	op->f = store_op_task(f, kind == STORE_OP_INSERT);
	op->also = also ? store_op_task(also, false) : NULL;
	if (!op->f || (also && !op->also)) {
		store_op_free(op);
		return -1;
	}
	return post(s, &s->writer, op);
}

int store_insert_task(struct store *s, const struct future *f, store_done_fn *fn, void *data)
{
	return post_task(s, STORE_OP_INSERT, f, NULL, fn, data);
}
int store_update_task(struct store *s, const struct future *f, store_done_fn *fn, void *data)
{
	return post_task(s, STORE_OP_UPDATE, f, NULL, fn, data);
}
int store_update_tasks(struct store *s, const struct future *f, const struct future *also, store_done_fn *fn, void *data)
{
	return post_task(s, STORE_OP_UPDATE, f, also, fn, data);
}

static int64_t number_fact(struct store *s, struct store_fact *fact, bool is_kept)
{
	int64_t seq = ++s->fact_seq;
	if (!fact->wall_ms)
		fact->wall_ms = clock_wall_ms();
	if (!fact->mono_ms)
		fact->mono_ms = clock_mono_ms();
	if (s->watch.noted)
		s->watch.noted(s->watch.data, seq, fact, is_kept);
	return seq;
}

void store_tell_fact(struct store *s, const struct store_fact *fact)
{
	struct store_fact f = *fact;
	number_fact(s, &f, false);
}

void store_watch_facts(struct store *s, const struct store_watch *watch)
{
	s->watch = *watch;
}

int store_add_fact(struct store *s, const struct store_fact *noted, store_done_fn *fn, void *data)
{
	struct store_fact f = *noted, *fact = &f;
	struct store_op *op = store_op_new(STORE_OP_FACT, data);
	if (!op)
		return -1;
	op->fn = fn;
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

static int post_job(struct store *s, struct line *line, struct store_job *job)
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

static int start_line(struct store *s, struct line *line, void *(*run)(void *), struct err *err)
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

static void init_line(struct store *s, struct line *line)
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
	pthread_mutex_init(&s->lock, NULL);
	init_line(s, &s->writer);
	init_line(s, &s->reader);
	s->wake = loop_wake_new(loop, on_wake, s);
	if (!s->wake) {
		err_set(err, "unable to open %s: no memory", path);
		goto out;
	}
	s->writer.sql = store_sql_open(path, false, err);
	if (!s->writer.sql || store_sql_prepare(s->writer.sql, err) < 0 || count_epoch(s, err) < 0)
		goto out;
	s->reader.sql = store_sql_open(path, true, err);
	if (!s->reader.sql || start_line(s, &s->writer, write_on, err) < 0 || start_line(s, &s->reader, read_on, err) < 0)
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
	s->is_closing = true;
	pthread_cond_signal(&s->writer.news);
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
	pthread_cond_destroy(&s->writer.news);
	pthread_cond_destroy(&s->reader.news);
	pthread_mutex_destroy(&s->lock);
	free(s);
	*sp = NULL;
}
