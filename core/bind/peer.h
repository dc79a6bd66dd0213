#ifndef DSS_BIND_PEER_H
#define DSS_BIND_PEER_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
/* peer: who is at the other end of run/admin.sock, beyond the uid. */

/* Does it live in our boxes: in a cgroup of the instance, below our keeper (the subreaper of all it starts, so that no fork
 * leaves it), or marked with DSS_PROCESS? A peer that is gone, or in another pid namespace, counts as one: nobody can tell. */
bool peer_is_boxed(pid_t pid, const char *instance, pid_t keeper);
/* The uid's login name; false: it has none. May ask the name service. */
bool peer_login(uid_t uid, char *out, size_t room);

#endif
