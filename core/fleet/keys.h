#ifndef DSS_FLEET_KEYS_H
#define DSS_FLEET_KEYS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/list.h"
#include "fleet/store.h"
/*
 * keys: who may use the API, and as whom. A key is 256 random bits, told once; the store and the memory hold its SHA-256 alone. It is so
 * long that nobody can guess it, so nothing stretches it: a look-up is one SHA-256 and one look into a map, and never a store call.
 *
 *     const struct key *k = keys_find(keys, secret, len);      NULL: unknown or revoked
 */
struct keys;

#define KEY_ID_MAX     16
#define KEY_SECRET_MAX 65 /* 64 hex digits and NUL */
#define KEYS_MOST      10000
#define KEY_USED_MS    60000 /* the last use is written that often at most */

struct key {
	struct list link;    /* oldest first */
	char id[KEY_ID_MAX]; /* 12 of a-z0-9; "" = a fixed one, which no list shows */
	char *user, *label;  /* owned; label may be NULL */
	char hash[65];
	bool is_admin;
	int64_t created_ms, revoked_ms, last_used_ms; /* wall; 0 = not */
	int64_t used_saved_ms;
};

/* Loads all keys: before the loop runs. Borrows the store. NULL: err. */
struct keys *keys_new(struct store *store, struct err *err);
/* After the store was closed. */
void keys_free(struct keys **keys);
/* A key that no store holds: config/admin.key. */
int keys_add_fixed(struct keys *keys, const char *user, bool is_admin, const char *secret, size_t len, struct err *err);
/* Borrowed. Notes the use; what that writes is not waited for. */
const struct key *keys_find(struct keys *keys, const char *secret, size_t len);
const struct key *keys_get(const struct keys *keys, const char *id); /* also a revoked one; NULL: unknown */
const struct list *keys_list(const struct keys *keys);               /* struct key.link; also revoked ones */

/* why NULL: it is on disk and in force. */
typedef void keys_done_fn(void *data, const struct key *k, const struct err *why);
/* The secret is put into `secret` and told nowhere else; it works once fn was called. -1: fn is not called. */
int keys_make(struct keys *keys, const char *user, const char *label, bool is_admin, char secret[KEY_SECRET_MAX], keys_done_fn *fn,
	      void *data, struct err *err);
/* Refused from now on; valid again if fn is told that it could not be saved. 1: it was revoked before (fn is not called). */
int keys_revoke(struct keys *keys, const char *id, keys_done_fn *fn, void *data, struct err *err);

#endif
