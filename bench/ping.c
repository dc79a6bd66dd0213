/*
 * ping [FIFO]: the service of the benches. Says that it runs: pid and time as one record into FIFO (or $BENCH_FIFO), a newline
 * into descriptor $BENCH_READY_FD; then sleeps. Linked statically: its own start shall cost next to nothing.
 */
#include <fcntl.h>
#include <unistd.h>
#include "bench.h"

int main(int argc, char **argv)
{
	struct ping p = { getpid(), bench_ns() };
	const char *path = getenv("BENCH_FIFO"), *ready = getenv("BENCH_READY_FD");
	if (!path) /* s6 gives words of its own */
		path = argc > 1 ? argv[1] : NULL;
	int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
	if (fd < 0 || write(fd, &p, sizeof(p)) != (ssize_t)sizeof(p))
		return 1;
	if (ready && write(atoi(ready), "\n", 1) != 1)
		return 1;
	close(fd);
	for (;;)
		pause();
}
