#ifndef DSS_NODE_NODE_H
#define DSS_NODE_NODE_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "fleet/fleet.h"
#include "sys/loop.h"
/*
 * node: the backend as a whole, without a face: the keeper's link, the fleet, conversations with kernels, the callback port. What
 * the page, the API and the policies use is the fleet (node_fleet) and the few words below.
 *
 * node_new connects and loads; taking up runs once the loop runs and the first set of pools was given (node_set_pools), because
 * a kernel whose pool is not known yet must not be retired by mistake.
 */
struct node;

/* The backend must end: the keeper's link closed, or the disk failed. text says why; the callee stops the loop. */
typedef void node_over_fn(void *data, const char *text);

struct node_config {               /* borrowed for the call */
	const char *dir;           /* the instance's folder, absolute */
	int keeper_fd;             /* DSS_KEEPER_FD; node takes it. -1 = no keeper: nothing can be spawned */
	int callback_fd;           /* listening socket of port N+1 (DSS_LISTEN_CALLBACK_FD); node takes it */
	const char *node_key_path; /* config/node.key, 32 bytes or more; made where it is missing */
	const char *share_dir;     /* where kernels/ lies; NULL = none is added to paths */
	const char *run_user;      /* whose kernels run where their pool names nobody; NULL or "" = one-user mode */
	int page_port;             /* where users' code finds the API */
	const char *jupyter_url;   /* of the Jupyter server; NULL or "" = none */
	const char *jupyter_token; /* the file with its token */
	bool is_jupyter_ours;      /* we start it: its kernels come through our door */
	bool is_jupyter_trusted;   /* else: its own word counts where a kernel cannot be measured */
	int64_t lease_longest_ms;  /* what users may have of leases of notebooks */
	int leases_each_user;
	int64_t memory_bytes;  /* of the machine, ours to use; 0 = all of it, or what the cgroups above us leave */
	int64_t reserve_bytes; /* see fleet/budget.h; 0 = its rule */
	node_over_fn *on_over;
	void *data;
};

/* What projects/KEY/project.lua says: JSON (of a bad one {"errors":[{"file","line","text"}]}), borrowed for the call; at once or later. FAILED: why. */
enum node_project { NODE_PROJECT_GOOD, NODE_PROJECT_BAD, NODE_PROJECT_MISSING, NODE_PROJECT_FAILED };
typedef void node_project_fn(void *data, enum node_project state, const char *json, size_t len, const struct err *why);
void node_project(struct node *node, const char *key, node_project_fn *fn, void *data);

/* A project's folder is made, with that text as its project.lua, or removed (text NULL), by a process of the run user. why NULL: done; code EEXIST: there is
 * one. At once or later. */
typedef void node_change_fn(void *data, const struct err *why);
void node_change(struct node *node, const char *key, const char *text, bool keeps_data, node_change_fn *fn, void *data);

struct node_facts { /* of the keeper's welcome; all "" or 0 until then */
	char instance[64], isolation[200], cgroups[64], boot[64];
	int keeper_pid;
	int64_t epoch, keeper_events; /* events since this backend's start */
	int64_t memory_bytes;         /* the machine's, the least limit above our boxes, or node { memory = … }; 0 = unknown */
	bool is_connected, is_taken_up;
};

struct node *node_new(struct loop *loop, const struct node_config *config, struct err *err);
void node_free(struct node **node);
struct fleet *node_fleet(struct node *node);
struct jobs;
struct jobs *node_jobs(struct node *node); /* fleet/job.h */
struct node_jobs;
struct node_jobs *node_recipes(struct node *node); /* node/node_job.h */
struct node_webapps;
struct node_webapps *node_webapps(struct node *node); /* node/node_webapp.h */
struct node_meter;
struct node_meter *node_usage(struct node *node); /* node/node_meter.h */
struct node_notebooks;
struct node_notebooks *node_notebooks(struct node *node); /* node/node_notebook.h */
struct node_board;
struct node_board *node_board(struct node *node); /* node/node_board.h */
struct meter;
struct meter *node_book(struct node *node); /* fleet/meter.h */
struct settings;
struct settings *node_settings(struct node *node); /* fleet/setting.h */
/* The user of the job, or the owner of the webapp, whose process has that ticket, while the process lives; NULL: it is none. Borrowed. */
const char *node_ticket_owner(struct node *node, const char *ticket);
const struct node_facts *node_facts(const struct node *node);
/* fleet_set_pools, and the start of taking up when it is the first. */
int node_set_pools(struct node *node, struct pool_spec **specs, size_t n, struct err *err);

/* All processes the keeper knows, as our JSON rows (an array), own kernels with pool, owner, task. json is borrowed for the call;
 * NULL with why where the keeper does not answer within 5 s. */
typedef void node_processes_fn(void *data, const struct buf *json, const struct err *why);
void node_processes(struct node *node, node_processes_fn *fn, void *data);
/* The levels of run/ that are in use, the upper ones first, as an array: box kind name source memoryBytes …, processes, processIds, whose. See docs/api.md. */
void node_boxes_json(struct node *node, node_processes_fn *fn, void *data);
/* Another set of policies is in force, with that many boxes with `at`: levels in use get its limits. */
void node_take_boxes(struct node *node, int64_t nwords);
/* {"instance","isolation","cgroups","epoch","keeperPid",…} for /health and status. */
int node_health_json(const struct node *node, struct buf *out);
/* Tells the keeper to reopen the log files (after a rotation by others). */
int node_reopen_logs(struct node *node, struct err *err);

#endif
