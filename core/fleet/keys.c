#include "fleet/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "fleet/store_sql.h"
#include "net/digest.h"
#include "sys/clock.h"

#define SECRET_BYTES 32
#define ID_DIGITS    12

struct keys {
	struct store *store;
	struct map *by_hash, *by_id; /* by_hash: those in force */
	struct list list;
	size_t count;
};

static void key_free(struct key *k)
{
	list_remove(&k->link);
	free(k->user);
	free(k->label);
	free(k);
}

static struct key *key_new(const char *user, const char *label, bool is_admin)
{
	struct key *k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	list_init(&k->link);
	k->user = strdup(user);
	k->label = label && *label ? strdup(label) : NULL;
	k->is_admin = is_admin;
	if (!k->user || (label && *label && !k->label)) {
		key_free(k);
		return NULL;
	}
	return k;
}

/* The list owns it from here on. */
static int enlist(struct keys *keys, struct key *k)
{
	if (map_set(keys->by_id, k->id, k) < 0 || (!k->revoked_ms && map_set(keys->by_hash, k->hash, k) < 0)) {
		map_remove(keys->by_id, k->id);
		return -1;
	}
	list_push(&keys->list, &k->link);
	keys->count++;
	return 0;
}

/* --- loading --- */

struct loading {
	struct keys *keys;
	bool has_failed;
};

static void load_one(void *data, const struct store_key *row)
{
	struct loading *l = data;
	struct key *k = key_new(row->user, row->label, row->is_admin);
	if (k) {
		snprintf(k->id, sizeof(k->id), "%s", row->id);
		snprintf(k->hash, sizeof(k->hash), "%s", row->hash);
		k->created_ms = row->created_ms;
		k->revoked_ms = row->revoked_ms;
		k->last_used_ms = k->used_saved_ms = row->last_used_ms;
	}
	if (!k || enlist(l->keys, k) < 0) {
		l->has_failed = true;
		if (k)
			key_free(k);
	}
}

static int load_all(void *data, struct store_sql *sql, struct err *err)
{
	return store_sql_each_key(sql, load_one, data, err);
}

struct keys *keys_new(struct store *store, struct err *err)
{
	struct keys *keys = calloc(1, sizeof(*keys));
	if (!keys) {
		err_set(err, "unable to load the keys: no memory");
		return NULL;
	}
	struct loading loading = { keys, false };
	list_init(&keys->list);
	keys->store = store;
	keys->by_hash = map_new();
	keys->by_id = map_new();
	if (!keys->by_hash || !keys->by_id || store_run_now(store, load_all, &loading, err) < 0 || loading.has_failed) {
		if (!err || !err->text[0])
			err_set(err, "unable to load the keys: no memory");
		keys_free(&keys);
	}
	return keys;
}

void keys_free(struct keys **kp)
{
	struct keys *keys = *kp;
	if (!keys)
		return;
	list_each (&keys->list, l)
		key_free(list_of(l, struct key, link));
	map_free(&keys->by_hash);
	map_free(&keys->by_id);
	free(keys);
	*kp = NULL;
}

int keys_add_fixed(struct keys *keys, const char *user, bool is_admin, const char *secret, size_t len, struct err *err)
{
	struct key *k = key_new(user, NULL, is_admin);
	if (k)
		digest_sha256_hex(secret, len, k->hash);
	if (!k || map_set(keys->by_hash, k->hash, k) < 0) {
		if (k)
			key_free(k);
		return err_set(err, "unable to take a key: no memory");
	}
	list_push(&keys->list, &k->link);
	return 0;
}

/* --- writes --- */

struct job {
	struct store_job base;
	struct keys *keys;
	struct key *key; /* owned until it is on disk, where is_new */
	bool is_new;
	int64_t revoked_ms, last_used_ms; /* the loop may change the key's meanwhile */
	keys_done_fn *fn;
	void *data;
};

static int run_job(struct store_job *base, struct store_sql *sql, struct err *err)
{
	const struct job *j = (const struct job *)base;
	const struct key *k = j->key;
	struct store_key row = { k->id, k->user, k->label, k->hash, k->is_admin, k->created_ms, j->revoked_ms, j->last_used_ms };
	return store_sql_put_key(sql, &row, err);
}

