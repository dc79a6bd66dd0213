#ifndef DSS_CTL_DEMO_H
#define DSS_CTL_DEMO_H
#include "ctl/layout.h"
/* demo: a project with a data set to try an instance with: the same bytes every time. */
int demo_make(const struct layout *l, const char *share, struct err *err);
/* Whether job kernels can be had here: a JDK built them. */
bool demo_has_jobs(const char *share);
/* Lines to try, as a shell takes them. dir, share: absolute. */
void demo_print_next(const char *dir, const char *share);
#endif
