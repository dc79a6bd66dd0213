/* store_thread: the threads of the store: one writes what the loop's turns gathered, in groups; one reads. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fleet/die.h"
#include "fleet/store_inner.h"
#include "fleet/store_sql.h"
#include "sys/clock.h"

#define GROUP_MOST        2000 /* operations in one commit */
#define HOLD_US           500  /* a submit that joins a queue, or a fact, waits so long for a commit that is needed anyway… */
#define COMPANY_US        3000 /* …if there was one within that time: a commit for each would keep the disk from the ends of tasks */
#define IDLE_CHECKPOINT_S 2    /* the log goes into the file once nobody writes */

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

/* What writes more than once is undone as a whole; SQLite undoes a single statement by itself. */
static bool needs_savepoint(const struct store_op *op)
{
	return op->kind == STORE_OP_JOB || (op->kind == STORE_OP_UPDATE && op->also);
}

/* A bad neighbour fails alone. Returns SQLITE_OK unless the whole group has to be given up. */
static int run_one(struct store *s, struct store_op *op)
{
	struct store_sql *sql = s->writer.sql;
	struct err err = { 0 };
	bool has_savepoint = needs_savepoint(op);
	int rc = has_savepoint ? store_sql_open_savepoint(sql, &op->answer.err) : SQLITE_OK;
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
	return has_savepoint ? store_sql_close_savepoint(sql, rc == SQLITE_OK, &op->answer.err) : SQLITE_OK;
}

static int run_group(struct store *s, struct list *group, struct err *err)
{
	struct store_sql *sql = s->writer.sql;
	int rc = store_sql_begin(sql, err);
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
		rc = store_sql_commit(sql, err);
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

size_t store_thread_take(struct list *from, struct list *to, size_t most)
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

/* Called with the lock held, which it lets go of: the loop is not to be woken to wait for it. */
static void tell_loop(struct store *s, struct list *done)
{
	store_thread_take(done, &s->done, SIZE_MAX);
	pthread_mutex_unlock(&s->lock);
	loop_wake_send(s->wake);
	pthread_mutex_lock(&s->lock);
}

/* Called with the lock held. */
static void wait_for_news(struct store_line *line, bool *may_checkpoint)
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

/* Called with the lock held; true: it has waited, look again. */
static bool hold_back(struct store *s)
{
	struct store_line *w = &s->writer;
	int64_t now = clock_mono_us();
	bool may_hold = !list_is_empty(&w->todo) && !w->nurgent && !s->is_closing && now - w->urgent_mono_us < COMPANY_US;
	if (may_hold && !w->hold_until_mono_us)
		w->hold_until_mono_us = now + HOLD_US;
	if (!may_hold || now >= w->hold_until_mono_us)
		return false;
	struct timespec until = { w->hold_until_mono_us / 1000000, w->hold_until_mono_us % 1000000 * 1000 };
	w->holds = true;
	pthread_cond_timedwait(&w->news, &s->lock, &until);
	w->holds = false;
	return true;
}

static size_t take_group(struct store *s, struct list *group)
{
	struct store_line *w = &s->writer;
	if (w->nurgent)
		w->urgent_mono_us = clock_mono_us();
	size_t n = store_thread_take(&w->todo, group, GROUP_MOST);
	w->nurgent = list_is_empty(&w->todo) ? 0 : 1; /* what is left has waited enough */
	w->hold_until_mono_us = 0;
	return n;
}

void *store_thread_write(void *store)
{
	struct store *s = store;
	bool may_checkpoint = false;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct list group = LIST_INIT(group);
		if (hold_back(s))
			continue;
		if (take_group(s, &group) == 0) {
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
		tell_loop(s, &group);
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

void *store_thread_read(void *store)
{
	struct store *s = store;
	pthread_mutex_lock(&s->lock);
	while (!s->is_closing) {
		struct list one = LIST_INIT(one);
		if (store_thread_take(&s->reader.todo, &one, 1) == 0) {
			pthread_cond_wait(&s->reader.news, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		read_one(s, list_of(list_first(&one), struct store_op, link));
		pthread_mutex_lock(&s->lock);
		tell_loop(s, &one);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
