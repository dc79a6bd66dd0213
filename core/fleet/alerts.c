#include "fleet/alerts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "fleet/feed.h"
#include "fleet/jtext.h"
#include "sys/clock.h"

#define ALERTS_MOST 500
#define KEY_ROOM    160
#define TEXT_ROOM   1000

struct alert {
	struct list link; /* newest raised first */
	char key[KEY_ROOM], text[TEXT_ROOM];
	char *subject, *source; /* owned; NULL = none */
	enum alert_level level;
	int64_t since_ms, last_ms, count;
};

struct alerts {
	struct store *store;
	struct list list;
	struct map *by_key;
	bool was_full; /* said so once */
};

static const char *const levels[] = { "note", "warning", "error" };

struct alerts *alerts_new(struct store *store)
{
	struct alerts *a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->store = store;
	list_init(&a->list);
	a->by_key = map_new();
	if (!a->by_key)
		alerts_free(&a);
	return a;
}

static void drop(struct alerts *a, struct alert *one)
{
	map_remove(a->by_key, one->key);
	list_remove(&one->link);
	free(one->subject);
	free(one->source);
	free(one);
}

void alerts_free(struct alerts **ap)
{
	struct alerts *a = *ap;
	if (!a)
		return;
	for (struct list *l; (l = list_first(&a->list));)
		drop(a, list_of(l, struct alert, link));
	map_free(&a->by_key);
	free(a);
	*ap = NULL;
}

/* A fact for admins: raised, changed its text, or over. */
static void tell(const struct alerts *a, const char *what, const struct alert *one)
{
	struct buf detail;
	if (!a->store)
		return;
	buf_init(&detail, 8192);
	buf_putc(&detail, '{');
	jtext_text(&detail, "key", one->key);
	jtext_text(&detail, "level", levels[one->level]);
	jtext_text(&detail, "text", one->text);
	jtext_some_text(&detail, "source", one->source);
	buf_putc(&detail, '}');
	struct store_fact fact = { what,          one->subject ? one->subject : one->key, detail.failed ? NULL : detail.data, 0, 0,
				   FEED_OWN_ADMIN };
	store_add_fact(a->store, &fact, NULL, NULL);
	buf_fini(&detail);
}

static void make_room(struct alerts *a)
{
	if (map_count(a->by_key) < ALERTS_MOST)
		return;
	if (!a->was_full)
		log_warn("more than %d alerts are raised: the oldest are dropped", ALERTS_MOST);
	a->was_full = true;
	drop(a, list_of(a->list.prev, struct alert, link));
}

static bool replace(char **to, const char *from)
{
	char *copy = from ? strdup(from) : NULL;
	if (from && !copy)
		return false;
	free(*to);
	*to = copy;
	return true;
}

static struct alert *find_or_make(struct alerts *a, const char *key)
{
	char cut[KEY_ROOM];
	snprintf(cut, sizeof(cut), "%s", key);
	struct alert *one = map_get(a->by_key, cut);
	if (one)
		return one;
	make_room(a);
	one = calloc(1, sizeof(*one));
	if (!one)
		return NULL;
	memcpy(one->key, cut, sizeof(cut));
	if (map_set(a->by_key, cut, one) < 0) {
		free(one);
		return NULL;
	}
	one->since_ms = clock_wall_ms();
	list_insert_after(&a->list, &one->link);
	return one;
}

static bool is_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void put_up(struct alerts *a, const char *key, enum alert_level level, const char *subject, const char *source,
		   const char *text, bool is_renewed)
{
	char cut[TEXT_ROOM];
	struct alert *one = find_or_make(a, key);
	if (!one) {
		log_error("unable to raise an alert: not enough memory: %s", text);
		return;
	}
	snprintf(cut, sizeof(cut), "%s", text);
	bool is_news = one->count == 0 || one->level != level ||
		       (is_renewed ? !is_same(one->subject, subject) : strcmp(one->text, cut) != 0);
	one->level = level;
	memcpy(one->text, cut, sizeof(cut));
	one->last_ms = clock_wall_ms();
	one->count++;
	if (!replace(&one->subject, subject) || !replace(&one->source, source))
		log_warn("unable to keep whom an alert is about: not enough memory");
	if (is_news)
		tell(a, "alert.raised", one);
}

void alerts_raise(struct alerts *a, const char *key, enum alert_level level, const char *subject, const char *source,
		  const char *text)
{
	put_up(a, key, level, subject, source, text, false);
}

void alerts_renew(struct alerts *a, const char *key, enum alert_level level, const char *subject, const char *source,
		  const char *text)
{
	put_up(a, key, level, subject, source, text, true);
}

void alerts_clear(struct alerts *a, const char *key)
{
	char cut[KEY_ROOM];
	snprintf(cut, sizeof(cut), "%s", key);
	struct alert *one = map_get(a->by_key, cut);
	if (!one)
		return;
	tell(a, "alert.cleared", one);
	drop(a, one);
}

void alerts_clear_all(struct alerts *a, const char *key_begins)
{
	size_t len = strlen(key_begins);
	list_each (&a->list, l) {
		struct alert *one = list_of(l, struct alert, link);
		if (strncmp(one->key, key_begins, len) != 0)
			continue;
		tell(a, "alert.cleared", one);
		drop(a, one);
	}
}

int alerts_count(const struct alerts *a, enum alert_level least)
{
	int n = 0;
	list_each (&a->list, l)
		n += list_of(l, struct alert, link)->level >= least;
	return n;
}

static void put(const struct alert *one, struct buf *out)
{
	jtext_next(out);
	buf_putc(out, '{');
	jtext_text(out, "key", one->key);
	jtext_text(out, "level", levels[one->level]);
	jtext_some_text(out, "subject", one->subject);
	jtext_some_text(out, "source", one->source);
	jtext_text(out, "text", one->text);
	jtext_int(out, "since", one->since_ms);
	jtext_int(out, "last", one->last_ms);
	jtext_int(out, "count", one->count);
	buf_putc(out, '}');
}

int alerts_json(const struct alerts *a, struct buf *out)
{
	buf_putc(out, '[');
	for (int level = ALERT_ERROR; level >= ALERT_NOTE; level--)
		list_each (&a->list, l)
			if ((int)list_of(l, struct alert, link)->level == level)
				put(list_of(l, struct alert, link), out);
	buf_putc(out, ']');
	return out->failed ? -1 : 0;
}
