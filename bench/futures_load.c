/*
 * futures_load: closed-loop clients of an instance over keep-alive connections.
 *
 *     futures_load round    PORT KEYFILE BODYFILE CONNECTIONS COUNT   POST, then GET ?wait= until the result is there
 *     futures_load dispatch PORT KEYFILE BODYFILE CONNECTIONS COUNT   the same; the result is CLOCK_MONOTONIC where the task ran
 *     futures_load submit   PORT KEYFILE BODYFILE CONNECTIONS COUNT   POST only
 *     futures_load fsync    FILE COUNT                                appends 4 KB and calls fsync
 *     futures_load cold     COUNT PROGRAM ARG...                      starts it and waits for its end
 *
 * Prints "p50_us p99_us per_second"; anything but what was expected ends it with a text.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MOST 256
#define ANSWER_MOST      16384
#define STALL_MS         30000
#define PAGE             4096

enum mode { ROUND, DISPATCH, SUBMIT };

struct client {
	int fd;
	bool is_waiting; /* for the result; else for the jobId */
	int64_t begin_ns;
	size_t len;
	char answer[ANSWER_MOST];
};

static enum mode mode;
static char post[8192], key[256];
static size_t post_len;
static int port;
static int64_t *took_ns;
static size_t wanted, begun, ended;

