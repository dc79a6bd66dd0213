#ifndef DSS_LOGGER_SOURCE_H
#define DSS_LOGGER_SOURCE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "logger/mask.h"
#include "logger/sink.h"
#include "logger/writer.h"
#include "sys/loop.h"
/*
 * source: one pipe, and what becomes of its bytes on the way to a sink: cut into lines, secrets masked, each line with its
 * prefix. Lines of two sources never mix: only whole lines go to a shared file; a line over SOURCE_LINE_MAX goes in pieces,
 * the later ones begin with "... ". Where one process has a job's log for itself, what stands there without its newline for a
 * while is shown too.
 *
 * A source holds at most one chunk that is read and not yet written: that is what a logger killed with -9 costs, the
 * rest stays in the pipe for the next one.
 */

enum {
	SOURCE_LINE_MAX = 64 * 1024,
	SOURCE_READ_MAX = 64 * 1024,
	SOURCE_ROUTES_MAX = 16,
	SOURCE_SHOW_MS = 1000,
	SOURCE_ID_MAX = 160
};

struct source;

/* Who is to be told once a switch is made and all before it is written: the order's number and its backend. */
struct source_ack {
	char id[SOURCE_ID_MAX];
	int64_t req, epoch;
};

/* What all sources share; owned by the relay. */
struct source_env {
	struct loop *loop;
	struct writer *writer;
	struct mask *mask;
	struct sink_table *sinks;
	struct list paused;                             /* waiting for the writer */
	struct loop_timer *show;                        /* runs while some source is to show half a line: source_show_held */
	void (*complain)(void *data, const char *text); /* to be told to the keeper */
	/* All bytes are written (or counted as lost); the callee frees the source or lets it rest. */
	void (*drained)(void *data, struct source *s);
	/* A switch is made, and what stood before it is written; the callee frees ack. */
	void (*routed)(void *data, struct source_ack *ack);
	void *data;
	char room[SOURCE_READ_MAX]; /* for one read at a time */
};

struct source_route {
	size_t left; /* bytes of the pipe that still go where those before it go */
	struct sink *sink;
	char *prefix;
	struct source_ack *ack; /* NULL: nobody asked */
};

struct source {
	char id[SOURCE_ID_MAX];
	int fd;
	struct source_env *env;
	struct loop_io *io;
	struct list paused; /* in env->paused, or alone */
	struct sink *sink;
	char *prefix; /* owned, "" = none */
	struct mask_hold *masks;
	struct buf held;    /* the beginning of a line; no memory while there is none */
	bool is_line_open;  /* that line's beginning stands in the file already, without newline */
	bool is_continued;  /* the next piece continues a line that was cut */
	size_t outstanding; /* orders at the writer */
	bool is_finishing;  /* the process has ended: what is in the pipe, no more */
	int64_t may_read;   /* then: so many bytes at most, should somebody else go on writing */
	bool is_ended;      /* nothing is read any more; the mark is on its way through the writer */
	bool is_resting;    /* drained; only the counts are kept, until the process has ended */
	int64_t bytes, lost;
	struct source_route routes[SOURCE_ROUTES_MAX];
	size_t nroutes;
};

/* Takes fd, a pipe's read end (closed on failure), and begins to read. prefix NULL = the sink's own. */
struct source *source_new(struct source_env *env, const char *id, int fd, const struct sink_place *place, const char *prefix,
			  int64_t cap, struct err *err);
/* Everything in the pipe at this moment still goes to the old sink. Takes ack (NULL: nobody is told). */
int source_route(struct source *s, const struct sink_place *place, const char *prefix, struct source_ack *ack, struct err *err);
/* Reads until the pipe is empty, then ends, whoever else holds the other end. */
void source_finish(struct source *s);
/* One of its orders is back from the writer. */
void source_written(struct source *s, int64_t lost);
/* After the writer was full and is no more. */
void source_resume_all(struct source_env *env);
/* Shows what this source holds of a line, if it has its file for itself. */
void source_show_held(struct source *s);
/* After it was drained: lets go of all but its counts and secrets; the process may live on. */
void source_rest(struct source *s);
void source_free(struct source **s);

#endif
