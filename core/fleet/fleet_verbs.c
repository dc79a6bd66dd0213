#include "fleet/fleet_verbs.h"
#include "fleet/fleet_inner.h"

static struct kernel *find(struct fleet *fleet, const char *id, struct err *err)
{
	struct kernel *k = fleet_kernel(fleet, id);
	if (k && k->state < KERNEL_STOPPING)
		return k;
	err_set(err, "kernel %s is gone, or stopping already", id);
	return NULL;
}

int fleet_order_retire(struct fleet *fleet, const char *kernel, const char *why, struct err *err)
{
	struct kernel *k = find(fleet, kernel, err);
	if (!k)
		return -1;
	if (k->state == KERNEL_DRAINING)
		return err_set(err, "kernel %s goes after its task already", kernel);
	fleet_kernel_retire(fleet, k, why);
	return 0;
}

int fleet_order_kill(struct fleet *fleet, const char *kernel, const char *why, struct err *err)
{
	struct kernel *k = find(fleet, kernel, err);
	if (!k)
		return -1;
	fleet_kernel_stop(fleet, kernel, "policy", why);
	return k->state == KERNEL_STOPPING ? 0 : err_set(err, "kernel %s cannot be stopped now", kernel);
}

int fleet_order_abort(struct fleet *fleet, const char *task, const char *why, struct err *err)
{
	return fleet_abort_as(fleet, task, "policy", why, err) == FLEET_OK ? 0 : -1;
}
