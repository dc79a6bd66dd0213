#include "sys/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "sys/fds.h"

enum { BACKLOG = 1024, SEND_FDS_MAX = 8 };

/* --- TCP --- */

union tcp_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* The length of the address, or 0. */
static socklen_t parse_address(const char *host, int port, union tcp_address *out)
{
	memset(out, 0, sizeof(*out));
	if (port < 0 || port > 65535)
		return 0;
	if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons((uint16_t)port);
		return sizeof(out->v4);
	}
	if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons((uint16_t)port);
		return sizeof(out->v6);
	}
	return 0;
}

/* A socket for that address; -1 with err. verb: what is to be done, for the error's text. */
static int tcp_socket(const char *verb, const char *host, int port, union tcp_address *a, socklen_t *len, struct err *err)
{
	*len = parse_address(host, port, a);
	if (*len == 0) {
		err_set(err, "unable to %s %.80s port %d: not a numeric address and a port from 0 to 65535", verb, host, port);
		if (err != NULL)
			err->code = EINVAL;
		return -1;
	}
	int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd >= 0 ? fd : err_sys(err, errno, "unable to %s %s port %d", verb, host, port);
}

static void set_on(int fd, int level, int option)
{
	int on = 1;
	setsockopt(fd, level, option, &on, sizeof(on)); /* a comfort: without it all still works */
}

int sock_listen_tcp(const char *host, int port, struct err *err)
{
	union tcp_address a;
	socklen_t len;
	int fd = tcp_socket("listen on", host, port, &a, &len, err);
	if (fd < 0)
		return -1;
	set_on(fd, SOL_SOCKET, SO_REUSEADDR);
	set_on(fd, IPPROTO_TCP, TCP_NODELAY); /* accepted sockets inherit it */
	if (a.any.sa_family == AF_INET6)
		set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY); /* "::" must not take the IPv4 port as well */
	if (bind(fd, &a.any, len) < 0 || listen(fd, BACKLOG) < 0) {
		int errnum = errno;
		fds_close(&fd);
		return err_sys(err, errnum, "unable to listen on %s port %d", host, port);
	}
	return fd;
}

int sock_connect_tcp(const char *host, int port, struct err *err)
{
	union tcp_address a;
	socklen_t len;
	int fd = tcp_socket("connect to", host, port, &a, &len, err);
	if (fd < 0)
		return -1;
	set_on(fd, IPPROTO_TCP, TCP_NODELAY);
	if (connect(fd, &a.any, len) < 0 && errno != EINPROGRESS) {
		int errnum = errno;
		fds_close(&fd);
		return err_sys(err, errnum, "unable to connect to %s port %d", host, port);
	}
	return fd;
}

