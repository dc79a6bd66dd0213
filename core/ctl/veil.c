#include "ctl/veil.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WORD_LEAST 6
#define LISTS      4096 /* list_of */
#define LONG_WORD  32
#define VEIL       "****"

/* In lists by their first bytes: each byte of a text is asked about. */
struct word {
	char *text;
	size_t len, next; /* next: its place in the list + 1; 0 = the last */
};

struct veil {
	struct word *words;
	size_t n, room;
	size_t lists[LISTS];
};

struct veil *veil_new(void)
{
	return calloc(1, sizeof(struct veil));
}

void veil_free(struct veil **veil)
{
	for (size_t i = 0; *veil != NULL && i < (*veil)->n; i++)
		free((*veil)->words[i].text);
	if (*veil != NULL)
		free((*veil)->words);
	free(*veil);
	*veil = NULL;
}

/* s: WORD_LEAST bytes at least. */
static size_t list_of(const char *s)
{
	uint32_t first;
	memcpy(&first, s, sizeof(first));
	return (first * 2654435761U) >> 20;
}

static int add_word(struct veil *v, const char *s, size_t n)
{
	if (v->n == v->room) {
		size_t room = v->room > 0 ? 2 * v->room : 64;
		struct word *words = realloc(v->words, room * sizeof(*words));
		if (words == NULL)
			return -1;
		v->words = words;
		v->room = room;
	}
	size_t *list = &v->lists[list_of(s)];
	struct word w = { .text = malloc(n), .len = n, .next = *list };
	if (w.text == NULL)
		return -1;
	memcpy(w.text, s, n);
	v->words[v->n++] = w;
	*list = v->n;
	return 0;
}

int veil_learn(struct veil *v, const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end != NULL ? (size_t)(end - text) - at : len - at, skip = n + 1;
		const char *line = text + at;
		at += skip;
		while (n > 0 && isspace((unsigned char)line[n - 1]))
			n--;
		for (; n > 0 && isspace((unsigned char)*line); n--)
			line++;
		if (n >= WORD_LEAST && strncmp(line, "-----", 5) != 0 && add_word(v, line, n) < 0)
			return -1;
	}
	return 0;
}

/* The length of the longest known secret that begins here, or 0. */
static size_t known_at(const struct veil *v, const char *s, size_t left)
{
	size_t most = 0;
	for (size_t at = left >= WORD_LEAST ? v->lists[list_of(s)] : 0; at > 0; at = v->words[at - 1].next) {
		const struct word *w = &v->words[at - 1];
		if (w->len > most && w->len <= left && memcmp(s, w->text, w->len) == 0)
			most = w->len;
	}
	return most;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '+' || c == '=';
}

static size_t word_at(const char *s, size_t left)
{
	size_t n = 0;
	while (n < left && is_word(s[n]))
		n++;
	return n;
}

static bool has_digit(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (isdigit((unsigned char)s[i]))
			return true;
	return false;
}

static bool has(const char *s, size_t n, const char *part)
{
	size_t len = strlen(part);
	for (size_t i = 0; i + len <= n; i++)
		if (strncasecmp(s + i, part, len) == 0)
			return true;
	return false;
}

/* Is the last part of a name that word? */
static bool is_end(const char *s, size_t n, const char *word)
{
	size_t len = strlen(word);
	return n >= len && strncasecmp(s + n - len, word, len) == 0 &&
	       (n == len || !islower((unsigned char)s[n - len - 1]) || !islower((unsigned char)s[n - len]));
}

/* Does that name say that its value is a secret? */
static bool is_secret_name(const char *s, size_t n)
{
	static const char *const parts[] = { "passw",      "passwd",  "secret", "token",  "apikey",    "api_key",
					     "credential", "private", "ticket", "cookie", "passphrase" };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (has(s, n, parts[i]))
			return true;
	/* "key", "NODE_KEY", "admin.key", "DB_PASS"; not "keys", "keyboard", "monkeys", "bypass" */
	return is_end(s, n, "key") || is_end(s, n, "pass") || is_end(s, n, "_pwd");
}

static bool is_scheme(const char *s, size_t n)
{
	return (n == 6 && strncasecmp(s, "bearer", 6) == 0) || (n == 5 && strncasecmp(s, "basic", 5) == 0);
}

/* Behind an option's name: --password hunter2, and in a list "--password", "hunter2". 0: nothing of the kind. */
static size_t gap_after(const char *s, size_t left)
{
	size_t at = 0, quotes = 0;
	bool has_comma = false;
	while (at < left && (s[at] == '\\' || s[at] == '"' || s[at] == '\''))
		at++;
	quotes = at;
	for (; at < left && (s[at] == ' ' || s[at] == '\t' || s[at] == ',' || (s[at] == '\n' && has_comma)); at++)
		has_comma |= s[at] == ',';
	return at > quotes ? at : 0;
}

