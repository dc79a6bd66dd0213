#ifndef DSS_NET_DIGEST_H
#define DSS_NET_DIGEST_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include "base/err.h"
/* digest: SHA-256, HMAC-SHA256, random bytes, and their hexadecimal text (lower case). */

enum { DIGEST_SIZE = 32, DIGEST_HEX_SIZE = 65 }; /* hex with its NUL */

void digest_sha256(const void *data, size_t len, uint8_t out[DIGEST_SIZE]);
void digest_sha256_hex(const void *data, size_t len, char out[DIGEST_HEX_SIZE]);
void digest_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[DIGEST_SIZE]);
void digest_hmac_sha256_hex(const void *key, size_t key_len, const void *data, size_t len, char out[DIGEST_HEX_SIZE]);

/* Unpredictable bytes from the operating system; waits for its pool at boot only. */
int digest_random(void *out, size_t len, struct err *err);
/* The same as text: 2 * bytes characters and a NUL go into out. */
int digest_random_hex(char *out, size_t bytes, struct err *err);

/* out holds 2 * len + 1. */
void digest_to_hex(const void *data, size_t len, char *out);
/* Exactly 2 * len hexadecimal digits, either case; false otherwise. */
bool digest_from_hex(const char *hex, size_t hex_len, void *out, size_t len);

#endif
