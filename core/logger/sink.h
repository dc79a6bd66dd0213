#ifndef DSS_LOGGER_SINK_H
#define DSS_LOGGER_SINK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "logger/logfile.h"
/*
 * sink: where output goes, named by kind and id, never by a path. Two names may mean one file (a kernel's output and the
 * backend's): there is one sink per file, shared by all sources that write to it.
 *
 *     service:NAME        run/NAME.log (jupyter: run/ipython.log)
 *     kernel:ID           run/backend.log, lines begin with "ID: " unless the message says otherwise
 *     job:PROJECT:JOB     jobs/PROJECT/JOB/output.log; job ids may hold colons, projects may not
 *     null                nowhere
 */
enum sink_kind { SINK_NULL, SINK_SERVICE, SINK_KERNEL, SINK_JOB };

struct sink_place {
	enum sink_kind kind;
	char folder[300], name[160];
	char id[129]; /* the kernel's, for the prefix; else empty */
};

struct source;

struct sink {
	struct sink_place place;
	struct logfile *file; /* touched by the writer's thread only; NULL for null */
	size_t users;
	struct source *open_line; /* whose line has begun in the file and is not ended; NULL: none */
};

int sink_parse(const char *text, struct sink_place *out, struct err *err);

struct sink_table;
struct sink_table *sink_table_new(void);
void sink_table_free(struct sink_table **table);
/* The sink of that place, made if needed, with one more user. cap 0 = as the settings say. NULL: no memory. */
struct sink *sink_use(struct sink_table *table, const struct sink_place *place, int64_t cap);
/* One user less. True: it was the last; the sink has left the table and is the caller's to free, after the writer is done with it. */
bool sink_leave(struct sink_table *table, struct sink *sink);
void sink_free(struct sink **sink);

#endif