static void tell_job(struct store_job *base, const struct store_answer *answer)
{
	struct job *j = (struct job *)base;
	struct err err = { 0 };
	const struct err *why = answer->outcome == STORE_OK ? NULL : &answer->err;
	if (j->is_new && !why) {
		if (enlist(j->keys, j->key) < 0) {
			err_set(&err, "unable to keep the key in memory; it works after the backend's next start");
			why = &err;
		} else {
			j->is_new = false;
		}
	} else if (j->revoked_ms && why) {
		j->key->revoked_ms = 0;
		if (map_set(j->keys->by_hash, j->key->hash, j->key) < 0)
			log_error("no memory: key %s is refused until the backend starts anew", j->key->id);
	}
	if (j->fn)
		j->fn(j->data, j->key, why);
	else if (why)
		log_warn("unable to note the use of key %s: %s", j->key->id, why->text);
}

static void release_job(struct store_job *base)
{
	struct job *j = (struct job *)base;
	if (j->is_new)
		key_free(j->key);
	free(j);
}

static int save(struct keys *keys, struct key *k, bool is_new, keys_done_fn *fn, void *data, struct err *err)
{
	struct job *j = malloc(sizeof(*j));
	if (!j) {
		if (is_new)
			key_free(k);
		return err_set(err, "unable to save key %s: no memory", k->id);
	}
	*j = (struct job){ { run_job, tell_job, release_job }, keys, k, is_new, k->revoked_ms, k->last_used_ms, fn, data };
	return store_write_job(keys->store, &j->base) < 0 ? err_set(err, "the store takes nothing now") : 0;
}

static int make_id(char out[KEY_ID_MAX], struct err *err)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char random[ID_DIGITS];
	if (digest_random(random, sizeof(random), err) < 0)
		return -1;
	for (size_t i = 0; i < ID_DIGITS; i++)
		out[i] = digits[random[i] & 31];
	out[ID_DIGITS] = 0;
	return 0;
}

int keys_make(struct keys *keys, const char *user, const char *label, bool is_admin, char secret[KEY_SECRET_MAX], keys_done_fn *fn,
	      void *data, struct err *err)
{
	if (keys->count >= KEYS_MOST)
		return err_set(err, "there are %d keys already", KEYS_MOST);
	struct key *k = key_new(user, label, is_admin);
	if (!k)
		return err_set(err, "unable to make a key: no memory");
	if (make_id(k->id, err) < 0 || digest_random_hex(secret, SECRET_BYTES, err) < 0) {
		key_free(k);
		return -1;
	}
	digest_sha256_hex(secret, strlen(secret), k->hash);
	k->created_ms = clock_wall_ms();
	return save(keys, k, true, fn, data, err);
}

int keys_revoke(struct keys *keys, const char *id, keys_done_fn *fn, void *data, struct err *err)
{
	struct key *k = map_get(keys->by_id, id);
	if (!k)
		return err_set(err, "key %s does not exist", id);
	if (k->revoked_ms)
		return 1;
	map_remove(keys->by_hash, k->hash);
	k->revoked_ms = clock_wall_ms();
	if (save(keys, k, false, fn, data, err) == 0)
		return 0;
	k->revoked_ms = 0;
	map_set(keys->by_hash, k->hash, k);
	return -1;
}

/* --- reads --- */

static void note_use(struct keys *keys, struct key *k)
{
	struct err err = { 0 };
	k->last_used_ms = clock_wall_ms();
	if (!k->id[0] || (k->last_used_ms - k->used_saved_ms < KEY_USED_MS && k->last_used_ms >= k->used_saved_ms))
		return;
	k->used_saved_ms = k->last_used_ms; /* also when it fails: the next try is a minute later */
	if (save(keys, k, false, NULL, NULL, &err) < 0)
		log_warn("%s", err.text);
}

const struct key *keys_find(struct keys *keys, const char *secret, size_t len)
{
	char hash[65];
	digest_sha256_hex(secret, len, hash);
	/* What the time of the look-up tells is about the hash of a guess, which leads nowhere. */
	struct key *k = map_get(keys->by_hash, hash);
	if (!k || !text_is_same_secret(k->hash, hash, sizeof(hash) - 1))
		return NULL;
	note_use(keys, k);
	return k;
}

const struct key *keys_get(const struct keys *keys, const char *id)
{
	return map_get(keys->by_id, id);
}

const struct list *keys_list(const struct keys *keys)
{
	return &keys->list;
}
