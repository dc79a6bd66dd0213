#include "net/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "base/log.h"
#include "base/text.h"

/* No memory, or a library that has switched the algorithm off. Whoever asked takes the result for a secret or a proof: what
 * happened to stand on the stack must not become one. */
static _Noreturn void give_up(void)
{
	log_error("unable to make a digest: the library refused");
	abort();
}

void digest_sha256(const void *data, size_t len, uint8_t out[DIGEST_SIZE])
{
	static EVP_MD *md; /* looking it up takes longer than the digest of a key */
	if (md == NULL)
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (md == NULL || EVP_Digest(data, len, out, NULL, md, NULL) != 1)
		give_up();
}

void digest_sha256_hex(const void *data, size_t len, char out[DIGEST_HEX_SIZE])
{
	uint8_t raw[DIGEST_SIZE];
	digest_sha256(data, len, raw);
	digest_to_hex(raw, sizeof(raw), out);
}

void digest_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[DIGEST_SIZE])
{
	unsigned int out_len = DIGEST_SIZE;
	if (HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &out_len) == NULL)
		give_up();
}

void digest_hmac_sha256_hex(const void *key, size_t key_len, const void *data, size_t len, char out[DIGEST_HEX_SIZE])
{
	uint8_t raw[DIGEST_SIZE];
	digest_hmac_sha256(key, key_len, data, len, raw);
	digest_to_hex(raw, sizeof(raw), out);
}

int digest_random(void *out, size_t len, struct err *err)
{
	uint8_t *p = out;
	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "unable to get random bytes");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int digest_random_hex(char *out, size_t bytes, struct err *err)
{
	uint8_t raw[64];
	char *p = out;
	out[0] = '\0';
	while (bytes > 0) {
		size_t n = bytes < sizeof(raw) ? bytes : sizeof(raw);
		if (digest_random(raw, n, err) < 0)
			return -1;
		digest_to_hex(raw, n, p);
		p += 2 * n;
		bytes -= n;
	}
	return 0;
}

void digest_to_hex(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;
	for (size_t i = 0; i < len; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

bool digest_from_hex(const char *hex, size_t hex_len, void *out, size_t len)
{
	uint8_t *p = out;
	if (hex_len != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = text_hex_digit(hex[2 * i]), low = text_hex_digit(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		p[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
