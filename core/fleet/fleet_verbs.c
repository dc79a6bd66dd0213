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

int fleet_order_free(struct fleet *fleet, const char *kernel, const char *why, struct err *err)
{
	struct kernel *k = find(fleet, kernel, err);
	if (!k)
		return -1;
	if (k->state != KERNEL_IDLE)
		return err_set(err, "kernel %s %s", kernel, k->state == KERNEL_STARTING ? "has not started yet" : "works");
	if (k->reserved_for[0] || k->pool->nwaiting)
		return err_set(err, "a task waits for kernel %s, or for one like it", kernel);
	if (!k->owner && pool_spare(k->pool) <= 0)
		return err_set(err, "pool \"%s\" keeps that many kernels warm: another would be started in its place",
			       k->pool->spec->name);
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
