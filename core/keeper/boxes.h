#ifndef DSS_KEEPER_BOXES_H
#define DSS_KEEPER_BOXES_H
#include <stdbool.h>
#include <stddef.h>
#include "base/list.h"
#include "base/map.h"
/*
 * boxes: which processes live in which box, as a tree: what an order asks of a box is answered by its own depth and by who lives below it, never by
 * a walk over all processes. An entry is there from proc_enlist until its box is gone, or it is forgotten.
 */
struct box;
struct proc;

struct boxes {
	struct map *by_path; /* "run/jobs/SALES" → struct box: those in which, or below which, somebody lives */
};

int boxes_init(struct boxes *b);                   /* -1: no memory */
void boxes_fini(struct boxes *b);                  /* everybody has left */
int boxes_enter(struct boxes *b, struct proc *p);  /* by p->desc.box; -1: no memory, it is in none */
void boxes_leave(struct boxes *b, struct proc *p); /* also where it is in none */

/* Lives somebody in it, or below? */
bool boxes_has(const struct boxes *b, const char *path);
/* Somebody whose box holds this one, or lies in it; NULL: nobody. Who lives in that very box is none. */
const struct proc *boxes_crossing(const struct boxes *b, const char *path);
/* Who lives in it, or below, until fn says no: false then. fn lets nobody in or out. */
bool boxes_each(const struct boxes *b, const char *path, bool (*fn)(void *data, struct proc *p), void *data);
/* The same for those below alone. */
bool boxes_each_below(const struct boxes *b, const char *path, bool (*fn)(void *data, struct proc *p), void *data);
/* The same for those in it alone. */
bool boxes_each_in(const struct boxes *b, const char *path, bool (*fn)(void *data, struct proc *p), void *data);

#endif
