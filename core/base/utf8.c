#include "base/utf8.h"

static size_t length_of(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead < 0xe0)
		return 2;
	if (lead >= 0xe0 && lead < 0xf0)
		return 3;
	return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

size_t utf8_sequence(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n = length_of(p[0]);
	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool is_overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool is_surrogate = p[0] == 0xed && p[1] > 0x9f;
	bool is_past_end = p[0] == 0xf4 && p[1] > 0x8f;
	return is_overlong || is_surrogate || is_past_end ? 0 : n;
}

bool utf8_is_valid(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_sequence(s + i, len - i);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}
