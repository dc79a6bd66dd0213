/*
 * futures_kernel: the smallest kernel that keeps the protocol: proves itself, takes one task and runs it for ever. For counting
 * kernels by the hundred; it ends by TERM or /shutdown. With the argument "breathe" its memory changes each second.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "net/digest.h"

#define CONNECTIONS 6
#define REQUEST_MAX 4096
#define PARK_S      20
#define BREATH      (64 << 10)

struct peer {
	int fd;
	size_t len;
	time_t parked_until; /* 0: none of its requests waits */
	char request[REQUEST_MAX];
};

static struct peer peers[CONNECTIONS];
static char kernel_token[256], task_token[256], task[128];
static long attempt;

static void member(const char *json, const char *name, char *out, size_t room)
{
	char key[64];
	snprintf(key, sizeof(key), "\"%s\"", name);
	const char *p = strstr(json, key);
	p = p ? strchr(p + strlen(key), '"') : NULL;
	size_t n = p ? strcspn(p + 1, "\"") : 0;
	snprintf(out, room, "%.*s", (int)n, p ? p + 1 : "");
}

static void read_secrets(void)
{
	char text[1024];
	size_t len = 0;
	ssize_t n;
	int fd = atoi(getenv("DSS_KERNEL_SECRETS_FD"));
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	text[len] = 0;
	member(text, "kernelToken", kernel_token, sizeof(kernel_token));
	member(text, "taskToken", task_token, sizeof(task_token));
}

static int tell_ready(int port)
{
	char host[64], body[512], text[1024], answer[64] = "";
	int backend = 0, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sscanf(getenv("DSS_BACKEND_URL"), "http://%63[^:]:%d", host, &backend) != 2)
		return -1;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)backend), .sin_addr = { inet_addr(host) } };
	int n = snprintf(body, sizeof(body),
			 "{\"kernelId\":\"%s\",\"url\":\"http://127.0.0.1:%d\",\"pid\":%d,\"protocol\":1,\"types\":[\"command\"]}",
			 getenv("DSS_KERNEL_ID"), port, (int)getpid());
	int len = snprintf(
		text, sizeof(text),
		"POST /kernel/v1/ready HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: Bearer %s\r\nConnection: close\r\nContent-Length: "
		"%d\r\n\r\n%s",
		host, backend, kernel_token, n, body);
	bool is_told = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && write(fd, text, (size_t)len) == len &&
		       read(fd, answer, sizeof(answer) - 1) > 12 && strncmp(answer + 9, "200", 3) == 0;
	close(fd);
	return is_told ? 0 : -1;
}

static void answer(struct peer *p, int status, const char *body)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			 status, strlen(body), body);
	if (write(p->fd, text, (size_t)n) != n)
		exit(1);
}

static void tell_state(struct peer *p)
{
	char body[256];
	p->parked_until = 0;
	snprintf(body, sizeof(body), "{\"taskId\":\"%s\",\"attempt\":%ld,\"version\":1,\"state\":\"running\"}", task, attempt);
	answer(p, 200, body);
}

static void take(struct peer *p, const char *body)
{
	char proof[DIGEST_HEX_SIZE], text[200], nonce[128] = "";
	const char *r = p->request;
	if (sscanf(r, "GET /health?nonce=%127[^ ]", nonce) == 1) {
		digest_hmac_sha256_hex(task_token, strlen(task_token), nonce, strlen(nonce), proof);
		snprintf(text, sizeof(text), "{\"state\":\"%s\",\"proof\":\"%s\"}", task[0] ? "busy" : "idle", proof);
		answer(p, 200, text);
	} else if (strncmp(r, "POST /task", 10) == 0) {
		const char *a = strstr(body, "\"attempt\":");
		member(body, "taskId", task, sizeof(task));
		attempt = a ? strtol(a + 10, NULL, 10) : 0;
		answer(p, 202, "{}");
	} else if (strncmp(r, "POST /shutdown", 14) == 0) {
		answer(p, 202, "{}");
		exit(0);
	} else if (strncmp(r, "GET /task/", 10) == 0 && task[0]) {
		if (strstr(r, "seen=1"))
			p->parked_until = time(NULL) + PARK_S;
		else
			tell_state(p);
	} else {
		answer(p, strncmp(r, "DELETE", 6) == 0 ? 202 : 404, "{}");
	}
}

static void on_bytes(struct peer *p)
{
	ssize_t n = read(p->fd, p->request + p->len, sizeof(p->request) - 1 - p->len);
	if (n <= 0) {
		close(p->fd);
		*p = (struct peer){ .fd = -1 };
		return;
	}
	p->len += (size_t)n;
	p->request[p->len] = 0;
	char *body = strstr(p->request, "\r\n\r\n"), *length = strcasestr(p->request, "\r\nContent-Length:");
	if (!body || (length && length < body && p->len < (size_t)(body + 4 - p->request) + strtoul(length + 17, NULL, 10)))
		return;
	take(p, body + 4);
	p->len = 0;
}

/* Takes a random part of it, or gives all back. */
static void breathe(void)
{
	static char *air;
	if (!air)
		air = mmap(NULL, BREATH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (air == MAP_FAILED)
		exit(1);
	madvise(air, BREATH, MADV_DONTNEED);
	for (long i = 0, n = rand() % (BREATH / 4096); i < n; i++)
		air[i * 4096] = 1;
}

int main(int argc, char **argv)
{
	bool is_breathing = argc > 1 && strcmp(argv[1], "breathe") == 0;
	time_t breath = 0;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	srand((unsigned)getpid());
	read_secrets();
	if (bind(listener, (struct sockaddr *)&at, size) < 0 || listen(listener, 8) < 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &size) < 0)
		return 1;
	for (int i = 0; i < CONNECTIONS; i++)
		peers[i].fd = -1;
	while (tell_ready(ntohs(at.sin_port)) < 0)
		usleep(200000);
	for (;;) {
		struct pollfd fds[CONNECTIONS + 1] = { { listener, POLLIN, 0 } };
		bool is_parked = false;
		for (int i = 0; i < CONNECTIONS; i++) {
			fds[i + 1] = (struct pollfd){ peers[i].fd, POLLIN, 0 };
			is_parked |= peers[i].parked_until > 0;
		}
		poll(fds, CONNECTIONS + 1, is_breathing ? 1000 : is_parked ? PARK_S * 1000 : -1);
		if (is_breathing && time(NULL) != breath) {
			breath = time(NULL);
			breathe();
		}
		for (int i = 0; i < CONNECTIONS; i++) {
			if (peers[i].parked_until && time(NULL) >= peers[i].parked_until)
				tell_state(&peers[i]);
			if (fds[i + 1].revents)
				on_bytes(&peers[i]);
		}
		int fd = fds[0].revents ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
		for (int i = 0; fd >= 0 && i < CONNECTIONS; i++)
			if (peers[i].fd < 0) {
				peers[i] = (struct peer){ .fd = fd };
				fd = -1;
			}
		if (fd >= 0)
			close(fd);
	}
}
