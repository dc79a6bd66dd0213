#ifndef DSS_LOGGER_DISK_H
#define DSS_LOGGER_DISK_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
/*
 * disk: the instance's folder as the logger may touch it: paths are resolved beneath it and through no symlink; the bytes
 * of all logs together have a cap, and so much of the disk stays free. Used by the writer's thread only: each call may block.
 */

struct disk_limits {
	int64_t file_bytes;  /* a service's log is rotated there … */
	int files;           /* … and so many old ones are kept */
	int64_t job_bytes;   /* a job's log keeps head and tail within this */
	int64_t total_bytes; /* all logs of the instance; 0 = no cap */
	int64_t floor_bytes; /* what stays free on the disk; 0 = none */
};

struct disk {
	int dir_fd;
	struct disk_limits limits;
	int64_t total;      /* bytes of all logs, as far as we know */
	int64_t counted_ms; /* when they were last counted; 0 = never */
};

int disk_init(struct disk *d, const char *dir, const struct disk_limits *limits, struct err *err);
void disk_fini(struct disk *d);

/* "run" or "jobs/P/J"; a jobs folder that is missing is made. An O_PATH descriptor, owned by the caller. */
int disk_open_folder(struct disk *d, const char *path, struct err *err);
/* A regular file with one name, right in that folder. flags as for open; close-on-exec, never follows a link. */
int disk_open_file(int folder_fd, const char *name, int flags, struct err *err);

/* May so many more bytes be written? For a service: makes room by removing the oldest rotated logs. Jobs hold what users write:
 * they remove nothing and leave a tenth of the whole to services, so that nobody's job can silence or erase what the node says.
 * -1: no; err's text is the reason in a few words ("less than 1.0 GB free"). */
int disk_check_total(struct disk *d, bool is_job, int64_t more, struct err *err);
int disk_check_floor(const struct disk *d, int fd, struct err *err);
/* The logs grew by so much, or shrank. */
void disk_count(struct disk *d, int64_t delta);

#endif
