/*
 * relay copy | prefix OUT: the yardstick for the logger: one loop that reads standard input and writes the file OUT, as it
 * is or with a prefix before each line.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 65536

static int put(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);
		if (done < 0)
			return -1;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

/* Returns the bytes in out, which has room for a prefix per byte of in. */
static size_t put_prefixes(const char *in, size_t n, char *out, int *at_start)
{
	static const char prefix[] = "[bench] ";
	size_t len = 0;
	for (const char *end = in + n; in < end;) {
		const char *nl = memchr(in, '\n', (size_t)(end - in));
		size_t part = nl ? (size_t)(nl - in) + 1 : (size_t)(end - in);
		if (*at_start) {
			memcpy(out + len, prefix, sizeof(prefix) - 1);
			len += sizeof(prefix) - 1;
		}
		memcpy(out + len, in, part);
		len += part;
		in += part;
		*at_start = nl != NULL;
	}
	return len;
}

int main(int argc, char **argv)
{
	static char in[CHUNK], out[CHUNK * 9];
	int at_start = 1, with_prefix = argc == 3 && !strcmp(argv[1], "prefix");
	int fd = argc == 3 ? open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
	if (fd < 0) {
		fprintf(stderr, "usage: relay copy|prefix OUT\n");
		return 2;
	}
	for (;;) {
		ssize_t n = read(0, in, sizeof(in));
		if (n <= 0)
			return n < 0;
		size_t len = with_prefix ? put_prefixes(in, (size_t)n, out, &at_start) : (size_t)n;
		if (put(fd, with_prefix ? out : in, len) < 0)
			return 1;
	}
}
