#include "logger/launch.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "logger/stamp_start.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/sock.h"

#define WAIT_MS     60000 /* for a backend that is just being replaced */
#define TELL_MS     2000
#define AGAIN_MS    100
#define ANSWER_MAX  4096
#define REFUSED     1
#define NOT_STARTED 127
#define LATER       "DSS_LATER_" /* before the names of the kernel's own variables */

static const char usage[] = "usage: DSS_NOTEBOOK_DOOR=SOCKET DSS_NOTEBOOK_NONCE=NONCE dss-logger launch PROGRAM [ARGS]\n";

static void say(const char *text)
{
	fprintf(stderr, "the kernel is not started yet: %s\n", text);
}

static int wait_for(int fd, short events, int64_t until_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = until_ms - clock_mono_ms();
	int n = poll(&p, 1, left > 0 ? (int)left : 0);
	return n > 0 ? 0 : -1;
}

static bool send_all(int fd, const char *text, size_t len, int64_t until_ms)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno != EINTR && (errno != EAGAIN || wait_for(fd, POLLOUT, until_ms) < 0))
			return false;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* Up to the end of what the backend sends. false: it has gone, or says nothing. */
static bool read_all(int fd, char out[ANSWER_MAX], int64_t until_ms)
{
	size_t len = 0;
	while (len < ANSWER_MAX - 1) {
		ssize_t n = read(fd, out + len, ANSWER_MAX - 1 - len);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR && (errno != EAGAIN || wait_for(fd, POLLIN, until_ms) < 0))
			return false;
		if (n > 0)
			len += (size_t)n;
	}
	out[len] = '\0';
	return len > 0;
}

/* The text of {"errorType":…,"message":"…"}, as it stands there; else all of it. */
static void take_message(const char *answer, char *out, size_t room)
{
	const char *at = strstr(answer, "\"message\":\"");
	size_t n = 0;
	at = at ? at + strlen("\"message\":\"") : answer;
	while (*at && n + 1 < room && (*at != '"' || at[-1] == '\\')) {
		if (*at == '\\' && (at[1] == '"' || at[1] == '\\'))
			at++;
		out[n++] = *at++;
	}
	out[n] = '\0';
}

/* 0: go on; 1: refused, why has the reason; -1: nobody answered, why says what happened. */
static int ask(const char *door, const char *nonce, int64_t until_ms, char *why, size_t room)
{
	char text[700], answer[ANSWER_MAX];
	struct err err = { 0 };
	int fd = sock_connect_unix(door, &err), status = 0;
	if (fd < 0) {
		snprintf(why, room, "%s", err.text);
		return -1;
	}
	int len = snprintf(text, sizeof(text),
			   "POST /register HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
			   "Content-Length: %zu\r\n\r\n{\"nonce\":\"%s\"}",
			   strlen(nonce) + 12, nonce);
	bool is_told = send_all(fd, text, (size_t)len, until_ms) && read_all(fd, answer, until_ms);
	fds_close(&fd);
	if (!is_told || sscanf(answer, "HTTP/1.%*d %d", &status) != 1 || status == 503) {
		snprintf(why, room, "the backend does not answer");
		return -1;
	}
	take_message(answer, why, room);
	return status == 200 ? 0 : 1;
}

static int enter(const char *door, const char *nonce)
{
	char why[1000] = "";
	int64_t now = clock_mono_ms(), until_ms = now + WAIT_MS, tell_ms = now + TELL_MS;
	bool is_told = false;
	int rc;
	while ((rc = ask(door, nonce, until_ms, why, sizeof(why))) < 0 && clock_mono_ms() < until_ms) {
		if (!is_told && clock_mono_ms() >= tell_ms) {
			say("waiting for the backend");
			is_told = true;
		}
		const struct timespec pause = { 0, AGAIN_MS * 1000000L };
		nanosleep(&pause, NULL);
	}
	if (rc == 0)
		return 0;
	fprintf(stderr, "unable to start the kernel: %s%s\n", why, rc < 0 ? "; start it again once the backend is back" : "");
	return -1;
}

/* The kernel's variables get their names back. What its kernelspec says of the loader or of the C library counts from the
 * kernel's exec on, in its box, and never for this process. */
static int take_environment(void)
{
	size_t n = 0, len = strlen(LATER);
	while (environ[n])
		n++;
	char **own = calloc(n + 1, sizeof(*own));
	if (!own)
		return -1;
	for (size_t i = 0; i < n; i++)
		own[i] = strncmp(environ[i], LATER, len) == 0 ? environ[i] + len : environ[i];
	environ = own; /* until exec */
	return 0;
}

int launch_main(int argc, char **argv)
{
	const char *door = getenv("DSS_NOTEBOOK_DOOR"), *given = getenv("DSS_NOTEBOOK_NONCE");
	char nonce[200], path[4096];
	if (argc < 2 || !door || !given || strlen(given) >= sizeof(nonce) || strlen(door) >= sizeof(path) ||
	    strspn(given, "0123456789abcdef") != strlen(given)) {
		fputs(usage, stderr);
		return 2;
	}
	/* Until it lives in its box it may do what only the server's own may: nobody shall get into it. Where its file cannot be read, as installed, it
	 * is closed from its exec on, and nobody has seen the nonce in its environment; else from here on. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	strcpy(nonce, given);
	strcpy(path, door);
	unsetenv("DSS_NOTEBOOK_DOOR");
	unsetenv("DSS_NOTEBOOK_NONCE");
	if (enter(path, nonce) < 0)
		return REFUSED;
	stamp_start_enclose();
	if (take_environment() < 0) {
		fputs("unable to start the kernel: not enough memory\n", stderr);
		return NOT_STARTED;
	}
	execvp(argv[1], argv + 1);
	fprintf(stderr, "unable to start the kernel: unable to run %s: %s\n", argv[1], strerror(errno));
	return NOT_STARTED;
}
