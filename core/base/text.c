#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "base/utf8.h"

enum { ID_MAX = 128, NEAREST_MAX = 64, FRACTION_DIGITS_MAX = 9 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* --- numbers --- */

/* Digits with an optional fraction, kept exact: (whole * scale + part) / scale. */
struct decimal {
	int64_t whole, part, scale;
};

/* Past the digits, or NULL: no digit, too many, a dot without digits. */
static const char *read_decimal(const char *s, struct decimal *out)
{
	*out = (struct decimal){ .scale = 1 };
	if (!is_digit(*s))
		return NULL;
	for (; is_digit(*s); s++)
		if (__builtin_mul_overflow(out->whole, 10, &out->whole) ||
		    __builtin_add_overflow(out->whole, *s - '0', &out->whole))
			return NULL;
	if (*s != '.')
		return s;
	if (!is_digit(*++s))
		return NULL;
	for (int n = 0; is_digit(*s); s++, n++) {
		if (n == FRACTION_DIGITS_MAX)
			return NULL;
		out->part = out->part * 10 + (*s - '0');
		out->scale *= 10;
	}
	return s;
}

/* Adds d * unit to *sum; false: too large. */
static bool add_scaled(const struct decimal *d, int64_t unit, int64_t *sum)
{
	int64_t whole;
	if (__builtin_mul_overflow(d->whole, unit, &whole))
		return false;
	int64_t part = (int64_t)((__int128)d->part * unit / d->scale);
	return !__builtin_add_overflow(*sum, whole, sum) && !__builtin_add_overflow(*sum, part, sum);
}

/* Quotes what was given, short and harmless, in every error. */
static int refuse(struct err *err, const char *what, const char *s, const char *why)
{
	char shown[80];
	text_escape(shown, sizeof(shown), s, strlen(s));
	return err_set(err, "unable to read %s \"%s\": %s", what, shown, why);
}

int text_hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int text_int(const char *s, int64_t least, int64_t most, int64_t *out, struct err *err)
{
	bool is_negative = s[0] == '-';
	const char *p = s + is_negative;
	if (!is_digit(*p))
		return refuse(err, "number", s, "not a whole number");
	int64_t n = 0;
	for (; is_digit(*p); p++) {
		int digit = is_negative ? -(*p - '0') : *p - '0';
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n))
			return refuse(err, "number", s, "too large");
	}
	if (*p != '\0')
		return refuse(err, "number", s, "not a whole number");
	if (n < least || n > most) {
		char why[80];
		snprintf(why, sizeof(why), "not in %lld to %lld", (long long)least, (long long)most);
		return refuse(err, "number", s, why);
	}
	*out = n;
	return 0;
}

/* 2^(10 * power), or 0 for an unknown unit. */
static int64_t size_unit(const char *s)
{
	static const char letters[] = "kmgtp";
	int c = tolower((unsigned char)s[0]);
	if (c == '\0' || (c == 'b' && s[1] == '\0'))
		return 1;
	const char *at = strchr(letters, c);
	if (at == NULL)
		return 0;
	const char *tail = s + 1;
	if (*tail == 'i' && tolower((unsigned char)tail[1]) == 'b')
		tail++;
	if (tolower((unsigned char)*tail) == 'b')
		tail++;
	return *tail == '\0' ? (int64_t)1 << (10 * (at - letters + 1)) : 0;
}

int text_size(const char *s, int64_t *bytes, struct err *err)
{
	struct decimal d;
	const char *unit_at = read_decimal(s, &d);
	int64_t unit = unit_at != NULL ? size_unit(unit_at) : 0;
	if (unit == 0)
		return refuse(err, "size", s, "write it like 512m, 1.5g or 4096 (bytes)");
	if (unit == 1 && d.scale != 1)
		return refuse(err, "size", s, "no fractions of a byte");
	int64_t sum = 0;
	if (!add_scaled(&d, unit, &sum))
		return refuse(err, "size", s, "too large");
	*bytes = sum;
	return 0;
}

/* From large to small: a sum names each unit at most once and in this order, which catches slips such as "1h1h". */
static const struct {
	const char *name;
	int64_t ms;
} duration_units[] = {
	{ "w", 7 * 86400000LL }, { "d", 86400000 }, { "h", 3600000 }, { "min", 60000 }, { "s", 1000 }, { "ms", 1 },
};
enum { DURATION_UNITS = sizeof(duration_units) / sizeof(duration_units[0]) };

static int find_duration_unit(const char *s, size_t len)
{
	for (int i = 0; i < DURATION_UNITS; i++)
		if (strlen(duration_units[i].name) == len && memcmp(duration_units[i].name, s, len) == 0)
			return i;
	return -1;
}

int text_duration(const char *s, int64_t *ms, struct err *err)
{
	static const char grammar[] = "write it like 250ms, 30s, 10min, 12h, 3d, 1w or 1h30min";
	int64_t sum = 0;
	int last = -1;
	const char *p = s;
	do {
		struct decimal d;
		p = read_decimal(p, &d);
		if (p == NULL)
			return refuse(err, "duration", s, grammar);
		size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyz");
		bool is_bare = *p == '\0' && last < 0;
		int unit = is_bare ? find_duration_unit("s", 1) : find_duration_unit(p, len);
		if (unit <= last)
			return refuse(err, "duration", s, grammar);
		if (!add_scaled(&d, duration_units[unit].ms, &sum))
			return refuse(err, "duration", s, "too large");
		last = unit;
		p += len;
	} while (*p != '\0');
	*ms = sum;
	return 0;
}

