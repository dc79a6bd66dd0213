#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/text.h"

/* A whole record fits one atomic write to a pipe (PIPE_BUF), so that records of several writers never mix. */
enum { RECORD_MAX = 4096, TEXT_MAX = 3800 };

static const char *log_name = "dss";
static enum log_level log_least = LOG_INFO;
static int also_fd = -1;
static unsigned long lost_records; /* since the last record that was written; atomic: any thread may log */

void log_init(const char *name, enum log_level least)
{
	log_name = name;
	log_least = least;
}

void log_also(int fd)
{
	also_fd = fd;
}

static size_t put_head(char *out, size_t room, enum log_level level)
{
	static const char *const names[] = { "DEBUG", "INFO", "WARN", "ERROR" };
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(out, room, "%Y-%m-%dT%H:%M:%S", &tm);
	int m = snprintf(out + n, room - n, ".%03ldZ %s %s: ", now.tv_nsec / 1000000, names[level], log_name);
	n += m > 0 ? (size_t)m : 0;
	return n < room ? n : room - 1;
}

/* True: all of it is out. Standard error may be a blocking pipe that others share, so its mode is left alone and we
 * ask first whether a write would wait. */
static bool write_record(const char *record, size_t len)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	if (poll(&p, 1, 0) <= 0)
		return false;
	ssize_t n;
	do {
		n = write(STDERR_FILENO, record, len);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

static void write_line(enum log_level level, const char *text, size_t len)
{
	char record[RECORD_MAX];
	size_t n = put_head(record, 256, level);
	text_escape(record + n, sizeof(record) - n - 1, text, len);
	n += strlen(record + n);
	record[n++] = '\n';
	if (also_fd >= 0 && write(also_fd, record, n) < 0) {
		/* a full pipe: the other writer has it, and the count below is about standard error */
	}
	if (!write_record(record, n))
		__atomic_add_fetch(&lost_records, 1, __ATOMIC_RELAXED);
}

void log_at(enum log_level level, const char *fmt, ...)
{
	if (level < log_least)
		return;
	int kept_errno = errno;
	unsigned long lost = __atomic_exchange_n(&lost_records, 0, __ATOMIC_RELAXED);
	if (lost > 0) {
		char note[80];
		int n = snprintf(note, sizeof(note), "lost %lu log records: standard error was full", lost);
		write_line(LOG_WARN, note, (size_t)n);
		/* Was that note itself refused? Then what it told of is still untold. */
		if (__atomic_exchange_n(&lost_records, 0, __ATOMIC_RELAXED) > 0)
			__atomic_add_fetch(&lost_records, lost, __ATOMIC_RELAXED);
	}
	char text[TEXT_MAX];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(text)) {
		memcpy(text + sizeof(text) - 5, " ...", 5);
		n = (int)sizeof(text) - 1;
	}
	if (n >= 0)
		write_line(level, text, (size_t)n);
	errno = kept_errno;
}
