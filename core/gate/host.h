#ifndef DSS_GATE_HOST_H
#define DSS_GATE_HOST_H
#include <stdbool.h>
/*
 * host: whom a request may be meant for. A page of some other site can make a browser send requests to us under its
 * own name (DNS rebinding); such a name is not in the list.
 */
struct host_list;

/* names: NULL, or ending with NULL; "*" allows any. NULL: no memory. */
struct host_list *host_list_new(const char *const *names);
void host_list_free(struct host_list **l);
/* host: "name", "name:port", "[v6]", "[v6]:port". fd: the connection, whose own address is always allowed. */
bool host_is_allowed(const struct host_list *l, const char *host, int fd);

#endif
