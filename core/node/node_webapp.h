#ifndef DSS_NODE_NODE_WEBAPP_H
#define DSS_NODE_NODE_WEBAPP_H
#include <jansson.h>
#include <stdbool.h>
#include "base/buf.h"
#include "fleet/judge.h"
#include "fleet/store.h"
#include "net/digest.h"
#include "node/node_inner.h"
/*
 * node_webapp: the processes of webapps (projects/KEY/project.lua): wanted running or stopped, kept in the store; started with the instance,
 * started again after a crash (at once, then after 1, 2, 4 … 60 s), given up after so many within ten minutes. A process lives in the box
 * run/webapps/PROJECT/NAME, as the run user, in the project's folder; its output goes to jobs/PROJECT/webapp-NAME/output.log.
 *
 * The row names the process before the keeper is ordered, and an end is acknowledged once it is on disk: the next backend takes up what runs.
 */
struct node_webapps;
struct node_webapp;

struct node_webapps *node_webapps_new(struct node *n, const char *dir, struct err *err); /* after the fleet */
void node_webapps_stop(struct node_webapps *t);
void node_webapps_free(struct node_webapps **t); /* after the fleet */

/* What the keeper tells; true: it was a webapp's. fn is called once the end is on disk. */
bool node_webapps_ended(struct node_webapps *t, const struct judge_end *end, store_done_fn *fn, void *data);
void node_webapps_ready(struct node_webapps *t, const char *process);
/* One of the keeper's list, and the end of that list. */
void node_webapps_take_row(struct node_webapps *t, const char *process, const char *state, bool is_alive);
void node_webapps_taken_up(struct node_webapps *t);

/* Starts it, or ends the one that runs and starts it anew; how that went is told by its state. -1: err. */
int node_webapps_start(struct node_webapps *t, const char *project, const char *name, struct err *err);
/* cause: "user" or "admin". One that is not known is not running: nothing happens. */
void node_webapps_halt(struct node_webapps *t, const char *project, const char *name, const char *by, const char *cause);
/* Its state as an object; false: nobody ever wanted it to run. */
bool node_webapps_json(struct node_webapps *t, const char *project, const char *name, struct buf *out);

/* Where its process answers, for a tunnel. process "": it has none. Borrowed. state NULL: nobody ever wanted it to run. */
struct node_webapp_address {
	const char *state, *process, *reason, *socket; /* reason NULL: none; socket "": it has a port */
	int port;
};
void node_webapps_address(struct node_webapps *t, const char *project, const char *name, struct node_webapp_address *out);
/* A signature under the node's key, for passes of webapps alone. */
void node_webapps_sign(const struct node_webapps *t, const char *text, size_t len, char hex[DIGEST_HEX_SIZE]);

/* --- node_webapp_rule.c: as rules see them. id: "PROJECT/NAME" --- */
struct node_webapp_view { /* borrowed until the loop goes on; reason NULL: none */
	const char *project, *name, *owner, *state, *process, *reason;
	const json_t *tags;                                     /* NULL = none */
	int64_t started_ms, ready_ms, unhealthy_ms, waiting_ms; /* wall; 0 = not */
	int64_t limit_bytes;                                    /* 0 = has none */
	int port, crashes;                                      /* port 0 = has none */
	bool is_wanted, is_autostart;
};
typedef void node_webapp_fn(void *data, const char *id);
/* Those that start, run, end, or are to begin again. */
typedef void node_webapp_view_fn(void *data, const struct node_webapp_view *v);
void node_webapps_each_view(struct node_webapps *t, node_webapp_view_fn *fn, void *data);
/* Those that are to run, or have a process that was not told to end. */
void node_webapps_each(struct node_webapps *t, node_webapp_fn *fn, void *data);
bool node_webapps_look(struct node_webapps *t, const char *id, struct node_webapp_view *out);
/* A rule stops it: as if its owner had, and its reason says why. A rule has it started anew. -1: err. */
int node_webapps_kill(struct node_webapps *t, const char *id, const char *why, struct err *err);
int node_webapps_retire(struct node_webapps *t, const char *id, const char *why, struct err *err);

/* For the list of processes. */
void node_webapps_put_row(struct node_webapps *t, const char *process, struct buf *out);
/* Whose process that is; NULL: none of ours. Borrowed. */
const char *node_webapps_owner(struct node_webapps *t, const char *process);
/* Whose ticket that is: the project's owner, while the process lives; NULL: nobody's. */
const char *node_webapps_ticket(struct node_webapps *t, const char *ticket);

#endif
