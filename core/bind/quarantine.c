#include "bind/quarantine.h"
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "bind/crumb.h"
#include "fleet/jtext.h"
#include "net/json.h"
#include "sys/clock.h"
#include "sys/fds.h"

#define MOST      64 /* of more the oldest goes: a node does not live through that many crashes of different functions */
#define FILE_MOST (256 << 10)
#define FILE_NAME "db/quarantine"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held for the list alone, never over a callback or a file */
static struct quarantined list[MOST];
static size_t n;
static char path[PATH_MAX]; /* "" = nothing is kept */
static quarantine_fn *listener;
static void *listener_data;

#define LOAD_STRIKES 2

static bool is_in_force(const struct quarantined *q)
{
	return strcmp(q->word, CRUMB_LOAD) != 0 || q->strikes >= LOAD_STRIKES;
}

static void tell(const struct quarantined *q, bool is_there)
{
	if (listener && is_in_force(q))
		listener(listener_data, q, is_there);
}

static int find(const char *source, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].source, source) == 0 && strcmp(list[i].word, word) == 0)
			return (int)i;
	return -1;
}

static void take_out(size_t i, struct quarantined *out)
{
	*out = list[i];
	memmove(&list[i], &list[i + 1], (n - i - 1) * sizeof list[0]);
	n--;
}

static void put_in(const struct quarantined *q)
{
	struct quarantined gone;
	bool has_gone = false;
	pthread_mutex_lock(&lock);
	int at = find(q->source, q->word);
	if (at < 0 && n == MOST) {
		take_out(0, &gone);
		has_gone = true;
	}
	list[at < 0 ? (int)n++ : at] = *q;
	pthread_mutex_unlock(&lock);
	if (has_gone)
		tell(&gone, false);
	tell(q, true);
}

/* --- the file --- */

static void put_one(struct buf *out, const struct quarantined *q)
{
	buf_putc(out, '{');
	jtext_text(out, "source", q->source);
	jtext_text(out, "word", q->word);
	jtext_some_text(out, "name", q->name);
	jtext_text(out, "hash", q->hash);
	jtext_text(out, "why", q->why);
	jtext_int(out, "since", q->since_wall_ms);
	jtext_bool(out, "kept", q->is_kept);
	jtext_int(out, "strikes", q->strikes);
	buf_putc(out, '}');
}

static void put_all(struct buf *out, bool kept_only)
{
	buf_putc(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (kept_only ? !list[i].is_kept : !is_in_force(&list[i]))
			continue;
		jtext_next(out);
		put_one(out, &list[i]);
	}
	buf_putc(out, ']');
}

static void save(void)
{
	struct buf out;
	struct err err = { 0 };
	if (!path[0])
		return;
	buf_init(&out, FILE_MOST);
	put_all(&out, true);
	if (out.failed || fds_replace_file(path, out.data, out.len, 0600, &err) < 0)
		log_warn("unable to keep the list of functions in quarantine: %s", err.text);
	buf_fini(&out);
}

static void copy(char *out, size_t room, const char *text)
{
	snprintf(out, room, "%s", text ? text : "");
}

static void fill(struct quarantined *q, const char *source, const char *word, const char *name, const char *hash, const char *why)
{
	copy(q->source, sizeof q->source, source);
	copy(q->word, sizeof q->word, word);
	copy(q->name, sizeof q->name, name);
	copy(q->hash, sizeof q->hash, hash);
	copy(q->why, sizeof q->why, why);
}

static void read_one(const json_t *row)
{
	struct quarantined q = { .is_kept = true };
	const char *source = NULL, *word = NULL, *name = NULL, *hash = NULL, *why = NULL;
	int64_t since = 0, strikes = 1;
	struct err err = { 0 };
	if (!json_is_object(row) || json_get_text(row, "source", JSON_REQUIRED, &source, &err) < 0 ||
	    json_get_text(row, "word", JSON_REQUIRED, &word, &err) < 0 ||
	    json_get_text(row, "name", JSON_OPTIONAL, &name, &err) < 0 ||
	    json_get_text(row, "hash", JSON_REQUIRED, &hash, &err) < 0 ||
	    json_get_text(row, "why", JSON_OPTIONAL, &why, &err) < 0 ||
	    json_get_int(row, "since", JSON_OPTIONAL, 0, INT64_MAX, &since, &err) < 0 ||
	    json_get_int(row, "strikes", JSON_OPTIONAL, 1, 1000, &strikes, &err) < 0)
		return;
	fill(&q, source, word, name, hash, why);
	q.since_wall_ms = since;
	q.strikes = (int)strikes;
	put_in(&q);
}

