/*
 * drive: kills, waits and takes the time. All peers of a run are measured in turn, so that a noisy moment hits all of them.
 *
 *   drive restart ROUNDS GAP_MS NAME=FIFO[:PROBE]...   kill -9 of each service in turn until its successor runs; prints per NAME
 *                                                      "NAME n median min max [reap share join exec]" in microseconds
 *   drive up N FIFO PIDFILE PROGRAM ARG...             starts PROGRAM in the background, waits for N records; prints ms
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bench.h"

#define PEERS_MAX  16
#define ROUNDS_MAX 1000
#define FIRST_MS   20000 /* until a supervisor has started its service */
#define RESTART_MS 10000
#define UP_MS      120000

enum { TOTAL, REAP, SHARE, JOIN, EXEC, COLUMNS };

struct peer {
	char name[64];
	int fd;
	struct probe *probe;
	int64_t pid, ns[COLUMNS][ROUNDS_MAX];
};

static int fail(const char *what, const char *whom)
{
	fprintf(stderr, "drive: %s %s: %s\n", what, whom, errno ? strerror(errno) : "it did not happen in time");
	return 1;
}

/* Both ends, so that it never reads as closed. */
static int open_fifo(const char *path)
{
	if (mkfifo(path, 0666) < 0 && errno != EEXIST)
		return -1;
	return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static int read_ping(int fd, int64_t deadline_ns, struct ping *out)
{
	for (;;) {
		ssize_t n = read(fd, out, sizeof(*out));
		if (n == (ssize_t)sizeof(*out))
			return 0;
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return -1;
		int64_t left = deadline_ns - bench_ns();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		errno = 0;
		if (left <= 0 || (poll(&p, 1, (int)(left / 1000000) + 1) < 0 && errno != EINTR))
			return -1;
	}
}

static struct probe *map_probe(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct probe), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	return at == MAP_FAILED ? NULL : at;
}

/* --- restart --- */

static int open_peer(struct peer *p, char *text)
{
	struct ping first;
	char *fifo = strchr(text, '='), *probe;
	if (!fifo || (size_t)(fifo - text) >= sizeof(p->name))
		return fail("unable to read", text);
	*fifo++ = '\0';
	strcpy(p->name, text);
	if ((probe = strchr(fifo, ':')))
		*probe++ = '\0';
	if ((p->fd = open_fifo(fifo)) < 0 || (probe && !(p->probe = map_probe(probe))))
		return fail("unable to open", fifo);
	if (read_ping(p->fd, bench_ns() + FIRST_MS * INT64_C(1000000), &first) < 0)
		return fail("unable to see the first start of", p->name);
	p->pid = first.pid;
	return 0;
}

static int measure(struct peer *p, int round)
{
	struct ping next;
	if (p->probe)
		memset(p->probe, 0, sizeof(*p->probe));
	int64_t began = bench_ns();
	if (kill((pid_t)p->pid, SIGKILL) < 0 || read_ping(p->fd, began + RESTART_MS * INT64_C(1000000), &next) < 0)
		return fail("unable to see the restart of", p->name);
	p->pid = next.pid;
	p->ns[TOTAL][round] = next.ns - began;
	if (!p->probe)
		return 0;
	/* The successor may run before its parent has noted the birth. */
	const volatile int64_t *noted = &p->probe->spawned_ns;
	while (!*noted && bench_ns() < began + RESTART_MS * INT64_C(1000000))
		nanosleep(&(struct timespec){ 0, 100000 }, NULL);
	if (!*noted)
		return fail("unable to see what the keeper noted of", p->name);
	p->ns[REAP][round] = p->probe->reap_ns - began;
	p->ns[SHARE][round] = p->probe->spawned_ns - p->probe->reap_ns;
	p->ns[JOIN][round] = p->probe->join_ns;
	p->ns[EXEC][round] = next.ns - p->probe->exec_ns;
	return 0;
}

static void print_peer(struct peer *p, int rounds)
{
	size_t n = (size_t)rounds;
	int64_t median = bench_median(p->ns[TOTAL], n);
	printf("%s %d %.1f %.1f %.1f", p->name, rounds, (double)median / 1e3, (double)p->ns[TOTAL][0] / 1e3,
	       (double)p->ns[TOTAL][n - 1] / 1e3);
	for (int c = REAP; p->probe && c < COLUMNS; c++)
		printf(" %.1f", (double)bench_median(p->ns[c], n) / 1e3);
	putchar('\n');
}

static int restart(int argc, char **argv)
{
	static struct peer peers[PEERS_MAX];
	int rounds = atoi(argv[0]), gap_ms = atoi(argv[1]), n = argc - 2;
	if (rounds < 1 || rounds > ROUNDS_MAX || n < 1 || n > PEERS_MAX)
		return 2;
	for (int i = 0; i < n; i++)
		if (open_peer(&peers[i], argv[i + 2]))
			return 1;
	/* Every service has lived for the gap before it is killed: no supervisor holds it back as one that dies at once. */
	for (int r = 0; r < rounds; r++) {
		struct timespec gap = { gap_ms / 1000, gap_ms % 1000 * 1000000L };
		nanosleep(&gap, NULL);
		for (int i = 0; i < n; i++)
			if (measure(&peers[i], r))
				return 1;
	}
	for (int i = 0; i < n; i++)
		print_peer(&peers[i], rounds);
	return 0;
}

/* --- up --- */

static int up(char **argv)
{
	int n = atoi(argv[0]), fifo = open_fifo(argv[1]);
	struct ping p;
	if (n < 1 || fifo < 0)
		return fail("unable to open", argv[1]);
	int64_t began = bench_ns(), last = began;
	pid_t pid = fork();
	if (pid < 0)
		return fail("unable to start", argv[3]);
	if (pid == 0) {
		setsid();
		execvp(argv[3], argv + 3);
		_exit(fail("unable to start", argv[3]));
	}
	FILE *f = fopen(argv[2], "w");
	if (!f || fprintf(f, "%d\n", (int)pid) < 0 || fclose(f) != 0)
		return fail("unable to write", argv[2]);
	for (int i = 0; i < n; i++) {
		if (read_ping(fifo, began + UP_MS * INT64_C(1000000), &p) < 0) {
			fprintf(stderr, "drive: %d of %d are up\n", i, n);
			return fail("unable to wait for", argv[3]);
		}
		last = p.ns > last ? p.ns : last;
	}
	printf("%.1f\n", (double)(last - began) / 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 4 && !strcmp(argv[1], "restart"))
		return restart(argc - 2, argv + 2);
	if (argc > 5 && !strcmp(argv[1], "up"))
		return up(argv + 2);
	fprintf(stderr, "usage: drive restart ROUNDS GAP_MS NAME=FIFO[:PROBE]... | drive up N FIFO PIDFILE PROGRAM ARG...\n");
	return 2;
}
