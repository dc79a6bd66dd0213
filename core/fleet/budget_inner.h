#ifndef DSS_FLEET_BUDGET_INNER_H
#define DSS_FLEET_BUDGET_INNER_H
#include "fleet/budget.h"
/* budget_inner: what budget.c (who may start) and budget_words.c (what is said of it) share. Nobody else includes it. */

int64_t budget_times(int64_t n, int64_t bytes);                              /* never runs over */
int64_t budget_size_for(const struct future *f);                             /* what a kernel for it counts */
void budget_print_part(int64_t part, int64_t whole, char *out, size_t room); /* "28.5 of 30.0 GB" */
void budget_print_need(int64_t need, int64_t left, char *out,
		       size_t room); /* "1.0 GB, 1016 MB are left": rounded sums alone read as if it fitted */

#endif
