#ifndef DSS_LOGGER_MASK_H
#define DSS_LOGGER_MASK_H
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/err.h"
/*
 * mask: issued secrets become `****` in every log, whoever prints them. One set for all sources: a word is held as long as
 * one source that brought it is there. Words are literal; one that spans lines is masked line by line, for logs are
 * written in lines; so no word holds a newline.
 */

enum { MASK_WORD_MIN = 4, MASK_WORD_MAX = 4096, MASK_WORDS_MAX = 64 };

struct mask;
struct mask_hold; /* what one source added */

struct mask *mask_new(void);
void mask_free(struct mask **mask);

/* Adds words; *hold grows (NULL at first). -1: some were left out (too short, too many, no memory); the others are in. */
int mask_add(struct mask *mask, struct mask_hold **hold, const char *word, struct err *err);
void mask_drop(struct mask *mask, struct mask_hold **hold);

bool mask_is_empty(const struct mask *mask);

/* Puts in[0 … n) masked into out and returns n, the bytes used. Unless is_final, n stops before an end that may be the
 * beginning of a word: the caller gives those bytes again with what follows them. */
size_t mask_apply(struct mask *mask, const char *in, size_t len, bool is_final, struct buf *out);
/* Nothing is to be masked: the bytes used, as mask_apply's, may go out as they stand. */
bool mask_is_clean(struct mask *mask, const char *in, size_t len, bool is_final, size_t *used);

#endif
