#ifndef DSS_FLEET_BUDGET_H
#define DSS_FLEET_BUDGET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
/*
 * budget: the memory of the node over all pools. A kernel is started only where what is promised already, and its size, fit into the
 * machine less its reserve. Promised are the services, each kernel alive with its limit, not its use, and each guest (guest.h) with a place.
 *
 * Each look of the fleet is one round: first the claims of warm.min, pool by pool in the order of the files, then waiting tasks, then
 * warm stock beyond. A claim that finds no room makes idle kernels beyond warm.min go, the least worth first, but only as many as it needs
 * and only where that helps. Room that is being made for a claim, and that of a warm.min, is held for it; a task that has waited a minute
 * holds what it needs, too, so that small ones do not pass it for ever.
 */
struct fleet;
struct future;
struct kernel;
struct pool;

#define BUDGET_KERNEL_LEAST ((int64_t)64 << 20) /* what a kernel without a limit counts at least */

enum budget_claim { BUDGET_MIN, BUDGET_TASK, BUDGET_STOCK };

struct budget {
	int64_t machine_bytes; /* 0 = unknown: nothing is held back */
	int64_t reserve_bytes, total_bytes;
	int64_t services_bytes;
	/* of the present round */
	int64_t promise_bytes; /* -1 = not added up yet */
	int64_t held_bytes, min_bytes;
	bool is_short; /* a claim was not admitted: nothing goes into stock */
};

/* reserve 0 = the greater of a tenth of the machine and 1 GB, but never over half of it. A reserve that leaves nothing is cut to half. */
void budget_init(struct budget *b, int64_t machine_bytes, int64_t reserve_bytes);
/* What a new kernel of the pool counts: its limit; without one the most that its kernels took lately, BUDGET_KERNEL_LEAST at least. */
int64_t budget_kernel_size(const struct pool *pool);
int64_t budget_promise(const struct fleet *fleet);         /* now, added up */
int64_t budget_pool_promise(const struct pool *pool);      /* its part */
void budget_begin(struct fleet *fleet);                    /* a round */
void budget_enter(struct fleet *fleet, struct pool *pool); /* its claims of warm.min come now */
/* May so much be started? It counts as started then. n: how many more alike the pool claims (their room is held where this one's is). */
bool budget_admit(struct fleet *fleet, struct pool *pool, int64_t bytes, enum budget_claim claim, int n, int64_t now);
/* The same for a guest (guest.h), between the claims of warm.min and those of tasks. may_hold: it waited so long that its room is kept. */
bool budget_admit_guest(struct fleet *fleet, int64_t bytes, bool may_hold, int64_t now);
void budget_hold_guest(struct fleet *fleet, int64_t bytes); /* what the last such claim held is held in this round as well */
void budget_end(struct fleet *fleet, int64_t now);
/* Would a kernel for f have its place in the node's memory if k went? */
bool budget_is_room_without(const struct future *f, const struct kernel *k);
/* Does this waiting task wait for the node's memory? Then out says so with the numbers. */
bool budget_why(const struct future *f, char *out, size_t room);
/* What is promised to whom: read once where it is said of many. */
struct budget_shares {
	int64_t promise_bytes;
	char text[400];
};
void budget_read_shares(const struct fleet *fleet, struct budget_shares *out);
/* Why a guest of that size waits for memory. shares NULL: they are read now. */
void budget_guest_why(const struct fleet *fleet, const struct budget_shares *shares, int64_t bytes, char *out, size_t room);
/* -1: none of that size can ever be at work here; err has the numbers. what: "recipe \"clean\"". */
int budget_check_guest(const struct fleet *fleet, int64_t bytes, const char *what, struct err *err);
/* -1: no task of that size can ever start here; err has the numbers. bytes 0 = the pool's own size. */
int budget_check(const struct fleet *fleet, const struct pool *pool, int64_t bytes, struct err *err);
/* The warning of pools that together could take more than there is: raised, or cleared. */
void budget_look_over(struct fleet *fleet);
/* {"machineBytes","reserveBytes","budgetBytes","promisedBytes","servicesBytes","guestsBytes","recipesBytes","webappsBytes","notebooksBytes",
 * "pools":[{"name","promisedBytes","kernels","kernelBytes","mostBytes","waitsForBytes"?}]} */
int budget_json(const struct fleet *fleet, struct buf *out);

#endif
