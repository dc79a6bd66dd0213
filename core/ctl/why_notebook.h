#ifndef DSS_CTL_WHY_NOTEBOOK_H
#define DSS_CTL_WHY_NOTEBOOK_H
#include <stdbool.h>
#include <jansson.h>
#include "ctl/rest.h"
/* why_notebook: how kernels of a notebook ended, and the sessions that decisions about them know: also of one that is closed, gone or renamed. */

/* A path, or an id that sessions, kernels and their processes could have. */
bool why_notebook_is_word(const char *word);
/* Newest first, as GET /api/notebooks/ends has them. Owned; an empty array where nothing is known, or nobody could be asked, which was told. */
json_t *why_notebook_ends(struct rest *rest, const char *word);
/* For programs: the ends, each with "kind": "end", and behind them the decisions. Owned; NULL: no memory. */
json_t *why_notebook_rows(const json_t *ends, const json_t *decisions);
/* For people, of a session that there is now and of which nothing is recorded yet: since when. */
void why_notebook_print_young(const json_t *session);
/* For people who misspelled it: the nearest of the open ones; else, where the word can be no other's name, how notebooks are named. */
void why_notebook_hint(const json_t *open, const char *word, bool is_notebook);
/* For people: the newest of them. is_open: there is a session of it now. */
void why_notebook_print(const json_t *ends, bool is_open);
/* The i-th other session or kernel that decisions can be about; "": there is none. Borrowed. */
const char *why_notebook_subject(const json_t *ends, size_t i);
/* Its notebook; "": none of them. Borrowed. */
const char *why_notebook_path(const json_t *ends, const char *subject);

#endif
