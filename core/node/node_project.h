#ifndef DSS_NODE_NODE_PROJECT_H
#define DSS_NODE_NODE_PROJECT_H
#include <jansson.h>
#include <stdbool.h>
#include "fleet/judge.h"
#include "gate/server.h"
#include "net/digest.h"
#include "node/node_inner.h"
/*
 * node_project: what projects/KEY/project.lua says. Users write it, so a process of its own reads it (`dssd project`), as the run user, in the
 * box run/projects/KEY/ID with little memory and time; its answer comes over the callback port, with a token made from the process's id. An
 * answer is kept until the file's identity, size or time is another.
 */
struct node_projects;

struct node_projects *node_projects_new(struct node *n, const char *dir, struct err *err);
void node_projects_stop(struct node_projects *t); /* tells who waits */
void node_projects_free(struct node_projects **t);
void node_projects_ask(struct node_projects *t, const char *key, node_project_fn *fn, void *data);
/* Who its project.lua named when it was read without a mistake last, and its tags (NULL = none); NULL: not since this backend's start. Borrowed until the
 * loop goes on. "" = it named nobody. */
const char *node_projects_last_owner(const struct node_projects *t, const char *key, const json_t **tags);
/* "project.lua:3: …", the first mistake of a bad one's JSON. */
void node_project_mistake(const char *json, size_t len, char *out, size_t room);
/* With which a process of that id may tell something to it; that of a change (node_change) too. */
void node_projects_token(const struct node *n, const char *process, char out[DIGEST_HEX_SIZE]);
/* POST /kernel/v1/projects */
void node_projects_handle(struct node_projects *t, struct gate_request *req);
/* A process has ended; true: it was a reader of a project. */
bool node_projects_ended(struct node_projects *t, const struct judge_end *end);

#endif
