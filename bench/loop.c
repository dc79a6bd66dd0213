/*
 * loop N PROGRAM: the yardstick for spawning: vfork, exec, wait, N times over. Prints starts per second.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

int main(int argc, char **argv)
{
	char *args[] = { argc > 2 ? argv[2] : NULL, NULL }, *env[] = { NULL };
	long n = argc > 2 ? atol(argv[1]) : 0;
	if (n <= 0) {
		fprintf(stderr, "usage: loop N PROGRAM\n");
		return 2;
	}
	int64_t began = bench_ns();
	for (long i = 0; i < n; i++) {
		int status;
		pid_t pid = vfork();
		if (pid == 0) {
			execve(args[0], args, env);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
			fprintf(stderr, "loop: unable to run %s\n", args[0]);
			return 1;
		}
	}
	printf("%.1f\n", (double)n * 1e9 / (double)(bench_ns() - began));
	return 0;
}
