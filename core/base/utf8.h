#ifndef DSS_BASE_UTF8_H
#define DSS_BASE_UTF8_H
#include <stddef.h>
#include <stdbool.h>
/* utf8: what may stand in JSON. Overlong forms, surrogates, and anything over U+10FFFF are not UTF-8. */

/* Bytes (1 to 4) of the sequence at the start of s; 0: none is there. len > 0. */
size_t utf8_sequence(const char *s, size_t len);
bool utf8_is_valid(const char *s, size_t len);

#endif
