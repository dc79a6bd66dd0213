#ifndef DSS_FLEET_GUEST_H
#define DSS_FLEET_GUEST_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "fleet/slots.h"
/*
 * guest: what is at work beside the kernels for a user or a project: a job's activity, a webapp, later a notebook. Each asks for a place before
 * it is started, waits in line for it, has it, leaves. A place is: room at every rule of slots that it falls under, its memory in the node's budget,
 * and the names that it holds alone (a dataset is built by one at a time).
 *
 * Policies see a guest by its facts, once, when it asks. Who waits is served by priority, then who uses least, then who asked first; one that
 * waits for memory does not hold back another that needs less, until it has waited for a minute.
 */
struct fleet;
struct guest;
struct guests;

#define GUEST_LEAST ((int64_t)64 << 20) /* what one without a limit counts, as a kernel does */

struct guest_facts {      /* all borrowed during guest_ask; texts: NULL = not known, "" = none */
	const char *kind; /* recipe | webapp | notebook */
	const char *id;   /* of what is shown of it: a process's id, or of a webapp "PROJECT/NAME" */
	const char *user, *project;
	const char *job, *activity, *recipe, *recipe_type; /* of a recipe; recipe_type: python r shell spark java */
	const char *task;                                  /* of its job */
	const char *webapp;
	const char *notebook, *kernel_spec; /* of a notebook: an id made from its name, which is free text */
	const json_t *tags;                 /* list of texts, of project and recipe; NULL = none */
	const json_t *resources;            /* list of texts: what it uses that is scarce ("licence:sas"); NULL = none */
	int64_t memory_bytes; /* its limit; 0 = has none: counts GUEST_LEAST; -1 = takes none of its own (it runs inside a kernel) */
	int priority;         /* its job's */
};

struct guests *guests_new(struct fleet *fleet); /* NULL: no memory. The fleet has one: fleet_guests */
void guests_free(struct guests **guests);       /* nobody is told; every guest is gone */

/* It has a place from now on, or never will have (why: a limit that is too small for it, with the numbers). Called once, never from within
 * guest_ask; the guest may leave in it. */
typedef void guest_fn(void *data, struct guest *g, const struct err *why);
/* holds: names that it wants alone, "DEMO/revenue"; NULL = none. NULL: no memory. */
struct guest *guest_ask(struct guests *guests, const struct guest_facts *facts, const json_t *holds, guest_fn *fn, void *data);
/* One that is at work already (taken up after a restart): counts at once, whatever the rules say. */
struct guest *guest_adopt(struct guests *guests, const struct guest_facts *facts, const json_t *holds);
/* Gives its place back, or no longer waits for one. NULL inside is fine. */
void guest_leave(struct guest **guest);

bool guest_is_waiting(const struct guest *g); /* false: it has its place, or was refused */
/* Why it waits ("slots \"recipes of a project\" (FILE:LINE): 5 of 5 of project SALES are at work"), and its position, from 1, among those that
 * fall under the same rules. False: it does not wait. */
bool guest_why(const struct guest *g, char *why, size_t room, int *position);

/* NULL: there is none of that kind and id now. */
const struct guest *guests_find(const struct guests *guests, const char *kind, const char *id);
const struct guest_facts *guest_facts(const struct guest *g); /* borrowed while it is there */
int64_t guest_since(const struct guest *g);                   /* wall; it asked, or has its place */

/* What is promised to guests that have a place: their limits. For the budget. kind: recipe, webapp or notebook; NULL: of all. */
int64_t guests_promise(const struct guests *guests, const char *kind);
/* Rules or rooms have changed: looks at all who wait, before the loop waits again. */
void guests_touch(struct guests *guests);
typedef void guests_fn(void *data, const struct guest_facts *facts, bool is_waiting, int64_t since_ms);
void guests_each(const struct guests *guests, guests_fn *fn, void *data); /* who is at work, then the line */
/* [{"kind","id","user","project",…,"state":"waiting"|"placed","reason"?,"position"?,"since"}] */
int guests_json(struct guests *guests, struct buf *out);

/* --- where it is put: words `place` and `box` with `at` --- */
#define GUEST_LEVELS  6
#define GUEST_BOX_MAX 256
struct guest_level {                               /* a box that limits all below it */
	char box[GUEST_BOX_MAX];                   /* "run/users/ann" */
	int64_t memory_bytes, swap_bytes, threads; /* -1 = not said */
	int64_t cpu_milli;                         /* 1000 = one core; -1 = not said */
	char name[104], source[80];                /* of the word that limits its memory, else of the first that limits it */
};
struct guest_boxes {
	char box[GUEST_BOX_MAX];                 /* the level in which its own box is made: "run/jobs/SALES" */
	struct guest_level levels[GUEST_LEVELS]; /* those that are limited, from above; its own box may be the last */
	size_t n;
};
/* The name of its own box: an activity's, a webapp's. */
const char *guest_box_own(const struct guest_facts *facts);
/* Where one belongs that is about to start, and what limits each level, by the policies in force; at ("run/jobs/SALES/J1/clean"): where it is, box
 * is empty then. -1: its names are no boxes; err says which. */
int guest_box_find(struct fleet *fleet, const struct guest_facts *facts, const char *at, struct guest_boxes *out, struct err *err);

#endif
