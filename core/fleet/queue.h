#ifndef DSS_FLEET_QUEUE_H
#define DSS_FLEET_QUEUE_H
#include <stdint.h>
#include "fleet/future.h"
#include "fleet/kernel.h"
#include "fleet/pool.h"
/*
 * queue: who is next for which kernel of a pool (first come, first served), and why somebody waits, in words.
 */
void queue_push(struct pool *pool, struct future *f);
/* Back in front: it had a kernel and lost it unused. */
void queue_push_first(struct pool *pool, struct future *f);
void queue_remove(struct future *f);
/* 1 = next; 0 = not waiting. *total: how many wait. */
int queue_position(const struct future *f, int *total);
/* The first waiting future that kernel k may run, or NULL; and the first idle kernel that may run f, or NULL. */
struct future *queue_next_for(const struct pool *pool, const struct kernel *k);
struct kernel *queue_kernel_for(const struct pool *pool, const struct future *f);
/* "Waiting, 3rd of 7: all 2 kernels of pool "fek" are busy". Returns out; "" = does not wait. */
const char *queue_reason(const struct future *f, int64_t now_mono_ms, char *out, size_t room);
const char *queue_ordinal(int n, char *out, size_t room); /* "1st", "2nd", "3rd", "11th" */

#endif