static void read_file(void)
{
	struct err err = { 0 };
	if (access(path, F_OK) < 0)
		return;
	char *text = malloc(FILE_MOST);
	ssize_t len = text ? fds_read_file(path, text, FILE_MOST, &err) : -1;
	json_t *rows = len > 0 ? json_parse(text, (size_t)len, &err) : NULL;
	if (!json_is_array(rows))
		log_warn("the list of functions in quarantine is begun anew: %s", err.text);
	for (size_t i = 0; i < json_array_size(rows); i++)
		read_one(json_array_get(rows, i));
	json_decref(rows);
	free(text);
}

static void add_last(int thread)
{
	const struct crumb *c = crumb_last(thread);
	struct quarantined q = { .since_wall_ms = clock_wall_ms(), .is_kept = true };
	if (!c)
		return;
	copy(q.source, sizeof q.source, c->source);
	copy(q.word, sizeof q.word, c->word);
	copy(q.name, sizeof q.name, c->name);
	copy(q.hash, sizeof q.hash, c->hash);
	int at = find(q.source, q.word);
	q.strikes = at >= 0 && strcmp(list[at].hash, q.hash) == 0 && list[at].strikes < 1000 ? list[at].strikes + 1 : 1;
	if (strcmp(c->word, CRUMB_LOAD) == 0)
		snprintf(q.why, sizeof q.why,
			 "%s:1: the backend ended while it evaluated this file; it is refused until its text is another",
			 c->source);
	else
		snprintf(q.why, sizeof q.why,
			 "%s: the backend ended while this function ran (%s of %s); it is not called until the file's text is "
			 "another",
			 c->source, c->word, c->name[0] ? c->name : "the set");
	if (is_in_force(&q))
		log_error("quarantine: %s", q.why);
	else
		log_warn("the backend before ended while it evaluated %s; once more, and the file is refused", q.source);
	put_in(&q);
}

void quarantine_open(const char *dir)
{
	if (snprintf(path, sizeof path, "%s/" FILE_NAME, dir) >= (int)sizeof path)
		path[0] = '\0';
	if (path[0])
		read_file();
	for (int t = 0; t < CRUMB_THREADS; t++)
		add_last(t);
	save();
}

void quarantine_close(void)
{
	pthread_mutex_lock(&lock);
	n = 0;
	path[0] = '\0';
	listener = NULL;
	pthread_mutex_unlock(&lock);
}

bool quarantine_has(const char *source, const char *word, const char *hash)
{
	pthread_mutex_lock(&lock);
	int at = find(source, word);
	bool has = at >= 0 && is_in_force(&list[at]) && (!hash || strcmp(list[at].hash, hash) == 0);
	pthread_mutex_unlock(&lock);
	return has;
}

void quarantine_rest(const char *source, const char *word, const char *name, const char *hash, const char *why)
{
	struct quarantined q = { .since_wall_ms = clock_wall_ms() };
	int at = find(source, word);
	if (at >= 0 && list[at].is_kept)
		return;
	if (!why && at >= 0) {
		pthread_mutex_lock(&lock);
		take_out((size_t)at, &q);
		pthread_mutex_unlock(&lock);
		tell(&q, false);
	}
	if (!why)
		return;
	fill(&q, source, word, name, hash, why);
	if (at >= 0)
		q.since_wall_ms = list[at].since_wall_ms;
	put_in(&q);
}

/* "policies/10-pools.lua:12" → "policies/10-pools.lua" */
static void file_of(const char *source, char *out, size_t room)
{
	copy(out, room, source);
	char *colon = strrchr(out, ':');
	if (colon)
		*colon = '\0';
}

void quarantine_keep(const char *(*hash_of)(void *data, const char *file), void *data)
{
	char file[sizeof list[0].source];
	bool has_changed = false;
	for (size_t i = n; i-- > 0;) {
		struct quarantined gone;
		file_of(list[i].source, file, sizeof file);
		const char *hash = hash_of(data, file);
		/* what rests belongs to the set before, whose count of failures is gone with it */
		bool was_evaluated = strcmp(list[i].word, CRUMB_LOAD) == 0; /* just now, or there were no set */
		if (hash && list[i].is_kept && !was_evaluated && strcmp(hash, list[i].hash) == 0)
			continue;
		pthread_mutex_lock(&lock);
		take_out(i, &gone);
		pthread_mutex_unlock(&lock);
		has_changed |= gone.is_kept;
		if (is_in_force(&gone))
			log_info("quarantine: %s (%s) is free again: its file has changed", gone.source, gone.word);
		tell(&gone, false);
	}
	if (has_changed)
		save();
}

void quarantine_listen(quarantine_fn *fn, void *data)
{
	listener = fn;
	listener_data = data;
	for (size_t i = 0; i < n; i++)
		tell(&list[i], true);
}

void quarantine_json(struct buf *out)
{
	put_all(out, false);
}
