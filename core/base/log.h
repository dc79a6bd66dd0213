#ifndef DSS_BASE_LOG_H
#define DSS_BASE_LOG_H
/*
 * log: one record, one line on standard error:
 *     2026-11-21T20:35:06.123Z INFO keeper: started backend (pid 812)
 * Control characters in the text are escaped (\n, \x1b), so that a record can never forge another. A write that
 * would block is dropped and counted; the next record that fits says how many were lost.
 */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* name: the program's name in every line (borrowed for ever). Records below `least` are not written. */
void log_init(const char *name, enum log_level least);

/* Every record also goes to this descriptor (borrowed; made non-blocking by its owner). -1: not any more. */
void log_also(int fd);

void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)

#endif
