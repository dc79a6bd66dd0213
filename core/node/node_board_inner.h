#ifndef DSS_NODE_NODE_BOARD_INNER_H
#define DSS_NODE_NODE_BOARD_INNER_H
#include <jansson.h>
#include "base/map.h"
#include "fleet/curve.h"
#include "node/node_board.h"
#include "node/node_inner.h"
/*
 * node_board_inner: what node_board.c (rows, revs, looks), node_board_tell.c (who is told what), node_board_text.c (a row as JSON),
 * node_board_tasks.c (tasks and kernels), node_board_guests.c (all other kinds) and node_board_node.c (the node as a whole) share.
 */
#define BOARD_ID_MAX 512
enum { BOARD_KINDS = 9 };
enum board_kind {
	BOARD_FUTURE,
	BOARD_JOB,
	BOARD_RECIPE,
	BOARD_TRAINING,
	BOARD_WEBAPP,
	BOARD_NOTEBOOK,
	BOARD_MACRO,
	BOARD_KERNEL,
	BOARD_SERVICE
};
extern const char *const board_kinds[BOARD_KINDS];

struct board_numbers { /* -1 = not known */
	int64_t memory_bytes, peak_bytes, share_milli, cpu_ms;
};

struct board_row {
	struct list link;      /* board.rows, by rev; also those that are gone */
	int64_t rev;           /* of its text, or of its going */
	int64_t numbers_rev;   /* of its numbers */
	uint64_t round;        /* of the look that saw it last */
	uint64_t print;        /* of what its text was made of */
	int64_t renew_mono_ms; /* of one that waits far behind: when its place is told again */
	int64_t gone_mono_ms;  /* 0 = it is there */
	enum board_kind kind;
	bool is_waiting, is_busy; /* is_busy: counts as running */
	bool is_named;            /* in board.by_id */
	bool is_spare;            /* a warm kernel: admins may end it, its owner may not */
	char *text;               /* owned; the row without its last brace */
	size_t len;
	char *owner;       /* owned; "" = admins alone */
	char *what;        /* owned; its title, where that is dear to make; NULL */
	char process[128]; /* whose numbers it has; "" = none */
	struct board_numbers numbers;
	char id[];
};

/* What a row tells. Texts are borrowed, NULL or "" = absent; numbers: 0 = absent. */
struct board_facts {
	const char *ref, *parent, *what, *project, *user, *pool, *state, *reason, *process, *limit_owner, *ends, *message;
	const char *tags_json; /* raw */
	const json_t *tags;
	int64_t since_ms, submitted_ms, started_ms, limit_bytes, quiet_ms, silent_ms, leased_ms;
	int64_t connections; /* -1 = absent */
	int position, pid, attempt;
	double progress; /* < 0 = absent */
};
#define BOARD_NO_FACTS ((struct board_facts){ .connections = -1, .progress = -1 })

struct board_text { /* an event that is told whole whenever it changes */
	char *text;
	size_t len;
	int64_t count;
};

struct node_board {
	struct node *node;
	struct list rows;  /* by rev, also what is gone */
	struct map *by_id; /* borrowed */
	size_t nlive, ngone;
	int64_t rev, floor; /* what went up to floor is forgotten */
	uint64_t round;
	int64_t now_mono_ms, now_wall_ms; /* of this round */
	int64_t looked_mono_ms;
	struct buf scratch;
	unsigned topics;
	int64_t topic_revs[BOARD_TOPICS]; /* of the last change of each */
	struct board_text told_node, told_pools;
	int64_t stat_used, stat_total; /* of /proc/stat at the look before */
	int64_t stat_mono_ms;
	double cpu_share; /* of the machine; < 0 = not known */
	struct list macros;
	size_t nmacros;
	/* the last answer: whoever asks for the same gets the same */
	struct {
		struct buf text;
		char *login; /* owned; NULL = an admin's */
		int64_t from, to;
	} shared;
};

/* --- node_board.c --- */
/* A look: between the two each row that is there is seen; those that were not are gone after it. */
void board_begin(struct node_board *b, int64_t mono_ms);
void board_end(struct node_board *b);
/* The row of that id in this round: made where there is none. *is_same: nothing that its text is made of has changed (by print), so board_write
 * is not needed. NULL: no memory. */
struct board_row *board_see(struct node_board *b, enum board_kind kind, const char *id, const char *owner, uint64_t print,
			    bool *is_same);
/* Its text anew; a new rev if that differs. */
void board_write(struct node_board *b, struct board_row *row, const struct board_facts *f);
void board_set_process(struct board_row *row, const char *process);
/* It is over, and what can be asked of it from now on says so. One that no look has seen, or whose going was told before that, is told as gone
 * to those whose it is; one that is there goes with the next look. */
void board_ended(struct node_board *b, enum board_kind kind, const char *owner, const char *id);
static inline uint64_t board_mix(uint64_t print, uint64_t v)
{
	print ^= v + 0x9e3779b97f4a7c15u + (print << 6) + (print >> 2);
	return print * 0xff51afd7ed558ccdu;
}
uint64_t board_mix_text(uint64_t print, const char *s); /* NULL = "" */
/* "KIND:A" or "KIND:A/B" or "KIND:A/B/C"; -1: too long. */
int board_join(char out[BOARD_ID_MAX], enum board_kind kind, const char *a, const char *b, const char *c);

/* --- node_board_text.c --- */
void board_put_row(struct buf *out, enum board_kind kind, const char *id, const struct board_facts *f); /* without its last brace */
void board_put_numbers(struct buf *out, const struct board_row *row);                                   /* ["id",…] */
void board_put_inline(struct buf *out, const struct board_row *row);                                    /* as members */

/* --- the sources --- */
void board_look_at_tasks(struct node_board *b);
void board_look_at_guests(struct node_board *b);
void board_look_at_node(struct node_board *b);
void board_forget_macros(struct node_board *b);

#endif
