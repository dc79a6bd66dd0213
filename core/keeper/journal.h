#ifndef DSS_KEEPER_JOURNAL_H
#define DSS_KEEPER_JOURNAL_H
#include <stdint.h>
#include "keeper/wire.h"
/*
 * journal: what happened, numbered from 1 in this keeper's life, kept until a backend has acknowledged it. While no backend
 * listens the events of one process fold, so that the journal never outgrows the process table.
 */
struct journal;

struct journal *journal_new(void);
void journal_free(struct journal **j);

/* One event: begin, put more fields into the returned buffer with wire_int/wire_text, end. Returns the event's number, 0: no
 * memory (then nothing was recorded and an error was logged). Sets seq, id, what, wall_ms, mono_ms itself. */
struct buf *journal_begin(struct journal *j, const char *id, const char *what);
uint64_t journal_end(struct journal *j);

/* From now on events go to this link (borrowed), beginning with all that is not acknowledged. NULL: nobody listens. */
void journal_attach(struct journal *j, struct wire_link *link);
/* The same link after an exec in place: what was sent up to `sent` is not sent again. */
void journal_resume(struct journal *j, struct wire_link *link, uint64_t sent);
uint64_t journal_sent(const struct journal *j);
/* Sends what could not be sent before; called each turn. */
void journal_pump(struct journal *j);
/* Forgets all up to seq. */
void journal_ack(struct journal *j, uint64_t seq);
uint64_t journal_acked(const struct journal *j);
uint64_t journal_last(const struct journal *j);

/* For an exec in place: all frames in a row, and back. */
int journal_save(const struct journal *j, struct buf *out);
int journal_load(struct journal *j, uint64_t last, uint64_t acked, const void *frames, size_t len, struct err *err);

#endif
