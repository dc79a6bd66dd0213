#ifndef DSS_FLEET_GUEST_INNER_H
#define DSS_FLEET_GUEST_INNER_H
#include "base/list.h"
#include "base/map.h"
#include "fleet/fleet_inner.h"
#include "fleet/guest.h"
/* guest_inner: what guest.c (who there is), guest_line.c (who waits, and who comes next) and the fleet's turns share. Nobody else includes it. */
#define GUEST_WHY     768
#define GUEST_KEEP_MS 60000 /* one that waits for memory so long has its room kept */

enum guest_state { GUEST_WAITING, GUEST_PLACED, GUEST_REFUSED };
enum guest_block { GUEST_BLOCK_NONE, GUEST_BLOCK_NEW, GUEST_BLOCK_HOLD, GUEST_BLOCK_SLOTS, GUEST_BLOCK_MEMORY };

enum { GUEST_KINDS = 4 }; /* recipe, webapp, notebook, others */

struct guest {
	struct list link;    /* guests.waiting or .placed, or none */
	struct list in_news; /* its fn is to be told */
	struct guests *in;
	json_t *copy; /* owned: what facts and holds borrow */
	struct guest_facts facts;
	const json_t *holds;
	struct slot_ticket *ticket; /* owned; NULL = falls under no rule */
	struct usage_user *user;    /* who it counts for; NULL = nobody */
	enum guest_state state;
	enum guest_block block, told_block;
	size_t kind;
	int position;     /* where guests.is_numbered */
	int64_t bytes;    /* what it counts */
	int64_t since_ms; /* wall: asked, then placed */
	int64_t asked_mono_ms, placed_mono_ms;
	uint64_t number;  /* in the order of asking */
	bool is_unplaced; /* the policy was not asked of it yet */
	double rank;      /* of its user, for one look */
	char why[GUEST_WHY];
	guest_fn *fn;
	void *data;
};

struct guests {
	struct fleet *fleet;
	struct list waiting; /* in the order of the last look */
	struct list placed, news;
	struct map *holders; /* name → struct guest */
	struct map *by_id;   /* see guests_find */
	uint64_t count, version;
	int64_t looked_mono_ms;
	int64_t held_bytes;                /* by the last look, for who waits for memory */
	int64_t placed_bytes[GUEST_KINDS]; /* the sum of what those with a place count */
	bool is_numbered;                  /* positions hold: for one list of all of them */
	bool is_short;                     /* somebody waits for memory */
	bool is_dirty;
};

/* --- guest.c --- */
void guest_count(struct guest *g);                       /* it is at work from now on */
const struct guest *guest_holder(const struct guest *g); /* who has one of the names that it wants alone; NULL: nobody */
const char *guest_title(const struct guest *g, char *out, size_t room); /* recipe "clean" */

/* --- guest_line.c --- */
void guest_place(struct guest *g);              /* asks the policy */
void guests_place_again(struct guests *guests); /* the rules are others; all old tickets are void */
/* A part of each round of the budget: who comes next. *next: when to look again. */
void guests_look(struct guests *guests, int64_t now, int64_t *next);
void guests_tell(struct guests *guests); /* those whose wait is over */
int guest_position(const struct guest *g);
/* Gives each that waits its position in one walk; they hold until guests->is_numbered is taken back. */
void guests_number(struct guests *guests);

#endif
