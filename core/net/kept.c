#include "net/kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/map.h"
#include "sys/fds.h"
#include "sys/sock.h"

enum { HOST_MAX = 48, NAME_MAX_BYTES = 256 };

/* One peer at one address. Goes with the last of its links. */
struct kept_place {
	char name[NAME_MAX_BYTES], host[HOST_MAX];
	int port;
	size_t nlinks;
	struct list idle; /* the last used one is the next to be used */
};

struct kept {
	struct loop *loop;
	kept_event_fn *fn;
	struct list idle; /* of all places, longest idle first */
	size_t nidle, idle_most;
	struct map *places;
};

/* --- places --- */

static int put_name(char name[NAME_MAX_BYTES], const char *peer, const char *host, int port)
{
	int n = snprintf(name, NAME_MAX_BYTES, "%s %d %s", host, port, peer ? peer : "");
	return n > 0 && n < NAME_MAX_BYTES ? 0 : -1;
}

static struct kept_place *place_new(struct kept *k, const char *peer, const char *host, int port)
{
	char name[NAME_MAX_BYTES];
	struct kept_place *p = put_name(name, peer, host, port) == 0 ? map_get(k->places, name) : NULL;
	if (p || put_name(name, peer, host, port) < 0 || !(p = calloc(1, sizeof(*p))))
		return p;
	memcpy(p->name, name, sizeof(p->name));
	snprintf(p->host, sizeof(p->host), "%s", host);
	p->port = port;
	list_init(&p->idle);
	if (map_set(k->places, p->name, p) == 0)
		return p;
	free(p);
	return NULL;
}

static void place_drop(struct kept *k, struct kept_place *p)
{
	if (p->nlinks > 0)
		return;
	map_remove(k->places, p->name);
	free(p);
}

/* --- links --- */

static void leave_idle(struct kept_link *l)
{
	if (list_is_empty(&l->in_place))
		return;
	list_remove(&l->in_place);
	list_remove(&l->in_order);
	l->kept->nidle--;
}

static void link_free(struct kept_link *l)
{
	struct kept_place *p = l->place;
	leave_idle(l);
	loop_io_free(&l->io);
	fds_close(&l->fd);
	p->nlinks--;
	place_drop(l->kept, p);
	free(l);
}

static void on_event(void *data, int fd, int events)
{
	struct kept_link *l = data;
	(void)fd;
	if (l->user)
		l->kept->fn(l, events);
	else
		link_free(l);
}

static struct kept_link *link_new(struct kept *k, struct kept_place *p, void *user, struct err *err)
{
	struct err why = { 0 };
	struct kept_link *l = calloc(1, sizeof(*l));
	int fd = l ? sock_connect_tcp(p->host, p->port, &why) : -1;
	struct loop_io *io = fd >= 0 ? loop_io_new(k->loop, fd, LOOP_READ | LOOP_WRITE, on_event, l) : NULL;
	if (!io) {
		err_sys(err, l && fd < 0 && why.code ? why.code : ENOMEM, "no connection");
		fds_close(&fd);
		free(l);
		return NULL;
	}
	*l = (struct kept_link){ .fd = fd, .io = io, .user = user, .kept = k, .place = p };
	loop_io_go_first(io); /* kernels wait for their next task, clients for an answer */
	list_init(&l->in_place);
	list_init(&l->in_order);
	p->nlinks++;
	return l;
}

/* --- public --- */

struct kept_link *kept_take(struct kept *k, const char *peer, const char *host, int port, void *user)
{
	char name[NAME_MAX_BYTES], byte;
	struct kept_place *p = put_name(name, peer, host, port) == 0 ? map_get(k->places, name) : NULL;
	struct kept_link *found = NULL;
	if (!p)
		return NULL;
	p->nlinks++; /* it outlives those that turn out to be gone */
	list_each (&p->idle, at) {
		struct kept_link *l = list_of(at, struct kept_link, in_place);
		leave_idle(l);
		if (recv(l->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			found = l;
			break;
		}
		link_free(l);
	}
	p->nlinks--;
	place_drop(k, p);
	if (found)
		found->user = user;
	return found;
}

struct kept_link *kept_open(struct kept *k, const char *peer, const char *host, int port, void *user, struct err *err)
{
	struct kept_place *p = place_new(k, peer, host, port);
	if (!p) {
		err_sys(err, ENOMEM, "no connection");
		return NULL;
	}
	struct kept_link *l = link_new(k, p, user, err);
	if (!l)
		place_drop(k, p);
	return l;
}

struct kept_link *kept_open_again(struct kept_link *old, struct err *err)
{
	struct kept_link *l = link_new(old->kept, old->place, old->user, err);
	link_free(old);
	return l;
}

void kept_put(struct kept_link **lp)
{
	struct kept_link *l = *lp;
	struct kept *k = l->kept;
	*lp = NULL;
	l->user = NULL;
	loop_io_set(l->io, LOOP_READ);
	list_insert_after(&l->place->idle, &l->in_place);
	list_push(&k->idle, &l->in_order);
	if (++k->nidle > k->idle_most)
		link_free(list_of(list_first(&k->idle), struct kept_link, in_order));
}

void kept_close(struct kept_link **lp)
{
	if (*lp)
		link_free(*lp);
	*lp = NULL;
}

struct kept *kept_new(struct loop *loop, size_t idle_most, kept_event_fn *fn)
{
	struct kept *k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	*k = (struct kept){ .loop = loop, .fn = fn, .idle_most = idle_most, .places = map_new() };
	list_init(&k->idle);
	if (!k->places)
		kept_free(&k);
	return k;
}

void kept_free(struct kept **kp)
{
	struct kept *k = *kp;
	if (!k)
		return;
	list_each (&k->idle, p)
		link_free(list_of(p, struct kept_link, in_order));
	if (k->places)
		map_free(&k->places);
	free(k);
	*kp = NULL;
}
