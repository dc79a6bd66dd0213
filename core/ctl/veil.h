#ifndef DSS_CTL_VEIL_H
#define DSS_CTL_VEIL_H
#include <stddef.h>
#include "base/buf.h"
/*
 * veil: takes secrets out of a text that leaves the machine. What is known to be one, wherever it stands; values whose name says that they are one
 * (password = "…", TOKEN=…, "apiKey": "…"); what follows Bearer and Basic; the user's part of URLs; and whatever looks like one: 32 characters and more of
 * letters and digits in one word, tickets among them. Rather too much than too little: each becomes ****.
 */
struct veil;

struct veil *veil_new(void); /* NULL: no memory */
void veil_free(struct veil **veil);
/* A secret's text, each of its lines of 6 bytes or more. -1: no memory; what was not learned would stand there. */
int veil_learn(struct veil *veil, const char *text, size_t len);
void veil_put(const struct veil *veil, const char *text, size_t len, struct buf *out);

#endif
