#ifndef DSS_CTL_REPL_EDIT_H
#define DSS_CTL_REPL_EDIT_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
/*
 * repl_edit: lines that a person types on a terminal, with libedit: a history in ~/.dss_history (0600, the newest 1000 lines), TAB completes.
 * The only file that includes histedit.h.
 */
struct repl_edit;

/* What may stand in the place of bytes *from to cursor of the line: an owned list of texts, or NULL. */
typedef json_t *repl_complete_fn(void *data, const char *line, size_t cursor, size_t *from);

enum repl_read { REPL_LINE, REPL_CLEARED /* Ctrl-C */, REPL_LEFT /* Ctrl-D */ };

/* NULL: no terminal to speak of. */
struct repl_edit *repl_edit_open(bool has_history, repl_complete_fn *fn, void *data);
/* Writes the history. */
void repl_edit_close(struct repl_edit **edit);
/* *line: without its newline, borrowed until the next call. */
enum repl_read repl_edit_read(struct repl_edit *edit, const char *prompt, const char **line);
void repl_edit_remember(struct repl_edit *edit, const char *line);

#endif
