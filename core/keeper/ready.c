#include "keeper/ready.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/log.h"
#include "base/map.h"
#include "sys/fds.h"
#include "sys/sock.h"

/* Probing a port: often at first, since most services need less than a second; then once a second. */
#define PROBE_FIRST_MS 20
#define PROBE_MOST_MS  1000

/* --- notify --- */

void ready_name_notify(const char *instance, char *out, size_t room)
{
	snprintf(out, room, "@dss-%s-notify", instance);
}

static void on_notify(void *data, int fd, int events)
{
	struct procs *t = data;
	(void)events;
	for (int i = 0; i < 64; i++) { /* bounded: a flood must not hold the loop */
		char text[1024];
		union {
			char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * 16)];
			struct cmsghdr align;
		} control;
		struct iovec iov = { text, sizeof(text) - 1 };
		struct msghdr msg = {
			.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
		};
		ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		struct ucred cred = { 0 };
		if (n < 0)
			return;
		text[n] = 0;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			if (c->cmsg_level != SOL_SOCKET)
				continue;
			if (c->cmsg_type == SCM_CREDENTIALS)
				memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			if (c->cmsg_type == SCM_RIGHTS) /* nobody may park descriptors with us */
				for (size_t k = 0; k < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); k++) {
					int stray;
					memcpy(&stray, CMSG_DATA(c) + k * sizeof(int), sizeof(int));
					close(stray);
				}
		}
		struct proc *p = cred.pid > 0 ? map_get_u64(t->by_pid, (uint64_t)cred.pid) : NULL;
		bool says_ready = !strncmp(text, "READY=1", 7) || strstr(text, "\nREADY=1");
		if (p && p->desc.ready == DESC_READY_NOTIFY && says_ready)
			proc_make_ready(p);
	}
}

int ready_open_notify(struct procs *t, struct err *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char name[100];
	int on = 1;
	if (t->notify_fd >= 0) {
		t->notify_io = loop_io_new(t->loop, t->notify_fd, LOOP_READ, on_notify, t);
		return t->notify_io ? 0 : err_set(err, "no memory");
	}
	ready_name_notify(t->instance, name, sizeof(name));
	memcpy(a.sun_path + 1, name + 1, strlen(name) - 1);
	t->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->notify_fd < 0)
		return err_sys(err, errno, "unable to make the notify socket");
	if (setsockopt(t->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(t->notify_fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) < 0) {
		int e = errno;
		fds_close(&t->notify_fd);
		return err_sys(err, e, "unable to bind the notify socket %s", name);
	}
	t->notify_io = loop_io_new(t->loop, t->notify_fd, LOOP_READ, on_notify, t);
	return t->notify_io ? 0 : err_set(err, "no memory");
}

/* --- newline on a descriptor --- */

static void on_ready_fd(void *data, int fd, int events)
{
	struct proc *p = data;
	char bytes[64];
	ssize_t n = read(fd, bytes, sizeof(bytes));
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	bool is_ready = n > 0 && memchr(bytes, '\n', (size_t)n);
	if (n > 0 && !is_ready)
		return;
	if (!is_ready) /* closed without a word: never ready, the deadline or its exit will tell */
		loop_io_set(p->ready_io, 0);
	else
		proc_make_ready(p);
}

/* --- probing a port --- */

static void again(struct proc *p)
{
	loop_io_free(&p->probe_io);
	fds_close(&p->probe_fd);
	p->probe_ms = p->probe_ms * 2 > PROBE_MOST_MS ? PROBE_MOST_MS : p->probe_ms * 2;
	proc_due(p, PROC_DUE_PROBE, p->probe_ms);
}

static void on_probe_answer(struct proc *p)
{
	char line[64];
	ssize_t n = read(p->probe_fd, line, sizeof(line) - 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	line[n > 0 ? n : 0] = 0;
	if (n > 9 && !strncmp(line, "HTTP/1.", 7) && line[8] == ' ' && line[9] == '2')
		proc_make_ready(p);
	else
		again(p);
}

static void on_probe(void *data, int fd, int events)
{
	struct proc *p = data;
	int failed = 0;
	socklen_t len = sizeof(failed);
	if (events & LOOP_READ) {
		on_probe_answer(p);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) < 0 || failed) {
		again(p);
		return;
	}
	if (p->desc.ready != DESC_READY_HTTP) {
		proc_make_ready(p);
		return;
	}
	char ask[400];
	int n = snprintf(ask, sizeof(ask), "GET %s HTTP/1.0\r\nHost: %s:%d\r\nConnection: close\r\n\r\n", p->desc.ready_path,
			 p->desc.ready_host, p->desc.ready_port);
	if (send(fd, ask, (size_t)n, MSG_NOSIGNAL) != n)
		again(p);
	else
		loop_io_set(p->probe_io, LOOP_READ);
}

void ready_probe(struct proc *p)
{
	loop_io_free(&p->probe_io); /* one that hangs is given up here */
	fds_close(&p->probe_fd);
	p->probe_fd = p->desc.ready == DESC_READY_SOCKET ? sock_connect_unix(p->desc.ready_path, NULL)
							 : sock_connect_tcp(p->desc.ready_host, p->desc.ready_port, NULL);
	if (p->probe_fd >= 0)
		p->probe_io = loop_io_new(p->procs->loop, p->probe_fd, LOOP_WRITE, on_probe, p);
	if (!p->probe_io) {
		again(p);
		return;
	}
	proc_due(p, PROC_DUE_PROBE, PROBE_MOST_MS);
}

/* --- all rules --- */

void ready_watch(struct proc *p)
{
	switch (p->desc.ready) {
	case DESC_READY_EXEC:
		proc_make_ready(p);
		break;
	case DESC_READY_FD:
		if (!p->ready_io && p->ready_fd >= 0)
			p->ready_io = loop_io_new(p->procs->loop, p->ready_fd, LOOP_READ, on_ready_fd, p);
		break;
	case DESC_READY_PORT:
	case DESC_READY_HTTP:
	case DESC_READY_SOCKET:
		p->probe_ms = PROBE_FIRST_MS;
		proc_due(p, PROC_DUE_PROBE, PROBE_FIRST_MS);
		break;
	case DESC_READY_NOTIFY:
	case DESC_READY_TOLD:
		break;
	}
}

void ready_end(struct proc *p)
{
	loop_io_free(&p->ready_io);
	loop_io_free(&p->probe_io);
	fds_close(&p->ready_fd);
	fds_close(&p->probe_fd);
	proc_due(p, PROC_DUE_PROBE, -1);
}
