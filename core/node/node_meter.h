#ifndef DSS_NODE_NODE_METER_H
#define DSS_NODE_NODE_METER_H
#include "fleet/judge.h"
#include "fleet/meter.h"
#include "node/node_inner.h"
/*
 * node_meter: what every process of the keeper's uses, and for whom: kernels by the fleet's samples, all others by samples of its own, each 5 s. CPU is what
 * the box counted, so it is complete however seldom it was read; memory is the mean of two samples times the time between them.
 *
 * A kernel works for one after another. What it uses belongs to whom it works for: before its first task to nobody (the pool's stock), between
 * two tasks to its user. A change of tasks reads the kernel anew where it was not read just before.
 */
struct node_meter;

struct node_meter *node_meter_new(struct node *n, struct err *err); /* after the fleet */
/* Writes what was counted. Before the store is closed. */
void node_meter_stop(struct node_meter *t);
void node_meter_free(struct node_meter **t);
struct meter *node_meter_book(struct node_meter *t);

/* The keeper told an event, or a row of its list. */
void node_meter_event(struct node_meter *t, const struct wire_view *msg);
void node_meter_row(struct node_meter *t, const struct wire_view *msg);
/* The list is over: what is known of others has no end to be told. */
void node_meter_taken_up(struct node_meter *t);
/* What a living process used when this backend read it last, some seconds ago; -1 = not known. */
struct node_use {
	int64_t memory_bytes, peak_bytes, cpu_ms;
};
void node_meter_use(const struct node_meter *t, const char *process, struct node_use *out);
/* The number of a living process as the keeper told it; 0 = not known. */
int node_meter_pid(const struct node_meter *t, const char *process);
/* Services; pid 0: does not run now, or is the keeper. */
typedef void node_meter_service_fn(void *data, const char *name, int pid, int64_t started_ms);
void node_meter_each_service(const struct node_meter *t, node_meter_service_fn *fn, void *data);
struct node_sample;
/* A process was read; -1 = not told. */
void node_meter_take(struct node_meter *t, const struct node_sample *s);
void node_meter_sample(struct node_meter *t, const char *id, int64_t memory_bytes, int64_t cpu_ms);
/* A kernel gets a task; has come to its end with it. is_read_soon: a reading of it was asked for just now. */
void node_meter_assign(struct node_meter *t, const struct kernel *k, const struct future *f, bool is_read_soon);
void node_meter_release(struct node_meter *t, const char *kernel);

#endif
