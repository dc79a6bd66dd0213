#ifndef DSS_BIND_MATCH_H
#define DSS_BIND_MATCH_H
#include <stdbool.h>
#include <stddef.h>
/*
 * match: Lua's patterns with a count of steps, because a hook cannot interrupt C and a short pattern can run for hours. The
 * syntax and its meaning are those of the Lua 5.4 manual, 6.4.1.
 */
#define MATCH_CAPTURES_MAX 32
#define MATCH_STEPS_MAX    2000000 /* about 20 ms */
#define MATCH_DEPTH_MAX    200

enum { MATCH_POSITION = -2, MATCH_OPEN = -1 };

struct match {
	const char *subject, *subject_end, *pattern_end;
	long steps; /* left; shared by all tries of one call */
	int depth;
	const char *fault; /* NULL, or why the pattern cannot be run */
	int ncaptures;
	struct {
		const char *at;
		ptrdiff_t len;
	} capture[MATCH_CAPTURES_MAX]; /* len: MATCH_POSITION, or bytes */
};

void match_init(struct match *m, const char *subject, size_t len, const char *pattern, size_t pattern_len);
/* Matches the pattern at exactly `at`; the end of the match, or NULL: none, or m->fault. */
const char *match_at(struct match *m, const char *at, const char *pattern);

#endif
