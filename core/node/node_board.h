#ifndef DSS_NODE_NODE_BOARD_H
#define DSS_NODE_NODE_BOARD_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "node/node.h"
/*
 * node_board: everything that runs or waits now, of all kinds, as rows: tasks with their kernels, jobs and their recipes, trainings, webapps,
 * notebooks, macros, kernels without a task, services. Made from what is in memory, only while somebody asks: node_board_refresh looks over
 * everything and gives each row that changed the next number (`rev`); what went leaves its number behind. So whoever was told everything up to a
 * rev gets what is newer, and no more. What changes all the time (memory, processor time) is not in a row, but beside it.
 *
 *     struct board_place at = BOARD_FROM_START;
 *     do { node_board_refresh(b); is_more = node_board_put(b, login, &at, 1 << 18, &out); … } while (is_more);
 */
struct node_board;

enum board_topic {
	BOARD_JOBS = 1 << 0,
	BOARD_NOTEBOOKS = 1 << 1,
	BOARD_WEBAPPS = 1 << 2,
	BOARD_MACROS = 1 << 3,
	BOARD_ALERTS = 1 << 4,
	BOARD_POLICIES = 1 << 5,
	BOARD_MODELS = 1 << 6,
};
#define BOARD_TOPICS 7

/* How far somebody was told. */
struct board_place {
	int64_t rev, base; /* base: what went before is not missed */
	int64_t numbers;   /* those of all rows were told up to here; less than rev while a long event is told in pieces */
	bool is_whole;     /* told "whole" already, or came back with a rev that is known */
	bool is_told;      /* anything: the first event comes even if nothing is new to it */
	int64_t told_node, told_pools;
};
#define BOARD_FROM_START ((struct board_place){ .rev = 0 })

struct node_board *node_board_new(struct node *n); /* NULL: no memory */
void node_board_free(struct node_board **b);

/* Looks over everything, unless it did within the last moments. */
void node_board_refresh(struct node_board *b);
/* The place of who was told up to that rev of that epoch; false: that is not known any more, it begins from the start. */
bool node_board_find(const struct node_board *b, int64_t epoch, int64_t rev, struct board_place *out);
/* "event: board" with what is newer than at, and moves at; nothing where there is none. Stops after about most_bytes: true = there is more.
 * login NULL = an admin, who sees all. */
bool node_board_put(struct node_board *b, const char *login, struct board_place *at, size_t most_bytes, struct buf *out);
/* "event: node" and "event: pools" where they are others than at was told. */
void node_board_put_node(struct node_board *b, struct board_place *at, struct buf *out);
/* Something changed that stands in no row. topics: of enum board_topic. */
void node_board_note(struct node_board *b, unsigned topics);
/* They are over, and whoever asks for them is told so from now on: followers hear that they are gone also where none of them had a row, or had lost it
 * before. Cheap, and nothing while nobody has ever followed. */
void node_board_job_ended(struct node_board *b, const char *owner, const char *project, const char *job);
void node_board_webapp_ended(struct node_board *b, const char *owner, const char *project, const char *name);
/* Topics that changed since this was called last, of enum board_topic; one caller. */
unsigned node_board_take_topics(struct node_board *b);
/* Those that changed after that rev, for who comes back with it. */
unsigned node_board_topics_since(const struct node_board *b, int64_t rev);
/* "event: topics". */
void node_board_put_topics(unsigned topics, struct buf *out);
/* An array of rows, each with its numbers. */
void node_board_json(struct node_board *b, const char *login, struct buf *out);

/* Runs of macros, which Lua has. All borrowed; NULL = none. */
struct board_macro {
	const char *id, *what, *user, *project, *state, *reason;
	int64_t started_ms;
};
int node_board_set_macro(struct node_board *b, const struct board_macro *m); /* -1: no memory, or too many */
void node_board_drop_macro(struct node_board *b, const char *id);

/* An array of the recent curves of those processes of `ids` that login may see; ids: separated by commas. */
void node_board_curves_json(struct node_board *b, const char *login, const char *ids, int points, struct buf *out);
/* False: there is none that login may see. */
bool node_board_curve_json(struct node_board *b, const char *login, const char *process, struct buf *out);

#endif
