#ifndef DSS_KEEPER_CRUMB_H
#define DSS_KEEPER_CRUMB_H
#include "base/err.h"
/*
 * crumb: a page that outlives the backend. Each backend gets a descriptor of it (CRUMB_ENV) and writes there what it is about to run;
 * after its death the next one reads it. The keeper only keeps the page: it neither reads nor clears it.
 */
#define CRUMB_ENV   "DSS_CRUMB_FD"
#define CRUMB_BYTES 4096

/* A descriptor, close-on-exec, of a memory file of CRUMB_BYTES zeros that cannot be resized; -1 with the reason. Owned by the caller. */
int crumb_open(struct err *err);

#endif
