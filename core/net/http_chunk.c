#include "net/http_chunk.h"

#include <stdbool.h>
#include "base/text.h"

/* 15 hexadecimal digits stay below 2^60: no overflow, whatever comes. */
static const int DIGITS_MAX = 15;

enum state { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER_START, TRAILER, TRAILER_LF, LAST_LF };

void http_chunk_init(struct http_chunk *c)
{
	*c = (struct http_chunk){ .state = SIZE };
}

static bool is_text(char c)
{
	return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

/* One byte of the size line; the reason it is wrong, or NULL. */
static const char *take_size(struct http_chunk *c, char ch)
{
	int value = text_hex_digit(ch);
	if (value >= 0) {
		if (++c->digits > DIGITS_MAX)
			return "a chunk's size has too many digits";
		c->left = c->left << 4 | (uint64_t)value;
		return NULL;
	}
	if (c->digits == 0 || (ch != ';' && ch != '\r'))
		return "a chunk's size is not a hexadecimal number";
	c->state = ch == ';' ? EXTENSION : SIZE_LF;
	return NULL;
}

/* One byte of text up to a CR: an extension or a trailer. */
static const char *take_extra(struct http_chunk *c, char ch, enum state after)
{
	if (ch == '\r') {
		c->state = after;
		return NULL;
	}
	if (++c->extra > HTTP_CHUNK_EXTRA_MAX)
		return "chunk extensions and trailers are too long";
	return is_text(ch) ? NULL : "a control character in a chunk extension or trailer";
}

/* One byte outside of data. */
static const char *take(struct http_chunk *c, char ch)
{
	switch ((enum state)c->state) {
	case SIZE:
		return take_size(c, ch);
	case EXTENSION:
		return take_extra(c, ch, SIZE_LF);
	case SIZE_LF:
		c->state = c->left == 0 ? TRAILER_START : DATA;
		c->digits = 0;
		break;
	case DATA_CR:
		c->state = DATA_LF;
		return ch == '\r' ? NULL : "a chunk is longer than its size says";
	case DATA_LF:
		c->state = SIZE;
		break;
	case TRAILER_START:
		c->state = TRAILER;
		if (ch == '\r')
			c->state = LAST_LF;
		else
			return take_extra(c, ch, TRAILER_LF);
		return NULL;
	case TRAILER:
		return take_extra(c, ch, TRAILER_LF);
	case TRAILER_LF:
		c->state = TRAILER_START;
		break;
	case LAST_LF:
	case DATA:
		break;
	}
	return ch == '\n' ? NULL : "a CR without LF between chunks";
}

enum http_chunk_step http_chunk_feed(struct http_chunk *c, const char *data, size_t len, size_t *used, struct buf *body,
				     const char **why)
{
	for (*used = 0; *used < len;) {
		if (c->state == DATA) {
			size_t n = len - *used < c->left ? len - *used : (size_t)c->left;
			if (buf_put(body, data + *used, n) < 0)
				return HTTP_CHUNK_FULL;
			*used += n;
			c->left -= n;
			if (c->left == 0)
				c->state = DATA_CR;
			continue;
		}
		bool is_last = c->state == LAST_LF;
		*why = take(c, data[(*used)++]);
		if (*why != NULL)
			return HTTP_CHUNK_BAD;
		if (is_last)
			return HTTP_CHUNK_DONE;
		/* Known to be too large before its bytes come. */
		if (c->state == DATA && c->left > body->max - body->len)
			return HTTP_CHUNK_FULL;
	}
	return HTTP_CHUNK_MORE;
}
