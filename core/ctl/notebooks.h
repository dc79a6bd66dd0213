#ifndef DSS_CTL_NOTEBOOKS_H
#define DSS_CTL_NOTEBOOKS_H
#include <stddef.h>
#include "ctl/ctl.h"
/* notebooks: sessions of notebooks: listed, unloaded, interrupted, kept; and memory given back by the cheapest idle ones. */
int notebooks_command(struct ctl *ctl, int argc, char **argv);
int unload_command(struct ctl *ctl, int argc, char **argv);
int keep_command(struct ctl *ctl, int argc, char **argv);
int free_command(struct ctl *ctl, int argc, char **argv); /* ctl/free.c */

/* That word names no task: says so where it names a session, its kernel, process or notebook, and what ends that. false: it names none. */
struct rest;
bool notebooks_hint(struct rest *rest, const char *word);

/* The id of the session that the word names now: by its own beginning, its kernel's, its process or the notebook's path. false: none. */
bool notebooks_session(struct rest *rest, const char *word, char *out, size_t room);

/* For both files: of a session, one request; prints nothing. path: what follows /api/notebooks/SESSION. */
int notebooks_order(struct rest *rest, const char *method, const char *session, const char *path, const char *body);

#endif
