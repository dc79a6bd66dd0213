#include "node/node_sample.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/node_meter.h"
#include "node/node_orders.h"

bool node_sample_next(const struct wire_view *msg, size_t *at, struct node_sample *out)
{
	int64_t *const numbers[] = { &out->memory_bytes, &out->peak_bytes,  &out->cpu_ms,
				     &out->rss_bytes,    &out->limit_bytes, &out->pids };
	const char *line;
	while ((line = wire_next_text(msg, WF_usage, at))) {
		size_t len = strcspn(line, " ");
		if (len >= sizeof(out->id))
			continue;
		memcpy(out->id, line, len);
		out->id[len] = 0;
		char *p = (char *)line + len;
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
			*numbers[i] = *p ? strtoll(p, &p, 10) : -1;
		return true;
	}
	return false;
}

static void on_samples(void *data, const struct wire_view *msg)
{
	struct node *n = data;
	struct node_sample s;
	size_t at = 0;
	if (msg->type == WIRE_fail && !n->is_without_samples) {
		log_info("the keeper takes no order sample (%s): asked for each kernel until it is restarted",
			 wire_get_text(msg, WF_text));
		n->is_without_samples = true;
	}
	while (node_sample_next(msg, &at, &s)) {
		fleet_kernel_usage(n->fleet, s.id, s.memory_bytes, s.peak_bytes, s.cpu_ms);
		node_meter_take(n->meter, &s);
		node_orders_hold_to_limit(n, s.id, s.memory_bytes);
	}
}

void node_sample_kernels(void *node, const struct kernel *const *kernels, size_t count)
{
	struct node *n = node;
	struct err err = { 0 };
	if (!n->keeper)
		return;
	if (n->is_without_samples) {
		for (size_t i = 0; i < count; i++)
			node_orders_usage(n, kernels[i]->id);
		return;
	}
	struct buf *b = node_keeper_begin(n->keeper, WIRE_sample);
	for (size_t i = 0; i < count; i++)
		wire_text(b, WF_id, kernels[i]->id);
	if (node_keeper_end(n->keeper, on_samples, n, &err) < 0)
		log_warn("%s", err.text);
}
