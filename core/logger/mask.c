#include "logger/mask.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/list.h"

enum { BUCKETS = 1024, FILTER_BITS = 65536, WINDOW_MAX = 32, STALE_MOST = 100 };
static const char MASKED[] = "****";

struct word {
	struct list link; /* in its bucket */
	size_t refs;
	uint16_t hash; /* of the first MASK_WORD_MIN bytes */
	size_t len;
	char text[];
};

struct mask {
	struct list buckets[BUCKETS];
	uint64_t filter[FILTER_BITS / 64]; /* bit set: some word has that hash. One look per byte of output. */
	size_t count;
	/* Wu and Manber's way to skip: no word begins between i and i + skip[hash of the last four of the window's bytes at i]. */
	size_t window; /* so long at least is every word, and WINDOW_MAX at most; 0: to be made */
	uint8_t skip[FILTER_BITS];
	size_t stale; /* words dropped since it was made: theirs are still heeded */
};

struct mask_hold {
	size_t n;
	struct word *words[MASK_WORDS_MAX];
};

struct mask *mask_new(void)
{
	struct mask *mask = calloc(1, sizeof(*mask));
	if (mask == NULL)
		return NULL;
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&mask->buckets[i]);
	return mask;
}

void mask_free(struct mask **mask)
{
	if (*mask == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		list_each (&(*mask)->buckets[i], p)
			free(list_of(p, struct word, link));
	free(*mask);
	*mask = NULL;
}

bool mask_is_empty(const struct mask *mask)
{
	return mask->count == 0;
}

/* --- the set --- */

static uint16_t hash_of(const char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return (uint16_t)((v * 2654435761U) >> 16);
}

static bool is_in_filter(const struct mask *mask, uint16_t hash)
{
	return mask->filter[hash / 64] >> (hash % 64) & 1;
}

static const struct list *bucket_of(const struct mask *mask, uint16_t hash)
{
	return &mask->buckets[hash % BUCKETS];
}

static struct word *find_word(const struct mask *mask, const char *text, size_t len)
{
	uint16_t hash = hash_of(text);
	list_each (bucket_of(mask, hash), p) {
		struct word *w = list_of(p, struct word, link);
		if (w->len == len && memcmp(w->text, text, len) == 0)
			return w;
	}
	return NULL;
}

static void note_skips(struct mask *mask, const struct word *w)
{
	for (size_t i = 0; i + MASK_WORD_MIN <= mask->window; i++) {
		uint8_t *skip = &mask->skip[hash_of(w->text + i)], n = (uint8_t)(mask->window - MASK_WORD_MIN - i);
		if (n < *skip)
			*skip = n;
	}
}

static void make_skips(struct mask *mask)
{
	mask->window = WINDOW_MAX;
	mask->stale = 0;
	for (size_t i = 0; i < BUCKETS; i++)
		list_each (&mask->buckets[i], p)
			if (list_of(p, struct word, link)->len < mask->window)
				mask->window = list_of(p, struct word, link)->len;
	memset(mask->skip, (int)(mask->window - MASK_WORD_MIN + 1), sizeof(mask->skip));
	for (size_t i = 0; i < BUCKETS; i++)
		list_each (&mask->buckets[i], p)
			note_skips(mask, list_of(p, struct word, link));
}

static struct word *hold_word(struct mask *mask, const char *text, size_t len)
{
	struct word *w = find_word(mask, text, len);
	if (w != NULL) {
		w->refs++;
		return w;
	}
	w = malloc(sizeof(*w) + len);
	if (w == NULL)
		return NULL;
	w->refs = 1;
	w->hash = hash_of(text);
	w->len = len;
	memcpy(w->text, text, len);
	list_push(&mask->buckets[w->hash % BUCKETS], &w->link);
	mask->filter[w->hash / 64] |= 1ULL << (w->hash % 64);
	mask->count++;
	if (mask->window > 0 && len >= mask->window)
		note_skips(mask, w);
	else
		mask->window = 0;
	return w;
}

static void drop_word(struct mask *mask, struct word *w)
{
	if (--w->refs > 0)
		return;
	uint16_t hash = w->hash;
	list_remove(&w->link);
	free(w);
	mask->count--;
	if (++mask->stale > mask->count + STALE_MOST)
		mask->window = 0;
	list_each (bucket_of(mask, hash), p)
		if (list_of(p, struct word, link)->hash == hash)
			return;
	mask->filter[hash / 64] &= ~(1ULL << (hash % 64));
}

static int add_piece(struct mask *mask, struct mask_hold *hold, const char *text, size_t len, struct err *err)
{
	if (len < MASK_WORD_MIN)
		return err_set(err, "unable to mask a word of %zu bytes: it needs at least %d", len, MASK_WORD_MIN);
	if (hold->n == MASK_WORDS_MAX)
		return err_set(err, "unable to mask a word: a source may bring at most %d", MASK_WORDS_MAX);
	struct word *w = hold_word(mask, text, len);
	if (w == NULL)
		return err_set(err, "unable to mask a word: no memory");
	hold->words[hold->n++] = w;
	return 0;
}

int mask_add(struct mask *mask, struct mask_hold **hold, const char *word, struct err *err)
{
	if (*hold == NULL && (*hold = calloc(1, sizeof(**hold))) == NULL)
		return err_set(err, "unable to mask a word: no memory");
	int rc = 0;
	bool is_one_line = strpbrk(word, "\r\n") == NULL;
	for (const char *p = word; *p != '\0';) {
		size_t line = strcspn(p, "\r\n");
		/* The short last line of a longer secret tells nothing; a short secret as a whole is worth a word. */
		bool may_skip = line < MASK_WORD_MIN && !is_one_line;
		for (size_t at = 0; at < line && !may_skip;) {
			size_t n = line - at < MASK_WORD_MAX ? line - at : MASK_WORD_MAX;
			if (at > 0 && n < MASK_WORD_MIN)
				break;
			rc |= add_piece(mask, *hold, p + at, n, err);
			at += n;
		}
		p += line;
		p += strspn(p, "\r\n");
	}
	return rc;
}

void mask_drop(struct mask *mask, struct mask_hold **hold)
{
	if (*hold == NULL)
		return;
	for (size_t i = 0; i < (*hold)->n; i++)
		drop_word(mask, (*hold)->words[i]);
	free(*hold);
	*hold = NULL;
}

/* --- masking --- */

/* The length of the longest word at p, 0 for none; *may_grow: a word begins here that the bytes do not show whole. */
static size_t match_at(const struct mask *mask, uint16_t hash, const char *p, size_t left, bool *may_grow)
{
	size_t longest = 0;
	list_each (bucket_of(mask, hash), q) {
		const struct word *w = list_of(q, struct word, link);
		if (w->hash != hash || memcmp(w->text, p, w->len < left ? w->len : left) != 0)
			continue;
		if (w->len > left)
			*may_grow = true;
		else if (w->len > longest)
			longest = w->len;
	}
	return longest;
}

/* Fewer than MASK_WORD_MIN bytes are no hash yet: look at every word. At most three times a chunk. */
static bool begins_a_word(const struct mask *mask, const char *p, size_t left)
{
	for (size_t i = 0; i < BUCKETS; i++)
		list_each (&mask->buckets[i], q)
			if (memcmp(list_of(q, struct word, link)->text, p, left) == 0)
				return true;
	return false;
}

/* Where from i on the next word begins, of *n bytes; *n 0: there is none, and all before the place returned may go out. */
static size_t find_next(struct mask *mask, const char *in, size_t i, size_t len, bool is_final, size_t *n)
{
	*n = 0;
	if (mask->count == 0)
		return len;
	if (mask->window == 0)
		make_skips(mask);
	while (i + MASK_WORD_MIN <= len) {
		size_t skip = i + mask->window <= len ? mask->skip[hash_of(in + i + mask->window - MASK_WORD_MIN)] : 0;
		uint16_t hash = hash_of(in + i);
		if (skip > 0 || !is_in_filter(mask, hash)) {
			i += skip > 0 ? skip : 1;
			continue;
		}
		bool may_grow = false;
		*n = match_at(mask, hash, in + i, len - i, &may_grow);
		if (may_grow && !is_final)
			return *n = 0, i;
		if (*n > 0)
			return i;
		i++;
	}
	while (i < len && (is_final || !begins_a_word(mask, in + i, len - i)))
		i = is_final ? len : i + 1;
	return i;
}

bool mask_is_clean(struct mask *mask, const char *in, size_t len, bool is_final, size_t *used)
{
	size_t n;
	*used = find_next(mask, in, 0, len, is_final, &n);
	return n == 0;
}

size_t mask_apply(struct mask *mask, const char *in, size_t len, bool is_final, struct buf *out)
{
	size_t n = 0, i = 0;
	do {
		size_t from = i;
		i = find_next(mask, in, from, len, is_final, &n);
		buf_put(out, in + from, i - from);
		if (n > 0)
			buf_puts(out, MASKED);
		i += n;
	} while (n > 0);
	return i;
}
