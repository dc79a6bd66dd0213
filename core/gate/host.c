#include "gate/host.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/text.h"
#include "sys/sock.h"

static const char *const ALWAYS[] = { "localhost", "127.0.0.1", "::1", NULL };

struct host_list {
	bool allows_any;
	size_t n;
	char *name[]; /* without port and brackets */
};

/* The name in host without port and brackets; false: not of that form. */
static bool take_name(const char *host, char *name, size_t room)
{
	const char *end, *port;
	if (host[0] == '[') {
		end = strchr(++host, ']');
		if (end == NULL)
			return false;
		port = end + 1;
	} else {
		port = end = host + strcspn(host, ":");
	}
	if (end == host || (size_t)(end - host) >= room)
		return false;
	memcpy(name, host, (size_t)(end - host));
	name[end - host] = '\0';
	int64_t number;
	return *port == '\0' || (*port == ':' && text_int(port + 1, 1, 65535, &number, NULL) == 0);
}

struct host_list *host_list_new(const char *const *names)
{
	size_t n = 0;
	while (names != NULL && names[n] != NULL)
		n++;
	struct host_list *l = calloc(1, sizeof(*l) + n * sizeof(l->name[0]));
	for (size_t i = 0; l != NULL && i < n; i++) {
		char name[256];
		if (strcmp(names[i], "*") == 0)
			l->allows_any = true;
		/* A bare IPv6 address is not of that form, but people write it. */
		l->name[l->n] = strdup(take_name(names[i], name, sizeof(name)) ? name : names[i]);
		if (l->name[l->n++] == NULL)
			host_list_free(&l);
	}
	return l;
}

void host_list_free(struct host_list **l)
{
	if (*l == NULL)
		return;
	for (size_t i = 0; i < (*l)->n; i++)
		free((*l)->name[i]);
	free(*l);
	*l = NULL;
}

static bool is_own_address(const char *name, int fd)
{
	char own[SOCK_ADDRESS_MAX];
	return sock_own_address(fd, own, sizeof(own)) == 0 && strcasecmp(name, own) == 0;
}

bool host_is_allowed(const struct host_list *l, const char *host, int fd)
{
	char name[256];
	if (!take_name(host, name, sizeof(name)))
		return false;
	if (l->allows_any)
		return true;
	for (const char *const *a = ALWAYS; *a != NULL; a++)
		if (strcasecmp(name, *a) == 0)
			return true;
	for (size_t i = 0; i < l->n; i++)
		if (strcasecmp(name, l->name[i]) == 0)
			return true;
	return is_own_address(name, fd);
}
