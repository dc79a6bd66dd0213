#ifndef DSS_SYS_SOCK_H
#define DSS_SYS_SOCK_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
/* sock: TCP on a given address and unix sockets with the peer's identity. All non-blocking, close-on-exec. */

struct sock_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* host: a numeric address ("127.0.0.1", "::1", "0.0.0.0"). port 0 = choose. err->code is the errno, EINVAL for what is no
 * address or port. */
int sock_listen_tcp(const char *host, int port, struct err *err);
int sock_connect_tcp(const char *host, int port, struct err *err); /* connection may still be under way */
int sock_port(int fd);                                             /* of a bound TCP socket, or -1 */

/* The numeric address of our end, or the peer's, of a TCP connection: "127.0.0.1", "::1"; IPv4 that came through an IPv6
 * socket is shown as IPv4. room >= SOCK_ADDRESS_MAX. 0, or -1 with errno: it is no TCP connection, or is none any more. */
enum { SOCK_ADDRESS_MAX = 48 };
int sock_own_address(int fd, char *out, size_t room);
int sock_peer_address(int fd, char *out, size_t room);

/* Paths over 107 bytes work (bound through /proc/self/fd). A socket file nobody listens on is replaced; a live one is
 * an error (EADDRINUSE). mode as for chmod. Two at a time could each take the other's for stale: a caller who may have a
 * rival holds a lock of its own, as the keeper does. */
int sock_listen_unix(const char *path, mode_t mode, struct err *err);
int sock_connect_unix(const char *path, struct err *err);
/* Only to who listens as the owner of the socket's folder, else EACCES: in a folder that others write a link may lead to anybody's socket,
 * where we would be taken for the one who asks. */
int sock_connect_unix_own(const char *path, struct err *err);
int sock_check_own(int fd, const char *path, struct err *err); /* the same of one that was connected otherwise */
int sock_pair(int pair[2], struct err *err);                   /* unix stream, non-blocking */
int sock_accept(int listen_fd, struct err *err);               /* -1 with err->code EAGAIN: none waits */
int sock_get_peer(int fd, struct sock_peer *peer, struct err *err);

/* One sendmsg/recvmsg with up to 8 descriptors. Bytes moved, 0 = closed by the peer (recv), -1 with errno kept.
 * *nfds is in: room, out: received. Received descriptors are close-on-exec and owned by the caller; those beyond the
 * room are closed, and the kernel drops some when our own table is full: look at *nfds. */
ssize_t sock_send_fds(int fd, const void *data, size_t len, const int *fds, size_t nfds);
ssize_t sock_recv_fds(int fd, void *data, size_t room, int *fds, size_t *nfds);

#endif
