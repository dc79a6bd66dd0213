#ifndef DSS_NODE_NODE_INNER_H
#define DSS_NODE_NODE_INNER_H
#include "base/list.h"
#include "gate/server.h"
#include "net/client.h"
#include "node/node.h"
#include "node/node_keeper.h"
#include "node/node_kernel.h"
/* node_inner: what the files of node share. Nobody else includes it. */
#define NODE_KEY_MAX 128

struct node_boxes;
struct node_jobs;
struct node_projects;
struct node_webapps;
struct node_notebooks;
struct node_meter;
struct curves;
struct node_board;
struct node_changes;
struct settings;

struct node {
	struct loop *loop;
	struct fleet *fleet;
	struct node_keeper *keeper; /* NULL: none */
	struct client *client;
	struct node_kernels *kernels;
	struct node_jobs *jobs;
	struct node_projects *projects;
	struct node_changes *changes;
	struct node_webapps *webapps;
	struct node_notebooks *notebooks;
	struct node_boxes *boxes;
	struct node_meter *meter; /* what processes use */
	struct curves *curves;    /* fleet/curve.h: the same over time */
	struct node_board *board;
	struct settings *settings; /* fleet/setting.h */
	struct gate *callbacks;    /* NULL: none */
	int page_port;             /* where users' code finds the API; 0 = not told */
	unsigned char key[NODE_KEY_MAX];
	size_t key_len;
	char backend_url[64], run_user[64];
	struct node_facts facts;
	struct list held; /* events that came before taking up was over */
	bool has_pools, is_listing;
	char tree[64];               /* the root of our boxes */
	int64_t services_at_mono_ms; /* when their memory was read; 0 = not yet */
	int64_t busy_told;           /* last count of a draining node's heartbeat */
	struct loop_prepare *prepare;
	bool is_draining;
	bool is_without_samples; /* an older keeper: it knows no order `sample` */
	node_over_fn *on_over;
	void *data;
};

#endif