/* Behind any other: one of = : after quotes and blanks. 0: there is none. */
static size_t sign_after(const char *s, size_t left)
{
	size_t at = 0, sign = 0;
	while (at < left && s[at] != '\0' && strchr("\\\"'] \t", s[at]) != NULL)
		at++;
	sign = at;
	if (at < left && (s[at] == '=' || s[at] == ':'))
		while (at < left && s[at] != '\0' && strchr("=: \t", s[at]) != NULL)
			at++;
	return at > sign ? at : 0;
}

static size_t backslashes_at(const char *s, size_t left)
{
	size_t n = 0;
	while (n < left && s[n] == '\\')
		n++;
	return n;
}

/* How long a text in quotes is. depth: as many backslashes stand before its quotes, in JSON within JSON. */
static size_t quoted_at(const char *s, size_t left, char quote, size_t depth)
{
	size_t n = 0;
	while (n < left && s[n] != '\n' && s[n] != quote) {
		size_t m = backslashes_at(s + n, left - n);
		if (m > 0 && m == depth && n + m < left && s[n + m] == quote)
			break;
		/* what an odd number of them stands before is part of the text */
		n += m == 0 ? 1 : depth == 0 && m % 2 == 0 ? m : m + 1;
	}
	return n < left ? n : left;
}

/* The value behind a name: from where, and how long it is. 0: there is none. */
static size_t value_after(const char *s, size_t left, bool is_option, size_t *from)
{
	size_t at = sign_after(s, left), n = 0;
	if (at == 0 && is_option)
		at = gap_after(s, left);
	if (at == 0)
		return 0;
	size_t depth = backslashes_at(s + at, left - at);
	at += depth;
	*from = at;
	if (at < left && (s[at] == '"' || s[at] == '\'')) {
		*from = at + 1;
		return quoted_at(s + at + 1, left - at - 1, s[at], depth);
	}
	while (at + n < left && strchr(" \t\n,;}&", s[at + n]) == NULL)
		n++;
	return n;
}

/* Puts the first word of s and what belongs to it; how many bytes that were. */
static size_t put_word(const char *s, size_t n, size_t left, struct buf *out)
{
	size_t from = 0, value = 0;
	const char *sign = memchr(s, '=', n);
	/* TOKEN=… is one word here */
	if (sign != NULL && sign > s && is_secret_name(s, (size_t)(sign - s)))
		n = (size_t)(sign - s);
	if (is_secret_name(s, n)) {
		value = value_after(s + n, left - n, s[0] == '-', &from);
	} else if (is_scheme(s, n)) {
		for (from = 0; from < left - n && s[n + from] == ' '; from++)
			;
		while (from > 0 && n + from + value < left && strchr(" \t\r\n\"'", s[n + from + value]) == NULL)
			value++;
	} else if (n >= LONG_WORD && has_digit(s, n)) {
		buf_puts(out, VEIL);
		return n;
	}
	buf_put(out, s, n);
	if (value == 0)
		return n;
	buf_put(out, s + n, from);
	buf_puts(out, VEIL);
	return n + from + value;
}

/* USER:PASSWORD@ behind :// ; its length with the @, or 0. */
static size_t userinfo_at(const char *s, size_t left)
{
	for (size_t n = 0; n < left && n < 300; n++) {
		if (s[n] == '@')
			return n + 1;
		if (isspace((unsigned char)s[n]) || strchr("/\"'<>", s[n]) != NULL)
			return 0;
	}
	return 0;
}

void veil_put(const struct veil *v, const char *text, size_t len, struct buf *out)
{
	for (size_t at = 0; at < len;) {
		const char *s = text + at;
		size_t left = len - at, n = known_at(v, s, left);
		if (n > 0) {
			buf_puts(out, VEIL);
			at += n;
		} else if (left > 3 && memcmp(s, "://", 3) == 0) {
			buf_put(out, s, 3);
			at += 3;
			if ((n = userinfo_at(text + at, len - at)) > 0)
				buf_puts(out, VEIL "@");
			at += n;
		} else if ((at == 0 || !is_word(text[at - 1])) && (n = word_at(s, left)) > 0) {
			/* a known secret may begin within: that is looked at byte by byte */
			size_t plain = 0;
			while (plain < n && known_at(v, s + plain, left - plain) == 0)
				plain++;
			at += plain < n ? (buf_put(out, s, plain), plain) : put_word(s, n, left, out);
		} else {
			buf_putc(out, *s);
			at++;
		}
	}
}
