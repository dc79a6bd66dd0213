#include "base/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/*
 * Linear probing in a power-of-two table that is at most 3/4 taken (graves of removed entries counted). Removing never
 * moves an entry, so that a walk may remove what it stands on.
 */
struct slot {
	void *value; /* NULL: never used since the last resize; GRAVE: removed */
	union {
		char *text; /* owned */
		uint64_t number;
	} key;
	uint64_t hash;
};

struct map {
	struct slot *slots;
	size_t cap, count, taken; /* taken = count + graves */
	bool is_text;
};

struct probe { /* what is looked for: text, or number if text is NULL */
	const char *text;
	uint64_t number, hash;
};

static char grave_mark;
#define GRAVE ((void *)&grave_mark)
static const size_t FIRST_CAP = 16;

/* --- SipHash-1-3 under a key of this process --- */

static uint64_t hash_key[2];

static void make_hash_key(void)
{
	if (hash_key[0] != 0)
		return;
	if (getrandom(hash_key, sizeof(hash_key), GRND_NONBLOCK) != (ssize_t)sizeof(hash_key)) {
		/* Before the kernel's pool is ready (early boot): weaker, still not the same in each process. */
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		hash_key[0] = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)getpid();
		hash_key[1] = (uint64_t)(uintptr_t)&now ^ (uint64_t)now.tv_sec;
	}
	hash_key[0] |= 1; /* never 0: made */
}

static inline uint64_t rotl(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1], v[1] = rotl(v[1], 13) ^ v[0], v[0] = rotl(v[0], 32);
	v[2] += v[3], v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3], v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1], v[1] = rotl(v[1], 17) ^ v[2], v[2] = rotl(v[2], 32);
}

static uint64_t sip_hash(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t k0 = hash_key[0], k1 = hash_key[1], word;
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	size_t left = len;
	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)len << 56;
	for (size_t i = 0; i < left; i++)
		word |= (uint64_t)p[i] << (8 * i);
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- slots --- */

static bool is_live(const struct slot *s)
{
	return s->value != NULL && s->value != GRAVE;
}

static bool is_match(const struct slot *s, const struct probe *p)
{
	if (!is_live(s) || s->hash != p->hash)
		return false;
	return p->text != NULL ? strcmp(s->key.text, p->text) == 0 : s->key.number == p->number;
}

/* The entry, or NULL. */
static struct slot *find(const struct map *m, const struct probe *p)
{
	if (m->count == 0)
		return NULL;
	for (size_t i = p->hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct slot *s = &m->slots[i];
		if (s->value == NULL)
			return NULL;
		if (is_match(s, p))
			return s;
	}
}

static struct slot *find_empty(struct slot *slots, size_t cap, uint64_t hash)
{
	size_t i = hash & (cap - 1);
	while (slots[i].value != NULL)
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

static int make_room(struct map *m)
{
	if (m->cap > 0 && (m->taken + 1) * 4 <= m->cap * 3)
		return 0;
	size_t cap = FIRST_CAP;
	while (cap < (m->count + 1) * 2)
		cap *= 2;
	struct slot *slots = calloc(cap, sizeof(*slots));
	if (slots == NULL)
		return -1;
	for (size_t i = 0; i < m->cap; i++)
		if (is_live(&m->slots[i]))
			*find_empty(slots, cap, m->slots[i].hash) = m->slots[i];
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	m->taken = m->count;
	return 0;
}

static int set(struct map *m, const struct probe *p, void *value)
{
	struct slot *s = find(m, p);
	if (s != NULL) {
		s->value = value;
		return 0;
	}
	if (make_room(m) < 0)
		return -1;
	struct slot fresh = { .value = value, .hash = p->hash };
	if (p->text != NULL) {
		fresh.key.text = strdup(p->text);
		if (fresh.key.text == NULL)
			return -1;
	} else {
		fresh.key.number = p->number;
	}
	*find_empty(m->slots, m->cap, p->hash) = fresh;
	m->count++;
	m->taken++;
	return 0;
}

static void *take(struct map *m, const struct probe *p)
{
	struct slot *s = find(m, p);
	if (s == NULL)
		return NULL;
	void *value = s->value;
	if (p->text != NULL)
		free(s->key.text);
	s->value = GRAVE;
	m->count--;
	/* Graves that no search needs to pass go at once: those right before an unused slot. */
	size_t i = (size_t)(s - m->slots);
	if (m->slots[(i + 1) & (m->cap - 1)].value == NULL) {
		while (m->slots[i].value == GRAVE) {
			m->slots[i].value = NULL;
			m->taken--;
			i = (i - 1) & (m->cap - 1);
		}
	}
	return value;
}

static struct probe by_text(const char *key)
{
	return (struct probe){ .text = key, .hash = sip_hash(key, strlen(key)) };
}

static struct probe by_number(uint64_t key)
{
	return (struct probe){ .number = key, .hash = sip_hash(&key, sizeof(key)) };
}

/* --- public --- */

struct map *map_new(void)
{
	make_hash_key();
	return calloc(1, sizeof(struct map));
}

void map_free(struct map **m)
{
	if (*m == NULL)
		return;
	if ((*m)->is_text)
		for (size_t i = 0; i < (*m)->cap; i++)
			if (is_live(&(*m)->slots[i]))
				free((*m)->slots[i].key.text);
	free((*m)->slots);
	free(*m);
	*m = NULL;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

void *map_get(const struct map *m, const char *key)
{
	struct probe p = by_text(key);
	struct slot *s = find(m, &p);
	return s != NULL ? s->value : NULL;
}

int map_set(struct map *m, const char *key, void *value)
{
	assert(value != NULL && (m->is_text || m->count == 0));
	m->is_text = true;
	struct probe p = by_text(key);
	return set(m, &p, value);
}

void *map_remove(struct map *m, const char *key)
{
	struct probe p = by_text(key);
	return take(m, &p);
}

void *map_get_u64(const struct map *m, uint64_t key)
{
	struct probe p = by_number(key);
	struct slot *s = find(m, &p);
	return s != NULL ? s->value : NULL;
}

int map_set_u64(struct map *m, uint64_t key, void *value)
{
	assert(value != NULL && !m->is_text);
	struct probe p = by_number(key);
	return set(m, &p, value);
}

void *map_remove_u64(struct map *m, uint64_t key)
{
	struct probe p = by_number(key);
	return take(m, &p);
}

void *map_next(const struct map *m, size_t *cursor)
{
	while (*cursor < m->cap) {
		const struct slot *s = &m->slots[(*cursor)++];
		if (is_live(s))
			return s->value;
	}
	return NULL;
}
