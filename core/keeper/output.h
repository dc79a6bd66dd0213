#ifndef DSS_KEEPER_OUTPUT_H
#define DSS_KEEPER_OUTPUT_H
#include <stdint.h>
#include "base/list.h"
#include "keeper/wire.h"
/*
 * output: which pipe goes to which sink. The keeper holds a second read end of each pipe and never reads it: a new logger
 * gets all of them again and goes on where the dead one stopped.
 */
struct output;

/* Called once the logger has written all the process ever said (or lost, with a count). The pipe is freed after. */
typedef void output_drained_fn(void *data);

struct output_pipe {
	struct list link;
	struct output *output;
	char id[160]; /* the logger's name for it, e.g. "fek-1", "backend.3"; never used twice */
	char sink[300], prefix[140];
	char *const *masks; /* borrowed; stays while the pipe lives */
	int fd;             /* our read end, owned */
	bool is_finished;
	bool is_closed;               /* the process closed it and may live on */
	bool is_told, is_finish_told; /* this logger has heard of it, and of its end */
	int64_t bytes, lost;          /* as the logger told at the end */
	output_drained_fn *drained;
	void *data;
};

/* Answers an order to route once the switch is made, also where the logger dies over it. */
typedef void output_routed_fn(void *data, const char *id, int64_t req, int64_t epoch);

struct output *output_new(void);
void output_on_routed(struct output *o, output_routed_fn *fn, void *data);
void output_free(struct output **o);

/* The link to the present logger (borrowed); tells it every pipe. NULL: it is gone. */
void output_attach(struct output *o, struct wire_link *link);
/* Tells what could not be told before (queue full, no descriptors left); called each turn. */
void output_pump(struct output *o);
/* `drained`, `trouble` and `routed` from the logger. */
void output_message(struct output *o, const struct wire_view *msg);

/* Takes fd. NULL: no memory (fd closed). */
struct output_pipe *output_add(struct output *o, const char *id, const char *sink, const char *prefix, char *const *masks, int fd);
/* From this moment on to another sink. 1: `routed` is called with req and epoch once it is so; 0: it is so; -1. */
int output_route(struct output_pipe *p, const char *sink, const char *prefix, int64_t req, int64_t epoch);
/* The process has ended: drain, then call. */
void output_finish(struct output_pipe *p, output_drained_fn *fn, void *data);
void output_forget(struct output_pipe **p);
void output_reopen(struct output *o);
/* Pipes that are finished but not drained yet. */
size_t output_waiting(const struct output *o);
void output_each(struct output *o, void (*fn)(void *data, struct output_pipe *p), void *data);

#endif
