/* fleet_sample: what kernels use: those with a task each second, the others every 10 s, for the facts of policies. */
#include "base/list.h"
#include "fleet/fleet_inner.h"
#include "sys/clock.h"

#define BUSY_MS 1000
#define IDLE_MS 10000
/* What is due within a tick goes in one order. More at work than BATCH a tick can take are sampled less often, all alike. */
#define TICK_MS 100
#define BATCH   200

static int64_t due_of(const struct fleet *fleet, const struct kernel *k)
{
	int64_t last = k->sampled_mono_ms ? k->sampled_mono_ms : k->started_mono_ms;
	return last + (k->task[0] ? fleet->sample_busy_ms : IDLE_MS);
}

static void wake_in(struct fleet *fleet, int64_t now, int64_t in_ms)
{
	fleet->sample_at_mono_ms = now + in_ms;
	loop_timer_start(fleet->sampler, in_ms);
}

void fleet_sample_due(void *data)
{
	struct fleet *fleet = data;
	const struct kernel *batch[BATCH];
	int64_t now = clock_mono_ms(), next = 0, nbusy = 0;
	size_t n = 0;
	fleet->sample_at_mono_ms = 0;
	list_each (&fleet->kernels, l) {
		struct kernel *k = list_of(l, struct kernel, in_fleet);
		if (k->state == KERNEL_GONE)
			continue;
		nbusy += k->task[0] != 0;
		if (n < BATCH && due_of(fleet, k) <= now + TICK_MS / 2) {
			k->sampled_mono_ms = now;
			batch[n++] = k;
		}
		fleet_earlier(&next, due_of(fleet, k));
	}
	int64_t least_ms = nbusy * TICK_MS / BATCH;
	fleet->sample_busy_ms = least_ms > BUSY_MS ? least_ms : BUSY_MS;
	if (n)
		fleet->orders.usage(fleet->orders.data, batch, n);
	if (next)
		wake_in(fleet, now, next - now > TICK_MS ? next - now : TICK_MS);
}

void fleet_sample(struct fleet *fleet)
{
	int64_t now = clock_mono_ms(), at = fleet->sample_at_mono_ms;
	if (list_is_empty(&fleet->kernels) || (at && at <= now + BUSY_MS))
		return;
	if (!fleet->sample_busy_ms)
		fleet->sample_busy_ms = BUSY_MS;
	if (fleet_count_busy(fleet))
		wake_in(fleet, now, BUSY_MS);
	else if (!at)
		wake_in(fleet, now, IDLE_MS);
}

void fleet_kernel_usage(struct fleet *fleet, const char *id, int64_t memory_bytes, int64_t peak_bytes, int64_t cpu_ms)
{
	struct kernel *k = fleet_kernel(fleet, id);
	if (!k)
		return;
	k->memory_now_bytes = memory_bytes;
	if (peak_bytes > k->peak_bytes)
		k->peak_bytes = peak_bytes;
	pool_note_peak(k->pool, peak_bytes, false);
	if (cpu_ms >= 0)
		k->cpu_ms = cpu_ms;
	if (k->task[0] && memory_bytes >= 0)
		kernel_add_sample(k, clock_wall_ms(), memory_bytes);
}
