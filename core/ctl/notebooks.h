#ifndef DSS_CTL_NOTEBOOKS_H
#define DSS_CTL_NOTEBOOKS_H
#include <stddef.h>
#include <jansson.h>
#include "ctl/ctl.h"
/* notebooks: sessions of notebooks: listed, unloaded, interrupted, kept; and memory given back by the cheapest idle ones. */
int notebooks_command(struct ctl *ctl, int argc, char **argv);
int unload_command(struct ctl *ctl, int argc, char **argv);
int keep_command(struct ctl *ctl, int argc, char **argv);
int free_command(struct ctl *ctl, int argc, char **argv); /* ctl/free.c */

/* That word names no task: says so where it names a session, its kernel, process or notebook, and what ends that. false: it names none. */
struct rest;
bool notebooks_hint(struct rest *rest, const char *word);

/* All sessions that there are now. Owned; an empty array where nobody could be asked, which was told. */
json_t *notebooks_open(struct rest *rest);
/* The first of them that the word names: by its id's beginning, its kernel's, its process or the notebook's path. Borrowed; NULL: none. */
const json_t *notebooks_find(const json_t *rows, const char *word);

/* For both files: of a session, one request; prints nothing. path: what follows /api/notebooks/SESSION. */
int notebooks_order(struct rest *rest, const char *method, const char *session, const char *path, const char *body);

#endif
