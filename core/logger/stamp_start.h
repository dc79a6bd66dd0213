#ifndef DSS_LOGGER_STAMP_START_H
#define DSS_LOGGER_STAMP_START_H
#include <signal.h>
#include <stddef.h>
#include <sys/types.h>
/*
 * stamp_start: the start of the program that `dss-logger stamp` runs, and what is said of it. The keeper sees only that stamp itself was run: what
 * became of the program is told on DSS_START_FD, if there is one: closed = it runs; an errno and a text = it does not, and why. So nobody has to
 * guess from status 127, which shells end with as well.
 *
 * Where the kernel can (Landlock, Linux 6.12), the program is put into a domain of its own: neither it nor what it starts can signal, trace or look into
 * the memory and environment of processes that it did not start: not those of other recipes of the same user, not stamp.
 */

/* Takes DSS_START_FD out of the environment; it is not inherited. Before anything else. */
void stamp_start_init(void);
/* Forks and executes argv (searched along PATH) with its output in two new pipes, whose ends to read come back, non-blocking. mask: the program's
 * signal mask. Its pid; or -1: why has the text, and the errno is returned in errno. */
pid_t stamp_start(char **argv, int from[2], const sigset_t *mask, char *why, size_t room);
/* Puts this process into that domain; where the kernel cannot, nothing happens. */
void stamp_start_enclose(void);
/* Tells the keeper that it runs. */
void stamp_start_told(void);
/* Tells the keeper why there is no program. */
void stamp_start_failed(int errnum, const char *why);
/* Whether that file can be read as a script: 0, or -1 with errno and the text. */
int stamp_start_script(const char *path, char *why, size_t room);
/* A hint about a script that a shell will not take as its author meant; "" = none. */
void stamp_start_hint(const char *program, const char *script, char *out, size_t room);

#endif
