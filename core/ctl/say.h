#ifndef DSS_CTL_SAY_H
#define DSS_CTL_SAY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/buf.h"
/*
 * say: tables, times and colours for people. Whatever others wrote is escaped; colours appear on a terminal only and never
 * with NO_COLOR.
 */
enum say_tone { SAY_PLAIN, SAY_GOOD, SAY_BAD, SAY_WARN, SAY_DIM };

/* A table whose columns are as wide as their widest cell (the last one is not padded). On a terminal the widest column is cut until a
 * row fits in a line; elsewhere nothing is. */
struct say_table;
struct say_table *say_table_new(const char *const *titles, size_t columns); /* titles borrowed; NULL: no memory */
void say_cell(struct say_table *t, enum say_tone tone, const char *text);   /* the next cell, row by row */
void say_table_print(struct say_table *t, FILE *out);
void say_table_free(struct say_table **t);
/* Rows after the first `most` are not printed; columns: of a line, 0 = no limit. For a screen. */
void say_table_print_within(struct say_table *t, FILE *out, size_t columns, size_t most);

/* One word, coloured on a terminal. Not escaped. */
void say_toned(FILE *out, enum say_tone tone, const char *text);

/* Of the terminal behind out; 0: it is none. */
size_t say_columns(FILE *out, size_t *lines);

bool say_has_colour(FILE *out);
/* "14:02:11", with the date when it is not today; "" for 0. Returns out. */
const char *say_time(int64_t wall_ms, char *out, size_t room);
/* "3 h 12 min" from then until now; "" for 0. */
const char *say_since(int64_t wall_ms, char *out, size_t room);

/* One word of the shell: always in quotes, or only where it needs them. */
void say_put_quoted(struct buf *b, const char *s);
void say_put_word(struct buf *b, const char *s);

#endif
