#include "logger/mask.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/list.h"

enum { BUCKETS = 1024, FILTER_BITS = 65536 };
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

size_t mask_apply(const struct mask *mask, const char *in, size_t len, bool is_final, struct buf *out)
{
	size_t from = 0, i = 0;
	bool is_held = false;
	while (mask->count > 0 && i + MASK_WORD_MIN <= len && !is_held) {
		uint16_t hash = hash_of(in + i);
		if (!is_in_filter(mask, hash)) {
			i++;
			continue;
		}
		bool may_grow = false;
		size_t n = match_at(mask, hash, in + i, len - i, &may_grow);
		if (may_grow && !is_final) {
			is_held = true;
		} else if (n > 0) {
			buf_put(out, in + from, i - from);
			buf_puts(out, MASKED);
			i += n;
			from = i;
		} else {
			i++;
		}
	}
	while (!is_held && i < len && (is_final || mask->count == 0 || !begins_a_word(mask, in + i, len - i)))
		i = is_final || mask->count == 0 ? len : i + 1;
	buf_put(out, in + from, i - from);
	return i;
}
