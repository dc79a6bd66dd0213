#ifndef DSS_LOGGER_LOGFILE_H
#define DSS_LOGGER_LOGFILE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/list.h"
#include "logger/disk.h"
/*
 * logfile: one log on disk, as the writer's thread sees it: opened when first written, kept within its size, and honest:
 * what could not be written is counted, and a line in its place says how much, why, from when to when, once that is possible.
 */

struct logfile {
	struct list link; /* the writer's */
	char folder[300], name[160];
	bool is_job; /* head and tail in one file, else rotated */
	int64_t cap;
	int fd; /* -1: not open */
	int64_t size;
	int64_t since_check;  /* bytes since the disk's floor was looked at */
	bool is_line_open;    /* the last byte written is no newline */
	int64_t lost;         /* bytes, not told in the file yet */
	int64_t lost_wall_ms; /* since when */
	int64_t retry_ms;     /* monotonic: no try before */
	int64_t told_ms;      /* monotonic, 0 = never: when the last trouble was told */
	bool is_trouble_open; /* it was told, and its end was not */
	char reason[ERR_TEXT_MAX];
};

/* For the keeper's ears; rate-limited per file. */
typedef void logfile_trouble_fn(void *data, const char *text, int64_t lost);

struct logfile_env {
	struct disk disk;
	logfile_trouble_fn *trouble;
	void *data;
};

/* Owned by the caller; NULL: no memory. cap 0 = as the limits say. */
struct logfile *logfile_new(const char *folder, const char *name, bool is_job, int64_t cap);
/* The bytes that were lost: 0 = all of it is written. */
int64_t logfile_append(struct logfile_env *env, struct logfile *f, const char *data, size_t len);
/* Tries to write what is owed (the marker). True: nothing is owed. */
bool logfile_settle(struct logfile_env *env, struct logfile *f);
/* By name again, as after a rename by somebody else. */
void logfile_reopen(struct logfile_env *env, struct logfile *f);
void logfile_close(struct logfile *f);
void logfile_free(struct logfile **f);

#endif