static void fail(const char *what, const char *detail)
{
	fprintf(stderr, "futures_load: %s: %s\n", what, detail);
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static size_t slurp(const char *path, char *to, size_t room)
{
	FILE *f = fopen(path, "r");
	if (!f)
		fail(path, strerror(errno));
	size_t n = fread(to, 1, room - 1, f);
	fclose(f);
	while (n > 0 && to[n - 1] == '\n')
		n--;
	to[n] = 0;
	return n;
}

static void send_all(struct client *c, const char *text, size_t len)
{
	c->len = 0;
	if (send(c->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		fail("unable to send", strerror(errno));
}

static void begin(struct client *c)
{
	if (begun == wanted)
		return;
	begun++;
	c->is_waiting = false;
	c->begin_ns = now_ns();
	send_all(c, post, post_len);
}

static void end(struct client *c, int64_t at_ns)
{
	took_ns[ended++] = at_ns - c->begin_ns;
	begin(c);
}

static void ask(struct client *c, const char *body)
{
	char text[1024], id[128];
	const char *p = strstr(body, "\"jobId\":");
	if (!p || sscanf(p + 8, " \"%127[^\"]\"", id) != 1)
		fail("no jobId", body);
	int n = snprintf(text, sizeof(text),
			 "GET /api/futures/%s?wait=30 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n\r\n", id, port,
			 key);
	c->is_waiting = true;
	send_all(c, text, (size_t)n);
}

static void take(struct client *c, const char *body)
{
	const char *result = strstr(body, "\"result\":");
	if (mode == SUBMIT) {
		if (!strstr(body, "\"jobId\":"))
			fail("no jobId", body);
		end(c, now_ns());
	} else if (!c->is_waiting) {
		ask(c, body);
	} else if (!result) {
		fail("no result", body);
	} else {
		end(c, mode == DISPATCH ? (int64_t)(strtod(result + 9, NULL) * 1e9) : now_ns());
	}
}

static void on_bytes(struct client *c)
{
	ssize_t n = recv(c->fd, c->answer + c->len, sizeof(c->answer) - 1 - c->len, 0);
	if (n <= 0)
		fail("the connection ended", n < 0 ? strerror(errno) : "in order");
	c->len += (size_t)n;
	c->answer[c->len] = 0;
	char *body = strstr(c->answer, "\r\n\r\n"), *length = strcasestr(c->answer, "\r\nContent-Length:");
	if (!body)
		return;
	body += 4;
	if (!length || length > body)
		fail("no Content-Length", c->answer);
	if (c->len < (size_t)(body - c->answer) + strtoul(length + 17, NULL, 10))
		return;
	if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0)
		fail("refused", c->answer);
	take(c, body);
}

static void open_client(struct client *c, int epoll)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		fail("unable to connect", strerror(errno));
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void tell(size_t n, int64_t total_ns)
{
	qsort(took_ns, n, sizeof(*took_ns), by_size);
	printf("%lld %lld %.1f\n", (long long)took_ns[n / 2] / 1000, (long long)took_ns[n * 99 / 100] / 1000,
	       (double)n * 1e9 / (double)total_ns);
}

static int load(char **argv)
{
	static struct client clients[CONNECTIONS_MOST];
	static char body[4096];
	size_t n = (size_t)strtoul(argv[4], NULL, 10);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	port = atoi(argv[1]);
	slurp(argv[2], key, sizeof(key));
	size_t len = slurp(argv[3], body, sizeof(body));
	post_len = (size_t)snprintf(post, sizeof(post),
				    "POST /api/futures HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\nContent-Type: "
				    "application/json\r\nContent-Length: %zu\r\n\r\n%s",
				    port, key, len, body);
	if (n < 1 || n > CONNECTIONS_MOST || epoll < 0)
		fail("connections", argv[4]);
	for (size_t i = 0; i < n; i++)
		open_client(&clients[i], epoll);
	int64_t first_ns = now_ns();
	for (size_t i = 0; i < n; i++)
		begin(&clients[i]);
	while (ended < wanted) {
		struct epoll_event events[64];
		int ready = epoll_wait(epoll, events, 64, STALL_MS);
		if (ready <= 0 && errno != EINTR)
			fail("no answer", "for 30 s");
		for (int i = 0; i < ready; i++)
			on_bytes(events[i].data.ptr);
	}
	tell(wanted, now_ns() - first_ns);
	return 0;
}

static int sync_file(const char *path)
{
	static char page[PAGE];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int64_t first_ns = now_ns();
	if (fd < 0)
		fail(path, strerror(errno));
	for (; ended < wanted; ended++) {
		int64_t from_ns = now_ns();
		if (write(fd, page, sizeof(page)) != PAGE || fsync(fd) < 0)
			fail(path, strerror(errno));
		took_ns[ended] = now_ns() - from_ns;
	}
	unlink(path);
	tell(wanted, now_ns() - first_ns);
	return 0;
}

static int start_cold(char **argv)
{
	int64_t first_ns = now_ns();
	for (; ended < wanted; ended++) {
		int64_t from_ns = now_ns();
		int status, null = -1;
		pid_t pid = vfork();
		if (pid == 0) {
			null = open("/dev/null", O_RDWR | O_CLOEXEC);
			for (int fd = 0; fd < 3; fd++)
				dup2(null, fd);
			execvp(argv[0], argv);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
			fail(argv[0], "did not end well");
		took_ns[ended] = now_ns() - from_ns;
	}
	tell(wanted, now_ns() - first_ns);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const modes[] = { [ROUND] = "round", [DISPATCH] = "dispatch", [SUBMIT] = "submit" };
	bool is_sync = argc == 4 && strcmp(argv[1], "fsync") == 0;
	bool is_cold = argc > 3 && strcmp(argv[1], "cold") == 0;
	if (!is_sync && !is_cold && argc != 7)
		fail("usage",
		     "round|dispatch|submit PORT KEYFILE BODYFILE CONNECTIONS COUNT, fsync FILE COUNT, cold COUNT PROGRAM ARG...");
	wanted = strtoul(argv[is_cold ? 2 : argc - 1], NULL, 10);
	took_ns = calloc(wanted, sizeof(*took_ns));
	if (wanted < 1 || !took_ns)
		fail("count", "0");
	if (is_sync)
		return sync_file(argv[2]);
	if (is_cold)
		return start_cold(argv + 3);
	while (mode < SUBMIT && strcmp(argv[1], modes[mode]) != 0)
		mode++;
	return load(argv + 1);
}
