#ifndef DSS_NODE_NODE_BOXES_INNER_H
#define DSS_NODE_NODE_BOXES_INNER_H
#include <jansson.h>
#include "base/map.h"
#include "node/node_boxes.h"
/* node_boxes_inner: one look at all that lives below run/, which node_boxes.c (limits follow, lists for people) and node_boxes_survey.c share. */
#define WHOSE_MOST 200 /* pairs of user and project of a level; of more only admins see it */
#define WHERE_MAX  768

struct level {
	char box[GUEST_BOX_MAX], where[WHERE_MAX];
	struct guest_level want; /* name "" = nothing limits it */
	bool is_own;             /* of one process alone; its own limits are in want */
	bool is_others;          /* somebody else's limits hold there */
	int64_t nprocesses;
	json_t *ids, *whose; /* whose: {"USER\nPROJECT": true} */
	bool has_failed;
	bool has_word; /* one of this very level */
};

struct survey {
	struct node *node;
	struct map *by_box;
	struct level **levels;
	size_t n, room;
	int open;      /* orders under way */
	char why[320]; /* "" = all were listed; else why not, and there are no levels */
	void (*then)(struct survey *s);
	/* of a list for people */
	node_processes_fn *fn; /* NULL: answered */
	void *data;
	struct loop_timer *limit;
};

/* Asks the keeper who lives where; then(s), which takes it, has the levels in order, those above first. NULL: there is nobody to ask. */
struct survey *survey_begin(struct node *n, void (*then)(struct survey *s));
void survey_free(struct survey *s);

#endif