int sock_port(int fd)
{
	union tcp_address a = { .any.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(a);
	if (getsockname(fd, &a.any, &len) < 0)
		return -1;
	if (a.any.sa_family == AF_INET)
		return ntohs(a.v4.sin_port);
	return a.any.sa_family == AF_INET6 ? ntohs(a.v6.sin6_port) : -1;
}

typedef int name_fn(int fd, struct sockaddr *address, socklen_t *len);

static int print_address(name_fn *get, int fd, char *out, size_t room)
{
	static const char mapped[] = "::ffff:";
	union tcp_address a = { .any.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(a);
	if (get(fd, &a.any, &len) < 0)
		return -1;
	const void *bytes = a.any.sa_family == AF_INET ? (const void *)&a.v4.sin_addr : &a.v6.sin6_addr;
	char text[INET6_ADDRSTRLEN];
	if (inet_ntop(a.any.sa_family, bytes, text, sizeof(text)) == NULL)
		return -1; /* EAFNOSUPPORT: a unix socket */
	bool is_mapped = a.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr);
	snprintf(out, room, "%s", is_mapped ? text + sizeof(mapped) - 1 : text);
	return 0;
}

int sock_own_address(int fd, char *out, size_t room)
{
	return print_address(getsockname, fd, out, room);
}

int sock_peer_address(int fd, char *out, size_t room)
{
	return print_address(getpeername, fd, out, room);
}

/* --- unix --- */

/* A path as the kernel takes it (107 bytes at most): a longer one goes through its folder's descriptor. */
struct unix_name {
	struct sockaddr_un address;
	int dirfd; /* -1 unless the path is long; must stay open while the address is used */
};

static int open_folder(const char *path, const char *slash)
{
	char dir[PATH_MAX];
	size_t len = (size_t)(slash - path);
	if (len >= sizeof(dir)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(dir, path, len);
	dir[len] = '\0';
	return open(len == 0 ? "/" : dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int unix_name_init(struct unix_name *n, const char *path)
{
	memset(n, 0, sizeof(*n));
	n->dirfd = -1;
	n->address.sun_family = AF_UNIX;
	size_t room = sizeof(n->address.sun_path);
	if (strlen(path) < room) {
		memcpy(n->address.sun_path, path, strlen(path) + 1);
		return 0;
	}
	const char *slash = strrchr(path, '/');
	if (slash == NULL) {
		errno = ENAMETOOLONG;
		return -1;
	}
	n->dirfd = open_folder(path, slash);
	if (n->dirfd < 0)
		return -1;
	int len = snprintf(n->address.sun_path, room, "/proc/self/fd/%d%s", n->dirfd, slash);
	if (len >= (int)room) {
		fds_close(&n->dirfd);
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

static int unix_connect(const struct unix_name *n)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&n->address, sizeof(n->address)) < 0)
		fds_close(&fd);
	return fd;
}

/* 0: the name is free now. -1: someone listens there, or it is no socket; errno tells. */
static int remove_stale(const struct unix_name *n)
{
	struct stat st;
	if (lstat(n->address.sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	int fd = unix_connect(n);
	int errnum = fd >= 0 ? 0 : errno;
	fds_close(&fd);
	if (errnum != ECONNREFUSED) {
		/* EAGAIN is a listener whose queue is full, EACCES one that is not for us: both are alive as far as we know. */
		errno = EADDRINUSE;
		return -1;
	}
	return unlink(n->address.sun_path) < 0 && errno != ENOENT ? -1 : 0;
}

/* Never through a symbolic link: whoever may write in that folder could put one there between bind and now. */
static int set_mode(const struct unix_name *n, mode_t mode)
{
	char path[40];
	struct stat st;
	int fd = open(n->address.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int rc = fstat(fd, &st);
	if (rc == 0 && !S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		rc = -1;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (rc == 0)
		rc = chmod(path, mode);
	fds_close(&fd);
	return rc;
}

static int bind_and_listen(int fd, const struct unix_name *n, mode_t mode)
{
	const struct sockaddr *a = (const struct sockaddr *)&n->address;
	/* The file is born with the socket's own mode minus umask, so it is at no time more open than asked for. */
	if (fchmod(fd, mode) < 0)
		return -1;
	if (bind(fd, a, sizeof(n->address)) < 0) {
		if (errno != EADDRINUSE || remove_stale(n) < 0 || bind(fd, a, sizeof(n->address)) < 0)
			return -1;
	}
	if (set_mode(n, mode) < 0 || listen(fd, BACKLOG) < 0) {
		int errnum = errno;
		unlink(n->address.sun_path);
		errno = errnum;
		return -1;
	}
	return 0;
}

int sock_listen_unix(const char *path, mode_t mode, struct err *err)
{
	struct unix_name name;
	if (unix_name_init(&name, path) < 0)
		return err_sys(err, errno, "unable to listen on %s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && bind_and_listen(fd, &name, mode) < 0)
		fds_close(&fd);
	int errnum = errno;
	fds_close(&name.dirfd);
	return fd >= 0 ? fd : err_sys(err, errnum, "unable to listen on %s", path);
}

int sock_connect_unix(const char *path, struct err *err)
{
	struct unix_name name;
	if (unix_name_init(&name, path) < 0)
		return err_sys(err, errno, "unable to connect to %s", path);
	int fd = unix_connect(&name);
	int errnum = errno;
	fds_close(&name.dirfd);
	return fd >= 0 ? fd : err_sys(err, errnum, "unable to connect to %s", path);
}

int sock_check_own(int fd, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	struct stat folder;
	struct sock_peer peer = { 0 };
	int dir = slash ? open_folder(path, slash) : (errno = EINVAL, -1);
	bool is_known = dir >= 0 && fstat(dir, &folder) == 0;
	int errnum = errno;
	fds_close(&dir);
	if (!is_known)
		return err_sys(err, errnum, "unable to connect to %s", path);
	if (sock_get_peer(fd, &peer, err) < 0)
		return -1;
	return peer.uid == folder.st_uid
		       ? 0
		       : err_sys(err, EACCES, "unable to connect to %s: who listens there is not the owner of its folder", path);
}

int sock_connect_unix_own(const char *path, struct err *err)
{
	int fd = sock_connect_unix(path, err);
	if (fd >= 0 && sock_check_own(fd, path, err) < 0)
		fds_close(&fd);
	return fd;
}

int sock_pair(int pair[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0)
		return 0;
	pair[0] = pair[1] = -1;
	return err_sys(err, errno, "unable to make a socket pair");
}

/* --- both --- */

int sock_accept(int listen_fd, struct err *err)
{
	int fd;
	do { /* a client that left while it waited is not the listener's failure */
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EPROTO));
	if (fd >= 0)
		return fd;
	return err_sys(err, errno == EWOULDBLOCK ? EAGAIN : errno, "unable to accept a connection");
}

int sock_get_peer(int fd, struct sock_peer *peer, struct err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_sys(err, errno, "unable to identify the peer");
	*peer = (struct sock_peer){ .pid = cred.pid, .uid = cred.uid, .gid = cred.gid };
	return 0;
}

/* --- bytes with descriptors --- */

union fds_message {
	struct cmsghdr header; /* for its alignment */
	char bytes[CMSG_SPACE(SEND_FDS_MAX * sizeof(int))];
};

ssize_t sock_send_fds(int fd, const void *data, size_t len, const int *fds, size_t nfds)
{
	/* A stream carries descriptors only beside at least one byte. */
	if (nfds > SEND_FDS_MAX || (nfds > 0 && len == 0)) {
		errno = EINVAL;
		return -1;
	}
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fds_message control;
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	ssize_t n;
	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* Hands out what came, up to room; closes the rest. Returns how many were handed out. */
static size_t take_fds(struct msghdr *msg, int *fds, size_t room)
{
	size_t taken = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (taken < room)
				fds[taken++] = fd;
			else
				fds_close(&fd);
		}
	}
	return taken;
}

ssize_t sock_recv_fds(int fd, void *data, size_t room, int *fds, size_t *nfds)
{
	struct iovec iov = { data, room };
	union fds_message control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	ssize_t n;
	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	size_t taken = n >= 0 ? take_fds(&msg, fds, nfds != NULL ? *nfds : 0) : 0;
	if (nfds != NULL)
		*nfds = taken;
	return n;
}
