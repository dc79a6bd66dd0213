#ifndef DSS_BASE_WORDS_H
#define DSS_BASE_WORDS_H
#include <stddef.h>
#include "base/err.h"
/* words: a NULL-terminated array of owned texts (argv, environments, names). NULL is the empty array. */

#define WORDS_MAX 4096

size_t words_count(char *const *words);
/* Copies s to the end; -1: no memory or WORDS_MAX passed (the array stays as it was). */
int words_add(char ***words, const char *s, struct err *err);
/* Wipes and frees all but the first n. */
void words_cut(char **words, size_t n);
/* Wipes and frees all; *words becomes NULL. */
void words_free(char ***words);

#endif
