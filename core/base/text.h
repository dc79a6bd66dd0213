#ifndef DSS_BASE_TEXT_H
#define DSS_BASE_TEXT_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include "base/err.h"
/*
 * text: strict reading of what people and peers write, and the one way to print it back. No locale, no leading
 * blanks, no trailing bytes, no overflow: what is not exactly a number is an error that quotes the text.
 */

/* "0" .. "9223372036854775807", optional '-'. */
int text_int(const char *s, int64_t least, int64_t most, int64_t *out, struct err *err);

/* "3g" "1.5g" "512m" "64k" "123" (bytes), also "3gb", "3GiB"; 1g = 2^30 bytes. */
int text_size(const char *s, int64_t *bytes, struct err *err);

/* "250ms" "30s" "10min" "12h" "3d" "1w" "1.5h", sums from large to small such as "1h30min"; a bare number is seconds. */
int text_duration(const char *s, int64_t *ms, struct err *err);

/* 0 to 15, either case; -1: no hexadecimal digit. */
int text_hex_digit(char c);

/* The one id grammar: [A-Za-z0-9_][A-Za-z0-9_.:()-]{0,127}, no "..". */
bool text_is_id(const char *s, size_t len);

/* "3.0 GB", "512 MB", "17 B" (1 GB = 2^30 bytes). Returns out. */
const char *text_print_size(int64_t bytes, char *out, size_t room);

/* "250 ms", "2.5 s", "1 h 12 min", "3 d 4 h". Returns out. */
const char *text_print_duration(int64_t ms, char *out, size_t room);

/* Copies with control characters and bytes that are not UTF-8 escaped (\n, \x1b), also marks that turn
 * the direction of text; always NUL-terminated, cut between characters. */
void text_escape(char *out, size_t room, const char *s, size_t len);

/* Takes the same time whatever the bytes are. */
bool text_is_same_secret(const void *a, const void *b, size_t len);

/* The nearest of `words` (NULL-terminated) within two edits and fewer than half of the word, for "did you mean"; NULL:
 * none. */
const char *text_nearest(const char *word, const char *const *words);

#endif
