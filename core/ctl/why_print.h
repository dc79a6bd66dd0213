#ifndef DSS_CTL_WHY_PRINT_H
#define DSS_CTL_WHY_PRINT_H
#include <stddef.h>
#include <jansson.h>
/* why_print: decisions and ends of tasks as people read them, on standard output. All texts of users are escaped. */

/* A text of a user's as a terminal may have it. Returns out. */
const char *why_escaped(const char *s, char *out, size_t room);
/* A row of GET /api/decisions: when, what, whom, why, by which line. notebook: the path of that which it is about; "": of none. Borrows both. */
void why_print_row(const json_t *row, const char *notebook);
/* How a task ended: the answer about one without a result. Borrowed. */
void why_print_death(const json_t *answer);

#endif
