#ifndef DSS_NODE_NODE_CHANGE_H
#define DSS_NODE_NODE_CHANGE_H
#include "fleet/judge.h"
#include "node/node_inner.h"
/*
 * node_change: projects that are made and removed. Their folders are the run user's, so a process of the run user does it (`dssd project --make`,
 * `--remove`), in the box run/projects/KEY/ID; it ends with 0, or with the errno of what it could not do.
 */
struct node_changes;

struct node_changes *node_changes_new(struct node *n, const char *dir); /* NULL: no memory */
void node_changes_free(struct node_changes **t);                        /* who waits is told */
/* key: up to 36 bytes. text: the project.lua to make, up to 100 KB; NULL: the project is removed, its data/ too unless keeps_data. */
void node_changes_order(struct node_changes *t, const char *key, const char *text, bool keeps_data, node_change_fn *fn, void *data);
/* A process of these says why it fails, before it ends so. false: it is none of these. */
bool node_changes_told(struct node_changes *t, const char *process, const char *body, size_t len);
/* A process has ended; true: it was one of these. */
bool node_changes_ended(struct node_changes *t, const struct judge_end *end);

#endif