bool text_is_id(const char *s, size_t len)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
	static const char more[] = ".:()-";
	if (len == 0 || len > ID_MAX || s[0] == '\0' || strchr(first, s[0]) == NULL)
		return false;
	for (size_t i = 1; i < len; i++) {
		if (s[i] == '\0' || (strchr(first, s[i]) == NULL && strchr(more, s[i]) == NULL))
			return false;
		if (s[i] == '.' && s[i - 1] == '.')
			return false;
	}
	return true;
}

/* --- printing --- */

const char *text_print_size(int64_t bytes, char *out, size_t room)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB", "PB", "EB" };
	enum { UNITS = sizeof(units) / sizeof(units[0]), FROM_GB = 3 };
	double n = (double)bytes;
	int sign = n < 0 ? -1 : 1;
	int unit = 0;
	n *= sign;
	/* 1023.6 MB would print as 1024 MB: go up one unit early. */
	while (n >= (unit == 0 ? 1024 : 1023.5) && unit < UNITS - 1) {
		n /= 1024;
		unit++;
	}
	bool with_tenths = unit > 0 && (unit >= FROM_GB || n < 9.95);
	snprintf(out, room, "%.*f %s", with_tenths ? 1 : 0, n * sign, units[unit]);
	return out;
}

const char *text_print_duration(int64_t ms, char *out, size_t room)
{
	static const struct {
		const char *large, *small;
		int64_t large_s, small_s;
	} forms[] = { { "d", "h", 86400, 3600 }, { "h", "min", 3600, 60 }, { "min", "s", 60, 1 } };
	const char *sign = ms < 0 ? "-" : "";
	uint64_t n = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
	if (n < 1000) {
		snprintf(out, room, "%s%d ms", sign, (int)n);
		return out;
	}
	if (n < 60000) {
		int tenths = (int)(n / 100);
		if (tenths % 10 == 0)
			snprintf(out, room, "%s%d s", sign, tenths / 10);
		else
			snprintf(out, room, "%s%d.%d s", sign, tenths / 10, tenths % 10);
		return out;
	}
	int64_t s = (int64_t)(n / 1000);
	size_t i = 0;
	while (s < forms[i].large_s)
		i++;
	long long large = s / forms[i].large_s, small = s % forms[i].large_s / forms[i].small_s;
	if (small == 0)
		snprintf(out, room, "%s%lld %s", sign, large, forms[i].large);
	else
		snprintf(out, room, "%s%lld %s %lld %s", sign, large, forms[i].large, small, forms[i].small);
	return out;
}

/* --- showing what others wrote --- */

/* The code point of the n bytes of one well-formed character. */
static uint32_t utf8_point(const unsigned char *s, size_t n)
{
	uint32_t c = n == 1 ? s[0] : s[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++)
		c = c << 6 | (s[i] & 0x3f);
	return c;
}

/* Controls (C0, DEL, C1), line and paragraph separators, and marks that turn the direction of what follows. */
static bool is_hidden(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Into piece (room for 16); its length. */
static size_t escape_bytes(char *piece, const unsigned char *s, size_t n)
{
	static const char shorts[] = "\n\r\t", names[] = "nrt";
	const char *at = n == 1 && *s != '\0' ? strchr(shorts, *s) : NULL;
	if (at != NULL) {
		piece[0] = '\\';
		piece[1] = names[at - shorts];
		return 2;
	}
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		char *p = piece + 4 * i;
		p[0] = '\\', p[1] = 'x', p[2] = hex[s[i] >> 4], p[3] = hex[s[i] & 15];
	}
	return 4 * n;
}

void text_escape(char *out, size_t room, const char *s, size_t len)
{
	if (room == 0)
		return;
	const unsigned char *p = (const unsigned char *)s;
	size_t at = 0;
	while (len > 0) {
		char piece[16];
		size_t n = utf8_sequence((const char *)p, len), m;
		if (n > 0 && !is_hidden(utf8_point(p, n))) {
			memcpy(piece, p, n);
			m = n;
		} else {
			n = n > 0 ? n : 1;
			m = escape_bytes(piece, p, n);
		}
		if (m >= room - at)
			break;
		memcpy(out + at, piece, m);
		at += m;
		p += n;
		len -= n;
	}
	out[at] = '\0';
}

bool text_is_same_secret(const void *a, const void *b, size_t len)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char differs = 0;
	for (size_t i = 0; i < len; i++)
		differs |= x[i] ^ y[i];
	return differs == 0;
}

/* --- did you mean --- */

static int least_of(int a, int b)
{
	return a < b ? a : b;
}

/* Edits (insert, delete, change, swap neighbours) from a to b; both shorter than NEAREST_MAX. */
static int edits(const char *a, size_t alen, const char *b, size_t blen)
{
	int rows[3][NEAREST_MAX + 1];
	int *before = rows[0], *above = rows[1], *row = rows[2];
	for (size_t j = 0; j <= blen; j++)
		above[j] = (int)j;
	for (size_t i = 1; i <= alen; i++) {
		row[0] = (int)i;
		for (size_t j = 1; j <= blen; j++) {
			row[j] = least_of(above[j], row[j - 1]) + 1;
			row[j] = least_of(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least_of(row[j], before[j - 2] + 1);
		}
		int *spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[blen];
}

const char *text_nearest(const char *word, const char *const *words)
{
	size_t len = strlen(word);
	if (len > NEAREST_MAX)
		return NULL;
	const char *best = NULL;
	int best_edits = 3;
	for (; *words != NULL; words++) {
		size_t n = strlen(*words);
		if (n > NEAREST_MAX)
			continue;
		int e = edits(word, len, *words, n);
		if (e < best_edits && (size_t)e * 2 < len) {
			best = *words;
			best_edits = e;
		}
	}
	return best;
}
