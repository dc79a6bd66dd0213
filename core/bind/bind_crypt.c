/* bind.crypt: sha256(text) → 32 bytes; is_same(a, b): takes the same time whatever the bytes are; base64(text) → bytes | nil. */
#include <string.h>
#include <openssl/evp.h>
#include <lauxlib.h>
#include "base/text.h"
#include "bind/arg.h"
#include "bind/toc.h"

#define BASE64_MAX 4096

static int sha256(lua_State *L)
{
	size_t n;
	unsigned char out[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	const char *text = arg_text(L, 1, &n);
	if (!EVP_Digest(text, n, out, &len, EVP_sha256(), NULL))
		return luaL_error(L, "unable to compute SHA-256");
	lua_pushlstring(L, (const char *)out, len);
	return 1;
}

static int is_same(lua_State *L)
{
	size_t na, nb;
	const char *a = arg_text(L, 1, &na), *b = arg_text(L, 2, &nb);
	lua_pushboolean(L, na == nb && text_is_same_secret(a, b, na));
	return 1;
}

static int base64(lua_State *L)
{
	size_t n;
	unsigned char out[BASE64_MAX];
	const char *text = arg_text(L, 1, &n);
	if (n == 0 || n % 4 || n > BASE64_MAX)
		return 0;
	int len = EVP_DecodeBlock(out, (const unsigned char *)text, (int)n);
	if (len < 0)
		return 0;
	for (size_t i = n; i > n - 2 && text[i - 1] == '='; i--)
		len--;
	lua_pushlstring(L, (const char *)out, (size_t)len);
	return 1;
}

int bind_crypt_open(lua_State *L)
{
	static const luaL_Reg words[] = { { "sha256", sha256 }, { "is_same", is_same }, { "base64", base64 }, { NULL, NULL } };
	luaL_newlib(L, words);
	return 1;
}
