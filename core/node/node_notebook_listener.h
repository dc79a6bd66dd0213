#ifndef DSS_NODE_NODE_NOTEBOOK_LISTENER_H
#define DSS_NODE_NODE_NOTEBOOK_LISTENER_H
#include <stdbool.h>
#include <sys/types.h>
/*
 * node_notebook_listener: as whom a server that is only attached to runs: whoever listens where it is asked. Only what has its user is one of its kernels.
 */
struct notebook_listener {
	int port;
	bool has_address;          /* of its url: a number, and no name */
	unsigned char address[16]; /* of IPv4 as ::ffff:a.b.c.d */
};

/* false: it is elsewhere, not on this machine. No name is asked for in the network. */
bool notebook_listener_read(struct notebook_listener *l, const char *url);

/* false: nobody listens there, or it cannot be said who: another may listen at the same port of another of the machine's addresses. */
bool notebook_listener_user(const struct notebook_listener *l, uid_t *uid);

#endif
