#ifndef DSS_BIND_CRUMB_H
#define DSS_BIND_CRUMB_H
#include <stdbool.h>
/*
 * crumb: what of the user's runs now, written into a page that outlives this process (DSS_CRUMB_FD, kept by the keeper; without it a
 * page of our own). A call costs a copy of a few short texts and two stores, no system call. A backend that dies or hangs inside a
 * policy leaves the crumb, and the next one reads it before it evaluates anything: see quarantine.h.
 *
 * Each thread writes into a place of its own: the loop's is 0, the loaders' follow. Calls nest: a file that is evaluated calls a function.
 * call_run puts back what a raise has left open.
 */
#define CRUMB_THREADS 4
#define CRUMB_DEPTH   3      /* deeper ones are counted, not written */
#define CRUMB_LOAD    "load" /* the word of a file that is being evaluated as a whole */

struct crumb {
	unsigned state;   /* 1: it runs */
	char source[128]; /* "policies/10-pools.lua:12"; of a whole file: "policies/10-pools.lua" */
	char word[48];    /* "warm.min", "recycle", CRUMB_LOAD */
	char name[64];    /* of the pool or rule */
	char hash[65];    /* SHA-256 of the file's text: what was edited is another */
};

/* Maps the page and keeps what the backend before us left there; then clears it. Call once, before any policy runs. */
void crumb_start(void);
/* What ran in that thread when the backend before us ended: the innermost; NULL: nothing. */
const struct crumb *crumb_last(int thread);

void crumb_use(int thread); /* of the calling thread, for its life */
int crumb_thread(void);
/* NULL is "". Texts that are too long are cut. */
void crumb_enter(const char *source, const char *word, const char *name, const char *hash);
void crumb_leave(void);
int crumb_depth(void);
void crumb_back_to(int depth);

#endif
