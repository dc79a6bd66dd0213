#ifndef DSS_NODE_NODE_SAMPLE_H
#define DSS_NODE_NODE_SAMPLE_H
#include "node/node_inner.h"
/* node_sample: what processes use, asked of the keeper for many at once. */
struct node_sample {
	char id[128];
	int64_t memory_bytes, peak_bytes, cpu_ms, rss_bytes, limit_bytes, pids; /* -1 = not told */
};

/* The samples of an answer one by one, *at begins at 0; false: there are no more. */
bool node_sample_next(const struct wire_view *msg, size_t *at, struct node_sample *out);
/* fleet_orders.usage */
void node_sample_kernels(void *node, const struct kernel *const *kernels, size_t n);

#endif
